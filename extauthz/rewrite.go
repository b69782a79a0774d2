package extauthz

import (
	"cmp"
	"context"
	"fmt"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/policies"
)

// decideQuery asks the policy about an analysed query. Where its tables must be masked first, its text is rewritten, the result proven, and the policy asked again. The
// request comes back as it was last asked.
func (s *Service) decideQuery(ctx context.Context, w *walk, set *policies.Set, op bigquery.Operation, ask policies.Request) (policies.Request, error) {
	salt := s.salt(w, op)
	d, err := set.Judge(ask, func(tables []policies.MaskedTable) (*policies.Rewritten, error) {
		masks, err := policies.TableMasks(tables, salt)
		if err != nil {
			return nil, err
		}
		made, err := s.Analyzer.Rewrite(ctx, s.sqlRequest(w, set, op), ask.Analysis, masks)
		if err != nil {
			return nil, err
		}
		ask.Rewritten = &policies.Rewritten{Tables: tables, Proof: made.Proof}
		w.forwarded, w.forwardedShown = made.SQL, masking.HideSaltSQL(made.SQL, salt)
		return ask.Rewritten, nil
	})
	if err != nil {
		return ask, fmt.Errorf("rewrite the query: %w", err)
	}
	w.decision, w.rewritten = d, ask.Rewritten
	return ask, nil
}

// sqlRequest is the operation's SQL with everything that its meaning depends on. Nothing is asked of BigQuery about what the policy does not let the subject know.
func (s *Service) sqlRequest(w *walk, set *policies.Set, op bigquery.Operation) googlesql.Request {
	return googlesql.Request{
		SQL: op.Query.SQL, Project: op.Job.ProjectID, DefaultDataset: op.Query.DefaultDataset,
		ParameterMode: op.Query.ParameterMode, Parameters: op.Query.Parameters, Catalog: s.Catalog(w.ask), Caller: w.subject.Owner,
		Reach: set.Reach(w.subject, s.now()).Reads,
	}
}

// salt keys RANDOM_HASH in a rewritten text. It is another one for every query, and the same one when the same request is made again or a held query is released: the text
// that runs must be the text that was decided on.
func (s *Service) salt(w *walk, op bigquery.Operation) []byte {
	id := cmp.Or(w.saltID, w.id)
	switch { // a request that is sent again gets the same text
	case op.Method == bigquery.MethodQuery && op.Query.RequestID != "":
		id = op.Query.RequestID
	case op.Method == bigquery.MethodInsert && op.Job.JobID != "" && w.saltID == "":
		id = op.Job.JobID
	}
	sum := s.Keys.MAC("random_hash/sql", w.subject.Owner, op.Job.ProjectID, id, jobs.Digest(op.Query.SQL), string(op.Query.Parameters))
	return sum[:]
}

// runs is the query as BigQuery gets it.
func (w *walk) runs(op bigquery.Operation) bigquery.Operation {
	if w.forwarded == "" {
		return op
	}
	q := *op.Query
	q.SQL = w.forwarded
	op.Query = &q
	return op
}
