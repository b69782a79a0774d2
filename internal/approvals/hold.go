package approvals

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"
)

// Hold makes a pending request of a query. When it returns without error, the request is durable in the Journal and in Redis.
//
// A query that the same owner sends again, under the same project and job id or the same requestId, finds the request it made before, in whatever state that is
// by now, with Repeated set. Another query under such an id is ErrExists. A workload whose people are not all known needs two reviewers, whatever
// the rule says (attack A7).
func (s *Store) Hold(ctx context.Context, h Held) (Request, error) {
	h.Operation.Fields = nil
	if err := h.check(); err != nil {
		return Request{}, err
	}
	if h.Subject.Workload && !h.Subject.Mapped {
		h.Approval.Quorum = max(2, h.Approval.Quorum)
	}
	index := []string{s.jobKey(h.Subject.Owner, h.Job.ProjectID, h.Job.JobID)}
	if id := h.Operation.Query.RequestID; id != "" {
		index = append(index, s.requestIDKey(h.Subject.Owner, h.Job.ProjectID, id))
	}
	for range 5 {
		taken, now, err := s.lookupAt(ctx, index)
		if err != nil {
			return Request{}, err
		}
		if before, err := s.heldBefore(ctx, h, taken); err != nil || before != nil {
			if err != nil {
				return Request{}, err
			}
			return *before, nil
		}
		created, err := s.create(ctx, h, index, taken, now)
		if err != nil || created != nil {
			if err != nil {
				return Request{}, err
			}
			return *created, nil
		}
		// Another request under the same ids came in between: look again.
	}
	return Request{}, ErrBusy
}

// heldBefore returns the request that this query made before, nil if it made none. An index entry that leads nowhere, or to somebody else's request, is as good as none: what is
// planted in Redis denies nothing.
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
			s.tampered(id, "an index points to it that is not its own")
			continue
		}
		if !o.sameQuery(h) {
			return nil, ErrExists
		}
		before := s.view(r, now)
		before.Repeated = true
		return &before, nil
	}
	return nil, nil
}

// create writes the request. It returns nil if the index changed meanwhile.
func (s *Store) create(ctx context.Context, h Held, index, taken []string, now time.Time) (*Request, error) {
	r := record{
		ID: "r-" + ulid.Make().String(), Version: 1, State: StatePending, Nonce: nonce(), Created: now, Expires: now.Add(h.Approval.Expires), Held: h,
	}
	text, err := s.seal(r)
	if err != nil {
		return nil, err
	}
	if len(text) > s.options.MaxRequestBytes {
		return nil, fmt.Errorf("%w: it takes %d bytes, at most %d can be kept", ErrTooLarge, len(text), s.options.MaxRequestBytes)
	}
	if err := s.faithful(r, text); err != nil {
		return nil, err
	}
	event := s.event(r, now, EventHeld, "")
	event.by(h.Subject)
	event.Reason = h.Approval.Why
	if err := s.announce(ctx, event); err != nil {
		return nil, err
	}

	garbage := r.Expires.Add(s.options.Retention)
	keys := append([]string{requestKey(r.ID), keyPending, s.ownerKey(h.Subject.Owner), keyAll, keySizes, s.grantKey(h.Subject.Grant)}, index...)
	args := []any{
		r.ID, string(r.State), r.Version, text, r.Expires.UnixMilli(), garbage.UnixMilli(), len(text),
		s.options.MaxPerOwner, s.options.MaxPending, s.options.MaxTotalBytes, channel, historyKept,
	}
	for _, id := range taken {
		args = append(args, id)
	}
	answer, err := s.run(ctx, scriptHold, keys, args...)
	if err != nil {
		return nil, fmt.Errorf("hold job %s: %w", h.Job.JobID, err)
	}
	switch answer {
	case "ok":
		s.seen.see(r.ID, r.Version)
		s.confirm(ctx, event)
		out := s.view(r, now)
		return &out, nil
	case "moved":
		// Either somebody was faster, or the client repeated the script because its answer was lost.
		if stored, _, err := s.read(ctx, r.ID); err == nil && stored.Nonce == r.Nonce {
			s.confirm(ctx, event)
			out := s.view(stored, now)
			return &out, nil
		}
		return nil, nil
	case "owner":
		return nil, fmt.Errorf("%w: %d of yours are waiting already", ErrTooMany, s.options.MaxPerOwner)
	case "pending", "bytes":
		return nil, fmt.Errorf("%w: the gateway keeps no more at once", ErrTooMany)
	default:
		return nil, fmt.Errorf("hold job %s: script answered %v", h.Job.JobID, answer)
	}
}
