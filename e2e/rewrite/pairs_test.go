package rewrite

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/policies"
)

// cell is a sensitive cell with two values that its mask does not tell apart.
type cell struct{ table, name, value, other string }

var cells = []cell{
	{"customers", "ssn", "'123-45-6789'", "'987-65-6789'"},
	{"customers", "email", "'ada@x.example'", "'zoe@x.example'"},
	{"customers", "card_number", "'4111111111111111'", "'5500000000000004'"},
	{"customers", "phones.number", "'+1-555-0100'", "'+1-555-0199'"},
	{"payroll", "payroll.ssn", "'123-45-6789'", "'321-54-6789'"},
	{"payroll", "salary", "5000", "7000"},
}

// pairData is the data of a project in which one cell may have its other value.
func pairData(project string, changed int) []string {
	v := func(name string) string {
		for i, c := range cells {
			if c.name == name && i == changed {
				return c.other
			} else if c.name == name {
				return c.value
			}
		}
		panic(name)
	}
	crm, finance := "`"+project+"`.crm", "`"+project+"`.finance"
	return []string{
		"CREATE SCHEMA " + crm, "CREATE SCHEMA " + finance,
		"CREATE TABLE " + crm + ".customers (id INT64, name STRING, email STRING, ssn STRING, card_number STRING, address STRUCT<street " +
			"STRING, city STRING, zip STRING>, " +
			"phones ARRAY<STRUCT<kind STRING, number STRING>>, created TIMESTAMP)",
		fmt.Sprintf("INSERT INTO %s.customers (id, name, email, ssn, card_number, address, phones, created) VALUES "+
			"(1, 'Ada', %s, %s, %s, STRUCT('s', 'c', 'z'), [STRUCT('home', %s), STRUCT('work', '+1-555-0200')], TIMESTAMP '2024-01-01 "+
			"00:00:00+00'), "+
			"(2, 'Bob', 'zoe@x.example', '987-65-6789', '5500000000000004', NULL, [STRUCT('home', '+1-555-0199')], TIMESTAMP '2024-01-02 "+
			"00:00:00+00'), "+
			"(3, 'Cyd', 'cyd@y.example', '555-11-1234', NULL, STRUCT('s', 'c', 'z'), [], NULL), "+
			"(4, 'Dee', NULL, NULL, '4999999999999999', STRUCT('s', 'c', 'z'), [STRUCT('work', '+1-555-0150')], TIMESTAMP '2024-01-04 "+
			"00:00:00+00')",
			crm, v("email"), v("ssn"), v("card_number"), v("phones.number")),
		"CREATE TABLE " + crm + ".orders (id INT64, customer_id INT64, amount NUMERIC, status STRING, ordered TIMESTAMP)",
		"INSERT INTO " + crm + ".orders (id, customer_id, amount, status, ordered) VALUES (10, 1, NUMERIC '1', 'paid', NULL), (11, 2, " +
			"NUMERIC '2', 'open', NULL), (12, 3, NUMERIC '3', 'open', NULL)",
		"CREATE TABLE " + finance + ".payroll (employee STRING, ssn STRING, salary NUMERIC)",
		fmt.Sprintf("INSERT INTO %s.payroll (employee, ssn, salary) VALUES ('Ann', %s, %s), ('Ben', '987-65-6789', 7000), ('Cal', '1', "+
			"NULL)", finance, v("payroll.ssn"), v("salary")),
		"CREATE VIEW " + crm + ".people AS SELECT id, ssn AS code, email AS mail FROM " + crm + ".customers",
		"CREATE VIEW " + crm + ".people_swapped (id, email, ssn) AS SELECT id, ssn, email FROM " + crm + ".customers",
	}
}

// TestPairs: each way a query could tell a value is tried on pairs of databases that differ in one
// sensitive cell whose mask stays the same. What the client sees is the same, to the byte: rows,
// their order and number, names, or the error. That the query is a real attempt is shown over the
// raw tables, where it tells at least one pair apart.
func TestPairs(t *testing.T) {
	g := newGate(t, "testdata/pairs.yaml", "testdata/catalog")
	d := newDatabase(t)
	for i := range len(cells) + 1 {
		for _, sql := range pairData(fmt.Sprintf("p%d", i), i-1) {
			if _, err := d.run(t.Context(), sql); err != nil {
				t.Fatalf("%s: %v", sql, err)
			}
		}
	}
	text, err := os.ReadFile("testdata/pairs.tsv")
	if err != nil {
		t.Fatal(err)
	}
	queries, pairs, rewritten, refused := 0, 0, 0, 0
	ways := map[string]int{}
	for n, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		way, sql, ok := strings.Cut(line, "\t")
		if strings.HasPrefix(line, "#") {
			continue
		}
		if !ok {
			t.Fatalf("pairs.tsv:%d: no tab", n+1)
		}
		queries++
		ways[way]++
		v, err := g.judge(t.Context(), sql)
		if err != nil {
			t.Errorf("pairs.tsv:%d: %v", n+1, err)
			continue
		}
		var seen, told []string
		for i := range len(cells) + 1 {
			if i > 0 && !strings.Contains(sql, cells[i-1].table) && !strings.Contains(sql, "crm.people") {
				seen, told = append(seen, seen[0]), append(told, told[0]) // it does not read the table
				continue
			}
			there := v
			there.sql = in(fmt.Sprintf("p%d", i), v.sql)
			one, err := g.sees(t.Context(), there, d)
			if err != nil {
				t.Fatalf("pairs.tsv:%d: %v\n%s", n+1, err, there.sql)
			}
			seen = append(seen, one)
			told = append(told, rawAnswer(t, g, d, in(fmt.Sprintf("p%d", i), sql)))
		}
		differs := false
		for i := 1; i < len(seen); i++ {
			if i > 0 && (strings.Contains(sql, cells[i-1].table) || strings.Contains(sql, "crm.people")) {
				pairs++
			}
			differs = differs || told[i] != told[0]
			if seen[i] != seen[0] {
				t.Errorf("pairs.tsv:%d: the client can tell %s of %s: %s\n%s\n%s\n%s", n+1, way, cells[i-1].name, sql, v.sql, seen[0],
					seen[i])
			}
		}
		if !differs {
			t.Errorf("pairs.tsv:%d: over raw tables the query tells nothing: it is no attempt. %s\n%s", n+1, sql, told[0])
		}
		switch {
		case v.decision.Effect != policies.Allow:
			refused++
			t.Logf("pairs.tsv:%d refused: %s", n+1, v.decision.Message)
		case v.masked:
			rewritten++
		}
	}
	t.Logf("%d queries in %d ways, %d pairs: %d queries rewritten, %d refused, the others masked in flight", queries, len(ways), pairs,
		rewritten, refused)
	if queries < 100 || pairs < 500 || rewritten < 100 {
		t.Errorf("%d queries, %d pairs, %d rewritten", queries, pairs, rewritten)
	}
}

// in is the query about the tables of another project.
func in(project, sql string) string {
	project = "`" + project + "`"
	return strings.NewReplacer("`demo`", project, " crm.", " "+project+".crm.", " finance.", " "+project+".finance.").Replace(sql)
}

// rawAnswer is what BigQuery would answer without a gateway; of an error, that there is one.
func rawAnswer(t *testing.T, g *gate, d *database, sql string) string {
	t.Helper()
	r, err := d.runIn(t.Context(), g, sql)
	if err != nil {
		return "error"
	}
	return answer(r.Rows, r.Schema)
}
