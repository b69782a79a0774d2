package approvals

import (
	"context"
	"fmt"
	"slices"
)

// Change says that a request was made, decided or ended. It is a hint, without content: who gets it
// reads the request, and asks whether that reader may see it.
type Change struct {
	Request string // id; "" when any number of requests may have changed: the listener was slow, or Redis was away
}

// watchBuffer is how many changes wait for a slow listener before they become one "anything may
// have changed".
const watchBuffer = 64

// Watch tells of changes on every replica until ctx ends, when the channel is closed. The first one
// is Change{}: whoever reads on it has read after the watch began. A request that expires makes no
// change: Request.Expires says when it will.
func (s *Store) Watch(ctx context.Context) <-chan Change {
	out := make(chan Change, 1)
	in, leave := s.waiters.watch(s.redis)
	go func() {
		defer close(out)
		defer leave()
		var next Change
		for {
			select {
			case <-ctx.Done():
				return
			case out <- next:
			}
			var open bool
			select {
			case <-ctx.Done():
				return
			case next, open = <-in:
				if !open {
					return
				}
			}
		}
	}()
	return out
}

// watch joins the one subscription of the process. The channel is closed by close.
func (w *waiters) watch(client subscriber) (<-chan Change, func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := make(chan Change, watchBuffer)
	if w.closed {
		close(c)
		return c, func() {}
	}
	w.listenOnce(client)
	w.watchers[c] = struct{}{}
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.watchers, c)
	}
}

// tell passes a change on. A full channel is emptied first: what was in it is part of "anything".
// It is called under the lock.
func (w *waiters) tell(change Change) {
	for c := range w.watchers {
		select {
		case c <- change:
			continue
		default:
		}
		for len(c) > 0 {
			select {
			case <-c:
			default:
			}
		}
		c <- Change{} // only this side sends, and it holds the lock
	}
}

const historyKept = 200 // requests remembered of one grant key

// History returns what else was asked under the grant key of a request: the same person, or the
// same pipeline at the same ref or environment in whatever run. Newest first, without the request
// itself, at most limit (0 means 50).
func (s *Store) History(ctx context.Context, id string, limit int) ([]Request, error) {
	if limit <= 0 {
		limit = 50
	}
	of, _, err := s.read(ctx, id)
	if err != nil {
		return nil, err
	}
	grant := of.Held.Subject.Grant
	ids, err := s.redis.ZRevRange(ctx, s.grantKey(grant), 0, historyKept-1).Result()
	if err != nil {
		return nil, fmt.Errorf("list the history of request %s: %w", id, err)
	}
	ids = slices.DeleteFunc(ids, func(other string) bool { return !ValidID(other) || other == id })
	ids = ids[:min(len(ids), limit)]
	out := []Request{}
	for batch := range slices.Chunk(ids, readBatch) {
		records, now, err := s.readAll(ctx, batch)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			if r.Held.Subject.Grant == grant { // the index is a hint
				out = append(out, s.view(r, now))
			}
		}
	}
	return out, nil
}
