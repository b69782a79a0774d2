package approvals

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
)

// Hold makes a pending request of a query. When it returns without error, the request is durable in
// the Journal and in Redis.
//
// A query that the same owner sends again, under the same project and job id or the same requestId,
// finds the request it made before, in whatever state that is by now, with Repeated set. Another
// query under such an id is ErrExists. Whose people are not all known needs two reviewers, whatever
// the rule says (attacks A7, A61).
func (s *Store) Hold(ctx context.Context, h Held) (Request, error) {
	h.Operation.Fields = nil
	if err := h.check(); err != nil {
		return Request{}, err
	}
	if !h.Subject.Mapped {
		h.Approval.Quorum = max(2, h.Approval.Quorum)
	}
	var index []string
	if h.Job.JobID != "" {
		index = append(index, s.jobKey(h.Subject.Owner, h.Job.ProjectID, h.Job.JobID))
	}
	if id := h.Operation.Query.RequestID; id != "" {
		index = append(index, s.requestIDKey(h.Subject.Owner, h.Job.ProjectID, id))
	}
	for range 5 {
		found, err := s.lookup(ctx, h.Statement, index)
		if err != nil {
			return Request{}, err
		}
		made, err := s.holdOnce(ctx, h, index, found)
		if err != nil {
			return Request{}, err
		}
		if made != nil {
			return *made, nil
		}
		// Another request under the same ids came in between: look again.
	}
	return Request{}, ErrBusy
}

// holdOnce finds what this query asked before, or a grant that allows it, or makes a request. It
// returns nil if an index changed meanwhile.
func (s *Store) holdOnce(ctx context.Context, h Held, index []string, found found) (*Request, error) {
	if before, err := s.heldBefore(ctx, h, found.index); err != nil || before != nil {
		return before, err
	}
	if granted, err := s.underGrant(ctx, h, found.grants, index, found.index); err != nil || granted != nil {
		return granted, err
	}
	if h.NoWait {
		if before, err := s.askedBefore(ctx, h, found.grants); err != nil || before != nil {
			return before, err
		}
		index, found.index = nil, nil // there is no job, and a later try may come under any id
	}
	return s.create(ctx, record{ID: newID(), State: StatePending, Held: h}, found.now, index, found.index)
}

// askedBefore returns the request that the same statement of the same grant key made when it could
// not wait either, and that shows reviewers the same: while it is pending, and while a denial of it
// is fresh.
func (s *Store) askedBefore(ctx context.Context, h Held, candidates []string) (*Request, error) {
	for _, id := range candidates {
		r, now, err := s.read(ctx, id)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		state, _ := r.state(now)
		fresh := state == StatePending || state == StateDenied && now.Before(r.Expires)
		if fresh && r.Held.NoWait && r.Held.asksTheSame(h) {
			before := s.view(r, now)
			before.Repeated = true
			return &before, nil
		}
	}
	return nil, nil
}

func newID() string { return "r-" + ulid.Make().String() }

// heldBefore returns the request that this query made before, nil if it made none. An index entry
// that leads nowhere, or to somebody else's request, counts as absent: what is planted in Redis
// denies nothing.
func (s *Store) heldBefore(ctx context.Context, h Held, ids []string) (*Request, error) {
	for _, id := range ids {
		if id == "" {
			continue
		}
		r, now, err := s.read(ctx, id)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		o := r.Held
		byJob := o.Job.ProjectID == h.Job.ProjectID && o.Job.JobID == h.Job.JobID
		byRequestID := h.Operation.Query.RequestID != "" && o.Operation.Query.RequestID == h.Operation.Query.RequestID
		if o.Subject.Owner != h.Subject.Owner || !(byJob || byRequestID) {
			s.tampered(id, "an index points to it that is not its own") //nolint:errcheck // and the request is not this one
			continue
		}
		if !r.asked(h) {
			return nil, ErrExists
		}
		before := s.view(r, now)
		before.Repeated = true
		return &before, nil
	}
	return nil, nil
}

// create writes a new request. It returns nil if an index entry changed meanwhile.
func (s *Store) create(ctx context.Context, r record, now time.Time, index, taken []string) (*Request, error) {
	if r.Held.Job.JobID == "" {
		r.Held.Job = s.use(r)
		if !r.Held.NoWait || r.Under != nil {
			index = append([]string{s.jobKey(r.Held.Subject.Owner, r.Held.Job.ProjectID, r.Held.Job.JobID)}, index...)
			taken = append([]string{""}, taken...)
		}
	}
	digest, err := r.Held.digest()
	if err != nil {
		return nil, err
	}
	r.Held.Digest = digest
	h := r.Held
	r.Version, r.Nonce, r.Created, r.Expires = 1, nonce(), now, now.Add(h.Approval.Expires)
	if r.Grant != nil && r.Grant.Until.Before(r.Expires) {
		r.Expires = r.Grant.Until
	}
	if r.Grant != nil {
		r.Grant.Until = r.Expires
	}
	text, err := s.seal(r)
	if err != nil {
		return nil, err
	}
	if len(text) > s.options.MaxRequestBytes {
		return nil, &TooLarge{Bytes: len(text), Limit: s.options.MaxRequestBytes}
	}
	told := news{[]Reached{{r.ID, r.Version, s.garbage(r)}}, []card{s.cardOf(r, len(text))}}
	fits := func() error { return s.fits(told.cards[0], now) }
	if err := s.makeRoom(ctx, told.cards[0], now, fits); err != nil {
		return nil, err
	}
	if err := s.faithful(r, text); err != nil {
		return nil, err
	}
	event := s.event(r, now, EventHeld, "")
	event.Reason = h.Approval.Why
	if r.Under != nil {
		event = s.event(r, now, EventGranted, "")
		event.Reason = "on the approval of " + r.Under.Grant
	}
	event.by(h.Subject)
	if err := s.announce(ctx, event); err != nil {
		return nil, err
	}
	messages := s.messages(r, now, event)
	keys := append([]string{
		requestKey(r.ID), s.grantKey(h.Subject.Grant), s.digestKey(h.Statement), keyHead, keyLedger, keyOutbox,
	}, index...)
	listed := "0"
	if h.NoWait && r.Under == nil {
		listed = "1"
	}
	args := []any{
		r.ID, string(r.State), r.Version, text, event.Until.UnixMilli(), channel, historyKept, listed,
	}
	rest := append([]any{len(messages)}, messages...)
	for _, id := range taken {
		rest = append(rest, id)
	}
	word, at, err := s.ledger.append(ctx, told, fits, func(e entry) (string, error) {
		v, err := s.run(ctx, scriptHold, keys, slices.Concat(args, e.args(), rest)...)
		if err != nil {
			return "", err
		}
		word, _ := v.(string)
		return word, nil
	})
	if err != nil {
		return nil, fmt.Errorf("hold job %s: %w", h.Job.JobID, err)
	}
	switch word {
	case "ok":
		event.Epoch, event.Link = at.number, at.link
		s.confirm(ctx, event)
		out := s.view(r, now)
		return &out, nil
	case "moved":
		// Either somebody was faster, or the client repeated the script because its answer was
		// lost.
		if stored, _, err := s.read(ctx, r.ID); err == nil && stored.Nonce == r.Nonce {
			s.confirm(ctx, event)
			out := s.view(stored, now)
			return &out, nil
		}
		return nil, nil
	default:
		return nil, fmt.Errorf("hold job %s: script answered %v", h.Job.JobID, word)
	}
}
