package extauthz

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
)

// rowAccess asks whether tables have row access policies: the catalog where it knows, BigQuery where it does not. What cannot be found out refuses the query (A34).
func (s *Service) rowAccess(ctx context.Context, w *walk, tables []*bigquery.Table) (map[string]bigquery.RowAccess, error) {
	known, err := googlesql.RowAccess(ctx, s.Catalog(w.ask), tables)
	w.clock.Done("row access")
	switch {
	case err == nil:
		return known, nil
	case errors.Is(err, bigquery.ErrRowAccessDenied):
		s.Log.Error("queries are refused: give the inspection account the permission bigquery.rowAccessPolicies.list", "decision", w.id, "error", err)
		var names []string
		for _, t := range tables {
			// Behind a snapshot or clone stands another table, which the subject need not know of.
			if name := t.TableReference.String(); w.analysis != nil && w.analysis.Tables[name] != nil {
				names = append(names, name)
			}
		}
		if len(names) == 0 {
			names = []string{"a table of this query"}
		}
		return nil, &refusal{
			message: fmt.Sprintf("it is not known whether %s has row access policies of BigQuery: the gateway's inspection account lacks the permission bigquery.rowAccessPolicies.list",
				strings.Join(names, " or ")),
			remedy: "the same query, after an operator has given the inspection account that permission",
		}
	case errors.Is(err, bigquery.ErrNotFound):
		return nil, &refusal{message: "a table of this query does not exist any more", remedy: "a query of tables that exist"}
	default:
		return nil, fmt.Errorf("ask for row access policies: %w", err)
	}
}
