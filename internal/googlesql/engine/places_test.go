package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// The rewriting of a reference is spliced by these spans: each must cut out exactly the text it
// names.
func TestPlaces(t *testing.T) {
	e := testEngine(t)
	for sql, want := range map[string]string{
		"SELECT a FROM d.c":                      "from [d.c] as c; subquery",
		"SELECT a FROM `p.d.c`":                  "from [`p.d.c`] as p.d.c; subquery",
		"SELECT a FROM `p.d`.c, p.`d.c` AS e":    "from [`p.d`.c] as c; subquery | from [p.`d.c` AS e] as e alias [AS e]; subquery",
		"SELECT 1 FROM (d.c x JOIN d.o ON TRUE)": "from [d.c x] as x alias [x]; subquery | from [d.o] as o; subquery",
		"SELECT 'é' FROM d.c@{h=1} AS `a b` FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP() TABLESAMPLE SYSTEM (10 PERCENT) WHERE TRUE": "from " +
			"[d.c@{h=1} AS `a b` FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP() TABLESAMPLE SYSTEM (10 PERCENT)] as a b alias [AS `a b`] hint " +
			"[@{h=1}] " +
			"time [FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP()] sample [TABLESAMPLE SYSTEM (10 PERCENT)]; subquery",
		"SELECT 1 FROM d.c x, x.tags WITH OFFSET AS o": "from [d.c x] as x alias [x]; subquery | from [x.tags WITH OFFSET AS o] " +
			"as tags offset [WITH OFFSET AS o]",
		"SELECT * FROM d.c PIVOT(SUM(x) FOR q IN ('a')) AS p": "from [d.c PIVOT(SUM(x) FOR q IN ('a')) AS p] as c pivot [PIVOT(SUM(x) " +
			"FOR q IN ('a')) AS p]; subquery",
		"SELECT * FROM d.c UNPIVOT(x FOR q IN (a, b))": "from [d.c UNPIVOT(x FOR q IN (a, b))] as c unpivot [UNPIVOT(x FOR q IN (a, " +
			"b))]; subquery",
		"SELECT * FROM d.c MATCH_RECOGNIZE (ORDER BY a MEASURES MAX(A.x) AS m PATTERN (A) DEFINE A AS x > 1)": "from " +
			"[d.c MATCH_RECOGNIZE (ORDER BY a MEASURES MAX(A.x) AS m PATTERN (A) DEFINE A AS x > 1)] as c; other",
		"FROM d.c |> JOIN d.o AS o USING(id) |> TABLESAMPLE SYSTEM (10 PERCENT)": "from [d.c] as c; subquery | from [d.o AS o] as o " +
			"alias [AS o]; subquery",
		"TABLE d.c":                          "table [TABLE d.c] as c; subquery",
		"SELECT * FROM f(TABLE d.c, 1) AS t": "argument [TABLE d.c] as c; subquery",
		"MERGE d.c t USING d.o AS s ON TRUE WHEN MATCHED THEN DELETE": "from [d.o AS s] as s alias [AS s]; subquery",
		"UPDATE d.c SET a = 1 FROM d.o WHERE TRUE":                    "from [d.o] as o; subquery",
		"CREATE TABLE d.n CLONE d.c":                                  "source [d.c] as d.c",
		"CREATE TABLE d.n COPY d.c":                                   "source [d.c] as d.c",
		"CREATE TABLE d.n LIKE d.c":                                   "source [d.c] as d.c",
		"SELECT (SELECT 1 FROM d.c), ARRAY(SELECT 1 FROM d.o o)":      "from [d.c] as c; subquery | from [d.o o] as o alias [o]; subquery",
	} {
		t.Run(sql, func(t *testing.T) {
			var parsed tree
			script, refused := e.parse(&wire.ParseQuestion{SQL: sql, MaxDepth: 100, MaxNodes: 1000, MaxStatements: 9}, &parsed)
			if refused != nil {
				t.Errorf("%s: %s", sql, refused.Message)
				return
			}
			var got []string
			for _, p := range script.Statements[0].Paths {
				if p.Role == wire.RoleTable {
					got = append(got, describePlace(sql, p.Place))
				} else if p.Place != nil {
					t.Errorf("%s: a %s has a place", sql, p.Role)
				}
			}
			if spelt := strings.Join(got, " | "); spelt != want {
				t.Errorf("%s\n got %s\nwant %s", sql, spelt, want)
			}
		})
	}
}

func describePlace(sql string, p *wire.Place) string {
	if p == nil {
		return "nowhere"
	}
	text := fmt.Sprintf("%s [%s] as %s", p.Form, sql[p.Whole.Start:p.Whole.End], p.Alias)
	for _, part := range []struct {
		word string
		span *wire.Span
	}{{"alias", p.AliasSpan}, {"hint", p.Hint}, {"time", p.SystemTime}, {"sample", p.Sample}, {"offset", p.Offset}, {"pivot", p.Pivot},
		{"unpivot", p.Unpivot}} {
		if part.span != nil {
			text += fmt.Sprintf(" %s [%s]", part.word, sql[part.span.Start:part.span.End])
		}
	}
	if p.Other {
		text += "; other"
	}
	if p.Subquery {
		text += "; subquery"
	}
	return text
}
