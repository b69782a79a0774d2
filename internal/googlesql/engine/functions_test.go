package engine

import (
	"testing"

	"github.com/bqgate/bqgate/internal/googlesql/functions"
)

// Every function of the engine is either in the table or refused by not being there; what the table
// calls known, the engine must know, or the sentence "not known to bqgate" would be a lie.
func TestFunctionTable(t *testing.T) {
	e := testEngine(t)
	has := map[string]bool{}
	for _, name := range must(e.builtins.FunctionNames()) {
		has[name] = true
	}
	type space interface {
		FullName() (string, error)
		FunctionNames() ([]string, error)
	}
	for _, c := range must(e.builtins.Catalogs()) {
		s, ok := c.(space)
		if !ok {
			t.Fatalf("a catalog of the type %T", c)
		}
		for _, name := range must(s.FunctionNames()) {
			has[must(s.FullName())+"."+name] = true
		}
	}
	lower := func(name string) string {
		b := []byte(name)
		for i, c := range b {
			if 'A' <= c && c <= 'Z' {
				b[i] = c + 'a' - 'A'
			}
		}
		return string(b)
	}
	for _, f := range functions.All() {
		if f.Refused == "" && !has[lower(f.Name)] {
			t.Errorf("the table has %s, the engine has not", f.Name)
		}
	}
	var left []string
	for name := range has {
		if _, ok := functions.Lookup(name); !ok {
			left = append(left, name)
		}
	}
	t.Logf("%d functions of the engine are not in the table: %v", len(left), left)
}

// Literals without a time zone are in UTC: both ends of BigQuery's range fit, which they do in no
// other one.
func TestLiteralsAreInUTC(t *testing.T) {
	e := testEngine(t)
	for _, sql := range []string{
		"SELECT TIMESTAMP '0001-01-01 00:00:00' AS a, TIMESTAMP '9999-12-31 23:59:59.999999' AS b",
		"SELECT CAST(NULL AS TIMESTAMP) BETWEEN '0001-01-01' AND '9999-12-31 23:59:59' AS a",
		"SELECT @@time_zone AS z, TIMESTAMP '9999-12-31 23:59:59' AS a",
	} {
		if reply := answer(e, ask(sql)); reply.Error != nil {
			t.Errorf("%s: %+v", sql, reply.Error)
		}
	}
	for _, sql := range []string{"SELECT TIMESTAMP '9999-12-31 23:59:59-01'", "SELECT TIMESTAMP '0001-01-01 00:00:00+01'"} {
		if reply := answer(e, ask(sql)); reply.Error == nil {
			t.Errorf("%s: understood", sql)
		}
	}
}
