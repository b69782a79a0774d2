package googlesql

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// A44: what of a text hangs on columns that BigQuery may know otherwise. `w_*` has members that
// differ, `same_*` has not; `now` is read as it was, and `p.d.t` has a column x.
func TestUncertain(t *testing.T) {
	analyzer := testAnalyzer(t)
	const then = " FOR SYSTEM_TIME AS OF TIMESTAMP '2026-01-01' "
	for name, c := range map[string]struct{ sql, want string }{
		"nothing":                {"SELECT x FROM d.t", ""},
		"members alike":          {"SELECT * FROM `d.same_*`", ""},
		"members alike, nested":  {"SELECT (SELECT ANY_VALUE(x) FROM `d.same_*`) FROM (SELECT x FROM d.t)", ""},
		"a column by its name":   {"SELECT x FROM `d.w_*`", "p.d.w_* (wildcard)"},
		"a star":                 {"SELECT * FROM `d.w_*`", "p.d.w_* (wildcard) row"},
		"a star with exceptions": {"SELECT * EXCEPT (x) FROM `d.w_*`", "p.d.w_* (wildcard) row"},
		"a star of one table":    {"SELECT w.* FROM `d.w_*` AS w, d.t", "p.d.w_* (wildcard) row"},
		"a star of the other":    {"SELECT t.* FROM `d.w_*` AS w, d.t", "p.d.w_* (wildcard)"},
		"a star over both":       {"SELECT * FROM d.t JOIN `d.w_*` AS w ON w.x = t.x", "p.d.w_* (wildcard) row"},
		"a star of a struct":     {"SELECT w.s.* FROM `d.w_*` AS w", "p.d.w_* (wildcard) row"},
		"a star below":           {"SELECT x FROM (SELECT * FROM `d.w_*`)", "p.d.w_* (wildcard) row"},
		"a star in a WITH":       {"WITH c AS (SELECT * FROM `d.w_*`) SELECT x FROM c", "p.d.w_* (wildcard) row"},
		"a star by position": {"SELECT x FROM (SELECT * FROM `d.w_*` UNION ALL SELECT 'a', STRUCT('b' AS f))",
			"p.d.w_* (wildcard) row"},
		"COUNT(*)":                   {"SELECT COUNT(*) FROM `d.w_*`", "p.d.w_* (wildcard)"},
		"as a value":                 {"SELECT TO_JSON_STRING(w) FROM `d.w_*` AS w", "p.d.w_* (wildcard) row"},
		"as a value, unnamed":        {"SELECT TO_JSON_STRING(w_1) FROM d.w_1" + then, "p.d.w_1 (system time) row"},
		"as a value, below":          {"SELECT (SELECT FORMAT('%T', w)) FROM `d.w_*` AS w", "p.d.w_* (wildcard) row"},
		"as a value by its own name": {"SELECT t FROM d.t" + then, "p.d.t (system time) row"},
		"SELECT AS STRUCT":           {"SELECT AS STRUCT * FROM `d.w_*`", "p.d.w_* (wildcard) row"},
		"a pipe":                     {"FROM `d.w_*` |> SELECT x", "p.d.w_* (wildcard) row"},
		"a pipe's join":              {"FROM d.t |> JOIN `d.w_*` AS w ON w.x = t.x |> SELECT w.x", "p.d.w_* (wildcard) row"},
		"UNPIVOT":                    {"SELECT v FROM `d.w_*` UNPIVOT (v FOR n IN (x))", "p.d.w_* (wildcard) row"},
		"PIVOT":                      {"SELECT a FROM `d.w_*` PIVOT (COUNT(*) FOR x IN ('a' AS a))", "p.d.w_* (wildcard) row"},
		"EXISTS takes no column": {"SELECT x FROM d.t WHERE EXISTS (SELECT * FROM `d.w_*` AS w WHERE w.x = t.x)",
			"p.d.w_* (wildcard) t"},
		"EXISTS of what is different": {"SELECT x FROM d.t WHERE EXISTS (SELECT DISTINCT * FROM `d.w_*` AS w LIMIT 1 OFFSET 1)",
			"p.d.w_* (wildcard) row"},
		"captured": {"SELECT (SELECT ANY_VALUE(x) FROM `d.w_*`) FROM (SELECT x FROM d.t)", "p.d.w_* (wildcard) x"},
		"captured as it was": {"SELECT (SELECT ANY_VALUE(x) FROM d.t" + then + ") FROM (SELECT x FROM d.t)",
			"p.d.t (system time) x"},
		"captured by ARRAY":         {"SELECT ARRAY(SELECT x FROM `d.w_*`) FROM d.t", "p.d.w_* (wildcard) x"},
		"captured by IN":            {"SELECT x FROM d.t WHERE 'a' IN (SELECT x FROM `d.w_*`)", "p.d.w_* (wildcard) x"},
		"captured by ORDER BY":      {"SELECT (SELECT 'a' FROM `d.w_*` ORDER BY x LIMIT 1) FROM d.t", "p.d.w_* (wildcard) x"},
		"captured by ON":            {"SELECT (SELECT COUNT(*) FROM d.t AS a JOIN `d.w_*` AS w ON x = 'a') FROM (SELECT 'a' AS y)", ""},
		"captured by UNNEST":        {"SELECT (SELECT COUNT(*) FROM `d.w_*` AS w, UNNEST([x]) AS e) FROM d.t", "p.d.w_* (wildcard) x"},
		"captured below a subquery": {"SELECT (SELECT ANY_VALUE(y) FROM (SELECT x AS y FROM `d.w_*`)) FROM d.t", "p.d.w_* (wildcard) x"},
		"captured further in":       {"SELECT (SELECT (SELECT x) FROM `d.w_*`) FROM d.t", "p.d.w_* (wildcard) x"},
		"a field captured": {"SELECT (SELECT ANY_VALUE(s.f) FROM `d.w_*`) FROM (SELECT STRUCT(x AS f) AS s FROM d.t)",
			"p.d.w_* (wildcard) s"},
		"written with the table": {"SELECT (SELECT ANY_VALUE(w.x) FROM `d.w_*` AS w) FROM d.t", "p.d.w_* (wildcard)"},
		"nothing around it":      {"SELECT x FROM (SELECT x FROM `d.w_*`)", "p.d.w_* (wildcard)"},
		"an alias in GROUP BY":   {"SELECT x AS k, COUNT(*) FROM `d.w_*` GROUP BY k", "p.d.w_* (wildcard) k"},
		"a column in GROUP BY":   {"SELECT x, COUNT(*) FROM `d.w_*` GROUP BY x", "p.d.w_* (wildcard)"},
		"INFORMATION_SCHEMA": {"SELECT (SELECT ANY_VALUE(table_name) FROM d.INFORMATION_SCHEMA.TABLES) FROM (SELECT x AS " +
			"table_name FROM d.t)", "p.d.INFORMATION_SCHEMA.TABLES (information schema) table_name"},
		"a pseudo column": {"SELECT (SELECT ANY_VALUE(_PARTITIONTIME) FROM d.part) FROM (SELECT x AS _PARTITIONTIME FROM d.t)",
			"p.d.part (pseudo columns) _partitiontime"},
		"a pseudo column of a query": {"SELECT _PARTITIONTIME FROM d.part", ""},
		"the suffix of a wildcard":   {"SELECT (SELECT ANY_VALUE(_TABLE_SUFFIX) FROM `d.same_*`) FROM (SELECT x FROM d.t)", ""},
		"the suffix, members differ": {"SELECT (SELECT ANY_VALUE(_TABLE_SUFFIX) FROM `d.w_*`) FROM (SELECT x FROM d.t)",
			"p.d.w_* (wildcard)"},
		"the suffix of no wildcard": {"SELECT (SELECT ANY_VALUE(_TABLE_SUFFIX) FROM d.part) FROM (SELECT x AS _TABLE_SUFFIX FROM d.t)",
			"p.d.part (pseudo columns) _table_suffix"},
		"behind a view":              {"SELECT x FROM d.star", "p.d.w_* (wildcard) row"},
		"behind a view that travels": {"SELECT x FROM d.lastweek", "p.d.t (system time)"},
		"behind a function":          {"SELECT d.captures('a')", "p.d.w_* (wildcard) x"},
		"behind a table function":    {"SELECT y FROM d.rows('a')", "p.d.t (system time) x"},
		"two of them": {"SELECT a.x FROM `d.w_*` AS a JOIN d.t AS b" + then + "ON a.x = b.x",
			"p.d.w_* (wildcard)|p.d.t (system time)"},
	} {
		t.Run(name, func(t *testing.T) {
			analysis, err := analyzer.Analyze(t.Context(), Query{SQL: c.sql, Project: "p", Catalog: uncertainStore()})
			if err != nil {
				t.Fatal(err)
			}
			if analysis.Error != nil {
				if strings.HasPrefix(name, "captured by ON") && strings.Contains(analysis.Error.Message, "ambiguous") {
					return // both tables of one FROM have it: an error in any case
				}
				t.Fatal(analysis.Error)
			}
			var all []string
			for _, u := range analysis.Statements[0].Uncertain {
				text := fmt.Sprintf("%s (%s)", u.Table, u.Why)
				if u.Row {
					text += " row"
				}
				if len(u.Names) > 0 {
					text += " " + strings.Join(u.Names, ",")
				}
				all = append(all, text)
			}
			if got := strings.Join(all, "|"); got != c.want {
				t.Errorf("%s\ngot  %s\nwant %s", c.sql, got, c.want)
			}
		})
	}
}

func uncertainStore() *store {
	no := false
	x := bigquery.Field{Name: "x", Type: "STRING"}
	s := &store{tables: map[bigquery.TableID]*bigquery.Table{}, routines: map[bigquery.RoutineID]*bigquery.Routine{}}
	structure := bigquery.Field{Name: "s", Type: "RECORD", Fields: []bigquery.Field{{Name: "f", Type: "STRING"}}}
	s.put(table("p.d.t", x), table("p.d.same_1", x), table("p.d.same_2", x), table("p.d.w_1", x), table("p.d.part", x))
	s.put(table("p.d.w_2", x, structure))
	alter(s, "p.d.w_2", func(t *bigquery.Table) { t.CreationTime = "2" })
	alter(s, "p.d.part", func(t *bigquery.Table) { t.TimePartitioning = &bigquery.TimePartitioning{Type: "DAY"} })
	for name, query := range map[string]string{"p.d.star": "SELECT * FROM `p.d.w_*`",
		"p.d.lastweek": "SELECT x FROM p.d.t FOR SYSTEM_TIME AS OF TIMESTAMP '2026-01-01'"} {
		v := table(name, x)
		if name == "p.d.star" {
			v = table(name, x, structure)
		}
		v.Type, v.View = "VIEW", &bigquery.View{Query: query, UseLegacySQL: &no}
		s.put(v)
	}
	for name, r := range map[string]*bigquery.Routine{
		"captures": {RoutineType: "SCALAR_FUNCTION", DefinitionBody: "(SELECT ANY_VALUE(x) FROM `p.d.w_*`)"},
		"rows": {RoutineType: "TABLE_VALUED_FUNCTION",
			DefinitionBody: "SELECT x AS y FROM p.d.t FOR SYSTEM_TIME AS OF TIMESTAMP '2026-01-01'"},
	} {
		r.RoutineReference, r.Language = bigquery.RoutineID{Project: "p", Dataset: "d", Routine: name}, "SQL"
		r.Arguments = []bigquery.RoutineArgument{{Name: "x", DataType: &bigquery.StandardSQLDataType{TypeKind: "STRING"}}}
		s.routines[r.RoutineReference] = r
	}
	return s
}
