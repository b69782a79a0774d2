package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	gsql "github.com/goccy/go-googlesql"

	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

var shared = sync.OnceValues(newEngine)

func testEngine(t *testing.T) *engine {
	t.Helper()
	e, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var people = wire.Table{Name: "p.d.people", Digest: "1", Columns: []wire.Field{
	{Name: "id", Type: wire.Type{Name: "INT64"}}, {Name: "ssn", Type: wire.Type{Name: "STRING"}},
}}

// answer is the only reply to a question.
func answer(e *engine, question *wire.Question) (reply *wire.Reply) {
	if err := e.serve(question, func(r ...*wire.Reply) error { reply = r[len(r)-1]; return nil }); err != nil {
		panic(err)
	}
	return reply
}

func ask(sql string) *wire.Question {
	return &wire.Question{Analyze: &wire.AnalyzeQuestion{SQL: sql, Tables: []wire.Table{people}, Project: "p", MaxColumns: 1000}}
}

// verify is what stands between a node the walk forgot and a wrong answer: a walk that saw nothing
// must be refused.
func TestVerifyRefusesWhatWasNotWalked(t *testing.T) {
	e := testEngine(t)
	for _, sql := range []string{
		"SELECT ssn FROM d.people", "SELECT 1 AS a", "SELECT id FROM d.people WHERE ssn = '1'",
		"SELECT id FROM d.people TABLESAMPLE SYSTEM (10 PERCENT)",
	} {
		e.prepare(ask(sql).Analyze)
		output, err := gsql.AnalyzeStatement(sql, e.options, e.catalog, e.factory)
		if err != nil {
			t.Fatal(err)
		}
		refused := func() (refused bool) {
			defer func() { refused = recover() != nil }()
			(&walk{}).verify(must(output.ResolvedStatement()))
			return false
		}()
		freeAnalyzerOutput(output)
		if !refused {
			t.Errorf("%s: a walk that saw nothing was believed", sql)
		}
	}
}

// Also where every field was read, the numbers of what was walked must be those of what is there:
// the printed tree says them too.
func TestVerifyCountsWhatIsThere(t *testing.T) {
	e := testEngine(t)
	for _, sql := range []string{
		"SELECT 1 AS a", "SELECT ssn FROM d.people",
		"SELECT id FROM d.people WHERE ssn = '1' AND id IN (SELECT id FROM d.people WHERE ssn > '2')",
		"WITH w AS (SELECT MAX(ssn) AS m FROM d.people) SELECT a.m, b.m FROM w AS a JOIN w AS b ON a.m < b.m",
		"SELECT ARRAY(SELECT AS STRUCT p.id, q.ssn FROM d.people AS q WHERE q.id = p.id) FROM d.people AS p",
		"SELECT ARRAY_FILTER([1, 2], x -> x > (SELECT MIN(id) FROM d.people)) AS a",
		"FROM d.people |> AGGREGATE COUNT(*) AS n GROUP BY ssn |> WHERE n > 1",
	} {
		e.prepare(ask(sql).Analyze)
		output, err := gsql.AnalyzeStatement(sql, e.options, e.catalog, e.factory)
		if err != nil {
			t.Fatal(err)
		}
		statement := must(output.ResolvedStatement())
		tree := must(statement.DebugString())
		printed := func(kind string) int { return strings.Count(tree, kind+"(") + strings.Count(tree, kind+"\n") }
		want := counts{scans: printed("TableScan"), refs: printed("ColumnRef"), calls: printed("TVFScan")}
		var got counts
		if got.below(statement); got != want {
			t.Errorf("%s: counted %+v, the tree has %+v", sql, got, want)
		}
		check(statement.MarkFieldsAccessed())
		for _, wrong := range []counts{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}} {
			w := &walk{scans: make([]wire.Scan, want.scans+wrong.scans), refs: want.refs + wrong.refs, calls: want.calls + wrong.calls}
			refused := func() (refused bool) {
				defer func() { refused = recover() != nil }()
				w.verify(statement)
				return false
			}()
			if !refused {
				t.Errorf("%s: a walk that counted %+v too many was believed", sql, wrong)
			}
		}
		freeAnalyzerOutput(output)
	}
}

// The engine traps when a catalog answers with nil. Every kind of lookup must be an error instead,
// and leave the engine healthy.
func TestAbsentObjects(t *testing.T) {
	e := testEngine(t)
	for _, sql := range []string{
		"SELECT * FROM d.tvf(1)", "SELECT d.f(1)", "SELECT nope(1)", "CALL d.p()", "SELECT CAST(1 AS d.t)", "SELECT a.b.c",
		"GRAPH d.g MATCH (n) RETURN 1 AS x",
		"SELECT * FROM ML.PREDICT(MODEL d.m, TABLE d.people)", "CREATE MODEL d.m REMOTE WITH CONNECTION us.c OPTIONS(endpoint='x')",
		"SELECT * FROM d.nope",
		"EXPORT DATA WITH CONNECTION us.c OPTIONS(uri='x') AS SELECT 1 AS a",
	} {
		reply := answer(e, ask(sql))
		if reply.Error == nil && (reply.Analysis == nil || reply.Analysis.Missing == "") {
			t.Errorf("%s: was understood: %+v", sql, reply.Analysis)
		}
		if reply.Retire {
			t.Errorf("%s: trapped: %+v", sql, reply.Error)
		}
	}
}

func TestEmptyRequestIsRefused(t *testing.T) {
	if reply := answer(testEngine(t), &wire.Question{ID: 7}); reply.Error == nil || reply.ID != 7 {
		t.Errorf("reply = %+v, want an error with the question's id", reply)
	}
}

// settled is the size of the process without what Go's collector has not come to yet.
func settled(e *engine) int {
	debug.FreeOSMemory()
	return e.resident()
}

// Memory must not grow with the number of statements: outputs, parsers and their options are freed
// by hand.
func TestMemoryIsFlat(t *testing.T) {
	e := testEngine(t)
	round := func(n int) {
		for i := range n {
			sql := fmt.Sprintf("SELECT ssn, %d AS n FROM d.people WHERE id IN (%s1)", i, strings.Repeat("1, ", 50))
			if reply := answer(e, &wire.Question{
				Parse: &wire.ParseQuestion{SQL: sql, MaxDepth: 100, MaxNodes: 1000, MaxStatements: 9},
			}); reply.Error != nil {
				t.Fatal(reply.Error)
			}
			if reply := answer(e, ask(sql)); reply.Error != nil {
				t.Fatal(reply.Error)
			}
		}
	}
	round(300)
	before := settled(e)
	round(1500)
	if grown := settled(e) - before; grown > 40<<20 {
		t.Errorf("1,500 statements left %d MiB behind", grown>>20)
	}
}

func TestOffsetOf(t *testing.T) {
	for _, test := range []struct {
		text         string
		line, column int
		want         int
	}{
		{"abc", 1, 1, 0}, {"abc", 1, 3, 2}, {"abc", 1, 9, 3}, {"a\nb", 2, 1, 2}, {"a\r\nb", 2, 1, 3}, {"a\rb", 2, 1, 2}, {"éx", 1, 2, 2},
		{"😀x", 1, 2, 4},
		{"\tx", 1, 9, 1}, {"ab\tx", 1, 9, 3}, {"a", 5, 1, -1},
	} {
		t.Run(fmt.Sprintf("%q", test.text), func(t *testing.T) {
			if got := offsetOf(test.text, test.line, test.column); got != test.want {
				t.Errorf("offsetOf(%q, %d, %d) = %d, want %d", test.text, test.line, test.column, got, test.want)
			}
		})
	}
}

func TestMerge(t *testing.T) {
	a, b := &value{own: []source{{origin: &origin{name: "a"}}}}, &value{own: []source{{origin: &origin{name: "b"}}}}
	spell := func(v *value) string {
		var words []string
		v.each(func(s source) { words = append(words, fmt.Sprintf("%s/%t", s.name, s.derived)) })
		return strings.Join(words, " ")
	}
	for name, test := range map[string]struct {
		v    *value
		want string
	}{
		"two columns":         {merge(a, b), "a/false b/false"},
		"column and constant": {merge(a, constant), "/true a/false"},
		"constants":           {merge(constant, constant), ""},
		"derived too":         {merge(a, derive(a)), "a/false a/true"},
		"struct and constant": {merge(&value{fields: []*value{a, constant}, names: []string{"x", "y"}}, constant), "/true a/false"},
		"array and column":    {merge(&value{element: a}, derive(b)), "a/false b/true"},
		"field of derived":    {derive(a).field(3), "a/true"},
		"item of constant":    {constant.item(), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := spell(test.v); got != test.want {
				t.Errorf("%s: %q, want %q", name, got, test.want)
			}
		})
	}
}

// A worker that has grown is replaced, whether its statement was answered or refused.
func TestLargeWorkersRetire(t *testing.T) {
	e := testEngine(t)
	name := filepath.Join(t.TempDir(), "statm")
	if err := os.WriteFile(name, fmt.Appendf(nil, "9999999 %d 0\n", maxResident/os.Getpagesize()+1), 0o600); err != nil {
		t.Fatal(err)
	}
	statm, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer statm.Close()
	defer func(size *os.File) { e.size = size }(e.size)
	e.size = statm
	for sql, refused := range map[string]bool{"SELECT ssn FROM d.people": false, "SELECT * FROM d.people @{x=1}": true} {
		t.Run(sql, func(t *testing.T) {
			e.served = 15 // it is looked at now, however quick the answer is
			if reply := answer(e, ask(sql)); !reply.Retire || (reply.Error != nil) != refused {
				t.Errorf("%s: %+v", sql, reply)
			}
		})
	}
}
