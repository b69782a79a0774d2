package policies

import (
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/googlesql"
)

// A62: who names something that they may not read is told of that name alone, whatever the analysis
// found out about it, beside it and behind it.
func TestClosedNamesAreAllThatIsTold(t *testing.T) {
	set := mustLoad(t, readAll+"columns:\n  - {match: demo.hr.*.note, mask: ALWAYS_NULL}\n  - {match: demo.crm.t.a, mask: ALWAYS_NULL}\n")
	whole := selects("demo.hr.v2", "a").Statements[0]
	for name, c := range map[string]struct {
		analysis googlesql.Analysis
		want     string
	}{
		"one name": {googlesql.Analysis{
			Statements: []googlesql.Statement{{Kind: "SELECT", Named: []string{"demo.hr.v2"}, Tables: []string{"demo.hr.v2"}}},
		},
			"hr.v2 does not exist or no policy lets you read it"},
		"all of the chain is known": {googlesql.Analysis{Statements: []googlesql.Statement{{
			Kind: "SELECT", Named: []string{"demo.hr.v2"}, Tables: []string{"demo.crm.t", "demo.hr.base", "demo.hr.v1", "demo.hr.v2"},
			Routines: []string{"demo.hr.f"}, Columns: whole.Columns,
		}}}, "hr.v2 does not exist or no policy lets you read it"},
		"an open view over it beside it": {googlesql.Analysis{
			Statements: []googlesql.Statement{{Kind: "SELECT", Named: []string{"demo.crm.over", "demo.hr.v2"},
				Tables: []string{"demo.crm.over", "demo.hr.base", "demo.hr.v2"}}},
			Behind: []string{"demo.hr.base"},
		}, "hr.v2 does not exist or no policy lets you read it"},
		"in the order of the text": {googlesql.Analysis{Statements: []googlesql.Statement{{
			Kind: "SELECT", Named: []string{"demo.hr.v2", "demo.crm.t", "other.a.f()", "demo.hr.b"},
			Tables: []string{"demo.crm.t", "demo.hr.b", "demo.hr.v2"}, Routines: []string{"other.a.f"},
		}}}, "hr.v2, other.a.f(), hr.b do not exist or no policy lets you read it"},
		"a function": {googlesql.Analysis{
			Statements: []googlesql.Statement{{Kind: "SELECT", Named: []string{"demo.hr.f()"}, Routines: []string{"demo.hr.f"}}},
		},
			"hr.f() does not exist or no policy lets you read it"},
		"with an error about a column": {googlesql.Analysis{
			Statements: []googlesql.Statement{{Kind: "SELECT", Named: []string{"demo.hr.v2"}, Tables: []string{"demo.hr.v2"}}},
			Error:      &googlesql.Error{Code: googlesql.ErrorNotFound, Message: "Unrecognized name: nte; Did you mean note?"},
		}, "hr.v2 does not exist or no policy lets you read it"},
		"a view of INFORMATION_SCHEMA": {googlesql.Analysis{
			Statements: []googlesql.Statement{{Kind: "SELECT", Named: []string{"demo.hr.INFORMATION_SCHEMA.TABLES"},
				Tables: []string{"demo.hr.INFORMATION_SCHEMA.TABLES"}}},
			Error: &googlesql.Error{Code: googlesql.ErrorClosed},
		}, "hr.INFORMATION_SCHEMA.TABLES shows which tables there are"},
		"such a view beside a closed table": {googlesql.Analysis{
			Statements: []googlesql.Statement{{Kind: "SELECT", Named: []string{"demo.hr.INFORMATION_SCHEMA.TABLES", "demo.hr.v2"}}},
			Error:      &googlesql.Error{Code: googlesql.ErrorClosed},
		}, "hr.INFORMATION_SCHEMA.TABLES, hr.v2 do not exist or no policy lets you read it"},
		"behind an open view": {googlesql.Analysis{
			Statements: []googlesql.Statement{
				{Kind: "SELECT", Named: []string{"demo.crm.over"}, Tables: []string{"demo.crm.over", "demo.hr.base"}},
			},
		}, "hr.base is behind a view or a function that the query names"},
		"behind an open view, found before it was looked at": {googlesql.Analysis{
			Statements: []googlesql.Statement{{Kind: "SELECT", Named: []string{"demo.crm.over"}, Tables: []string{"demo.crm.over"}}},
			Error:      &googlesql.Error{Code: googlesql.ErrorClosed},
			Behind:     []string{"demo.hr.base", "demo.hr.f()"},
		}, "hr.base, hr.f() is behind a view or a function that the query names"},
		"nobody says what": {googlesql.Analysis{
			Statements: []googlesql.Statement{{Kind: "SELECT", Named: []string{"demo.crm.t"}, Tables: []string{"demo.crm.t"}}},
			Error:      &googlesql.Error{Code: googlesql.ErrorClosed, Message: "x"},
		}, "something that the SQL names does not exist or no policy lets you read it"},
	} {
		t.Run(name, func(t *testing.T) {
			r := ask(subject("x", "g"), &c.analysis)
			d := set.decide(r)
			if d.Effect != Refuse || !strings.HasPrefix(d.Message, c.want) {
				t.Errorf("%s %q, want %q", d.Effect, d.Message, c.want)
			}
			for _, hidden := range []string{"hr.base", "hr.v1", "note"} {
				t.Run(hidden, func(t *testing.T) {
					if said := d.Message + d.Remedy; strings.Contains(said, hidden) && !strings.Contains(c.want, hidden) {
						t.Errorf("%s is told: %s", hidden, said)
					}
				})
			}
			if len(d.Sensitive) > 0 || d.Rule != (RuleRef{}) || len(d.Cites) > 0 {
				t.Errorf("the refusal tells more: %+v", d)
			}
			closed, is := set.Closed(r)
			if !is || closed.Message != d.Message {
				t.Errorf("asked beforehand: %t %q", is, closed.Message)
			}
		})
	}
	open := ask(subject("x", "g"), selects("demo.crm.u", "a"))
	if d, closed := set.Closed(open); closed || d.Message != "" {
		t.Errorf("a table that may be read is closed: %q", d.Message)
	}
}
