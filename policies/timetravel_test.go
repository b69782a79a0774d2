package policies

import (
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// ALTER TABLE t RENAME COLUMN ssn TO x; … RENAME COLUMN name TO ssn: what is called name now held
// SSNs yesterday, and FOR SYSTEM_TIME AS OF reads by the names of then.
func TestOlderStateOfATableWithSensitiveColumns(t *testing.T) {
	travels := func(table string, column string) *googlesql.Analysis {
		a := selects(table, column)
		a.Statements[0].References = []googlesql.Reference{{Table: table, Place: &wire.Place{SystemTime: &wire.Span{Start: 30, End: 50}}}}
		return a
	}
	set := mustLoad(t, readAll+`columns: [{match: demo.crm.people.ssn, mask: ALWAYS_NULL}]
tables: [{match: demo.crm.people, unlisted: clear}]
`)
	people, plain := tableOf("demo.crm.people", "name", "ssn"), tableOf("demo.crm.plain", "a")
	if d := set.decide(ask(subject("x", "g"), selects("demo.crm.people", "name"), people)); d.Effect != Allow {
		t.Fatalf("the table as it is now is not allowed: %+v", d)
	}
	if d := set.decide(ask(subject("x", "g"), travels("demo.crm.plain", "a"), plain)); d.Effect != Allow {
		t.Errorf("an older state of a table without sensitive columns is not allowed: %+v", d)
	}
	d := set.decide(ask(subject("x", "g"), travels("demo.crm.people", "name"), people))
	if d.Effect != Refuse || !strings.Contains(d.Message, "FOR SYSTEM_TIME AS OF") {
		t.Errorf("an older state of a table with sensitive columns: %v %q", d.Effect, d.Message)
	}
	// A view may have been of other tables then, whatever it is of now.
	view := tableOf("demo.crm.v", "a")
	view.Type = "VIEW"
	a := travels("demo.crm.v", "a")
	a.Statements[0].Tables = []string{"demo.crm.plain", "demo.crm.v"}
	d = set.decide(ask(subject("x", "g"), a, view, plain))
	if d.Effect != Refuse || !strings.Contains(d.Message, "is a view and is read as it was at another time") {
		t.Errorf("an older state of a view of clear tables: %v %q", d.Effect, d.Message)
	}
}
