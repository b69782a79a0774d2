package extauthz

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/refusal"
	"github.com/bqgate/bqgate/internal/verdict"
	"github.com/bqgate/bqgate/policies"
)

// What a subject may do at all, before anything is asked about what it wants: whether its rules are
// over, and in which projects its jobs may run.

func (s *Service) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// reach is what the subject may know to exist.
func (s *Service) reach(a asked) policies.Reach { return a.policy.Reach(a.subject, s.now()) }

// admit refuses a subject whose rules are over, and a request for jobs in a project where it may
// run none: by the policy alone, so that a project that exists is refused in the words and in the
// time of one that does not. A job is stopped whoever asks for it in its owner's name.
func (s *Service) admit(a asked) (groups []string, err error) {
	if a.op.Method == bigquery.MethodCancel {
		return nil, nil
	}
	reach := s.reach(a)
	if d, over := reach.Over(); over {
		return reach.Groups, denied(d)
	}
	job := a.op.Query != nil || a.op.List != nil || a.op.Read != nil && a.op.Read.Table == nil
	if project := a.op.Job.ProjectID; job && !reach.Nothing() && !reach.JobsIn(project) {
		message, remedy := reach.NoJobsIn(project)
		return reach.Groups, &refusal.Refusal{What: message, Remedy: remedy}
	}
	return reach.Groups, nil
}

// aged refuses a request about a held query whose subject's token has become too old for the tables
// that it reads.
func (s *Service) aged(a asked, tables []string) error {
	if d, aged := a.policy.Aged(a.subject, tables, s.now()); aged {
		return denied(d)
	}
	return nil
}

// Errors by which Again ends an answer that is on its way.
var (
	errOver    = errors.New("the credential that the answer was asked with is over")
	errChanged = errors.New("the policy has changed, and shows less of this answer than what is on its way")
)

// Again decides once more about an answer that is on its way: whether whoever asked for it still
// may. An error ends the answer.
func (s *Service) Again(ctx context.Context, f *verdict.Forward) error {
	if f.Method == bigquery.MethodCancel {
		return nil
	}
	if f.Subject.Expiry.IsZero() || s.now().After(f.Subject.Expiry.Add(identity.ClockSkew)) {
		return errOver
	}
	if s.Sessions != nil && (s.Sessions.Banned(f.Subject.Token) || s.Sessions.Over(f.Subject)) {
		return errOver
	}
	if f.Subject.Session != "" {
		if s.Sessions == nil {
			return errOver
		}
		if live, err := s.Sessions.Live(ctx, f.Subject.Session); err != nil || !live {
			return errors.Join(errOver, err)
		}
	}
	a := s.arrived(request{})
	a.op.Method, a.op.Job, a.subject, a.ask = f.Method, f.Record.Job, f.Subject, f.Witness()
	if _, err := s.admit(a); err != nil {
		return err
	}
	j, err := s.judgeAgain(ctx, a, f.Record)
	if err != nil {
		return fmt.Errorf("decide again about decision %s: %w", f.Decision, err)
	}
	same, err := masking.StricterPlan(f.Plan, f.Plan)
	if err != nil {
		return errors.Join(errChanged, err)
	}
	stricter, err := masking.StricterPlan(f.Plan, j.decision.Mask)
	if err != nil {
		return errors.Join(errChanged, err)
	}
	if !reflect.DeepEqual(stricter, same) || lower(j.decision.MaxRows, f.MaxRows) || lower(j.decision.MaxResultBytes, f.MaxResultBytes) {
		return errChanged
	}
	return nil
}

// lower says whether a limit is below another one, where 0 is none.
func lower(limit, than int64) bool { return limit > 0 && (than == 0 || limit < than) }
