package googlesql

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// watched is a store that remembers what it was asked about.
type watched struct {
	*store
	mu    sync.Mutex
	asked []string
}

func (w *watched) note(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, name)
}

func (w *watched) Table(ctx context.Context, id bigquery.TableID) (*bigquery.Table, error) {
	w.note(id.String())
	return w.store.Table(ctx, id)
}

func (w *watched) Routine(ctx context.Context, id bigquery.RoutineID) (*bigquery.Routine, error) {
	w.note(id.String())
	return w.store.Routine(ctx, id)
}

func (w *watched) Tables(ctx context.Context, d bigquery.DatasetReference) ([]bigquery.ListedTable, error) {
	w.note(d.ProjectID + "." + d.DatasetID)
	return w.store.Tables(ctx, d)
}

// hiddenWorld has a dataset d that may be read and a dataset hr that may not, with a chain of views
// and functions in it, and things in d that read hr.
func hiddenWorld() *watched {
	s := newStore()
	text := func(name string) bigquery.Field { return bigquery.Field{Name: name, Type: "STRING"} }
	no := false
	view := func(name, query string, columns ...bigquery.Field) {
		v := table(name, columns...)
		v.Type, v.View = "VIEW", &bigquery.View{Query: query, UseLegacySQL: &no}
		s.put(v)
	}
	function := func(name, kind, body string) {
		id, _ := splitTable(name)
		s.routines[bigquery.RoutineID{Project: id.Project, Dataset: id.Dataset, Routine: id.Table}] = &bigquery.Routine{
			RoutineReference: bigquery.RoutineID{Project: id.Project, Dataset: id.Dataset, Routine: id.Table}, RoutineType: kind,
			Language: "SQL", DefinitionBody: body,
			Arguments: []bigquery.RoutineArgument{{Name: "x", DataType: &bigquery.StandardSQLDataType{TypeKind: "STRING"}}},
		}
	}
	tags := bigquery.Field{Name: "tags", Type: "STRING", Mode: "REPEATED"}
	s.put(table("p.hr.base", text("name"), text("secret_column"), tags), table("p.hr.base_2", text("name")),
		table("p.hr.name", text("name")))
	view("p.hr.v1", "SELECT name FROM p.hr.base", text("name"))
	view("p.hr.v2", "SELECT p.hr.f(name) AS name FROM p.hr.v1", text("name"))
	view("p.hr.broken", "SELECT nothing FROM p.hr.gone", text("name"))
	function("p.hr.f", "SCALAR_FUNCTION", "(SELECT MAX(name) FROM p.hr.base WHERE name = x)")
	function("p.hr.tf", "TABLE_VALUED_FUNCTION", "SELECT name FROM p.hr.base WHERE name = x")
	view("p.d.over", "SELECT name FROM p.hr.v2", text("name"))
	view("p.d.over_two", "SELECT a.name FROM p.hr.v2 AS a, p.d.over AS b, p.hr.base AS c", text("name"))
	view("p.d.over_over", "SELECT name FROM p.d.over", text("name"))
	function("p.d.calls", "SCALAR_FUNCTION", "p.hr.f(x)")
	function("p.d.reads", "TABLE_VALUED_FUNCTION", "SELECT name FROM p.hr.base WHERE name = x")
	return &watched{store: s}
}

func onlyD(name string) bool { return strings.HasPrefix(name, "p.d.") }

// forms are ways to name a table or a function; N is the name.
var forms = map[string]string{
	"alone":                    "SELECT * FROM N",
	"with its project":         "SELECT * FROM p.N",
	"quoted":                   "SELECT * FROM `p.N`",
	"an unknown column":        "SELECT secret_column FROM N",
	"a misspelt column":        "SELECT t.nam, n.secret_colum FROM d.t AS t, N AS n",
	"beside an open one":       "SELECT t.name FROM d.t AS t JOIN N AS n ON t.name = n.name",
	"before an open one":       "SELECT 1 FROM N, d.t",
	"beside a fault":           "SELECT nothing FROM d.t, N",
	"beside a stranger":        "SELECT 1 FROM d.nowhere, N",
	"a subquery":               "SELECT (SELECT MAX(name) FROM N) AS a FROM d.t",
	"EXISTS":                   "SELECT 1 FROM d.t WHERE EXISTS (SELECT 1 FROM N AS n WHERE n.name = t.name)",
	"WITH":                     "WITH a AS (SELECT * FROM N) SELECT * FROM a",
	"an unused WITH":           "WITH a AS (SELECT * FROM N) SELECT 1 AS one",
	"UNION ALL":                "SELECT name FROM d.t UNION ALL SELECT name FROM N",
	"an array of it":           "SELECT tag FROM N AS n, n.tags AS tag",
	"an array by path":         "SELECT 1 FROM d.t, N.tags",
	"an array, quoted":         "SELECT 1 FROM d.t, `p.N`.tags",
	"an array, 4 parts":        "SELECT 1 FROM d.t, p.N.tags",
	"UNNEST":                   "SELECT 1 FROM UNNEST(`N`)",
	"UNNEST of an array":       "SELECT 1 FROM UNNEST(`p.N`.tags)",
	"half quoted":              "SELECT * FROM p.`N`",
	"beside a namesake":        "WITH `N` AS (SELECT 1 AS name) SELECT * FROM `p.N`",
	"FOR SYSTEM_TIME":          "SELECT * FROM N FOR SYSTEM_TIME AS OF TIMESTAMP '2026-01-01 00:00:00+00'",
	"TABLESAMPLE":              "SELECT * FROM N TABLESAMPLE SYSTEM (10 PERCENT)",
	"a pipe":                   "FROM N |> WHERE name = 'x' |> SELECT name",
	"a wildcard":               "SELECT * FROM `p.N*`",
	"a shorter wildcard":       "SELECT _TABLE_SUFFIX FROM `N_*`",
	"a function":               "SELECT N(name) FROM d.t",
	"a table function":         "SELECT * FROM N('x')",
	"of another type":          "SELECT N(1, 2, 3)",
	"INSERT":                   "INSERT INTO d.t (name, ssn) SELECT name, name FROM N",
	"INSERT into it":           "INSERT INTO N (name) VALUES ('x')",
	"UPDATE":                   "UPDATE d.t SET name = n.name FROM N AS n WHERE t.name = n.name",
	"MERGE":                    "MERGE d.t AS t USING N AS n ON t.name = n.name WHEN MATCHED THEN DELETE",
	"CREATE TABLE AS":          "CREATE TABLE d.copy AS SELECT * FROM N",
	"a script":                 "SELECT 1; SELECT * FROM N",
	"twice":                    "SELECT 1 FROM N AS a, p.N AS b",
	"behind open views":        "SELECT 1 FROM d.over_over, N",
	"a temporary function":     "CREATE TEMP FUNCTION t1() AS ((SELECT MAX(name) FROM N)); SELECT t1()",
	"a declared value":         "DECLARE x STRING DEFAULT (SELECT MAX(name) FROM N); SELECT x",
	"TABLE to a function":      "SELECT * FROM d.reads(TABLE N)",
	"APPENDS":                  "SELECT * FROM APPENDS(TABLE N, NULL, NULL)",
	"a model":                  "SELECT * FROM ML.PREDICT(MODEL N, TABLE d.t)",
	"EXPLAIN":                  "EXPLAIN SELECT * FROM N",
	"PIVOT":                    "SELECT * FROM N PIVOT (COUNT(*) FOR name IN ('a', 'b'))",
	"a recursive WITH":         "WITH RECURSIVE r AS (SELECT name FROM N UNION ALL SELECT name FROM r) SELECT * FROM r",
	"a lambda":                 "SELECT ARRAY_FILTER([1], e -> EXISTS (SELECT 1 FROM N)) FROM d.t",
	"a CTE like its table":     "WITH v2 AS (SELECT 1 AS one) SELECT * FROM v2, N",
	"a CTE quoted like it":     "WITH `d.t` AS (SELECT * FROM N) SELECT * FROM `d.t`",
	"IN a subquery":            "SELECT 1 FROM d.t WHERE name IN (SELECT name FROM N)",
	"a LATERAL join":           "SELECT 1 FROM d.t LEFT JOIN N USING (name)",
	"a comma before UNNEST":    "SELECT 1 FROM N AS n, UNNEST(n.tags) AS x WITH OFFSET",
	"both sides of EXCEPT":     "SELECT name FROM N EXCEPT DISTINCT SELECT name FROM d.t",
	"a HAVING":                 "SELECT name FROM d.t GROUP BY name HAVING COUNT(*) > (SELECT COUNT(*) FROM N)",
	"QUALIFY":                  "SELECT name FROM d.t QUALIFY ROW_NUMBER() OVER (ORDER BY (SELECT MAX(name) FROM N)) = 1",
	"a struct of it":           "SELECT AS STRUCT n FROM N AS n",
	"JSON of it":               "SELECT TO_JSON_STRING(n) FROM N AS n",
	"a function of a function": "SELECT d.f(N(name)) FROM d.t",
	"SAFE":                     "SELECT SAFE.N(name) FROM d.t",
	"a view's INFORMATION":     "SELECT * FROM N.INFORMATION_SCHEMA.TABLES",
	"EXPORT":                   "EXPORT DATA OPTIONS (uri = 'gs://b/*', format = 'CSV') AS SELECT * FROM N",
	"CALL":                     "CALL N('x')",
	"DROP":                     "DROP VIEW IF EXISTS N",
	"TRUNCATE":                 "TRUNCATE TABLE N",
	"a decorator":              "SELECT * FROM `p.N$20260101`",
	"a syntax error":           "SELECT * FROM N WHERE (",
	"an open function":         "SELECT p.d.calls(n.name) FROM N AS n",
}

// A62: whatever a text does with a name that its author may not know of, the analysis is that of a
// name of nothing, and nobody is asked about either.
func TestClosedNamesAreNotLookedUp(t *testing.T) {
	analyzer := testAnalyzer(t)
	for form, text := range forms {
		t.Run(form, func(t *testing.T) {
			analyse := func(name string) string {
				world := hiddenWorld()
				sql := replaceName(text, name)
				a, err := analyzer.Analyze(t.Context(), Query{SQL: sql, Project: "p", Catalog: world, Caller: "c", Reach: onlyD})
				if err != nil {
					t.Fatal(err)
				}
				if a.Error == nil {
					t.Fatalf("%s is understood", sql)
				}
				for _, asked := range world.asked {
					if !onlyD(asked) {
						t.Errorf("%s: the catalog was asked about %s", sql, asked)
					}
				}
				if len(a.Behind) > 0 {
					t.Errorf("%s: %q is told of what is behind a view", sql, a.Behind)
				}
				told, err := json.Marshal(struct {
					*Analysis
					Named [][]string
				}{a, namedOf(a)})
				if err != nil {
					t.Fatal(err)
				}
				return string(told)
			}
			for _, name := range []string{"hr.base", "hr.v2", "hr.broken", "hr.f", "hr.tf", "hr.name"} {
				t.Run(name, func(t *testing.T) {
					random := "hr." + strings.Repeat("z", len(name)-3) // as long, so that places stay
					if got, want := analyse(name), strings.NewReplacer(random, name, strings.ToUpper(random),
						strings.ToUpper(name)).Replace(analyse(random)); got != want {
						t.Errorf("%s is told from a name of nothing:\n%s\n%s", name, got, want)
					}
				})
			}
		})
	}
}

func namedOf(a *Analysis) [][]string {
	var all [][]string
	for _, s := range a.Statements {
		all = append(all, s.Named)
	}
	return all
}

// replaceName puts a name in the place of the word N.
func replaceName(text, name string) string {
	var b strings.Builder
	for i := range len(text) {
		inWord := func(j int) bool {
			return j >= 0 && j < len(text) &&
				(text[j] == '_' && j < i || 'A' <= text[j] && text[j] <= 'Z' || 'a' <= text[j] && text[j] <= 'z')
		}
		if text[i] == 'N' && !inWord(i-1) && !inWord(i+1) {
			b.WriteString(name)
		} else {
			b.WriteByte(text[i])
		}
	}
	return b.String()
}

// What stands behind a view or a function is named where every name in the text may be read, down
// to the first that may not.
func TestClosedNamesBehindOpenOnes(t *testing.T) {
	analyzer := testAnalyzer(t)
	for sql, want := range map[string][]string{
		"SELECT * FROM d.over":                       {"p.hr.v2"},
		"SELECT * FROM d.over_over":                  {"p.hr.v2"},
		"SELECT * FROM d.over_two":                   {"p.hr.v2", "p.hr.base"},
		"SELECT d.calls(name) FROM d.t":              {"p.hr.f()"},
		"SELECT * FROM d.reads('x')":                 {"p.hr.base"},
		"SELECT d.calls('x') FROM d.over, d.reads()": {"p.hr.f()", "p.hr.base"},
		"SELECT 1 FROM d.over, d.over_two":           {"p.hr.v2", "p.hr.base"},
	} {
		t.Run(sql, func(t *testing.T) {
			world := hiddenWorld()
			a, err := analyzer.Analyze(t.Context(), Query{SQL: sql, Project: "p", Catalog: world, Caller: "c", Reach: onlyD})
			if err != nil {
				t.Fatal(err)
			}
			if a.Error == nil || a.Error.Code != ErrorClosed || !slices.Equal(a.Behind, want) {
				t.Errorf("%s: %v, behind it %q, want %q", sql, a.Error, a.Behind, want)
			}
			for _, asked := range world.asked {
				if !onlyD(asked) {
					t.Errorf("%s: the catalog was asked about %s", sql, asked)
				}
			}
		})
	}
}

// Somebody else has asked the same before, and may know the answer: it is not the caller's, nor is
// what was remembered of it looked at again.
func TestClosedNamesAreNotRemembered(t *testing.T) {
	analyzer, world := testAnalyzer(t), hiddenWorld()
	for _, sql := range []string{"SELECT * FROM hr.v2", "SELECT * FROM d.over", "SELECT hr.f(name) FROM d.t", "SELECT * FROM `hr.base*`",
		"SELECT * FROM hr.nowhere"} {
		t.Run(sql, func(t *testing.T) {
			ask := func(caller string, reach func(string) bool) *Analysis {
				a, err := analyzer.Analyze(t.Context(), Query{SQL: sql, Project: "p", Catalog: world, Caller: caller, Reach: reach})
				if err != nil {
					t.Fatal(err)
				}
				return a
			}
			closed := func(who string, a *Analysis) {
				if a.Error == nil || a.Error.Code != ErrorClosed {
					t.Errorf("%s, %s: %v", sql, who, a.Error)
				}
				for _, asked := range world.asked {
					if !onlyD(asked) {
						t.Errorf("%s, %s: the catalog was asked about %s", sql, who, asked)
					}
				}
			}
			first := ask("owner", nil)
			again := ask("owner", nil)
			world.asked = nil
			closed("after another", ask("agent", onlyD))
			closed("again", ask("agent", onlyD))
			// What a caller was refused does not stand in their way when they may read it.
			if a := ask("agent", nil); (a.Error == nil) != (first.Error == nil) || (again.Error == nil) != (first.Error == nil) {
				t.Errorf("%s: within reach it ends in %v, and for another in %v", sql, a.Error, first.Error)
			}
		})
	}
}

// A worker is told of no table outside of the caller's reach that the gateway has come to know by
// others: it would answer later.
func TestClosedNamesAreNotForeseen(t *testing.T) {
	analyzer, world := testAnalyzer(t), hiddenWorld()
	if _, err := analyzer.Analyze(t.Context(), Query{SQL: "SELECT * FROM hr.base, d.t", Project: "p", Catalog: world}); err != nil {
		t.Fatal(err)
	}
	j := &job{Analyzer: analyzer, query: Query{SQL: "SELECT 1 FROM hr.base, d.t", Project: "p", Reach: onlyD}}
	for _, foreseen := range j.foresee().Tables {
		if !onlyD(foreseen.Name) {
			t.Errorf("the worker is told of %s", foreseen.Name)
		}
	}
	j.query.Reach = nil
	if got := len(j.foresee().Tables); got != 2 {
		t.Errorf("within reach the worker is told of %d tables, want 2", got)
	}
}

// What the text itself has a name for is not a table: nobody is asked about it, whatever else has
// that name.
func TestNamesOfTheTextAreNotLookedUp(t *testing.T) {
	analyzer := testAnalyzer(t)
	for name, sql := range map[string]string{
		"a WITH query":            "WITH `hr.base` AS (SELECT name FROM d.t) SELECT name FROM `hr.base`",
		"a WITH query, all parts": "WITH `p.hr.base` AS (SELECT name FROM `d.t`) SELECT name FROM `p.hr.base`",
		"in other case":           "WITH `P.HR.Base` AS (SELECT name FROM d.t) SELECT name FROM `p.hr.base`",
		"an array":                "SELECT x AS name FROM (SELECT [name] AS base FROM d.t) AS hr, hr.base AS x",
		"an array, three parts":   "SELECT x AS name FROM (SELECT STRUCT([name] AS base) AS hr FROM d.t) AS p, p.hr.base AS x",
		"an array, dotted row":    "SELECT x AS name FROM (SELECT [name] AS base FROM d.t) AS `p.hr`, `p.hr`.base AS x",
		"an array, its own alias": "SELECT x AS name FROM `d.t`, `d.t`.base AS x",
		"an alias":                "SELECT `hr.base`.name FROM d.t AS `hr.base`",
		"four parts": "SELECT x AS name FROM (SELECT STRUCT(STRUCT([name] AS tags) AS base) AS hr FROM d.t) AS p, " +
			"p.hr.base.tags AS x",
	} {
		t.Run(name, func(t *testing.T) {
			world := hiddenWorld()
			world.put(table("p.d.t", bigquery.Field{Name: "name", Type: "STRING"},
				bigquery.Field{Name: "base", Type: "STRING", Mode: "REPEATED"}))
			got, err := analyzer.Analyze(t.Context(), Query{SQL: sql, Project: "p", Catalog: world, Caller: name, Reach: onlyD})
			if err != nil {
				t.Fatal(err)
			}
			if got.Error != nil {
				t.Fatalf("refused: %+v", got.Error)
			}
			if !slices.Equal(world.asked, []string{"p.d.t"}) || !slices.Equal(got.Statements[0].Tables, []string{"p.d.t"}) {
				t.Errorf("asked about %v, reads %v", world.asked, got.Statements[0].Tables)
			}
		})
	}
}
