package policies

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// NeedsRowAccess lists the tables of which Decide wants to know whether they have row access policies: what the query reads of stored tables, the ones behind its views
// among them, and no rule names. What is refused anyway needs none, so that BigQuery is never asked about what the subject may not know.
func (s *Set) NeedsRowAccess(r Request) []*bigquery.Table {
	r.RowAccess = nil
	return s.walk(&r).needsRowAccess
}

// rows: BigQuery applies row access policies to the account that a query runs under, and many subjects share it. Whoever asks would see the account's rows, so a table that
// has such policies is refused unless a rule names it (A34).
func (w *walk) rows() error {
	var closed error
	for _, v := range w.tables {
		if !v.stored || metadata(v.id.Dataset, v.id.Table) {
			continue
		}
		rule, named := w.reader(v.id)
		if named {
			w.cite(rule.ref)
			continue
		}
		switch w.request.RowAccess[v.name] {
		case bigquery.RowAccessNone:
		case bigquery.RowAccessPolicies:
			if closed == nil {
				closed = w.rowAccess(v, rule)
			}
		default:
			w.needsRowAccess = append(w.needsRowAccess, w.request.Tables[v.name])
		}
	}
	switch {
	case closed != nil:
		return closed
	case len(w.needsRowAccess) > 0:
		unknown := w.needsRowAccess[0].TableReference.String()
		return refuse(w.decision.Rule, "the same query again", "it is not known whether %s has row access policies of BigQuery", w.request.short(unknown))
	}
	return nil
}

// reader is a rule that reads a table with the query's credential: one that names the table under row_access_policies, if there is any. Rows are those of an account, so a
// rule with another credential counts for nothing.
func (w *walk) reader(id bigquery.TableID) (r *rule, named bool) {
	for _, other := range covering(w.covering, id) {
		if other.credential != w.decision.Credential {
			continue
		}
		if slices.ContainsFunc(other.rowAccess, func(p pattern) bool { return p.coversTable(id) }) {
			return other, true
		}
		if r == nil {
			r = other
		}
	}
	return r, false
}

// rowAccess refuses a table that has row access policies.
func (w *walk) rowAccess(v *view, r *rule) error {
	name := w.request.short(v.name)
	if strings.HasSuffix(v.id.Table, "*") {
		return refuse(r.ref, "a query that names each table", "%s takes in a table that has row access policies, and BigQuery reads no such table through a wildcard", name)
	}
	return refuse(r.ref, fmt.Sprintf("a query without this table, or the same one after an operator has named the table in rule %s (row_access_policies: %s)", r.ref.Name, shortQuoted(v.name)),
		"%s has row access policies, which BigQuery applies to the account that the query runs under: everybody who shares the account would see its rows, whatever their own are", name)
}
