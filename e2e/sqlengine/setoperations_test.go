package main

import (
	"context"
	"encoding/json"
	"testing"
)

// What the driver would mix up, with the right answer. Of t the columns s and id are 'x' and 1 in
// the first row, NULL and 2 in the second.
var mixedUpQueries = []struct {
	sql, rows string
	times     int
}{
	{"SELECT id, id FROM t UNION ALL SELECT id, id + 10 FROM t", `[["1","1"],["2","2"],["1","11"],["2","12"]]`, 1},
	{"SELECT id, id, s FROM t UNION ALL SELECT 3, 4, 'y' ORDER BY 1", `[["1","1","x"],["2","2",null],["3","4","y"]]`, 1},
	{"SELECT id AS a, id AS b FROM t UNION DISTINCT SELECT id, 7 FROM t UNION DISTINCT SELECT 1, 1",
		`[["1","1"],["1","7"],["2","2"],["2","7"]]`, 1},
	{"SELECT id, id FROM t INTERSECT DISTINCT (SELECT id, 1 FROM t)", `[["1","1"]]`, 1},
	{"(SELECT id, id FROM t) EXCEPT DISTINCT SELECT id, 1 FROM t", `[["2","2"]]`, 1},
	{"SELECT b FROM (SELECT id AS a, id AS b FROM t UNION ALL SELECT id, 9 FROM t) WHERE a = 1", `[["1"],["9"]]`, 1},
	{"SELECT * FROM (SELECT id AS a, id AS b FROM t) UNION ALL SELECT 3, 4", `[["1","1"],["2","2"],["3","4"]]`, 1},
	{"WITH w AS (SELECT id AS a, id AS b FROM t UNION ALL SELECT 3, 4) SELECT b FROM w", `[["1"],["2"],["4"]]`, 1},
	{"WITH w AS (SELECT id FROM t) SELECT id, id AS b FROM w UNION ALL SELECT 3, id + 3 FROM w",
		`[["1","1"],["2","2"],["3","4"],["3","5"]]`, 1},
	{"WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 2) SELECT n, n AS m FROM r UNION ALL SELECT 3, 4",
		`[["1","1"],["2","2"],["3","4"]]`, 1},
	{"FROM t |> SELECT id AS a, id AS b |> UNION ALL (SELECT 3, 4), (SELECT 5, 6) |> SELECT b", `[["1"],["2"],["4"],["6"]]`, 1},
	{"WITH w AS (SELECT 1 AS n) FROM w |> SELECT n, n AS m |> LIMIT 2 |> UNION ALL (SELECT n, 6 FROM w)", `[["1","1"],["1","6"]]`, 1},
	{"(SELECT id, id AS b FROM t LIMIT 1) |> UNION ALL (SELECT 5, 6) |> SELECT b", `[["1"],["6"]]`, 1},
	{"SELECT t.*, t.id FROM (SELECT id FROM t) AS t UNION ALL SELECT 3, 4", `[["1","1"],["2","2"],["3","4"]]`, 1},
	{"SELECT id, t.id FROM t JOIN v USING (id) UNION ALL SELECT 3, 4", `[["1","1"],["2","2"],["3","4"]]`, 1},
	{"SELECT t.id, ARRAY(SELECT AS STRUCT * FROM (SELECT e AS k, e AS l FROM UNNEST(t.a) AS e UNION ALL SELECT e, STRUCT(e.n AS k, 'z' " +
		"AS n) FROM UNNEST(t.a) AS e)) AS o FROM t WHERE id = 1",
		`[["1",[[["k1","n1"],["k1","n1"]],[["k2",null],["k2",null]],[["k1","n1"],["n1","z"]],[["k2",null],[null,"z"]]]]]`, 1},
	{"SELECT id, id FROM t UNION ALL (SELECT id, id FROM t EXCEPT DISTINCT SELECT 1, 2)", `[["1","1"],["2","2"],["1","1"],["2","2"]]`, 2},
	{"SELECT x, y FROM (SELECT id AS x, id AS y FROM t UNION ALL SELECT 3, 4) JOIN (SELECT id AS y2, id AS x2 FROM t UNION ALL SELECT 4, " +
		"3) ON x = x2", `[["1","1"],["2","2"],["3","4"]]`, 2},
	{"SELECT id, id, [id], a FROM t WHERE id = 2 UNION ALL SELECT 3, 4, [5], [STRUCT('k', 'n')]",
		`[["2","2",["2"],[]],["3","4",["5"],[["k","n"]]]]`, 1},
	{"SELECT id, id, ts, NULL FROM t WHERE id = 1 UNION ALL SELECT 3, 4, NULL, 'z'",
		`[["1","1","1704067200000000",null],["3","4",null,"z"]]`, 1},
	{"FROM t |> SELECT id / 2 AS a, CAST(id AS NUMERIC) AS n, id = 1 AS o, DATE '2020-01-01' AS d, b'x' AS y, JSON '1' AS j |> EXTEND a " +
		"AS b |> UNION ALL (SELECT 3, 4, FALSE, NULL, NULL, NULL, 5.5) |> SELECT a, n, o, b",
		`[["0.5","1","true","0.5"],["1.0","2","false","1.0"],["3.0","4","false","5.5"]]`, 1},
	{"SELECT [id / 2] AS a, STRUCT(id / 2 AS f, [STRUCT(TRUE AS g)] AS h) AS b, s, s FROM t WHERE id = 1 UNION ALL SELECT [1.5], " +
		"STRUCT(0.5 AS f, [STRUCT(FALSE AS g)] AS h), 'y', 'z'",
		`[[["0.5"],["0.5",[["true"]]],"x","x"],[["1.5"],["0.5",[["false"]]],"y","z"]]`, 1},
	{"SELECT id AS a, s AS b FROM t UNION ALL SELECT 3, 'id, id UNION ALL'", `[["1","x"],["2",null],["3","id, id UNION ALL"]]`, 0},
	{"SELECT id, id + 0 FROM t UNION ALL SELECT 3, 4", `[["1","1"],["2","2"],["3","4"]]`, 0},
}

func TestSetOperations(t *testing.T) {
	for _, c := range mixedUpQueries {
		for _, op := range []string{"rows", "run", "rows"} {
			r := ask(t, op, c.sql)
			if r.Error != nil {
				t.Errorf("%s: %s: %v", op, c.sql, r.Error)
				continue
			}
			if got, _ := json.Marshal(r.Rows); string(got) != c.rows || r.Mended != c.times {
				t.Errorf("%s: %s:\n got %s, put in other words %d times\nwant %s, %d times", op, c.sql, got, r.Mended, c.rows, c.times)
			}
		}
	}
}

// TestTheDriverMixesUpColumns fails when the driver does no more: then setoperations.go can go.
func TestTheDriverMixesUpColumns(t *testing.T) {
	e, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	wrong := 0
	for _, c := range mixedUpQueries {
		_, rows, _, err := e.query(context.Background(), request{SQL: c.sql, Project: "p", Dataset: "d"})
		if got, _ := json.Marshal(rows); err == nil && string(got) != c.rows {
			wrong++
			if c.times == 0 {
				t.Errorf("%s: the driver answers %s, and nothing tells that it errs", c.sql, got)
			}
		}
	}
	if wrong == 0 {
		t.Error("the driver no longer mixes up columns of set operations")
	}
}

// TestWhatCannotBeMended is refused: a wrong answer would be worse.
func TestWhatCannotBeMended(t *testing.T) {
	e, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	sql := "SELECT id, id FROM t UNION ALL SELECT 3, 4"
	before, err := e.analyzer.mixedUp(request{SQL: sql, Project: "p", Dataset: "d"})
	if err != nil || len(before.repeated) != 1 {
		t.Fatalf("%q, %v", before, err)
	}
	before.columns = "another" // as if other words changed the query's columns
	if m := e.analyzer.mend(request{SQL: sql, Project: "p", Dataset: "d"}, before); m.err == nil {
		t.Errorf("it was run as %s", m.sql)
	}
}
