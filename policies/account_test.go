package policies

import (
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
)

// SESSION_USER() is refused wherever the analysis has found it, in whatever spelling, and a job
// that called it is not readable either.
func TestTheAccountIsNotShown(t *testing.T) {
	const harmless = "SELECT id FROM crm.orders"
	for name, c := range map[string]struct {
		sql    string
		calls  []string
		tables bool
		says   string // "" where it is allowed
	}{
		"nothing called":       {sql: harmless, tables: true},
		"another function":     {sql: "SELECT id, CURRENT_DATE() FROM crm.orders", calls: []string{"CURRENT_DATE"}, tables: true},
		"named in a text only": {sql: "SELECT id, 'SESSION_USER()' FROM crm.orders", tables: true},
		"without a table": {sql: "SELECT SESSION_USER()", calls: []string{"SESSION_USER"},
			says: "the query calls SESSION_USER(), which gives the gateway's account"},
		"the other name": {sql: "SELECT current_user() FROM crm.orders", calls: []string{"CURRENT_USER"}, tables: true,
			says: "the query calls CURRENT_USER()"},
		"both": {sql: "SELECT session_user(), current_user()", calls: []string{"CURRENT_USER", "SESSION_USER"},
			says: "CURRENT_USER() and SESSION_USER()"},
		"safe":          {sql: "SELECT SAFE.SESSION_USER()", calls: []string{"SAFE.SESSION_USER"}, says: "SESSION_USER()"},
		"lower case":    {sql: "SELECT session_user()", calls: []string{"session_user"}, says: "SESSION_USER()"},
		"beside others": {sql: "SELECT UPPER(SESSION_USER())", calls: []string{"SESSION_USER", "UPPER"}, says: "SESSION_USER()"},
		"behind a view": {sql: harmless, calls: []string{"SESSION_USER"}, tables: true,
			says: "a view or a function behind the query calls SESSION_USER()"},
		"behind, with no tables": {sql: "SELECT lib.me()", calls: []string{"CURRENT_USER"}, says: "behind the query calls CURRENT_USER()"},
	} {
		t.Run(name, func(t *testing.T) {
			st := googlesql.Statement{Kind: "SELECT", Functions: c.calls, Columns: []googlesql.Column{{Name: "x", Type: "STRING"}}}
			r := Input{Subject: subject("a", "ai-agents"), Now: now, Method: "jobs.query", Project: "demo", SQL: c.sql,
				Tables: map[string]*bigquery.Table{}, RowAccess: map[string]bigquery.RowAccess{}}
			if c.tables {
				st.Tables = []string{"demo.crm.orders"}
				r.Tables["demo.crm.orders"], r.RowAccess["demo.crm.orders"] = catalog(t)["demo.crm.orders"], bigquery.RowAccessNone
			}
			r.Analysis, r.Estimate = &googlesql.Analysis{Statements: []googlesql.Statement{st}}, &Estimate{Bytes: 1}
			for _, method := range []bigquery.Method{bigquery.MethodQuery, bigquery.MethodInsert, bigquery.MethodGetQueryResults,
				bigquery.MethodListTableData} {
				r.Method = string(method)
				d := demoSet(t).decide(r)
				switch {
				case c.says == "" && d.Effect != Allow:
					t.Errorf("%s: %s: %s", method, d.Effect, d.Message)
				case c.says != "" && (d.Effect != Refuse || !strings.Contains(d.Message, c.says) ||
					!strings.Contains(d.Remedy, "without") && !strings.Contains(d.Remedy, "do not call") || d.Rule.ID() == ""):
					t.Errorf("%s: %s %q, would pass %q", method, d.Effect, d.Message, d.Remedy)
				}
			}
		})
	}
}
