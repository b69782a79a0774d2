package approvals

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/masking"
)

// What has ended costs nothing: of an owner's requests the newest few are shown after their end,
// and of a large one the beginning of its text. The journal has the whole.

const (
	keptWhole = 16 << 10 // stored bytes of an ended request that is kept as it was
	keptSQL   = 4 << 10  // bytes of the SQL of a larger one
	keptNames = 100      // tables, and sensitive columns, of a larger one
)

// cut says what was left out of an ended request.
type cut struct {
	Query string `json:"query"` // digest of what was asked: the same query, sent again, is known by it
	SQL   int    `json:"sql"`   // bytes that the SQL had
}

// sealWhat seals what is kept of a record: of one that has ended, and is large, not all.
func (s *Store) sealWhat(r record) (string, error) {
	text, err := s.seal(r)
	if err != nil || !r.State.ended() || r.Cut != nil || len(text) <= keptWhole {
		return text, err
	}
	return s.seal(r.shortened())
}

// shortened is an ended record without what is large in it.
func (r record) shortened() record {
	h, q := r.Held, *r.Held.Operation.Query
	r.Cut = &cut{Query: h.queryDigest(), SQL: len(q.SQL)}
	names := func(all []string) []string { return slices.Clone(all[:min(len(all), keptNames)]) }
	h.Operation = bigquery.Operation{
		Method: h.Operation.Method, Job: h.Operation.Job,
		Query: &bigquery.QueryRequest{SQL: clip(q.SQL, keptSQL), Priority: q.Priority, RequestID: q.RequestID, NoWait: q.NoWait},
	}
	h.Tables, h.Sensitive, h.Masked = names(h.Tables), names(h.Sensitive), names(h.Masked)
	claims := map[string]any{}
	for name, value := range summary(h.Subject.Claims) {
		claims[name] = value
	}
	h.Subject.Claims, h.Plan = claims, masking.Plan{}
	h.Review = Review{Policy: h.Review.Policy}
	r.Held = h
	return r
}

// queryDigest is of everything that sameQuery compares.
func (h Held) queryDigest() string {
	q := h.Operation.Query
	text, err := json.Marshal([]any{h.Operation.Method, h.Job.ProjectID, q.SQL, q.ParameterMode, []byte(q.Parameters), q.DefaultDataset,
		q.MaximumBytesBilled})
	if err != nil {
		return "" // not reached: these are texts and numbers
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// asked says whether a record is of the same query as h.
func (r record) asked(h Held) bool {
	if r.Cut != nil {
		return r.Cut.Query == h.queryDigest()
	}
	return r.Held.sameQuery(h)
}

const (
	settledAtOnce = 20
	settledWithin = 3 * time.Second
)

var errNotOver = errors.New("not over, or written down by somebody else")

// Settle writes down which requests have expired, so that nothing of them is kept any longer, a few
// at a time, and forgets what is garbage. Every replica calls it now and then.
func (s *Store) Settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settledWithin)
	defer cancel()
	_, now, err := s.fetch(ctx, nil)
	if err != nil {
		return err
	}
	s.index.sweep(now)
	for ids := range slices.Chunk(s.index.toDelete(), 500) {
		keys := make([]string, len(ids))
		for i, id := range ids {
			keys[i] = requestKey(id)
		}
		if err := s.redis.Del(ctx, keys...).Err(); err != nil {
			return fmt.Errorf("delete what ended long ago: %w", err) // it goes by itself, later
		}
	}
	for _, id := range s.index.overdue(now, settledAtOnce) {
		_, _, err := s.transition(ctx, id, func(r *record, now time.Time) (Event, error) {
			if state, _ := r.state(now); state != StateExpired || r.State == StateExpired {
				return Event{}, errNotOver
			}
			r.State = StateExpired
			return ownersEvent(EventExpired, *r, "nobody decided on it, or ran it, in time"), nil
		})
		switch {
		case errors.Is(err, ErrNotFound):
			s.index.drop(id) // lost, or not what was written: there is nothing to free
		case err != nil && !errors.Is(err, errNotOver) && !errors.Is(err, ErrBusy):
			return fmt.Errorf("write down that request %s has expired: %w", id, err)
		}
	}
	return nil
}
