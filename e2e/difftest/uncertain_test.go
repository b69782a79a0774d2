package difftest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/policies"
)

// Tables that the analysis knows otherwise than the engine (A44). In `odd`, w_1 and w_2 differ, and
// the two sides disagree on which is the newer one; t was replaced, so that FOR SYSTEM_TIME AS OF
// reads another definition than the one that the analysis sees; m_1 and m_2 are alike. The column
// tax is sensitive wherever it is.
func oddStatements(tax string) []string {
	return []string{
		"CREATE SCHEMA `my-proj`.odd",
		"CREATE TABLE odd.w_1 (a STRING, b STRING, tax STRING)", "INSERT INTO odd.w_1 VALUES ('a1', 'b1', '" + tax + "1')",
		"CREATE TABLE odd.w_2 (b STRING, c STRING)", "INSERT INTO odd.w_2 VALUES ('b2', 'c2')",
		"CREATE TABLE odd.t (a STRING, tax STRING)", "INSERT INTO odd.t VALUES ('a3', '" + tax + "3')",
		"CREATE OR REPLACE TABLE odd.t AS SELECT a, 'b3' AS b, 'c3' AS c FROM odd.t",
		"CREATE TABLE odd.m_1 (a STRING, b STRING)", "INSERT INTO odd.m_1 VALUES ('a4', 'b4')",
		"CREATE TABLE odd.m_2 (a STRING, b STRING)", "INSERT INTO odd.m_2 VALUES ('a5', 'b5')",
	}
}

// oddColumns are what the analysis reads of them.
var oddColumns = map[string]string{"w_1": "a b tax", "w_2": "b c", "t": "a b c", "m_1": "a b", "m_2": "a b"}

// oddCatalog is the catalog with these tables. To the analysis w_1 is the newest, to the engine
// w_2.
type oddCatalog struct{ catalog }

func (c oddCatalog) Table(ctx context.Context, id bigquery.TableID) (*bigquery.Table, error) {
	columns, ok := oddColumns[id.Table]
	if id.Project != project || id.Dataset != "odd" || !ok {
		return c.catalog.Table(ctx, id)
	}
	t := &bigquery.Table{TableReference: id, Type: "TABLE"}
	for _, name := range strings.Fields(columns) {
		t.Schema.Fields = append(t.Schema.Fields, bigquery.Field{Name: name, Type: "STRING"})
	}
	return t, nil
}

func (oddCatalog) Tables(_ context.Context, d bigquery.DatasetReference) ([]bigquery.ListedTable, error) {
	var list []bigquery.ListedTable
	for name := range oddColumns {
		made := "1"
		if name == "w_1" {
			made = "2"
		}
		list = append(list, bigquery.ListedTable{Reference: bigquery.TableID{Project: d.ProjectID, Dataset: d.DatasetID, Table: name},
			Type: "TABLE", CreationTime: made})
	}
	return list, nil
}

func (oddCatalog) RowAccess(context.Context, bigquery.TableID) (bigquery.RowAccess, error) {
	return bigquery.RowAccessNone, nil
}

const oddPolicy = `version: bqgate/v1
groups: {agents: {issuer: demo, when: 'true'}}
columns:
  - {match: demo.crm.customers.ssn, mask: ALWAYS_NULL}
  - {match: "my-proj.odd.*.tax", mask: ALWAYS_NULL}
tables: [{match: "*.*.*", unlisted: clear}]
rules: [{name: r, groups: [agents], read: ["demo.crm.*", "my-proj.odd.*"]}]
`

// oddQuery writes wildcards, travelling reads and captured names.
func oddQuery(r *rand.Rand) string {
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	name := func() string { return one("a", "b", "c", "tax") }
	alias := one("u", "v", "a")
	reference := one("`my-proj.odd.w_*`", "`my-proj.odd.w_*`", "`odd.w_*`", "odd.t", "odd.t", "`odd.m_*`") + " AS " + alias
	if strings.HasPrefix(reference, "odd.t") && r.IntN(8) > 0 {
		reference += " FOR SYSTEM_TIME AS OF TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 1 DAY)"
	}
	column := func() string {
		switch r.IntN(8) {
		case 0:
			return one("TO_JSON_STRING("+alias+")", "FORMAT('%T', "+alias+")")
		case 1, 2, 3:
			return alias + "." + name()
		default:
			return name()
		}
	}
	x, y := name(), name()
	outer := fmt.Sprintf("(SELECT ssn AS %s, name AS other FROM demo.crm.customers)", x)
	if r.IntN(3) == 0 {
		outer = fmt.Sprintf("(SELECT STRUCT(ssn AS %s) AS %s FROM demo.crm.customers)", y, x)
	}
	outer += " AS o"
	inner := one(
		"(SELECT ANY_VALUE(%[1]s) FROM %[2]s)", "(SELECT MAX(UPPER(%[1]s)) FROM %[2]s)", "ARRAY(SELECT %[1]s FROM %[2]s)",
		"EXISTS (SELECT * FROM %[2]s WHERE %[1]s LIKE 'z%%')",
		"(SELECT COUNT(*) FROM %[2]s WHERE %[1]s LIKE 'z%%')", "(SELECT MAX(%[3]s) FROM (SELECT * FROM %[2]s))",
		"'z' IN (SELECT SUBSTR(%[1]s, 1, 1) FROM %[2]s)",
		"(SELECT ANY_VALUE(e) FROM %[2]s, UNNEST([%[1]s]) AS e)", "(SELECT (SELECT MAX(%[1]s)) FROM %[2]s LIMIT 1)",
		"(SELECT %[1]s FROM %[2]s ORDER BY %[3]s LIMIT 1)",
		"(SELECT ANY_VALUE(k) FROM (SELECT %[1]s AS k FROM %[2]s))", "(SELECT ANY_VALUE(%[1]s.%[3]s) FROM %[2]s)",
	)
	inner = fmt.Sprintf(inner, column(), reference, y)
	if strings.Contains(inner, "%!") {
		inner = inner[:strings.Index(inner, "%!")]
	}
	switch r.IntN(8) {
	case 0:
		return fmt.Sprintf("SELECT %s AS v FROM %s", column(), reference)
	case 1:
		return fmt.Sprintf("SELECT %s FROM %s", one("*", alias+".*", "* EXCEPT (b)", "AS STRUCT *"), reference)
	case 2:
		return fmt.Sprintf("SELECT %s AS v FROM (SELECT * FROM %s UNION ALL SELECT %s FROM %s)", y, reference,
			one("'n', ssn", "ssn, 'n'", "'n', ssn, 'n'"), "demo.crm.customers")
	case 3:
		return fmt.Sprintf("SELECT o.id, %s AS v FROM demo.crm.customers AS o WHERE %s IS NOT NULL",
			fmt.Sprintf("(SELECT MIN(%s) FROM %s)", column(), reference), inner)
	case 4:
		return fmt.Sprintf("SELECT %s.b AS v, o.ssn FROM %s CROSS JOIN demo.crm.customers AS o", alias, reference)
	case 5:
		return fmt.Sprintf("WITH w AS (SELECT %s AS k FROM %s) SELECT k, (SELECT COUNT(*) FROM w) AS n FROM w", column(), reference)
	default:
		return fmt.Sprintf("SELECT %s AS v FROM %s", inner, outer)
	}
}

// oddWorld is two engines whose databases differ in sensitive cells alone.
type oddWorld struct {
	analyzer *googlesql.Analyzer
	set      *policies.Set
	engines  [2]*child
}

func newOddWorld(t *testing.T) *oddWorld {
	w := &oddWorld{analyzer: newAnalyzer(t)}
	var err error
	if w.set, err = policies.LoadBytes("policy.yaml", []byte(oddPolicy),
		policies.Options{Issuers: []string{"demo"}, Projects: map[string]string{"default": project}}); err != nil {
		t.Fatal(err)
	}
	for i, tax := range []string{"x", "z"} {
		w.engines[i] = startChild(t)
		statements := oddStatements(tax)
		if tax == "z" {
			statements = append(statements, "UPDATE `demo`.crm.customers SET ssn = CONCAT('z', ssn) WHERE TRUE")
		}
		for _, sql := range statements {
			if r := w.engines[i].must(t, request{Op: "run", SQL: sql, Project: project}); r.Error != nil {
				t.Fatalf("%s: %s", sql, r.Error.Message)
			}
		}
	}
	return w
}

// judge is the gateway's decision on a query, and the text that it would forward. Blind, it does
// not look at what is uncertain.
func (w *oddWorld) judge(t *testing.T, sql string, blind bool) (policies.Decision, string) {
	ctx, c := t.Context(), oddCatalog{}
	r := googlesql.Query{SQL: sql, Project: project, Catalog: c, Caller: "difftest"}
	analyze := func(ctx context.Context, r googlesql.Query) (*googlesql.Analysis, error) {
		a, err := w.analyzer.Analyze(ctx, r)
		if err != nil || !blind || len(a.Statements) != 1 {
			return a, err
		}
		made := *a
		made.Statements = slices.Clone(a.Statements)
		made.Statements[0].Uncertain = nil
		return &made, nil
	}
	analysis, err := analyze(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	ask := policies.Input{
		Subject: identity.Subject{Issuer: "i", Name: "demo", Sub: "agent", Owner: "o", Mapped: true, People: []string{"p"},
			Claims: map[string]any{}},
		Method: "jobs.query", Project: project, SQL: sql, Analysis: analysis, Tables: analysis.Tables,
	}
	rowAccess := func(ctx context.Context, tables []*bigquery.Table) (map[string]bigquery.RowAccess, error) {
		return googlesql.RowAccess(ctx, c, tables)
	}
	forwarded := sql
	d, _, err := w.set.Decide(ctx, ask,
		policies.Facts{RowAccess: rowAccess, Salt: []byte("0123456789abcdef0123456789abcdef"),
			Rewrite: func(ctx context.Context, transforms []googlesql.Transform) (*googlesql.Rewritten, error) {
				made, err := googlesql.Rewrite(ctx, analyze, r, analysis, transforms)
				if err == nil {
					forwarded = made.SQL
				}
				return made, err
			}})
	if err != nil {
		t.Fatal(err)
	}
	return d, forwarded
}

// leaks compares what a client sees of the two databases; "" where it is the same. An answer that
// does not have the columns of the plan never leaves.
func (w *oddWorld) leaks(t *testing.T, d policies.Decision, forwarded string) (told string, ran bool) {
	var seen [2]string
	for i, engine := range w.engines {
		r := engine.must(t, request{Op: "run", SQL: forwarded, Project: project, TimeoutMs: 5000})
		if r.Error != nil {
			seen[i] = "an error" // of one text for all
			continue
		}
		ran = true
		if len(r.Columns) == 1 && r.Columns[0].Type == "RECORD" && strings.HasPrefix(r.Columns[0].Name, "$") { // SELECT AS STRUCT
			r.Columns = r.Columns[0].Fields
			for n, row := range r.Rows {
				r.Rows[n], _ = row[0].([]any)
			}
		}
		if !slices.EqualFunc(r.Columns, d.Mask.Columns, func(f bigquery.Field, c masking.Column) bool { return f.Name == c.Name }) {
			seen[i] = "other columns"
			continue
		}
		for _, row := range r.Rows {
			for n, c := range d.Mask.Columns {
				if c.Mask != masking.Clear {
					row[n] = "masked"
				}
			}
		}
		text, err := json.Marshal(r.Rows)
		if err != nil {
			t.Fatal(err)
		}
		seen[i] = string(text)
	}
	if seen[0] != seen[1] {
		return fmt.Sprintf("%s\nand\n%s", seen[0], seen[1]), ran
	}
	return "", ran
}

// TestUncertainReadings writes reads of tables that the engine knows otherwise than the analysis
// does: what is allowed tells nothing of a sensitive cell, under the engine's reading. Without the
// marks of uncertain tables it would.
func TestUncertainReadings(t *testing.T) {
	w := newOddWorld(t)
	allowed, ran, refused, found, blind := 0, 0, map[string]int{}, 0, 0
	for n := range 1000 {
		sql := oddQuery(rand.New(rand.NewPCG(*seed, uint64(n))))
		d, forwarded := w.judge(t, sql, false)
		if d.Effect == policies.Allow {
			allowed++
			told, works := w.leaks(t, d, forwarded)
			if works {
				ran++
			}
			if told != "" {
				if found++; found <= maxSmall {
					t.Errorf("query %d tells of sensitive cells:\n%s\nforwarded\n%s\nanswers\n%s", n, sql, forwarded, told)
				}
			}
			continue
		}
		for _, why := range []string{"is read as a whole", "could be a column of", "FOR SYSTEM_TIME", "is not valid", "does not exist",
			""} {
			if strings.Contains(d.Message, why) {
				refused[why]++
				break
			}
		}
		if !strings.Contains(d.Message, "is read as a whole") && !strings.Contains(d.Message, "could be a column of") {
			continue
		}
		if d, forwarded := w.judge(t, sql, true); d.Effect == policies.Allow {
			if told, _ := w.leaks(t, d, forwarded); told != "" {
				blind++
			}
		}
	}
	t.Logf("%d allowed, %d of them ran, refused %v, %d would have told", allowed, ran, refused, blind)
	if found > 0 || ran < 100 || refused["is read as a whole"] < 20 || refused["could be a column of"] < 20 || blind < 8 {
		t.Errorf("%d leaks; want none, at least 100 queries that ran, 20 refused for each reason, and 8 that would have told without the "+
			"marks", found)
	}
}
