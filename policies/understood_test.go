package policies

import (
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
)

// Whoever may read all tables of a text is told what it lacks, in the words of the analysis: a
// parameter that is not declared, or a column that is not there, is no closed table.
func TestWhatIsNotThereIsTold(t *testing.T) {
	set := mustLoad(t, readAll)
	for message, told := range map[string]bool{
		"the query parameter @s is not declared; name it with its type in queryParameters":     true,
		"a positional parameter (?) is not declared; list it with its type in queryParameters": true,
		"Unrecognized name: nope":                                    true,
		"Name nope not found inside o":                               true,
		"Column nope in USING clause not found on left side of join": true,
		"Column name in pipe DROP not found in input table: nope":    true,
		"Column name in pipe RENAME not found in input table: nope":  true,
		"Column name in pipe SET not found in input table: nope":     true,
		"Type not found: NOPE":                                       true,
		"the function NET.NOPE is not known to bqgate":               true,
		"table demo.hr.base was not found":                           false,
		"Table not found: demo.hr.base":                              false,
		"something else was not found":                               false,
	} {
		t.Run(message, func(t *testing.T) {
			analysis := selects("demo.crm.t", "a")
			analysis.Error = &googlesql.Error{Code: googlesql.ErrorNotFound, Message: message}
			r := ask(subject("x", "g"), analysis)
			id := bigquery.TableID{Project: "demo", Dataset: "crm", Table: "t"}
			r.Tables = map[string]*bigquery.Table{id.String(): {TableReference: id, Type: "TABLE"}}
			d := set.decide(r)
			if d.Effect != Refuse || strings.Contains(d.Message, message) != told {
				t.Errorf("%s %q, told: %t", d.Effect, d.Message, told)
			}
			if d.Invalid != told { // BigQuery would not run it either
				t.Errorf("invalid: %t, want %t", d.Invalid, told)
			}
		})
	}
}
