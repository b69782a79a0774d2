package extauthz

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/limits"
	"github.com/bqgate/bqgate/internal/refusal/table"
	"github.com/bqgate/bqgate/internal/verdict"
)

// What one caller may take of what all need (internal/limits, A37 to A39). A request that is beyond
// a limit costs next to nothing: it is refused before anything is analysed, looked up or recorded
// for it alone.

// enter counts a request with a known subject among those that its owner has under way, until leave
// is called with what came of it. A query that is forwarded is counted until its answer has gone
// out: ext_proc goes on with it.
func (s *Service) enter(a asked) (leave func(*outcome), over error) {
	if a.ask == nil {
		return func(*outcome) {}, nil // nobody: a request without a subject is refused
	}
	owner := a.subject.Budget
	end, err := s.Limits.Begin(owner, limits.Requests)
	if err != nil {
		return nil, err
	}
	if err := s.Limits.Spend(owner, limits.RequestRate, 1); err != nil {
		end()
		return nil, err
	}
	return func(o *outcome) {
		end()
		if o.forward == nil {
			s.Limits.GiveBack(owner, a.id)
		}
	}, nil
}

// mayGoOn says whether a request that was read, well or in vain, is within the budgets that are
// looked at before anything is asked or recorded for it.
func (s *Service) mayGoOn(a asked) error {
	owner := a.subject.Budget
	if a.op.Method == bigquery.MethodCancel { // stopping costs less than what goes on without it
		return nil
	}
	if err := s.Limits.Left(owner, limits.RecordedBytes); err != nil {
		return err
	}
	if a.op.Query == nil {
		return nil
	}
	if err := s.Limits.Left(owner, limits.RefusedStatements); err != nil || a.op.Query.DryRun {
		return err
	}
	return s.pass(a) // from now on, so that no more are analysed at once either
}

// verdictTaken is how long what was forwarded is counted without a sign of ext_proc's: by then a
// verdict is too old to be begun with.
const verdictTaken = verdict.Lifetime + time.Second

// pass counts an answer that is about to be on its way, until ext_proc has sent all of it.
func (s *Service) pass(a asked) error {
	if k, counted := limits.Of(string(a.op.Method)); counted {
		return s.Limits.Lend(a.subject.Budget, k, a.id, verdictTaken)
	}
	return nil
}

// waitingPoll counts a poll that would wait for a person, until leave is called. There may be no
// room for it to wait: then it is answered at once, or refused where such polls come too fast.
func (s *Service) waitingPoll(a asked, wait time.Duration) (time.Duration, func(), error) {
	if wait <= 0 {
		return 0, func() {}, nil
	}
	if end, err := s.Limits.Begin(a.subject.Budget, limits.Waits); err == nil {
		return wait, end, nil
	}
	return 0, func() {}, s.Limits.Spend(a.subject.Budget, limits.Polls, 1)
}

// lateCosts is as what a statement counts that kept a worker until the deadline: ten of them in a
// row use up the default, and then one comes back in 25 seconds. So an owner's bombs take a few
// percent of one worker, and the others' turns are theirs.
const lateCosts = 500

// costOf is as how many refused statements one counts.
func costOf(analysis *googlesql.Analysis) int64 {
	if analysis != nil && analysis.Error != nil && analysis.Error.Code == googlesql.ErrorDeadline {
		return lateCosts
	}
	return 1
}

// limited refuses a request that is beyond a limit. It is recorded in a sum.
func (s *Service) limited(ctx context.Context, a asked, over *limits.Exceeded) outcome {
	witness, err := s.sums.Limited(ctx, s.Journal, a.subject.Budget, over.Kind.String())
	if err != nil {
		return s.unrecorded(a, err)
	}
	status, body := table.ForRequest(over).BigQuery("")
	return outcome{status: status, body: body, witness: witness, decision: a.id, summed: true}
}

// Summarize records, until ctx ends, how many requests were refused beyond limits.
func (s *Service) Summarize(ctx context.Context) {
	s.sums.Run(ctx, s.Journal, func(r audit.Unrecorded) {
		s.Log.Warn(r.What, "owner", r.Who, "requests", r.Answers, "since", r.Since)
	})
}

// looks counts what one request looks up at Google.
type looks struct {
	limits *limits.Owners
	owner  string
	made   atomic.Int64
	over   atomic.Pointer[limits.Exceeded]
}

// count is asked before each look.
func (l *looks) count() error {
	err := l.limits.Spend(l.owner, limits.GoogleCalls, 1)
	if err == nil {
		l.made.Add(1)
		return nil
	}
	var over *limits.Exceeded
	if errors.As(err, &over) {
		l.over.Store(over)
	}
	return err
}

// any says whether there was a look, and so a record that somebody asks.
func (l *looks) any() bool { return l != nil && l.made.Load() > 0 }

// beyond is the limit for which a request ends with an error; nil where it is none. An analysis
// that could not look something up does not say why.
func (l *looks) beyond(err error) *limits.Exceeded {
	var over *limits.Exceeded
	if errors.As(err, &over) {
		return over
	}
	if l == nil || table.ForRequest(err) != nil {
		return nil
	}
	return l.over.Load()
}
