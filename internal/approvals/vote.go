package approvals

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxReason is the length of a reason in characters.
const maxReason = 1000

// Vote casts one reviewer's vote. A request is approved when as many different people as its
// quorum have approved, and denied when one has denied. When Vote returns without error, the vote
// is durable and in force; after ErrBusy or a failure of Redis or the Journal it is neither, or the
// next look at the request says so.
//
// Terms make an approval reach further than one run, where the policy allows that; the approvals of
// several people reach as far as the narrowest of them.
//
// Errors: ErrNotFound (also for a request that d may not see), ErrOwn, ErrNoPerson, ErrStale,
// ErrDecided, ErrExpired, ErrReason, ErrTerms.
func (s *Store) Vote(ctx context.Context, id string, d Decider, choice Choice, reason string, terms ...Terms) (Request, error) {
	var asked *Terms
	if len(terms) > 0 && terms[0] != (Terms{}) {
		asked = &terms[0]
	}
	if asked != nil && choice != Approve {
		return Request{}, fmt.Errorf("%w: a denial has no uses or hours", ErrTerms)
	}
	if choice != Approve && choice != Deny {
		return Request{}, fmt.Errorf("vote on request %s: %q is not %s or %s", id, choice, Approve, Deny)
	}
	r, now, err := s.transition(ctx, id, func(r *record, now time.Time) (Event, error) {
		if err := s.mayDecide(*r, now, d); err != nil {
			return Event{}, err
		}
		// Only now: who may not see the request learns nothing from what they wrote.
		if err := checkReason(choice, reason); err != nil {
			return Event{}, err
		}
		if err := r.checkTerms(asked); err != nil {
			return Event{}, err
		}
		return r.vote(d, choice, reason, asked, now)
	})
	if err != nil {
		return Request{}, err
	}
	return s.view(r, now), nil
}

// mayDecide checks who, then when: an outsider learns nothing of a request. Who sees it and is not
// barred is one of its reviewers.
func (s *Store) mayDecide(r record, now time.Time, d Decider) error {
	request := s.view(r, now)
	if !request.VisibleTo(d) {
		return ErrNotFound
	}
	if err := request.barred(d); err != nil {
		return err
	}
	switch request.State {
	case StatePending:
		return request.fresh(d, now)
	case StateExpired:
		return ErrExpired
	default:
		return fmt.Errorf("%w: the request is %s%s", ErrDecided, request.State, lastWord(request))
	}
}

// clockSkew is how far ahead an issuer's clock may be.
const clockSkew = time.Minute

// Fresh says whether d logged in lately enough, as far as the policy asks.
func (r Request) Fresh(d Decider, now time.Time) bool { return r.fresh(d, now) == nil }

func (r Request) fresh(d Decider, now time.Time) error {
	if r.MaxAge == 0 {
		return nil
	}
	within := time.Duration(r.MaxAge) * time.Second
	switch age := now.Sub(d.AuthTime); {
	case d.AuthTime.IsZero():
		return fmt.Errorf("%w, at most %s old; your token does not say when you logged in (auth_time)", ErrStale, within)
	case age > within || age < -clockSkew:
		return fmt.Errorf("%w, at most %s old; log in again and decide then", ErrStale, within)
	default:
		return nil
	}
}

func lastWord(r Request) string {
	if len(r.Votes) == 0 {
		return ""
	}
	return ", last decided by " + r.Votes[len(r.Votes)-1].By
}

// vote adds a vote to the record.
func (r *record) vote(d Decider, choice Choice, reason string, terms *Terms, now time.Time) (Event, error) {
	v := vote{
		Vote:   Vote{By: d.Subject.DisplayName(), Choice: choice, Reason: reason, At: now},
		Issuer: d.Subject.Issuer, Sub: d.Subject.Sub, People: persons(d.Subject.People),
		Groups:   slices.DeleteFunc(slices.Clone(d.Groups), func(g string) bool { return !slices.Contains(r.Held.Approval.Reviewers, g) }),
		Terms:    terms,
		AuthTime: d.AuthTime,
	}
	if v.repeats(r.Votes) {
		return Event{}, fmt.Errorf("%w: you have decided on this request before, and each person counts once; it waits for someone else",
			ErrDecided)
	}
	r.Votes = append(r.Votes, v)
	kind := EventApprove
	switch {
	case choice == Deny:
		kind, r.State = EventDeny, StateDenied
	case met(r.Held.Approval, r.Votes):
		r.State, r.Grant = StateApproved, r.grantOf(now)
	}
	e := Event{Kind: kind, Reason: reason}
	e.by(d.Subject)
	return e, nil
}

// checkReason keeps out what could pass for something else where the reason is shown: in an agent's
// error message, on a console, in a log.
func checkReason(choice Choice, reason string) error {
	switch {
	case choice == Deny && strings.TrimSpace(reason) == "":
		return fmt.Errorf("%w; a denial needs one, it is what the requester reads", ErrReason)
	case !utf8.ValidString(reason):
		return fmt.Errorf("%w, in UTF-8", ErrReason)
	case utf8.RuneCountInString(reason) > maxReason:
		return fmt.Errorf("%w; this one has %d", ErrReason, utf8.RuneCountInString(reason))
	}
	for _, c := range reason {
		if c != '\n' && c != '\t' && !unicode.IsPrint(c) && !unicode.Is(unicode.Zs, c) {
			return fmt.Errorf("%w; it has the invisible character %U", ErrReason, c)
		}
	}
	return nil
}
