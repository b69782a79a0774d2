package googlesql

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// positions are places of a STRING expression, written %s, whose value reaches nothing: IF(… ,
// ERROR('x'), 0) there would tell one bit of it all the same.
var positions = map[string]string{
	"column nobody takes":       "SELECT 1 AS one FROM (SELECT %s AS e)",
	"column left out by a star": "SELECT * EXCEPT (e) FROM (SELECT 1 AS one, %s AS e)",
	"column replaced":           "SELECT * REPLACE (1 AS e) FROM (SELECT 1 AS one, %s AS e)",
	"condition":                 "SELECT id FROM crm.orders WHERE %s = 'x'",
	"condition of a column":     "SELECT 1 AS one FROM (SELECT IF(%s LIKE 'Q%%', ERROR('x'), 0) AS e)",
	"case":                      "SELECT 1 AS one FROM (SELECT CASE WHEN %s > 'Q' THEN 1 / 0 ELSE 0 END AS e)",
	"join condition":            "SELECT o.id FROM crm.orders AS o JOIN crm.orders AS p ON o.id = p.id AND %s = 'x'",
	"having":                    "SELECT status FROM crm.orders GROUP BY status HAVING MAX(%s) = 'x'",
	"qualify":                   "SELECT id FROM crm.orders WHERE TRUE QUALIFY MAX(%s) OVER () = 'x'",
	"group key":                 "SELECT COUNT(*) AS n FROM crm.orders GROUP BY CONCAT(%s, status)",
	"order key":                 "SELECT id FROM crm.orders ORDER BY CONCAT(%s, status)",
	"partition":                 "SELECT id, COUNT(*) OVER (PARTITION BY %s) AS n FROM crm.orders",
	"window order":              "SELECT id, ROW_NUMBER() OVER (ORDER BY %s) AS n FROM crm.orders",
	"window":                    "SELECT id FROM (SELECT id, MAX(%s) OVER (PARTITION BY status) AS m FROM crm.orders)",
	"aggregate":                 "SELECT n FROM (SELECT COUNT(*) AS n, MAX(%s) AS m FROM crm.orders)",
	"order of an aggregate":     "SELECT ARRAY_AGG(id ORDER BY %s) AS ids FROM crm.orders",
	"having of an aggregate":    "SELECT ANY_VALUE(id HAVING MAX %s) AS id FROM crm.orders",
	"grouping sets":             "SELECT COUNT(*) AS n FROM (SELECT %s AS a, status FROM crm.orders) GROUP BY ROLLUP(a, status)",
	"lambda":                    "SELECT 1 AS one FROM (SELECT ARRAY_TRANSFORM([1, 2], n -> IF(%s LIKE 'Q%%', ERROR('x'), n)) AS a)",
	"filter lambda":             "SELECT 1 AS one FROM (SELECT ARRAY_FILTER([1, 2], n -> %s = 'x') AS a)",
	"WITH expression":           "SELECT WITH(a AS IF(%s LIKE 'Q%%', ERROR('x'), 0), 1) AS one",
	"WITH query nobody reads":   "WITH w AS (SELECT %s AS e) SELECT 1 AS one",
	"WITH query's column":       "WITH w AS (SELECT 1 AS one, %s AS e) SELECT one FROM w",
	"first recursive term": "WITH RECURSIVE r AS (SELECT 1 AS n, %s AS e UNION ALL SELECT n + 1, e FROM r WHERE n < 3) SELECT n " +
		"FROM r",
	"recursive term": "WITH RECURSIVE r AS (SELECT 1 AS n, 'a' AS e UNION ALL SELECT n + 1, CONCAT(%s, e) FROM r WHERE n < " +
		"3) SELECT n FROM r",
	"how deep a recursion goes": "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < LENGTH(%s)) SELECT " +
		"COUNT(*) AS n FROM r",
	"EXISTS":                     "SELECT EXISTS(SELECT %s AS e) AS found",
	"EXISTS with a condition":    "SELECT EXISTS(SELECT 1 FROM crm.orders WHERE %s = 'x') AS found",
	"IN":                         "SELECT 1 AS one FROM crm.orders WHERE status IN (SELECT %s AS e)",
	"needle":                     "SELECT 1 AS one FROM crm.orders WHERE %s IN (SELECT status FROM crm.orders)",
	"scalar subquery":            "SELECT 1 AS one FROM (SELECT (SELECT %s AS e) AS e)",
	"ARRAY subquery":             "SELECT 1 AS one FROM (SELECT ARRAY(SELECT %s AS e FROM crm.orders) AS e)",
	"field nobody takes":         "SELECT s.a FROM (SELECT STRUCT(1 AS a, %s AS b) AS s)",
	"element nobody takes":       "SELECT 1 AS one FROM (SELECT [%s, 'a'] AS s)",
	"length of an array":         "SELECT COUNT(*) AS n FROM UNNEST(SPLIT(%s, '-'))",
	"UNNEST":                     "SELECT 1 AS one FROM UNNEST([%s])",
	"index":                      "SELECT [1, 2][SAFE_OFFSET(LENGTH(%s))] AS e",
	"UNION ALL":                  "SELECT id FROM (SELECT id, 'a' AS e FROM crm.orders UNION ALL SELECT 1, %s)",
	"EXCEPT":                     "SELECT COUNT(*) AS n FROM (SELECT status FROM crm.orders EXCEPT DISTINCT SELECT %s)",
	"DISTINCT":                   "SELECT COUNT(*) AS n FROM (SELECT DISTINCT %s AS e, id FROM crm.orders)",
	"PIVOT":                      "SELECT id FROM (SELECT id, status, %s AS e FROM crm.orders) PIVOT(MAX(e) FOR status IN ('open'))",
	"FOR of PIVOT":               "SELECT * FROM (SELECT id, %s AS e FROM crm.orders) PIVOT(COUNT(id) FOR e IN ('open'))",
	"UNPIVOT":                    "SELECT id FROM (SELECT id, %s AS e, status FROM crm.orders) UNPIVOT(v FOR w IN (e, status))",
	"argument":                   "SELECT 1 AS one FROM (SELECT lib.tail(%s) AS e)",
	"argument that is ignored":   "SELECT 1 AS one FROM (SELECT lib.fixed(%s) AS e)",
	"argument of table function": "SELECT 1 AS one FROM lib.rows_of(LENGTH(%s))",
	"pipe":                       "FROM crm.orders |> EXTEND %s AS e |> DROP e",
	"pipe's WHERE":               "FROM crm.orders |> WHERE %s = 'x' |> SELECT id",
	"pipe's SET":                 "FROM crm.orders |> SET status = %s |> SELECT id",
	"pipe's ASSERT":              "FROM crm.orders |> ASSERT %s = 'x' |> SELECT id",
	"pipe's AGGREGATE":           "FROM crm.orders |> AGGREGATE MAX(%s) AS m GROUP BY id |> SELECT id",
	"correlated": "SELECT id FROM crm.orders AS o WHERE EXISTS(SELECT 1 FROM crm.orders AS p WHERE p.id = o.id AND %s = " +
		"'x')",
	"swallowed error":             "SELECT 1 AS one FROM (SELECT IFERROR(%s, 'x') AS e)",
	"condition nothing can fail":  "SELECT 1 AS one FROM crm.orders WHERE %s IS NULL OR TRUE",
	"array of a struct, dropped":  "SELECT ARRAY(SELECT x.a FROM UNNEST([STRUCT(1 AS a, %s AS b)]) AS x) AS a",
	"value table":                 "SELECT s.a FROM (SELECT AS VALUE STRUCT(1 AS a, %s AS b)) AS s",
	"comma join":                  "SELECT o.id FROM crm.orders AS o, (SELECT %s AS e) AS f",
	"one side of a set operation": "SELECT a FROM (SELECT 1 AS a, %s AS b UNION ALL SELECT 2, 'x')",
}

// sensitiveCalls are calls whose body carries ssn of crm.customers to the value, or to a part of
// it.
var sensitiveCalls = map[string]string{
	"direct":                   "lib.direct(1)",
	"direct_struct":            "lib.direct_struct(1).ssn",
	"direct_struct, other":     "lib.direct_struct(1).name",
	"direct_array":             "ARRAY_TO_STRING(lib.direct_array(), '-')",
	"direct_again":             "lib.direct_again(1)",
	"direct_of_view":           "lib.direct_of_view(1)",
	"direct_of_table_function": "lib.direct_of_table_function(1)",
}

// TestWhatABodyReadsIsUsed: wherever a call stands, what its function's body carries is a use. Two
// nets say so, and each is enough without the other: the engine's walk where the call stands, which
// is told the sources of the body, and lookBehind, which has the body itself.
func TestWhatABodyReadsIsUsed(t *testing.T) {
	analyzer := testAnalyzer(t)
	asked := func(t *testing.T, call, place string, k *known) *job {
		query := Query{SQL: fmt.Sprintf(positions[place], call), Project: "demo", Catalog: Files{"testdata/catalog"}, Caller: "test"}
		return &job{Analyzer: analyzer, ctx: t.Context(), query: query, known: k, home: "demo"}
	}
	for _, called := range slices.Sorted(maps.Keys(sensitiveCalls)) {
		function, _, _ := strings.Cut(called, ",")
		id := bigquery.RoutineID{Project: "demo", Dataset: "lib", Routine: function}
		whole := newKnown() // what all the statements of this call rest on
		for _, place := range slices.Sorted(maps.Keys(positions)) {
			t.Run(called+"/"+place, func(t *testing.T) {
				usesSSN(t, asked(t, sensitiveCalls[called], place, whole), "both nets")
				r := whole.bodies[id]
				if r == nil {
					t.Fatal("the function was not analysed")
				}
				forWalk, forBodies, told := *r, *r, *r.function
				forWalk.body, told.Sources, forBodies.function = withoutSources(r.body), nil, &told
				for net, r := range map[string]*routine{"only the engine's walk": &forWalk, "only the bodies": &forBodies} {
					one := *whole
					one.bodies = maps.Clone(whole.bodies)
					one.bodies[id] = r
					usesSSN(t, asked(t, sensitiveCalls[called], place, &one), net)
				}
			})
		}
	}
}

func withoutSources(body *Statement) *Statement {
	s := *body
	s.Columns = slices.Clone(s.Columns)
	for i := range s.Columns {
		s.Columns[i].Sources = nil
	}
	s.Uses = slices.DeleteFunc(slices.Clone(s.Uses), func(u Use) bool { return u.Column == "demo.crm.customers.ssn" })
	return &s
}

func usesSSN(t *testing.T, j *job, how string) {
	t.Helper()
	analysis, err := j.run()
	if err != nil || analysis.Error != nil {
		t.Fatalf("%s: %s: %v %+v", how, j.query.SQL, err, analysis.Error)
	}
	if s := analysis.Statements[0]; !slices.ContainsFunc(s.Uses, func(u Use) bool { return u.Column == "demo.crm.customers.ssn" }) {
		t.Errorf("%s: ssn is not used\n%s\n%s", how, j.query.SQL, render(analysis))
	}
}

// TestLengthsBehindAView: where a statement takes none of the columns that carry the elements of an
// array, the array's length is used, though the engine did not say so.
func TestLengthsBehindAView(t *testing.T) {
	id := Source{Column: "p.d.people.id", Carry: CarryDirect}
	number := Source{Column: "p.d.people.phones.number", Carry: CarryDirect}
	view := &Statement{
		Columns: []Column{{Name: "id", Sources: []Source{id}}, {Name: "number", Sources: []Source{number}}},
		unnests: []wire.Unnest{{
			Arrays:   []string{"p.d.people.phones.kind", "p.d.people.phones.number"},
			Carriers: []wire.Carrier{{Column: 1}}, Rows: true,
		}},
	}
	held := *view
	held.unnests = []wire.Unnest{{Arrays: view.unnests[0].Arrays, Carriers: view.unnests[0].Carriers}}
	of := func(column string) []Column {
		return []Column{{Name: "x", Sources: []Source{{Column: "p.d.v." + column, Carry: CarryDirect}}}}
	}
	for name, c := range map[string]struct {
		view *Statement
		s    Statement
		want bool
	}{
		"counted":             {view, Statement{Columns: []Column{{Name: "n"}}}, true},
		"other column":        {view, Statement{Columns: of("id")}, true},
		"element":             {view, Statement{Columns: of("number")}, false},
		"decided by elements": {view, Statement{Columns: of("id"), Uses: []Use{{Column: "p.d.v.number", In: UseFilter}}}, false},
		"decided by another":  {view, Statement{Columns: of("id"), Uses: []Use{{Column: "p.d.v.id", In: UseFilter}}}, true},
		"inside a value":      {&held, Statement{Columns: of("id")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			j := &job{Analyzer: &Analyzer{limits: Limits{}.withDefaults()}, known: newKnown()}
			j.views[bigquery.TableID{Project: "p", Dataset: "d", Table: "v"}] = &boundView{Statement: c.view}
			c.s.Tables = []string{"p.d.v"}
			if refused := j.lookBehind(&c.s, nil); refused != nil {
				t.Fatal(refused)
			}
			got := slices.ContainsFunc(c.s.Uses, func(u Use) bool {
				return u.Column == "p.d.people.phones.number" && u.In == UseJoin && u.length
			})
			if got != c.want || slices.Contains(c.s.lengths, "p.d.people.phones.number") != c.want {
				t.Errorf("the length is used: %v, want %v: %+v %v", got, c.want, c.s.Uses, c.s.lengths)
			}
		})
	}
}

// TestManyReadsOfAnUnnest: WITH queries that read each other twice meet an UNNEST as often as there
// are ways to it, and views hand on more of them than is remembered; both are analysed at once.
func TestManyReadsOfAnUnnest(t *testing.T) {
	analyzer := testAnalyzer(t)
	doubled := "WITH c0 AS (SELECT c.id, p.number FROM crm.customers AS c, UNNEST(phones) AS p)"
	for i := 1; i < 60; i++ {
		doubled += fmt.Sprintf(", c%d AS (SELECT a.number, b.id FROM c%d AS a JOIN c%d AS b USING (id))", i, i-1, i-1)
	}
	var wide []string
	for range 70 {
		wide = append(wide, "SELECT number FROM views.numbers")
	}
	const length = "demo.crm.customers.phones.number in join"
	for name, c := range map[string]struct {
		sql  string
		want bool // the length is used
	}{
		"doubled":             {doubled + " SELECT number FROM c59", false},
		"doubled and counted": {doubled + " SELECT COUNT(*) AS n FROM c59", true},
		"wide":                {strings.Join(wide, " UNION ALL "), false},
		"wide, one left out":  {strings.Join(wide, " UNION ALL ") + " UNION ALL SELECT 'x' FROM views.numbers", true},
		"recursive": {"WITH RECURSIVE r AS (SELECT number AS n FROM views.numbers UNION ALL " +
			"SELECT r.n FROM r JOIN views.numbers AS v ON v.number = r.n) SELECT n FROM r", false},
		"recursive, left out": {"WITH RECURSIVE r AS (SELECT number AS n FROM views.numbers UNION ALL " +
			"SELECT r.n FROM r JOIN views.numbers AS v ON v.id = 1) SELECT n FROM r", true},
	} {
		t.Run(name, func(t *testing.T) {
			analysis, err := analyzer.Analyze(t.Context(),
				Query{SQL: c.sql, Project: "demo", Catalog: Files{"testdata/catalog"}, Caller: "test"})
			if err != nil || analysis.Error != nil {
				t.Fatalf("%v %+v", err, analysis.Error)
			}
			s := analysis.Statements[0]
			if got := slices.Contains(s.lengths, "demo.crm.customers.phones.number"); got != c.want {
				t.Errorf("%s: %v, want %v\n%s", length, got, c.want, render(analysis))
			}
		})
	}
}
