package extproc

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/cause"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/limits"
	"github.com/bqgate/bqgate/internal/verdict"
)

// questionOf is what an answer is compared by with one that was let out before: who asked, for
// what, and the plan by which the answer is masked. Where it is the same and the bytes are, the
// answer is recorded by reference.
func questionOf(f *verdict.Forward) audit.Hash {
	text, err := json.Marshal([]any{f.Subject.Owner, f.Method, f.Verb, f.Path, f.Query, f.BodyDigest, f.Fields, f.TimestampFormat,
		f.Record.Job, f.Plan})
	if err != nil { // of plain data: there is none
		text = []byte(f.Decision) // the same as no other
	}
	return sha256.Sum256(text)
}

// record makes a piece of the answer durable, and with the last one the outcome.
func (x *exchange) record(ctx context.Context, out []byte, outcome []audit.Outcome) error {
	if len(out) == 0 && len(outcome) == 0 {
		return nil
	}
	for i := range outcome {
		outcome[i].Decision = x.forward.Decision
	}
	x.clock.Done("mask")
	before := x.recorded.Took()
	err := x.recorded.Append(ctx, x.service.Journal, out, outcome...)
	x.clock.Done("audit")
	// An answer that is on its way is never broken off for it: what it takes beyond the budget, its
	// owner's next requests wait for.
	x.service.Limits.Charge(x.forward.Subject.Budget, limits.RecordedBytes, x.recorded.Took()-before)
	if err != nil {
		x.stopJob()
		return fmt.Errorf("record the answer: %w", err)
	}
	return nil
}

// broken records that the agent did not get the whole answer. It is the one record that nothing
// waits for: there is nothing left to hold back.
func (x *exchange) broken(err error) {
	if x.forward == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), x.service.stepTimeout())
	defer cancel()
	o := audit.Outcome{Decision: x.forward.Decision, State: audit.StateBroken, Status: x.status, Bytes: x.recorded.Bytes(),
		Reason: cause.Text(err)}
	if x.answer != nil {
		o.Rows, o.Job = x.answer.rows(), auditJob(x.answer.job())
	}
	if _, err := x.service.Journal.Append(ctx, o); err != nil {
		x.service.Log.Error("outcome not recorded", "decision", x.forward.Decision, "cause", cause.Words(err), "error", err)
	}
}

// stopJob cancels the job that the answer is about: without a journal nobody will be told how it
// ends (A31). The agent's answer does not wait for it; the end of the process does (Wait). What
// becomes of the decision is recorded as unknown by the process that begins next.
func (x *exchange) stopJob() {
	record := x.forward.Record
	if job := x.answer.job(); job.JobID != "" {
		record.Job = job
	}
	if x.service.Cancel == nil || record.Job.JobID == "" || x.stopped {
		return
	}
	x.stopped = true
	s, decision := x.service, x.forward.Decision
	s.stopping.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), s.stepTimeout())
		defer cancel()
		err := s.Cancel(ctx, durable.StopJob(), record)
		s.Log.Warn("the answer cannot be recorded; its job is cancelled", "decision", decision, "job", record.Job, "error", err)
	})
}

// Wait returns when every job that was to be cancelled is, or after a while: it is for the end of
// the process, when nothing is served any more.
func (s *Service) Wait(atMost time.Duration) {
	done := make(chan struct{})
	go func() { s.stopping.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(atMost):
		s.Log.Error("the process ends, and jobs whose answers cannot be recorded are not cancelled yet")
	}
}

func auditJob(ref bigquery.JobReference) audit.Job {
	return audit.Job{ProjectID: ref.ProjectID, JobID: ref.JobID, Location: ref.Location}
}
