package approvals

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/identity"
)

// Terms are how far an approval reaches beyond the one run that waits: this exact statement, for
// the same grant key, so many runs within so many hours. The zero Terms are one run.
type Terms struct {
	Uses  int `json:"uses"`
	Hours int `json:"hours"`
}

// grant is what an approval allows. An ordinary approval has one run and ends with the request.
type grant struct {
	Uses    int       `json:"uses"`
	Until   time.Time `json:"until"`
	Later   bool      `json:"later,omitempty"` // may be used by a later try of the same statement
	Runs    []run     `json:"runs,omitempty"`
	Revoked bool      `json:"revoked,omitempty"`
}

// run is one use of a grant. It is counted before anything is submitted, and never given back.
type run struct {
	Request string                `json:"request"` // the request that it runs as
	Job     bigquery.JobReference `json:"job"`
	At      time.Time             `json:"at"`
}

// under says on whose grant a request runs.
type under struct {
	Grant string `json:"grant"` // id of the request that was approved
	Nonce string `json:"nonce"` // of the step that counted this run
	Use   int    `json:"use"`   // which use of the grant this is
}

// use names the job that one use of an approval takes at BigQuery, in the approved project and
// location. BigQuery takes an id once: its 409 refuses a second run of one use even where Redis and
// every replica have forgotten the first. So the id is the same wherever the use is tried: of the
// job that waited it is in the approved record itself, be it the client's or, where it chose none,
// ours; of a later run, which may come under any id, it is a MAC of the approval and the number of
// the use.
func (s *Store) use(r record) bigquery.JobReference {
	approval, number := r.ID, 1
	if r.Under != nil {
		approval, number = r.Under.Grant, r.Under.Use
	} else if r.Held.Job.JobID != "" {
		return r.Held.Job
	}
	sum := s.keys.Name("approvals/use", approval, strconv.Itoa(number))
	job := r.Held.Job
	job.JobID = "bqgate_" + hex.EncodeToString(sum[:])
	return job
}

// nextUse is the number of the next use by a later try. The first one is of the job that waits.
func (r *record) nextUse() int {
	n := 1
	if !r.Held.NoWait {
		n = 2
	}
	for _, run := range r.Grant.Runs {
		if run.Request != r.ID {
			n++
		}
	}
	return n
}

// standing says that later tries may find the grant.
func (g *grant) standing() bool { return g.Later }

func (g *grant) left() int { return g.Uses - len(g.Runs) }

func (g *grant) has(id string) bool {
	return slices.ContainsFunc(g.Runs, func(r run) bool { return r.Request == id })
}

// checkTerms keeps an approval within what the policy allows.
func (r *record) checkTerms(t *Terms) error {
	if t == nil || *t == (Terms{}) || *t == (Terms{Uses: 1}) {
		return nil
	}
	bounds := r.Held.Approval.Standing
	switch {
	case bounds.MaxUses == 0:
		return fmt.Errorf("%w: it allows one run; leave out uses and hours", ErrTerms)
	case t.Uses < 1 || t.Uses > bounds.MaxUses || t.Hours < 1 || t.Hours > bounds.MaxHours:
		return fmt.Errorf("%w: uses must be between 1 and %d, and hours between 1 and %d", ErrTerms, bounds.MaxUses, bounds.MaxHours)
	}
	return nil
}

// grantOf is what all who approved agreed to: the least of it. One who gave no terms approved one
// run.
func (r *record) grantOf(now time.Time) *grant {
	terms, standing := leastTerms(r.Votes)
	if !standing {
		return &grant{Uses: 1, Until: r.Expires, Later: r.Held.NoWait}
	}
	return &grant{Uses: terms.Uses, Until: now.Add(time.Duration(terms.Hours) * time.Hour), Later: true}
}

// leastTerms are the terms that all who approved agreed to; false where one of them gave none.
func leastTerms(votes []vote) (least Terms, standing bool) {
	for _, v := range votes {
		if v.Choice != Approve {
			continue
		}
		if v.Terms == nil || v.Terms.Hours == 0 {
			return Terms{}, false
		}
		if !standing {
			least, standing = *v.Terms, true
		}
		least.Uses, least.Hours = min(least.Uses, v.Terms.Uses), min(least.Hours, v.Terms.Hours)
	}
	return least, standing
}

// underGrant looks for an approved request that allows what is asked, takes one run from it and
// makes a request that is approved already. It returns nil where there is none. Who dies between
// the two has used up the run.
func (s *Store) underGrant(ctx context.Context, h Held, candidates []string, index, taken []string) (*Request, error) {
	for _, id := range candidates {
		child := record{ID: newID(), State: StateApproved, Held: h}
		r, now, err := s.transition(ctx, id, func(r *record, now time.Time) (Event, error) {
			use := 0
			if r.Grant != nil {
				use = r.nextUse()
			}
			child.Under = &under{Grant: r.ID, Use: use}
			job := h.Job
			if job.JobID == "" {
				job = s.use(child)
			}
			return r.takeRun(h, child.ID, job, now)
		})
		switch {
		case errors.Is(err, errNoRun), errors.Is(err, ErrNotFound):
			continue
		case err != nil:
			return nil, err
		}
		child.Votes, child.Grant, child.Under.Nonce = usable(r.Votes, h.Subject), &grant{Uses: 1, Until: r.Grant.Until}, r.Nonce
		if child.Held, err = h.within(r.Held); err != nil {
			return nil, err // not reached: the step has looked
		}
		return s.create(ctx, child, now, index, taken)
	}
	return nil, nil
}

// reserved is the run that the job which waited for the approval has not had yet.
func (r *record) reserved() int {
	if r.Held.NoWait || r.Ran || r.Grant.has(r.ID) {
		return 0
	}
	return 1
}

var errNoRun = errors.New("this grant allows no run of it")

// takeRun counts one run of h, by the request mine. The approvals must be enough for whoever asks
// now: a reviewer who is behind this run did not approve it (attack A7).
func (r *record) takeRun(h Held, mine string, job bigquery.JobReference, now time.Time) (Event, error) {
	state, _ := r.state(now)
	g := r.Grant
	if g == nil || !g.Later || g.Revoked || state != StateApproved || g.left() < 1+r.reserved() || r.Under != nil || !r.covers(h, now) ||
		r.Held.Job.ProjectID != h.Job.ProjectID || !strings.EqualFold(r.Held.Job.Location, h.Job.Location) {
		return Event{}, errNoRun
	}
	g.Runs = append(g.Runs, run{Request: mine, Job: job, At: now})
	if g.left() == 0 && r.State == StateApproved {
		r.State = StateUsed
	}
	e := Event{Kind: EventRun, Reason: "for " + mine}
	e.by(h.Subject)
	return e, nil
}

// usable are the votes of people who are not behind the run.
func usable(votes []vote, s identity.Subject) []vote {
	return slices.DeleteFunc(slices.Clone(votes), func(v vote) bool {
		return shareAPerson(v.People, s.People) || (v.Issuer == s.Issuer && v.Sub == s.Sub)
	})
}

// standsUnder makes sure that the grant still stands on which a request runs.
func (s *Store) standsUnder(ctx context.Context, r record) error {
	if r.Under == nil {
		return nil
	}
	parent, _, err := s.read(ctx, r.Under.Grant)
	switch {
	case errors.Is(err, ErrNotFound):
		return fmt.Errorf("%w: the approval that it runs on is not there any more", ErrNotApproved)
	case err != nil:
		return err
	case parent.Grant == nil || !parent.Grant.has(r.ID):
		return fmt.Errorf("%w: the approval that it runs on does not know of it", ErrNotApproved)
	case parent.Grant.Revoked:
		return ErrRevoked
	}
	return nil
}

// Grant is an approval as people see it: what it allows, what came of it, and how to take it back.
type Grant struct {
	ID      string     `json:"id"`    // of the request that was approved
	State   GrantState `json:"state"` //
	Subject string     `json:"subject"`
	People  []string   `json:"people"`
	Tables  []string   `json:"tables"`
	SQL     string     `json:"sql"`
	Uses    int        `json:"uses"` // runs allowed
	Used    int        `json:"used"` // runs begun
	Granted time.Time  `json:"granted"`
	Until   time.Time  `json:"until"`
	Votes   []Vote     `json:"decisions"`
	Runs    []GrantRun `json:"runs"`
	URL     string     `json:"url"`
}

// GrantRun is one run of a grant.
type GrantRun struct {
	Request string    `json:"request"`
	JobID   string    `json:"job_id"`
	At      time.Time `json:"at"`
}

// GrantState is where a grant stands.
type GrantState string

// States of grants.
const (
	GrantLive    GrantState = "live"
	GrantSpent   GrantState = "spent"
	GrantExpired GrantState = "expired"
	GrantRevoked GrantState = "revoked"
)

// GrantStates lists the states of grants.
func GrantStates() []GrantState {
	return []GrantState{GrantLive, GrantSpent, GrantExpired, GrantRevoked}
}

// Grant is the request as a grant, false if it never became one, or runs on another's.
func (r Request) Grant() (Grant, bool) {
	if r.Uses == 0 || r.Under != "" {
		return Grant{}, false
	}
	g := Grant{
		ID: r.ID, Subject: r.Subject, People: r.People, Tables: r.Tables, SQL: r.SQL, Uses: r.Uses, Used: r.Used, Until: r.Until,
		Votes: r.Votes, URL: r.URL,
		Granted: r.Votes[len(r.Votes)-1].At, Runs: []GrantRun{},
	}
	switch {
	case r.Revoked:
		g.State = GrantRevoked
	case r.State == StateApproved:
		g.State = GrantLive
	case r.State == StateUsed:
		g.State = GrantSpent
	case r.State == StateExpired:
		g.State = GrantExpired
	default: // withdrawn, or void because something changed
		g.State = GrantRevoked
	}
	for _, run := range r.runs {
		g.Runs = append(g.Runs, GrantRun{Request: run.Request, JobID: run.Job.JobID, At: run.At})
	}
	return g, true
}

// Revoke takes an approval back: nothing more runs on it, also none of the runs that were counted
// and not yet submitted. Its reviewers may, and whoever asked for it, but no workload.
//
// Errors: ErrNotFound, ErrOwn (for a workload), ErrReason, ErrNotApproved (never approved),
// ErrDecided (over already), ErrReleasing (its only run is just being submitted).
func (s *Store) Revoke(ctx context.Context, id string, d Decider, reason string) (Request, error) {
	r, now, err := s.transition(ctx, id, func(r *record, now time.Time) (Event, error) {
		request := s.view(*r, now)
		switch {
		case !request.VisibleTo(d):
			return Event{}, ErrNotFound
		case d.Subject.Workload:
			return Event{}, fmt.Errorf("a workload never decides on a request: %w", ErrOwn)
		}
		if err := checkReason(Deny, reason); err != nil {
			return Event{}, err
		}
		switch {
		case r.Grant == nil || r.Under != nil:
			return Event{}, fmt.Errorf("%w: it is %s, so there is nothing to take back", ErrNotApproved, request.State)
		case request.Releasing && r.Grant.left() == 0:
			return Event{}, ErrReleasing
		case r.Grant.Revoked || request.State != StateApproved &&
			(request.State != StateUsed || !r.Grant.Later || !now.Before(r.Grant.Until)):
			return Event{}, fmt.Errorf("%w: the request is %s", ErrDecided, request.State)
		}
		r.Grant.Revoked = true
		r.Ended = fmt.Sprintf("the approval was revoked by %s: %q", d.Subject.DisplayName(), reason)
		if r.State == StateApproved {
			r.State = StateCancelled
		}
		e := Event{Kind: EventRevoked, Reason: reason}
		e.by(d.Subject)
		return e, nil
	})
	if err != nil {
		return Request{}, err
	}
	return s.view(r, now), nil
}
