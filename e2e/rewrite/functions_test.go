package rewrite

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/policies"
)

// function is a function of the dataset lib.
type function struct {
	name, arguments, body string
	returns               string // the type of the value, as a routine's resource has it; "" for a table function
	columns               string // of a table function
	value                 string // a STRING made of a call, where id is the number of a customer
}

// sensitive functions carry ssn of a customer to their value and do nothing else with it.
var sensitive = []function{
	{
		name: "ssn_of", arguments: "i INT64", returns: `{"typeKind": "STRING"}`,
		body: "(SELECT ssn FROM demo.crm.customers WHERE id = i)", value: "lib.ssn_of(id)",
	},
	{
		name: "person", arguments: "i INT64",
		body: "(SELECT AS STRUCT c.name, c.ssn FROM demo.crm.customers AS c WHERE c.id = i)", value: "lib.person(id).ssn",
		returns: `{"typeKind": "STRUCT", "structType": {"fields": [
			{"name": "name", "type": {"typeKind": "STRING"}}, {"name": "ssn", "type": {"typeKind": "STRING"}}]}}`,
	},
	{
		name: "ssns", arguments: "i INT64", body: "ARRAY(SELECT ssn FROM demo.crm.customers WHERE id = i AND ssn IS NOT NULL)",
		returns: `{"typeKind": "ARRAY", "arrayElementType": {"typeKind": "STRING"}}`, value: "lib.ssns(id)[SAFE_OFFSET(0)]",
	},
	{name: "again", arguments: "i INT64", returns: `{"typeKind": "STRING"}`, body: "demo.lib.ssn_of(i)", value: "lib.again(id)"},
	{
		name: "code_of", arguments: "i INT64", returns: `{"typeKind": "STRING"}`,
		body: "(SELECT code FROM demo.crm.people WHERE id = i)", value: "lib.code_of(id)",
	},
	{
		name: "rows_of", arguments: "i INT64", body: "SELECT id, ssn FROM demo.crm.customers WHERE id = i",
		columns: `[{"name": "id", "type": {"typeKind": "INT64"}}, {"name": "ssn", "type": {"typeKind": "STRING"}}]`,
		value:   "(SELECT ssn FROM lib.rows_of(1) LIMIT 1)",
	},
}

// plain functions read nothing that is sensitive.
var plain = []function{
	{
		name: "status_of", arguments: "i INT64", returns: `{"typeKind": "STRING"}`,
		body: "(SELECT status FROM demo.crm.orders WHERE customer_id = i)", value: "lib.status_of(id)",
	},
	{name: "word", arguments: "i INT64", returns: `{"typeKind": "STRING"}`, body: "CONCAT('1', CAST(i AS STRING))", value: "lib.word(id)"},
}

func (f *function) create() string {
	kind, body := "FUNCTION", "("+f.body+")"
	if f.returns == "" {
		kind, body = "TABLE FUNCTION", f.body
	}
	return fmt.Sprintf("CREATE %s demo.lib.%s(%s) AS %s", kind, f.name, f.arguments, body)
}

// routines is a catalog with these functions.
type routines struct{ googlesql.Files }

func (c routines) Routine(ctx context.Context, id bigquery.RoutineID) (*bigquery.Routine, error) {
	for _, f := range slices.Concat(sensitive, plain) {
		if id.String() != "demo.lib."+f.name {
			continue
		}
		r := &bigquery.Routine{RoutineReference: id, RoutineType: "SCALAR_FUNCTION", Language: "SQL", DefinitionBody: f.body}
		const arguments = `[{"name": "i", "argumentKind": "FIXED_TYPE", "dataType": {"typeKind": "INT64"}}]`
		text := fmt.Sprintf(`{"arguments": %s, "returnType": %s}`, arguments, f.returns)
		if f.returns == "" {
			r.RoutineType = "TABLE_VALUED_FUNCTION"
			text = strings.Replace(text, `"returnType": `, `"returnTableType": {"columns": `+f.columns+`}`, 1)
		}
		if err := json.Unmarshal([]byte(text), r); err != nil {
			return nil, err
		}
		return r, nil
	}
	return c.Files.Routine(ctx, id)
}

// TestFunctionsInEveryPosition: a function whose body only carries a sensitive column stands in
// each place in which a query can have an expression, mostly one from which no value reaches the
// answer, and fails for some values. Nobody can tell two databases apart that differ in a value of
// which the mask is the same; over the raw tables each query can. The same places take functions
// that read nothing sensitive, and answer as they do without a gateway.
func TestFunctionsInEveryPosition(t *testing.T) {
	g := newGate(t, "testdata/pairs.yaml", "testdata/catalog")
	g.catalog = routines{googlesql.Files{Folder: "testdata/catalog"}}
	var databases []*database // the SQL engine does not tell functions of several projects apart
	for changed := range 2 {
		statements := append(pairData("demo", changed-1), "CREATE SCHEMA `demo`.lib")
		for _, f := range slices.Concat(sensitive, plain) {
			statements = append(statements, f.create())
		}
		databases = append(databases, newDatabase(t, statements...))
	}
	text, err := os.ReadFile("testdata/positions.tsv")
	if err != nil {
		t.Fatal(err)
	}
	queries, told := 0, 0
	for line := range strings.Lines(string(text)) {
		place, position, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok {
			continue
		}
		for _, f := range slices.Concat(sensitive, plain) {
			sql := strings.ReplaceAll(position, "%", "IF("+f.value+" LIKE '1%', ERROR('x'), 'a')")
			if f.name == "word" || f.name == "status_of" {
				sql = strings.ReplaceAll(position, "%", "IF("+f.value+" LIKE 'q%', ERROR('x'), 'a')")
			}
			t.Run(place+"/"+f.name, func(t *testing.T) {
				queries++
				v, err := g.judge(t.Context(), sql)
				if err != nil {
					t.Fatal(err)
				}
				var seen, raw []string
				for _, d := range databases {
					one, err := g.sees(t.Context(), v, d)
					if err != nil {
						t.Fatalf("%v\n%s", err, v.sql)
					}
					seen, raw = append(seen, one), append(raw, rawAnswer(t, g, d, sql))
				}
				switch {
				case seen[0] != seen[1]:
					t.Errorf("the client can tell: %s\n%s\n%s\n%s", sql, v.sql, seen[0], seen[1])
				case slices.ContainsFunc(plain, func(p function) bool { return p.name == f.name }):
					beside := strings.HasPrefix(place, "beside") // ssn itself
					rewritten := place == "beside a computed column"
					if v.decision.Effect != policies.Allow || v.masked != rewritten || !beside && seen[0] != raw[0] || raw[0] == "error" {
						t.Errorf("a function of clear columns: %v %s, %s, raw %s\n%s", v.decision.Effect, v.decision.Message, seen[0],
							raw[0], sql)
					}
				case raw[0] == raw[1]:
					t.Errorf("over raw tables the query tells nothing: it is no attempt. %s\n%s", sql, raw[0])
				default:
					told++
				}
			})
		}
	}
	t.Logf("%d queries, of which %d tell values over raw tables", queries, told)
	if queries < 200 || told < 150 {
		t.Errorf("%d queries, %d attempts", queries, told)
	}
}
