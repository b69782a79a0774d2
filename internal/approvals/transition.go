package approvals

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/bqgate/bqgate/internal/identity"
)

// step changes a record and says what that is, or why it may not be. It is asked twice, with
// Redis's time before and after the claim, and must not keep anything of the first time.
type step func(r *record, now time.Time) (Event, error)

// transition takes one step: claim, append, commit. Between append and commit the journal is read
// once more: of two processes on one host that were both led to believe that they hold the claim,
// by whoever writes Redis, at least one sees the other's attempt and gives way. A step whose end is
// not in the journal by the end of its claim is not taken for done: nobody is told so, and nothing
// is opened by it.
// It returns the record after the step and Redis's time.
// Whoever is refused by the step changes nothing and leaves no trace.
func (s *Store) transition(ctx context.Context, id string, do step) (record, time.Time, error) {
	if err := s.caughtUp(); err != nil {
		return record{}, time.Time{}, err
	}
	deadline := time.Now().Add(s.options.ClaimLease + time.Second) // longer than a claim of somebody who died
	for {
		before, now, err := s.read(ctx, id)
		if err != nil {
			return record{}, time.Time{}, err
		}
		trial := before.clone()
		if _, err := do(&trial, now); err != nil {
			return before, now, err
		}
		mine := nonce()
		if !s.seen.contested(id, before.Version, mine, now, s.options.ClaimLease) {
			began := time.Now()
			claimed, now, err := s.claim(ctx, before, mine)
			if err != nil {
				return record{}, time.Time{}, err
			}
			if claimed {
				return s.carryOut(ctx, before, now, began, mine, do)
			}
		}
		if time.Now().After(deadline) {
			return record{}, time.Time{}, ErrBusy
		}
		select {
		case <-ctx.Done():
			return record{}, time.Time{}, fmt.Errorf("change request %s: %w", id, ctx.Err())
		case <-time.After(5*time.Millisecond + rand.N(20*time.Millisecond)): //nolint:gosec // G404: a pause is no secret
		}
	}
}

// carryOut appends and commits under a claim.
func (s *Store) carryOut(ctx context.Context, before record, now, began time.Time, mine string, do step) (record, time.Time, error) {
	// From here on a client that hangs up must not leave the step half done.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.ClaimLease)
	defer cancel()
	after := before.clone()
	event, err := do(&after, now)
	if err != nil {
		s.unclaim(ctx, before.ID, mine)
		return before, now, err
	}
	after.Version, after.Nonce = before.Version+1, mine
	text, err := s.sealWhat(after)
	if err != nil {
		s.unclaim(ctx, before.ID, mine)
		return record{}, time.Time{}, err
	}
	event = s.complete(event, after, now, before.Nonce)
	if err := s.announce(ctx, event); err != nil {
		s.unclaim(ctx, before.ID, mine)
		return record{}, time.Time{}, err
	}
	if err := s.caughtUp(); err != nil {
		s.unclaim(ctx, before.ID, mine)
		return record{}, time.Time{}, err
	}
	if s.seen.contested(before.ID, before.Version, mine, now, s.options.ClaimLease) {
		s.unclaim(ctx, before.ID, mine)
		return record{}, time.Time{}, fmt.Errorf("change request %s: another process is changing it, which Redis did not show: %w",
			before.ID,
			ErrBusy)
	}
	at, err := s.commit(ctx, before, after, text, s.messages(after, now, event)...)
	if err != nil {
		return record{}, time.Time{}, err
	}
	event.Epoch, event.Link = at.number, at.link
	if !s.confirm(ctx, event) || time.Since(began) > s.options.ClaimLease {
		return record{}, time.Time{}, fmt.Errorf("change request %s: it is not in the journal in time: %w", before.ID, ErrBusy)
	}
	return after, now, nil
}

func (s *Store) claim(ctx context.Context, r record, mine string) (bool, time.Time, error) {
	before := s.ledger.sure()
	v, err := s.run(ctx, scriptClaim, []string{requestKey(r.ID), keyHead}, string(r.State), strconv.FormatInt(r.Version, 10), mine,
		s.options.ClaimLease.Milliseconds())
	if err != nil {
		return false, time.Time{}, fmt.Errorf("claim request %s: %w", r.ID, err)
	}
	values, err := reply{"claim", v}.list(3)
	if err != nil {
		return false, time.Time{}, err
	}
	if err := s.ledger.saw(ctx, before, values[2]); err != nil {
		return false, time.Time{}, err
	}
	switch values[0] {
	case "ok":
		now, err := instant(values[1])
		return err == nil, now, err
	case "busy", "changed":
		return false, time.Time{}, nil
	default:
		return false, time.Time{}, fmt.Errorf("claim request %s: script answered %v", r.ID, values[0])
	}
}

// unclaim lets others on at once; without it they wait for the end of the lease.
func (s *Store) unclaim(ctx context.Context, id, mine string) {
	if _, err := s.run(ctx, scriptUnclaim, []string{requestKey(id)}, mine); err != nil {
		s.log.Warn("claim not given back; it runs out by itself", "request", id, "error", err)
	}
}

// commit replaces the record, in the script that tells all replicas of it, and returns the place of
// the message, the zero head where it is not known. It does so only if no replica has told of a
// later version: of two who were led to take the same step, the second finds the first one's
// message. When the answer is lost on the way, the record itself says whether it was replaced.
func (s *Store) commit(ctx context.Context, before, after record, text string, messages ...any) (head, error) {
	keys := []string{
		requestKey(after.ID), s.digestKey(after.Held.Statement), keyHead, keyLedger, keyOutbox,
	}
	garbage := int64(0)
	if before.Grant == nil && after.Grant != nil && after.Grant.standing() {
		garbage = s.garbage(after).UnixMilli()
	}
	args := []any{
		after.Nonce, strconv.FormatInt(before.Version, 10), string(after.State), strconv.FormatInt(after.Version, 10), text, after.ID,
		channel, garbage,
	}
	told := news{[]Reached{{after.ID, after.Version, s.garbage(after)}}, []card{s.cardOf(after, len(text))}}
	word, at, err := s.ledger.append(ctx, told, func() error {
		if now := s.seen.get(after.ID); now > before.Version {
			return fmt.Errorf("commit request %s: another replica tells of version %d: %w", after.ID, now, ErrBusy)
		}
		return nil
	}, func(e entry) (string, error) {
		v, err := s.run(ctx, scriptCommit, keys, slices.Concat(args, e.args(), messages)...)
		if err != nil {
			return "", err
		}
		word, _ := v.(string)
		return word, nil
	})
	if err == nil && word == "ok" {
		return at, nil
	}
	if err == nil && word != "lost" {
		return head{}, fmt.Errorf("commit request %s: script answered %q", after.ID, word)
	}
	if errors.Is(err, ErrRolledBack) {
		return head{}, err
	}
	// A retry of the client after a lost answer finds the claim gone by its own hand.
	if r, _, rerr := s.read(ctx, after.ID); rerr == nil && r.Version == after.Version && r.Nonce == after.Nonce {
		return head{}, nil
	} else if err != nil || rerr != nil {
		return head{}, fmt.Errorf("commit request %s: whether it was committed is not known: %w", after.ID, errors.Join(err, rerr))
	}
	return head{}, fmt.Errorf("commit request %s: the claim ran out before the journal had written: %w", after.ID, ErrBusy)
}

// clone copies what a step may change.
func (r record) clone() record {
	r.Votes = append([]vote(nil), r.Votes...)
	if r.Release != nil {
		release := *r.Release
		r.Release = &release
	}
	if r.Grant != nil {
		grant := *r.Grant
		grant.Runs = slices.Clone(grant.Runs)
		r.Grant = &grant
	}
	return r
}

func (s *Store) event(r record, now time.Time, kind Kind, previous string) Event {
	return s.complete(Event{Kind: kind}, r, now, previous)
}

func (s *Store) complete(e Event, r record, now time.Time, previous string) Event {
	e.At, e.Request, e.Version, e.Nonce, e.Previous, e.State = now, r.ID, r.Version, r.Nonce, previous, r.State
	e.Owner, e.Digest, e.Job, e.Decision = r.Held.Subject.Owner, r.Held.Digest, r.Held.Job, r.Held.Decision
	e.Until = s.garbage(r)
	if r.Under != nil {
		e.Grant = r.Under.Grant
	}
	return e
}

func (e *Event) by(s identity.Subject) {
	e.Issuer, e.Sub, e.People, e.By = s.Issuer, s.Sub, s.People, s.DisplayName()
}

// announce makes the attempt durable. Without it nothing may be committed.
func (s *Store) announce(ctx context.Context, e Event) error {
	e.Phase = PhaseAttempt
	if err := s.journal.ApprovalEvent(ctx, e); err != nil {
		return fmt.Errorf("journal that request %s is %s: %w", e.Request, e.Kind, err)
	}
	return nil
}

// confirm says in the journal that it happened. If that fails, the next event of the request says
// it, by Previous.
func (s *Store) confirm(ctx context.Context, e Event) bool {
	e.Phase = PhaseCommitted
	err := s.journal.ApprovalEvent(ctx, e)
	if err != nil {
		s.log.Error("committed step not confirmed in the journal", "request", e.Request, "kind", e.Kind, "nonce", e.Nonce, "error", err)
	}
	return err == nil
}
