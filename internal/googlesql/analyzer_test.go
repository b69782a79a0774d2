package googlesql

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// mutable is a catalog of one table that tests change between analyses.
type mutable struct {
	table *bigquery.Table
	err   error
	asked atomic.Int32
}

func (m *mutable) Table(_ context.Context, id bigquery.TableID) (*bigquery.Table, error) {
	m.asked.Add(1)
	if m.err != nil {
		return nil, m.err
	}
	if m.table == nil || m.table.TableReference != id {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	return m.table, nil
}

func table(name string, columns ...bigquery.Field) *bigquery.Table {
	p := strings.Split(name, ".")
	return &bigquery.Table{
		TableReference: bigquery.TableID{Project: p[0], Dataset: p[1], Table: p[2]}, Type: "TABLE",
		Schema: bigquery.Schema{Fields: columns},
	}
}

func TestCacheFollowsTheSchema(t *testing.T) {
	analyzer, catalog := testAnalyzer(t), &mutable{table: table("p.d.t", bigquery.Field{Name: "a", Type: "STRING"})}
	query := Query{SQL: "SELECT * FROM d.t", Project: "p", Catalog: catalog}
	ask := func() *Analysis {
		t.Helper()
		a, err := analyzer.Analyze(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := ask()
	if again := ask(); len(again.Statements[0].Columns) != 1 || again.Tables["p.d.t"] != catalog.table || first.Error != nil {
		t.Errorf("the second analysis is %+v", again)
	}
	if catalog.asked.Load() != 2 {
		t.Errorf("the catalog was asked %d times, want once for each analysis", catalog.asked.Load())
	}
	// A column appears, and another changes places with it under its name (A8, A18).
	catalog.table = table("p.d.t", bigquery.Field{Name: "a", Type: "STRING"}, bigquery.Field{Name: "ssn_backup", Type: "STRING"})
	if a := ask(); len(a.Statements[0].Columns) != 2 {
		t.Errorf("a new column is not seen: %+v", a.Statements[0].Columns)
	}
	catalog.table = table("p.d.t", bigquery.Field{Name: "a", Type: "INTEGER"})
	if a := ask(); a.Statements[0].Columns[0].Type != "INT64" {
		t.Errorf("a new type is not seen: %+v", a.Statements[0].Columns)
	}
	catalog.table = nil
	wantCode(t, ask(), ErrorNotFound)
	catalog.err = errors.New("503")
	wantCode(t, ask(), ErrorUnavailable)
	catalog.err, catalog.table = nil, table("p.d.t", bigquery.Field{Name: "a", Type: "STRING"})
	if a := ask(); a.Error != nil {
		t.Errorf("an unavailable catalog is remembered: %v", a.Error)
	}
}

// wrong answers for every table with another one's schema.
type wrong struct{ answer *bigquery.Table }

func (w wrong) Table(context.Context, bigquery.TableID) (*bigquery.Table, error) {
	return w.answer, nil
}

func TestCatalogAnswersAreChecked(t *testing.T) {
	analyzer := testAnalyzer(t)
	column := bigquery.Field{Name: "a", Type: "STRING"}
	with := func(change func(*bigquery.Table)) *bigquery.Table {
		made := table("p.d.t", column)
		change(made)
		return made
	}
	for name, test := range map[string]struct {
		answer *bigquery.Table
		code   ErrorCode
	}{
		"nothing":         {nil, ErrorUnavailable},
		"another table":   {table("p.d.T", column), ErrorUnavailable},
		"another project": {table("q.d.t", column), ErrorUnavailable},
		"no type":         {with(func(b *bigquery.Table) { b.Type = "" }), ErrorUnsupported},
		"a model":         {with(func(b *bigquery.Table) { b.Type = "MODEL" }), ErrorUnsupported},
		"unknown type":    {table("p.d.t", bigquery.Field{Name: "a", Type: "SECRET"}), ErrorUnsupported},
		"unknown mode":    {table("p.d.t", bigquery.Field{Name: "a", Type: "STRING", Mode: "MAYBE"}), ErrorUnsupported},
		"dotted column":   {table("p.d.t", bigquery.Field{Name: "a.b", Type: "STRING"}), ErrorUnsupported},
		"unnamed column":  {table("p.d.t", bigquery.Field{Type: "STRING"}), ErrorUnsupported},
		"empty struct":    {table("p.d.t", bigquery.Field{Name: "a", Type: "RECORD"}), ErrorUnsupported},
		"twin columns":    {table("p.d.t", column, bigquery.Field{Name: "A", Type: "STRING"}), ErrorUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := analyzer.Analyze(t.Context(), Query{SQL: "SELECT a FROM d.t", Project: "p", Catalog: wrong{test.answer}})
			if err != nil || a.Error == nil || a.Error.Code != test.code {
				t.Errorf("%s: %+v, %v, want %s", name, a, err, test.code)
			}
		})
	}
	if _, err := analyzer.Analyze(t.Context(), Query{SQL: "SELECT 1"}); err == nil {
		t.Error("a query without a catalog was analysed")
	}
}

func TestParameters(t *testing.T) {
	analyzer := testAnalyzer(t)
	for name, test := range map[string]struct {
		sql, mode, parameters string
		code                  ErrorCode // "" for understood
	}{
		"named": {"SELECT ssn FROM crm.customers WHERE id = @id", "NAMED",
			`[{"name":"id","parameterType":{"type":"INT64"},"parameterValue":{"value":"1"}}]`, ""},
		"mode from names": {"SELECT @a AS a", "", `[{"name":"a","parameterType":{"type":"STRING"}}]`, ""},
		"positional": {"SELECT ssn FROM crm.customers WHERE id = ? AND name = ?", "POSITIONAL",
			`[{"parameterType":{"type":"INTEGER"}},{"parameterType":{"type":"STRING"}}]`, ""},
		"array": {"SELECT ssn FROM crm.customers WHERE id IN UNNEST(@ids)", "NAMED",
			`[{"name":"ids","parameterType":{"type":"ARRAY","arrayType":{"type":"INT64"}}}]`, ""},
		"struct": {"SELECT @s.x AS x", "NAMED",
			`[{"name":"s","parameterType":{"type":"STRUCT","structTypes":[{"name":"x","type":{"type":"DATE"}}]}}]`, ""},
		"range": {"SELECT RANGE_CONTAINS(@r, DATE '2024-01-01') AS x", "NAMED",
			`[{"name":"r","parameterType":{"type":"RANGE","rangeElementType":{"type":"DATE"}}}]`, ""},
		"undeclared": {"SELECT @b AS b", "NAMED", `[{"name":"a","parameterType":{"type":"STRING"}}]`, ErrorNotFound},
		"wrong type": {"SELECT ssn FROM crm.customers WHERE id = @id", "NAMED", `[{"name":"id","parameterType":{"type":"BYTES"}}]`,
			ErrorSyntax},
		"mixed": {"SELECT 1 AS a", "", `[{"name":"a","parameterType":{"type":"STRING"}},{"parameterType":{"type":"STRING"}}]`,
			ErrorSyntax},
		"unknown type": {"SELECT 1 AS a", "", `[{"name":"a","parameterType":{"type":"ROW"}}]`, ErrorSyntax},
		"array of arrays": {"SELECT 1 AS a", "",
			`[{"name":"a","parameterType":{"type":"ARRAY","arrayType":{"type":"ARRAY","arrayType":{"type":"INT64"}}}}]`, ErrorSyntax},
		"unknown key": {"SELECT 1 AS a", "", `[{"name":"a","kind":1}]`, ErrorSyntax},
		"not a list":  {"SELECT 1 AS a", "", `{}`, ErrorSyntax},
		"script, positions": {"SELECT ? AS a; SELECT ? AS b", "POSITIONAL",
			`[{"parameterType":{"type":"INT64"}},{"parameterType":{"type":"INT64"}}]`, ErrorUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := analyzer.Analyze(t.Context(), Query{
				SQL: test.sql, Project: "demo", ParameterMode: test.mode, Parameters: json.RawMessage(test.parameters),
				Catalog: Files{"testdata/catalog"},
			})
			switch {
			case err != nil:
				t.Errorf("%s: %v", name, err)
			case test.code == "" && a.Error != nil, test.code != "" && (a.Error == nil || a.Error.Code != test.code):
				t.Errorf("%s: error = %+v, want code %q", name, a.Error, test.code)
			}
		})
	}
}

// Whoever decides about a query that runs declares its parameters; whoever only explains SQL need
// not.
func TestUndeclaredParameters(t *testing.T) {
	analyzer := testAnalyzer(t) // with its cache: the one answer must not serve for the other
	for sql, says := range map[string]string{
		"SELECT ssn FROM crm.customers WHERE id = @id": "the query parameter @id is not declared",
		"SELECT ssn FROM crm.customers WHERE id = ?":   "a positional parameter (?) is not declared",
	} {
		for _, undeclared := range []bool{true, false, true} {
			t.Run(fmt.Sprint(undeclared), func(t *testing.T) {
				a, err := analyzer.Analyze(t.Context(),
					Query{SQL: sql, Project: "demo", Catalog: Files{"testdata/catalog"}, Undeclared: undeclared})
				switch {
				case err != nil:
					t.Fatal(err)
				case !undeclared && (a.Error == nil || !strings.Contains(a.Error.Message, says)):
					t.Errorf("%s: error = %+v, want one that says %q", sql, a.Error, says)
				case undeclared && (a.Error != nil || len(a.Statements[0].Uses) != 1):
					t.Errorf("%s: explained as %+v", sql, a)
				}
			})
		}
	}
}

// A parameter that nothing but one of its uses gives a type has that one in all of them, where SQL
// is only explained.
func TestUndeclaredParametersOfTwoUses(t *testing.T) {
	analyzer := testAnalyzer(t)
	for sql, want := range map[string]string{
		"SELECT @d AS d, id FROM crm.customers WHERE DATE(created) = @d":                      "DATE",
		"SELECT id FROM crm.customers WHERE name = @n OR @n IS NULL OR LENGTH(@n) > @m + @m":  "INT64",
		"SELECT @a AS a, @A AS b, @t AS c FROM crm.customers WHERE ssn = @a AND @t > created": "STRING",
		"SELECT @x AS x FROM crm.customers WHERE ssn = @x AND id = @x":                        "",
	} {
		t.Run(sql, func(t *testing.T) {
			a, err := analyzer.Analyze(t.Context(),
				Query{SQL: sql, Project: "demo", Catalog: Files{"testdata/catalog"}, Undeclared: true})
			switch {
			case err != nil:
				t.Fatal(err)
			case want == "" && a.Error == nil:
				t.Errorf("%s: explained as %+v", sql, a.Statements[0].Columns)
			case want != "" && a.Error != nil:
				t.Errorf("%s: %+v", sql, a.Error)
			case want != "" && a.Statements[0].Columns[0].Type != want:
				t.Errorf("%s: %s, want %s", sql, a.Statements[0].Columns[0].Type, want)
			}
		})
	}
}

func TestParametersMarkGeneratedValues(t *testing.T) {
	a, err := testAnalyzer(t).Analyze(t.Context(), Query{
		SQL: "SELECT ssn FROM crm.customers UNION ALL SELECT @guess", Project: "demo", Catalog: Files{"testdata/catalog"},
		Parameters: json.RawMessage(`[{"name":"guess","parameterType":{"type":"STRING"}}]`),
	})
	if err != nil || a.Error != nil {
		t.Fatal(err, a.Error)
	}
	if got := render(a); !strings.Contains(got, "(generated)") {
		t.Errorf("a parameter beside a column is not marked:\n%s", got)
	}
}

func TestLimits(t *testing.T) {
	// the limits are to refuse, not the deadline
	analyzer := New(startPool(t, PoolOptions{Workers: 1, Deadline: 20 * time.Second}), Limits{})
	for name, test := range map[string]struct{ sql, says string }{
		"text":       {"SELECT '" + strings.Repeat("x", 256<<10) + "' AS a", "262144"},
		"depth":      {"SELECT " + strings.Repeat("UPPER(", 600) + "'a'" + strings.Repeat(")", 600), "500 deep"},
		"nodes":      {"SELECT [1" + strings.Repeat(",1", 60_000) + "]", "50000 syntax elements"},
		"statements": {strings.Repeat("SELECT 1;", 300), "200 statements"},
		"tables":     {"SELECT 1" + strings.Repeat(" FROM crm.events UNION ALL SELECT 1", 300), "200 tables"},
		"columns":    {"SELECT " + strings.Repeat("c, ", 1000) + "c FROM crm.customers c", "too many columns"},
	} {
		t.Run(name, func(t *testing.T) {
			a := analyze(t, analyzer, test.sql)
			if a.Error == nil || a.Error.Code != ErrorLimit || !strings.Contains(a.Error.Message, test.says) {
				t.Errorf("%s: error = %+v, want a limit that names %q", name, a.Error, test.says)
			}
		})
	}
	for name, sql := range map[string]string{"NUL": "SELECT 1\x00", "UTF-8": "SELECT '\xff'"} {
		t.Run(name, func(t *testing.T) {
			if a := analyze(t, analyzer, sql); a.Error == nil || a.Error.Code != ErrorSyntax {
				t.Errorf("%s: error = %+v, want syntax", name, a.Error)
			}
		})
	}
}

func TestAmbiguousProject(t *testing.T) {
	a, err := testAnalyzer(t).Analyze(t.Context(), Query{
		SQL: "SELECT ssn FROM crm.customers", Project: "my-proj", Catalog: Files{"testdata/catalog"},
		DefaultDataset: &bigquery.DatasetReference{ProjectID: "demo", DatasetID: "crm"},
	})
	if err != nil || a.Error == nil || a.Error.Code != ErrorUnsupported {
		t.Errorf("%+v, %v, want a refusal: the name could be in either project", a, err)
	}
}

// A name may be hidden by an alias in one place of a text and be a table in another.
func TestHiddenNames(t *testing.T) {
	analyzer := testAnalyzer(t)
	for sql, want := range map[string]string{
		"SELECT crm.id FROM crm.customers AS crm, crm.phones":                                     "demo.crm.customers",
		"SELECT (SELECT COUNT(*) FROM crm.orders) n FROM crm.events AS crm":                       "notFound",
		"WITH crm AS (SELECT 1 AS a) SELECT ssn FROM crm.customers":                               "demo.crm.customers",
		"SELECT a.x FROM (SELECT 1 AS x) a JOIN (SELECT ssn AS x FROM crm.customers) crm ON TRUE": "demo.crm.customers",
		"SELECT 1 AS crm UNION ALL SELECT id FROM crm.orders UNION ALL " +
			"(SELECT o.id FROM crm.events AS o)": "demo.crm.events demo.crm.orders",
		"WITH customers AS (SELECT ssn FROM crm.customers) SELECT * FROM customers " +
			"JOIN `demo`.crm.orders ON TRUE": "demo.crm.customers demo.crm.orders",
	} {
		t.Run(sql, func(t *testing.T) {
			a := analyze(t, analyzer, sql)
			got := ""
			if a.Error != nil {
				got = string(a.Error.Code)
			} else {
				got = strings.Join(a.Statements[0].Tables, " ")
			}
			if got != want {
				t.Errorf("%s\n reads %q, want %q (%v)", sql, got, want, a.Error)
			}
		})
	}
}

// Offsets are of the author's text, also behind names that were split and characters of several
// bytes.
func TestOffsets(t *testing.T) {
	sql := "SELECT 'é😀' AS x\n\tFROM `demo.crm.customers` c JOIN\t`crm.orders` o ON c.id = o.customer_id\r\nWHERE c.ssn = 'ü' AND nope = 1"
	analyzer := testAnalyzer(t)
	a := analyze(t, analyzer, sql)
	if a.Error == nil || a.Error.Line != 3 || a.Error.Column != 23 {
		t.Errorf("error = %+v, want line 3, column 23", a.Error)
	}
	a = analyze(t, analyzer, strings.Replace(sql, "nope", "o.id", 1))
	if a.Error != nil {
		t.Fatal(a.Error)
	}
	s := a.Statements[0]
	for _, u := range s.Uses {
		if u.Column == "demo.crm.customers.ssn" {
			line, column := Span{u.Offset, u.Offset}.LineColumn(sql)
			if line != 3 || column != 7 {
				t.Errorf("the use of ssn is at %d:%d, want 3:7", line, column)
			}
		}
	}
	var names []string
	for _, r := range s.References {
		names = append(names, r.Table+"="+sql[r.Span.Start:r.Span.End])
	}
	if got, want := strings.Join(names, " "), "demo.crm.customers=`demo.crm.customers` demo.crm.orders=`crm.orders`"; got != want {
		t.Errorf("references = %s, want %s", got, want)
	}
}

func TestLineColumn(t *testing.T) {
	text := "a\nbé€x\n"
	for offset, want := range map[int][2]int{0: {1, 1}, 2: {2, 1}, 3: {2, 2}, 5: {2, 3}, 8: {2, 4}, 10: {3, 1}, 11: {0, 0}, -1: {0, 0}} {
		t.Run(fmt.Sprint(offset), func(t *testing.T) {
			if line, column := (Span{offset, offset}).LineColumn(text); line != want[0] || column != want[1] {
				t.Errorf("offset %d is at %d:%d, want %d:%d", offset, line, column, want[0], want[1])
			}
		})
	}
}

func TestFilesCatalog(t *testing.T) {
	files := Files{"testdata/catalog"}
	for _, id := range []bigquery.TableID{
		{Project: "demo", Dataset: "crm", Table: "nothing"}, {Project: "..", Dataset: "..", Table: "x"},
		{Project: "a/b", Dataset: "c", Table: "d"},
		{Project: "demo", Dataset: "crm", Table: "Customers"},
	} {
		if _, err := files.Table(t.Context(), id); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", id, err)
		}
	}
	got, err := files.Table(t.Context(), bigquery.TableID{Project: "demo", Dataset: "crm", Table: "customers"})
	if err != nil || len(got.Schema.Fields) != 8 {
		t.Errorf("demo.crm.customers = %+v, %v", got, err)
	}
}

func TestExplain(t *testing.T) {
	analyzer := testAnalyzer(t)
	a := analyze(t, analyzer, "SELECT id, LENGTH(ssn) AS n, 1 FROM crm.customers WHERE email = 'x'")
	var out bytes.Buffer
	if err := Explain(t.Context(), &out, a, false); err != nil {
		t.Fatal(err)
	}
	want := `1  SELECT   reads demo.crm.customers
   column     type   comes from
   id         INT64  demo.crm.customers.id   as it is
   n          INT64  demo.crm.customers.ssn  derived
   (no name)  INT64  no column               
   used to decide the result: demo.crm.customers.email (filter)
`
	if got := out.String(); trimLines(got) != trimLines(want) {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
	out.Reset()
	if err := Explain(t.Context(), &out, a, true); err != nil {
		t.Fatal(err)
	}
	var document struct {
		Statements []map[string]json.RawMessage `json:"statements"`
	}
	if err := json.Unmarshal(out.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"kind", "tables", "targets", "routines", "functions", "columns", "uses"} {
		t.Run(key, func(t *testing.T) {
			if v := string(document.Statements[0][key]); v == "" || v == "null" {
				t.Errorf("the JSON's %s is %q", key, v)
			}
		})
	}
	out.Reset()
	if err := Explain(t.Context(), &out, analyze(t, analyzer, "DROP TABLE crm.customers; SELEC"), true); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), `"error"`) || !strings.Contains(out.String(), `"statements": []`) {
		t.Errorf("JSON of an error: %s", out.String())
	}
}

func trimLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}

// FuzzAnalyze looks for texts that break the rules every understood analysis keeps.
func FuzzAnalyze(f *testing.F) {
	for _, sql := range corpusTexts(f) {
		f.Add(sql)
	}
	analyzer := New(testPool(f), Limits{Cache: -1})
	f.Fuzz(func(t *testing.T, sql string) {
		a, err := analyzer.Analyze(t.Context(), Query{
			SQL: sql, Project: "my-proj", Catalog: Files{"testdata/catalog"},
			DefaultDataset: &bigquery.DatasetReference{ProjectID: "my-proj", DatasetID: "ds"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if e := a.Error; e != nil {
			if e.Message == "" || e.Code == ErrorUnavailable {
				t.Errorf("error = %+v", e)
			}
			return
		}
		for _, s := range a.Statements {
			known := func(column string) bool {
				for _, table := range s.Tables {
					if strings.HasPrefix(column, table+".") {
						return true
					}
				}
				return false
			}
			for _, c := range s.Columns {
				for _, source := range c.Sources {
					if source.Column != "" && !known(source.Column) {
						t.Errorf("%s comes from no table of %v", source.Column, s.Tables)
					}
				}
			}
			for _, u := range s.Uses {
				if !known(u.Column) || u.Offset >= len(sql) {
					t.Errorf("use %+v, tables %v", u, s.Tables)
				}
			}
			if s.Span.Start < 0 || s.Span.End > len(sql) || s.Span.Start >= s.Span.End {
				t.Errorf("span %+v", s.Span)
			}
		}
	})
}

// BenchmarkAnalyze reports percentiles beside the mean: `new` goes through a worker each time,
// `cached` never.
func BenchmarkAnalyze(b *testing.B) {
	for _, size := range []struct{ name, sql string }{
		{"small", "SELECT name, ssn FROM crm.customers WHERE id = %d"},
		{"joined", "SELECT o.id, c.ssn, SUM(o.amount) s FROM crm.orders o JOIN crm.customers c ON c.id = o.customer_id WHERE o.id > %d " +
			"GROUP BY 1, 2 ORDER BY s"},
	} {
		for _, step := range []int{1, 0} {
			b.Run(size.name+map[int]string{1: "/new", 0: "/cached"}[step], func(b *testing.B) {
				analyzer := New(testPool(b), Limits{})
				var took []time.Duration
				for i := 0; b.Loop(); i += step {
					start := time.Now()
					a, err := analyzer.Analyze(b.Context(),
						Query{SQL: fmt.Sprintf(size.sql, i), Project: "demo", Catalog: benchmarkCatalog})
					took = append(took, time.Since(start))
					if err != nil || a.Error != nil {
						b.Fatal(err, a)
					}
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
				b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
			})
		}
	}
}

var benchmarkCatalog = func() memory {
	m := memory{}
	for _, name := range []string{"customers", "orders"} {
		id := bigquery.TableID{Project: "demo", Dataset: "crm", Table: name}
		m[id], _ = Files{"testdata/catalog"}.Table(context.Background(), id)
	}
	return m
}()

type memory map[bigquery.TableID]*bigquery.Table

func (m memory) Table(_ context.Context, id bigquery.TableID) (*bigquery.Table, error) {
	if t := m[id]; t != nil {
		return t, nil
	}
	return nil, ErrNotFound
}
