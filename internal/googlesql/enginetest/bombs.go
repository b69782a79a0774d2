package enginetest

import (
	"fmt"
	"strings"
)

// Bombs are texts made to cost an analyser time, memory or its stack, by name. Some are below every
// limit of this package and ruin the engine all the same (structdup needs twice the time for each
// level); others are a matter for the limits; a few are harmless, and were not elsewhere. They name
// no table but demo.crm.events, which has a column id.
func Bombs() map[string]string {
	again := strings.Repeat
	each := func(n int, format string) string {
		var b strings.Builder
		for i := 1; i <= n; i++ {
			b.WriteString(strings.NewReplacer("{i}", fmt.Sprint(i), "{before}", fmt.Sprint(i-1)).Replace(format))
		}
		return b.String()
	}
	const from = " FROM crm.events"
	return map[string]string{
		"structdup": "WITH a0 AS (SELECT STRUCT(1 AS x, 2 AS y) AS s)" +
			each(24, ", a{i} AS (SELECT STRUCT(s AS l, s AS r) AS s FROM a{before})") + " SELECT s FROM a24",
		"arraydup": "WITH a0 AS (SELECT [STRUCT(1 AS x)] AS s)" +
			each(22, ", a{i} AS (SELECT [STRUCT(s AS l, s AS r)] AS s FROM a{before})") + " SELECT s FROM a22",
		"columns doubled": "WITH a0 AS (SELECT 1 AS x)" + each(16, ", a{i} AS (SELECT l.*, r.* FROM a{before} l, a{before} r)") +
			" SELECT 1 FROM a16",
		"rows doubled": "WITH a0 AS (SELECT id" + from + ")" +
			each(16, ", a{i} AS (SELECT * FROM a{before} UNION ALL SELECT * FROM a{before})") + " SELECT * FROM a16",
		"with":          "WITH a0 AS (SELECT 1 AS x)" + each(2000, ", a{i} AS (SELECT * FROM a{before})") + " SELECT * FROM a2000",
		"with nested":   again("WITH a AS (", 1000) + "SELECT 1 AS x" + again(") SELECT * FROM a", 1000),
		"parentheses":   "SELECT " + again("(", 100_000) + "1" + again(")", 100_000),
		"open":          "SELECT " + again("(", 1<<20),
		"subqueries":    again("SELECT * FROM (", 10_000) + "SELECT 1 AS a" + again(")", 10_000),
		"scalar":        again("SELECT (", 10_000) + "SELECT 1" + again(")", 10_000),
		"case":          "SELECT " + again("CASE WHEN true THEN ", 10_000) + "1" + again(" END", 10_000),
		"and":           "SELECT 1" + from + " WHERE id = 1" + again(" AND id = 2", 12_000),
		"or":            "SELECT 1" + from + " WHERE id = 1" + again(" OR id = 2", 12_000),
		"plus":          "SELECT 1" + again("+1", 100_000),
		"concatenation": "SELECT 'a'" + again("||'b'", 20_000),
		"not":           "SELECT " + again("NOT ", 10_000) + "true",
		"minus":         "SELECT " + again("- ", 100_000) + "1",
		"calls":         "SELECT " + again("UPPER(", 20_000) + "'a'" + again(")", 20_000),
		"structs":       "SELECT " + again("STRUCT(", 5000) + "1" + again(")", 5000),
		"types":         "SELECT CAST(NULL AS " + again("STRUCT<a ", 10_000) + "INT64" + again(">", 10_000) + ")",
		"lambdas":       "SELECT " + again("ARRAY_TRANSFORM([1], e->", 200) + "e" + again(")", 200),
		"in":            "SELECT 1" + from + " WHERE id IN (1" + again(",1234567", 30_000) + ")",
		"columns":       "SELECT 1" + again(",id", 50_000) + from,
		"comma":         "SELECT 1" + from + " a0" + each(190, ", crm.events a{i}"),
		"join":          "SELECT 1" + from + " a0" + each(190, " JOIN crm.events a{i} USING (id)"),
		"tables":        "SELECT 1" + from + " a0" + each(3000, " CROSS JOIN crm.events a{i}"),
		"stars":         "SELECT " + strings.TrimSuffix(again("*, ", 3000), ", ") + from,
		"union":         "SELECT 1" + again(" UNION ALL SELECT 1", 12_000),
		"except nested": again("(", 2000) + "SELECT 1" + again(" EXCEPT DISTINCT SELECT 1)", 2000),
		"cube":          "SELECT 1" + from + " GROUP BY CUBE(id" + each(60, ", id + {i}") + ")",
		"grouping sets": "SELECT 1" + from + " GROUP BY GROUPING SETS(" + strings.TrimSuffix(again("CUBE(id, payload),", 500), ",") + ")",
		"pivot":         "SELECT * FROM (SELECT payload, id" + from + ") PIVOT(SUM(id) FOR payload IN ('a'" + each(5000, ", 'b{i}'") + "))",
		"unpivot": "SELECT * FROM (SELECT id AS q" + from + ") UNPIVOT(v FOR n IN (" + strings.TrimSuffix(again("q,", 5000), ",") +
			"))",
		"pipes":        "FROM crm.events" + again(" |> WHERE true", 5000),
		"pipes extend": "FROM crm.events" + each(1000, " |> EXTEND 1 AS x{i}"),
		"dots":         "SELECT a" + again(".a", 50_000),
		"subscripts":   "SELECT a" + again("[0]", 40_000),
		"text":         "SELECT '" + again("x", 8<<20) + "'",
		"number":       "SELECT " + again("9", 200_000),
		"numeric":      "SELECT NUMERIC '" + again("9", 200_000) + "'",
		"pattern":      "SELECT REGEXP_CONTAINS('a', r'" + again("(a|b)*", 20_000) + "')",
		"json":         "SELECT JSON '" + again("[", 100_000) + again("]", 100_000) + "'",
		"like":         "SELECT 'a' LIKE '" + again("%a", 100_000) + "'",
		"comment":      "SELECT 1 /* " + again("*", 200_000),
		"statements":   again("SELECT 1;", 20_000),
		"semicolons":   again(";", 200_000),
		"begin":        again("BEGIN ", 5000) + "SELECT 1; " + again("END; ", 5000),
		"if":           again("IF true THEN ", 5000) + "SELECT 1; " + again("END IF; ", 5000),
	}
}
