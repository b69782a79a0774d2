package policies

import (
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
)

// A column that the policy masks and the table does not have is one that somebody mistyped or
// renamed: the table is not read until that is mended. The agent learns that the policy is wrong,
// and the operator where, and what was meant.
func TestColumnsThatAreNotThere(t *testing.T) {
	nested := tableOf("demo.crm.customers", "id", "ssn")
	nested.Schema.Fields = append(nested.Schema.Fields,
		bigquery.Field{Name: "phones", Type: "RECORD", Mode: "REPEATED",
			Fields: []bigquery.Field{{Name: "kind", Type: "STRING"}, {Name: "number", Type: "STRING"}}},
		bigquery.Field{Name: "payload", Type: "JSON"})
	wildcard := tableOf("demo.crm.events_*", "id", "ssn")
	wildcard.Members = []string{"events_1", "events_2"}
	wildcard.Others = []bigquery.Schema{{Fields: []bigquery.Field{{Name: "old_ssn", Type: "STRING"}}}}
	snapshot := tableOf("demo.crm.copy", "id", "ssn")
	snapshot.Type, snapshot.Origins = "SNAPSHOT", []bigquery.Origin{{ID: nested.TableReference, Table: nested}}
	orphan := tableOf("demo.crm.orphan", "id", "ssn")
	orphan.Type, orphan.Origins = "SNAPSHOT", []bigquery.Origin{{ID: nested.TableReference}}
	for name, c := range map[string]struct {
		match string
		table *bigquery.Table
		cause string // "" where the table is read
	}{
		"a column that is there":     {"demo.crm.customers.ssn", nested, ""},
		"a typo":                     {"demo.crm.customers.snn", nested, "demo.crm.customers has no column snn (did you mean ssn?)"},
		"renamed":                    {"demo.crm.customers.social_security", nested, "demo.crm.customers has no column social_security"},
		"other letters":              {"demo.crm.customers.SSN", nested, ""},
		"other letters of the table": {"demo.CRM.Customers.snn", nested, "has no column snn"},
		"a field":                    {"demo.crm.customers.phones.number", nested, ""},
		"a field with a typo": {"demo.crm.customers.phones.numbr", nested,
			"has no column phones.numbr (did you mean phones.number?)"},
		"a field of another name":      {"demo.crm.customers.phone.number", nested, "(did you mean phones.number?)"},
		"a whole STRUCT":               {"demo.crm.customers.phones", nested, ""},
		"inside JSON":                  {"demo.crm.customers.payload.ssn", nested, ""},
		"inside a STRING":              {"demo.crm.customers.ssn.digits", nested, ""}, // masks all of it
		"a field of nothing":           {"demo.crm.customers.address.city", nested, "has no column address.city"},
		"any table":                    {"demo.crm.*.snn", nested, ""},
		"any dataset":                  {"demo.*.customers.snn", nested, ""},
		"any column of a kind":         {"demo.crm.customers.snn_*", nested, ""},
		"any column of any table":      {"'*.*.*.ssnn'", nested, ""},
		"another table":                {"demo.crm.custmers.ssn", nested, ""}, // serve and lint say that it is not there
		"a pseudo column":              {"demo.crm.customers._PARTITIONTIME", nested, ""},
		"a member of a wildcard":       {"demo.crm.events_1.ssn", wildcard, ""},
		"a member's column not there":  {"demo.crm.events_2.snn", wildcard, "demo.crm.events_* has no column snn (did you mean ssn?)"},
		"of an older member":           {"demo.crm.events_1.old_ssn", wildcard, ""},
		"of a snapshot's base":         {"demo.crm.customers.ssn", snapshot, ""},
		"only in the base":             {"demo.crm.customers.payload", snapshot, ""},
		"in neither":                   {"demo.crm.customers.snn", snapshot, "demo.crm.copy has no column snn (did you mean ssn?)"},
		"of the snapshot itself":       {"demo.crm.copy.payload", snapshot, "demo.crm.copy has no column payload"},
		"of a base that is gone":       {"demo.crm.customers.snn", orphan, ""},
		"a table that is no member":    {"demo.crm.events_9.snn", wildcard, ""},
		"the wildcard by its pattern":  {"demo.crm.events_*.snn", wildcard, ""},
		"another table's missing name": {"demo.crm.orders.snn", nested, ""},
	} {
		for _, rest := range []string{"clear", "mask"} {
			t.Run(name+", unlisted "+rest, func(t *testing.T) {
				set := mustLoad(t, readAll+"columns:\n  - {match: "+c.match+", mask: ALWAYS_NULL}\ntables:\n  - {match: demo.crm.*, "+
					"unlisted: "+rest+"}\n")
				d := set.decide(ask(subject("x", "g"), selects(c.table.TableReference.String(), "id"), nested, c.table))
				if c.cause == "" {
					if d.Effect != Allow || d.Cause != "" {
						t.Errorf("%s: %s %s", d.Effect, d.Message, d.Cause)
					}
					return
				}
				checkSound(t, d)
				if d.Effect != Refuse || !strings.Contains(d.Message, "until its policy is mended") ||
					!strings.Contains(d.Cause, c.cause) || !strings.HasPrefix(d.Cause, "policy.yaml:6: columns entry ") {
					t.Errorf("%s %q, cause %q, want %q", d.Effect, d.Message, d.Cause, c.cause)
				}
				for _, told := range []string{"snn", "did you mean", "ssn", "number", "social"} {
					t.Run(told, func(t *testing.T) {
						if strings.Contains(d.Message+d.Remedy, told) {
							t.Errorf("the agent is told of %s: %s %s", told, d.Message, d.Remedy)
						}
					})
				}
				if d.Rule.ID() != "policy/columns" {
					t.Errorf("rule %s", d.Rule.ID())
				}
			})
		}
	}
}

// Behind a view, in a join, and under an exemption it is the same table. What a rule or an entry
// clears, and nobody masks, closes nothing.
func TestColumnsThatAreNotThereByOtherWays(t *testing.T) {
	const wrong = "columns:\n  - {match: demo.crm.t.snn, mask: ALWAYS_NULL}\ntables:\n  - {match: demo.crm.*, unlisted: clear}\n"
	table, view := tableOf("demo.crm.t", "id", "ssn"), tableOf("demo.crm.v", "id")
	view.Type, view.View = "VIEW", &bigquery.View{}
	behind := selects("demo.crm.t", "id")
	behind.Statements[0].Tables = []string{"demo.crm.t", "demo.crm.v"}
	joined := selects("demo.crm.u", "id")
	joined.Statements[0].Tables = []string{"demo.crm.t", "demo.crm.u"}
	exempt := strings.Replace(readAll, "read: [demo.crm.*]", "read: [demo.crm.*], clear: [demo.crm.t.*]", 1)
	for name, c := range map[string]struct {
		policy   string
		analysis *googlesql.Analysis
		want     Effect
	}{
		"behind a view": {readAll + wrong, behind, Refuse},
		"in a join":     {readAll + wrong, joined, Refuse},
		"exempt":        {exempt + wrong, selects("demo.crm.t", "id"), Refuse},
		"a clear entry is wrong": {readAll + strings.Replace(wrong, "mask: ALWAYS_NULL", "clear: true", 1),
			selects("demo.crm.t", "id"), Allow},
		"an exemption is wrong": {strings.Replace(readAll, "read: [demo.crm.*]", "read: [demo.crm.*], clear: [demo.crm.t.snn]", 1),
			selects("demo.crm.t", "id"), Allow},
		"a second entry says it right": {readAll + strings.Replace(wrong, "tables:", "  - {match: demo.crm.t.ssn, mask: "+
			"ALWAYS_NULL}\ntables:", 1), selects("demo.crm.t", "id"), Refuse},
	} {
		t.Run(name, func(t *testing.T) {
			d := mustLoad(t, c.policy).decide(ask(subject("x", "g"), c.analysis, table, view, tableOf("demo.crm.u", "id")))
			if d.Effect != c.want {
				t.Errorf("%s %s", d.Effect, d.Message)
			}
		})
	}
	told := Explain(mustLoad(t, readAll+wrong).decide(ask(subject("x", "g"), selects("demo.crm.t", "id"), table)))
	if !strings.Contains(told.String(),
		"to mend     policy.yaml:6: columns entry demo.crm.t.snn: demo.crm.t has no column snn (did you mean ssn?)") || told.Cause == "" {
		t.Errorf("explain does not say what to mend:\n%s", told)
	}
}
