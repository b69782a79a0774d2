package policies

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// rows: BigQuery applies row access policies to the account that a query runs under, and many
// subjects share it. Whoever asks would see the account's rows, so a table that has such policies
// is refused unless a rule names it (A34). Under a credential that is the requester's own
// principal, the rows are the requester's own.
func (e *evaluation) rows() error {
	if e.decision.AsRequester {
		return nil
	}
	var closed error
	for _, v := range e.tables {
		if !v.stored || metadata(v.id.Dataset, v.id.Table) {
			continue
		}
		rule, named := e.reader(v.id)
		if named {
			e.cite(rule.ref)
			continue
		}
		for _, t := range withOrigins(e.input.Tables[v.name]) {
			switch e.input.RowAccess[t.TableReference.String()] {
			case bigquery.RowAccessNone:
			case bigquery.RowAccessPolicies:
				if closed == nil {
					closed = e.rowAccess(v, rule)
				}
			default:
				e.needsRowAccess, e.unasked = append(e.needsRowAccess, t), cmp.Or(e.unasked, v.name)
			}
		}
	}
	switch {
	case closed != nil:
		return closed
	case len(e.needsRowAccess) > 0:
		unknown := e.unasked
		return refuse(e.decision.Rule, "the same query again", "it is not known whether %s has row access policies of BigQuery",
			e.input.short(unknown))
	}
	return nil
}

// unmeasured lists the tables of which it must be known, before an estimate of the query's size is
// believed, that they have no row access policies: those that a rule names, of which nothing was
// asked so far. BigQuery "hides sensitive statistics on all queries against tables with row-level
// security", the number of bytes processed among them, and a dry run may say 0.
// https://cloud.google.com/bigquery/docs/best-practices-row-level-security
func (e *evaluation) unmeasured() []*bigquery.Table {
	r := e.input
	var all []*bigquery.Table
	for _, v := range e.tables {
		if !v.stored || metadata(v.id.Dataset, v.id.Table) {
			continue
		}
		for _, t := range withOrigins(r.Tables[v.name]) {
			if r.RowAccess[t.TableReference.String()] != bigquery.RowAccessNone {
				all = append(all, t)
			}
		}
	}
	return all
}

// withOrigins lists a table and those whose rows it shows: whoever may not see all rows of one may
// not see them in the other.
func withOrigins(t *bigquery.Table) []*bigquery.Table {
	all := []*bigquery.Table{t}
	for _, o := range t.Origins {
		if o.Table != nil {
			all = append(all, withOrigins(o.Table)...)
		}
	}
	return all
}

// reader is a rule that reads a table with the query's credential: one that names the table under
// row_access_policies, if there is any. Rows are those of an account, so a rule with another
// credential counts for nothing.
func (e *evaluation) reader(id bigquery.TableID) (r *rule, named bool) {
	for _, other := range covering(e.covering, id) {
		if other.credential != e.decision.Credential {
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
func (e *evaluation) rowAccess(v *view, r *rule) error {
	name := e.input.short(v.name)
	if strings.HasSuffix(v.id.Table, "*") {
		return refuse(r.ref, "a query that names each table",
			"%s takes in a table that has row access policies, and BigQuery reads no such table through a wildcard", name)
	}
	return refuse(r.ref, fmt.Sprintf("a query without this table, or the same one after an operator has named the table in rule %s "+
		"(row_access_policies: %s)", r.ref.Name, shortQuoted(v.name)),
		"%s has row access policies, which BigQuery applies to the account that the query runs under: everybody who shares the account "+
			"would see its rows, whatever their own are", name)
}
