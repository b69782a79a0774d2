package engine

import (
	"errors"
	"testing"

	gsql "github.com/goccy/go-googlesql"

	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// What an author calls their columns does not look like a fault of the engine, and does not choose
// the sort of the error either.
func TestWordsOfTheAuthor(t *testing.T) {
	e := testEngine(t)
	for sql, want := range map[string]struct{ code, message string }{
		"SELECT stack_id FROM d.people":            {codeNotFound, "Unrecognized name: stack_id"},
		"SELECT bootstrap_key FROM d.people":       {codeNotFound, "Unrecognized name: bootstrap_key"},
		"SELECT ret_check FROM d.people":           {codeNotFound, "Unrecognized name: ret_check"},
		"SELECT GOOGLESQL_RET_CHECK FROM d.people": {codeNotFound, "Unrecognized name: GOOGLESQL_RET_CHECK"},
		"SELECT unimplemented FROM d.people":       {codeNotFound, "Unrecognized name: unimplemented"},
		"SELECT `wasm trap: x` FROM d.people":      {codeNotFound, "Unrecognized name: `wasm trap: x`"},
		"SELECT `a fault address out of bounds`": {codeNotFound,
			"Unrecognized name: `a fault address out of bounds`"},
		"SELECT trap(1)":                    {codeNotFound, "Function not found: trap"},
		"SELECT d.stack(1)":                 {codeNotFound, "Function not found: d.stack"},
		"SELECT CAST(1 AS TRAP)":            {codeNotFound, "Type not found: TRAP"},
		"SELECT p.stack FROM d.people AS p": {codeNotFound, "Name stack not found inside p"},
		"SELECT STRUCT(1 AS stack).trap": {codeSyntax,
			"Field name trap does not exist in STRUCT<stack INT64>"},
		"SELECT STRUCT(1 AS a)[6]": {codeSyntax,
			"Field offset 6 is out of bounds in STRUCT<a INT64>"},
		"SELECT DATE 'stack'": {codeSyntax, "Invalid DATE literal"},
		"SELECT 'not found' + 1": {codeSyntax,
			`Could not cast literal "not found" to type DATE`},
		"SELECT `not supported` FROM d.people": {codeNotFound, "Unrecognized name: `not supported`"},
		"SELECT 1 AS a, `not supported` `not found` `x`": {codeSyntax,
			"Syntax error: Expected end of input but got identifier `x`"},
		"SELECT 1 FROM d.people AS trap, d.people AS trap": {codeSyntax,
			"Duplicate table alias trap in the same FROM clause"},
		"SELECT SUM(DISTINCT id) OVER (ORDER BY id) FROM d.people AS stack": {codeSyntax,
			"Window ORDER BY is not allowed if DISTINCT is specified"},
	} {
		t.Run(sql, func(t *testing.T) {
			reply := answer(e, ask(sql))
			if reply.Error == nil || reply.Error.Code != want.code || reply.Error.Message != want.message {
				t.Errorf("%+v, want %s: %s", reply.Error, want.code, want.message)
			}
			if reply.Retire {
				t.Error("the worker is thrown away")
			}
		})
	}
}

// A fault of the engine ends the statement, and the worker, wherever it is met.
func TestTraps(t *testing.T) {
	e := testEngine(t)
	_, err := gsql.AnalyzeStatement("SELECT * FROM t", e.options, must(gsql.NewCatalogFromImpl(faulty{})), e.factory)
	if err == nil {
		t.Fatal("the engine goes on after a fault")
	}
	for where, meet := range map[string]func(){
		"a text":      func() { textError("SELECT 1", err) },
		"an accessor": func() { must(0, err) },
	} {
		t.Run(where, func(t *testing.T) {
			reply := e.guarded(7, func(*wire.Reply) { meet() })
			if reply.Error == nil || reply.Error.Code != codeDeadline || reply.Error.Message != tooLarge || !reply.Retire {
				t.Errorf("%v is answered by %+v, %+v", err, reply.Error, reply)
			}
		})
	}
	if reply := e.guarded(7, func(*wire.Reply) { must(0, errors.New("a node without a type")) }); reply.Retire ||
		reply.Error.Code != codeUnsupported {
		t.Errorf("%+v", reply)
	}
}

// The engine's own checks print C++ source, which is nothing for a client.
func TestFailedChecks(t *testing.T) {
	e := testEngine(t)
	_, err := gsql.AnalyzeStatement("SELECT * FROM t", e.options, must(gsql.NewCatalogFromImpl(nothingFound{})), e.factory)
	if got := textError("", err); got.Code != codeUnsupported || got.Message != "the SQL engine cannot analyse this statement" {
		t.Errorf("%v became %+v", err, got)
	}
}

// nothingFound finds nothing, and calls it no error.
type nothingFound struct{ gsql.CatalogCallbackDefaults }

func (nothingFound) FullName() (string, error) { return "nothing", nil }

// faulty runs into a fault where the engine looks for a table.
type faulty struct{ nothingFound }

func (faulty) FindTable([]string, *gsql.FindOptions) (gsql.TableNode, error) {
	panic("indirect call to nothing")
}
