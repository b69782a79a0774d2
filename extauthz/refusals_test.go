package extauthz

import (
	"errors"
	"fmt"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
)

// What is decided is never a fault: a client would repeat it, and get the same. What could be
// otherwise the next time is one.
func TestWhatIsARefusalAndWhatAFault(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		fault bool
	}{
		"an answer of another form": {fmt.Errorf("read table: %w", bigquery.ErrNotUnderstood), false},
		"a snapshot of nothing": {func() error {
			_, err := (&bigquery.Table{Type: "SNAPSHOT"}).Base()
			return fmt.Errorf("get table: %w", err)
		}(), false},
		"a dataset linked to nothing": {func() error { _, err := (&bigquery.ListedDataset{Type: "LINKED"}).Source(); return err }(),
			false},
		"more than is listed":          {fmt.Errorf("list tables: %w", bigquery.ErrTooMany), false},
		"SQL that is not understood":   {&googlesql.Error{Code: googlesql.ErrorUnsupported}, false},
		"a catalog that does not tell": {&googlesql.Error{Code: googlesql.ErrorUnavailable}, true},
		"a connection that broke":      {errors.New("connection reset"), true},
		"BigQuery's own 503":           {&bigquery.APIError{Status: 503}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r, known := asRefusal(c.err)
			if known == c.fault || !c.fault && r.status/100 == 5 {
				t.Errorf("refusal %v (%+v), want a fault: %v", known, r, c.fault)
			}
		})
	}
}
