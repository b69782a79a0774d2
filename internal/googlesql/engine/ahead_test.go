package engine

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// outlined asks for the outline of a text, with what will be asked next, and returns all replies.
func outlined(t *testing.T, sql string, ahead *wire.AnalyzeQuestion) []*wire.Reply {
	t.Helper()
	var replies []*wire.Reply
	parse := &wire.ParseQuestion{SQL: sql, MaxDepth: 100, MaxNodes: 1000, MaxStatements: 9, MaxTables: 3, Ahead: ahead}
	if err := testEngine(t).serve(&wire.Question{ID: 7, Parse: parse}, func(r ...*wire.Reply) error {
		replies = append(replies, r...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return replies
}

// What is answered ahead is what would have been answered, to the last offset: for statements that
// are analysed as they are parsed, and for those that are cut out or taken apart first.
func TestAheadAnswersTheSame(t *testing.T) {
	e := testEngine(t)
	for _, sql := range []string{
		"SELECT ssn FROM d.people", "SELECT id, UPPER(ssn) AS s FROM d.people WHERE id = 3 ORDER BY 1;",
		"  SELECT ssn FROM d.people WHERE 'é' = ssn",
		"-- first\nSELECT ssn FROM d.people", "SELECT ssn FROM `p.d.people`",
		"SELECT ssn FROM `p.d.people` AS x, `d.people` AS y WHERE x.id = y.id", "SELECT 1 AS a",
		"SELECT nope FROM d.people", "SELECT ssn\nFROM d.people\nWHERE nope(1)", "SELECT nope FROM `p.d.people`",
		"WITH people AS (SELECT 1 AS a) SELECT * FROM people",
		"SELECT @@time_zone AS z, ssn FROM d.people", "SELECT @@script.job_id AS z",
		"WITH q AS (SELECT ssn FROM d.people) SELECT * FROM q, q AS r",
		"FROM d.people |> WHERE id = 1 |> SELECT ssn", "(SELECT ssn FROM d.people)",
		"SELECT (SELECT AS STRUCT p.* FROM d.people AS p LIMIT 1).ssn", "SELECT ssn FROM d.people TABLESAMPLE SYSTEM (10 PERCENT)",
		"SELECT ARRAY_AGG(p.ssn ORDER BY p.id) FROM d.people AS p, UNNEST([1, 2]) AS n GROUP BY n",
	} {
		ahead := ask("").Analyze
		replies := outlined(t, sql, ahead)
		if len(replies) != 2 || !replies[0].More || replies[0].Script == nil || replies[1].More || replies[1].ID != 7 {
			t.Errorf("%s: %d replies: %+v", sql, len(replies), replies)
			continue
		}
		s := &replies[0].Script.Statements[0]
		question := ask(sql[s.Start:s.End]).Analyze
		if question.Tables = nil; len(replies[1].Given) > 0 {
			question.Tables = []wire.Table{people}
		}
		want := answer(e, &wire.Question{ID: 7, Analyze: question})
		if got := replies[1]; !reflect.DeepEqual(got.Analysis, want.Analysis) || !reflect.DeepEqual(got.Error, want.Error) ||
			got.Retire != want.Retire {
			t.Errorf("%s:\n%+v %+v\nwant\n%+v %+v", sql, got.Analysis, got.Error, want.Analysis, want.Error)
		}
	}
}

// What the gateway would not ask, or could not know yet, is left alone: the outline is the only
// reply.
func TestNothingAhead(t *testing.T) {
	for _, sql := range []string{
		"SELECT 1 AS a; SELECT 2 AS b", "DELETE FROM d.people WHERE id = 1", "CREATE TABLE d.t AS SELECT 1 AS a", "BEGIN SELECT 1; END",
		"SELECT d.f(1)", "SELECT * FROM d.f(1)", "CALL d.p()",
		"SELECT ssn FROM d.other", "SELECT 1 FROM d.people, d.other", "SELECT ssn FROM D.people", "SELECT ssn FROM people",
		"SELECT ssn FROM `p.d.p\\x65ople`", "SELECT 1 FROM x.y.z.w.v",
		"SELECT 1 FROM d.people, d.people, d.people, d.people", "SELECT (((", "SELECT " + strings.Repeat("UPPER(", 200) + "ssn" +
			strings.Repeat(")", 200) + " FROM d.people", "SELECT 1" + strings.Repeat("+1", 1000), "",
	} {
		if replies := outlined(t, sql, ask("").Analyze); len(replies) != 1 || replies[0].More {
			t.Errorf("%.60s: %d replies", sql, len(replies))
		}
	}
	if replies := outlined(t, "SELECT 1 AS a", nil); len(replies) != 1 || replies[0].More {
		t.Errorf("unasked: %d replies", len(replies))
	}
}

// Only what the text names is given to the analysis; the worker must have been told the columns of
// what it is said to know.
func TestAheadIsGivenWhatIsNamed(t *testing.T) {
	hidden := people
	hidden.Name, hidden.Digest = "p.d.hidden", "2"
	ahead := ask("").Analyze
	ahead.Tables = append(ahead.Tables, hidden)
	replies := outlined(t, "SELECT h.ssn FROM d.people AS h", ahead)
	if len(replies) != 2 || len(replies[1].Given) != 1 || replies[1].Given[0] != "p.d.people" {
		t.Errorf("%+v", replies)
	}
	unknown := ask("SELECT ssn FROM d.people")
	unknown.Analyze.Tables = []wire.Table{{Name: "p.d.people", Digest: "never told", Known: true}}
	if reply := answer(testEngine(t), unknown); reply.Error == nil || reply.Error.Code != codeUnavailable {
		t.Errorf("reply = %+v, want it to be refused", reply)
	}
}

// Trees are freed whether anything follows or not.
func TestAheadLeavesNothing(t *testing.T) {
	e := testEngine(t)
	round := func(n int) {
		for i := range n {
			sql := fmt.Sprintf("SELECT ssn, %d AS n FROM d.people WHERE id IN (%s1)", i, strings.Repeat("1, ", 50))
			if replies := outlined(t, sql, ask("").Analyze); len(replies) != 2 || replies[1].Error != nil {
				t.Fatalf("%+v", replies)
			}
			if replies := outlined(t, sql+" nope", ask("").Analyze); len(replies) != 1 {
				t.Fatalf("%+v", replies)
			}
		}
	}
	round(200)
	before := settled(e)
	round(1000)
	if grown := settled(e) - before; grown > 40<<20 {
		t.Errorf("2,000 texts left %d MiB behind", grown>>20)
	}
}

// The gateway wakes up once for a small statement. For a large one it has the outline before the
// analysis begins.
func TestBriefAnswersAreOneWrite(t *testing.T) {
	for sql, want := range map[string][]int{"SELECT ssn FROM d.people": {2}, "SELECT 1" + strings.Repeat("+1", 100): {1, 1},
		"SELECT nope FROM d.other": {1}} {
		t.Run(sql, func(t *testing.T) {
			var writes []int
			parse := &wire.ParseQuestion{SQL: sql, MaxDepth: 200, MaxNodes: 1000, MaxStatements: 9, MaxTables: 3, Ahead: ask("").Analyze}
			if err := testEngine(t).serve(&wire.Question{Parse: parse}, func(r ...*wire.Reply) error {
				writes = append(writes, len(r))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(writes, want) {
				t.Errorf("%.30s: writes of %v replies, want %v", sql, writes, want)
			}
		})
	}
}
