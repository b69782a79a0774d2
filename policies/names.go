package policies

import (
	"fmt"
	"strings"

	"github.com/bqgate/bqgate/internal/masking"
)

// namedOnce refuses a result in which two columns have one name, as BigQuery does: results go to a
// table, and a table has each name once.
func namedOnce(columns []masking.Column) error {
	seen := map[string]bool{}
	for _, c := range columns {
		name := fold(c.Name)
		if seen[name] {
			return refuse(RuleRef{}, fmt.Sprintf("the same query with names of their own (… AS %s_2), or without one of them",
				strings.TrimSuffix(shorten(c.Name), "…")),
				"two columns of the result are called %s", shorten(c.Name))
		}
		seen[name] = true
	}
	return nil
}
