package extauthz

import (
	"context"
	"errors"
	"fmt"

	"github.com/bqgate/bqgate/internal/jobs"
)

// readTable decides about tabledata.list. The table of an own job's result is read under that job's record, as its pages are; the rows of any other table are only read by
// a query, which says what of them is meant.
func (s *Service) readTable(ctx context.Context, w *walk) outcome {
	id := *w.op.Read.Table
	w.asked = []string{id.String()}
	record, verified, err := s.Jobs.ByDestination(ctx, w.subject.Owner, id)
	if err == nil {
		return s.readJob(ctx, w, record, verified)
	}
	if !errors.Is(err, jobs.ErrNotFound) {
		return s.refuse(ctx, w, fmt.Errorf("look for a result table: %w", err))
	}
	rule, ok := s.reach(w).Table(id)
	if !ok {
		return s.refuse(ctx, w, hidden(id.Dataset+"."+id.Table))
	}
	return s.refuse(ctx, w, &refusal{
		message: fmt.Sprintf("the rows of %s.%s are not listed without a query", id.Dataset, id.Table), rule: rule,
		remedy: fmt.Sprintf("SELECT * FROM `%s` with jobs.query or jobs.insert, and its pages by jobs.getQueryResults", id),
	})
}
