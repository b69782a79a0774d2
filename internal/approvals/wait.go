package approvals

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// rereadEvery bounds how late a wait learns of a change whose announcement was lost. It is as long
// as clients are held by default: their next poll looks anyway, and a thousand waits that look more
// often are what other queries would feel.
const rereadEvery = 10 * time.Second

// looksAtOnce bounds the reads of all waits together.
const looksAtOnce = 8

// wait reads a request, and reads it again whenever it may have changed, until it is decided or
// ended, or most is over. may is asked about each record before anything is waited for.
func (s *Store) wait(ctx context.Context, id string, most time.Duration, may func(record) error) (record, time.Time, error) {
	if most <= 0 || !ValidID(id) {
		r, now, err := s.read(ctx, id)
		if err == nil {
			err = may(r)
		}
		return r, now, err
	}
	deadline := time.NewTimer(most)
	defer deadline.Stop()
	var changed <-chan struct{}
	if wake, leave, ok := s.waiters.join(s.redis, id, s.options.MaxWaiting); ok { // before the first look, so that no change falls between
		defer leave()
		changed = wake
	}
	for {
		r, now, err := s.look(ctx, id)
		if err == nil {
			err = may(r)
		}
		if err != nil {
			return record{}, time.Time{}, err
		}
		request := s.view(r, now)
		if (request.State != StatePending && !request.Releasing) || changed == nil {
			return r, now, nil
		}
		select {
		case <-ctx.Done():
			return record{}, time.Time{}, ctx.Err()
		case <-deadline.C:
			return r, now, nil
		case _, open := <-changed:
			if !open {
				return r, now, nil
			}
		case <-time.After(nextLook(r, now)):
		}
	}
}

// look is read for those who wait. Few look at once, so that a thousand who are woken together take
// no connection from those who have something to do.
func (s *Store) look(ctx context.Context, id string) (record, time.Time, error) {
	select {
	case s.looks <- struct{}{}:
		defer func() { <-s.looks }()
		return s.read(ctx, id)
	case <-ctx.Done():
		return record{}, time.Time{}, ctx.Err()
	}
}

// nextLook is when the request is looked at without being called: at its expiry, at the end of a
// release's lease, and every few seconds.
func nextLook(r record, now time.Time) time.Duration {
	next := rereadEvery
	until := []time.Time{r.ends()}
	if r.Release != nil {
		until = append(until, r.Release.Until)
	}
	for _, t := range until {
		if d := t.Sub(now); d > 0 {
			next = min(next, d+time.Millisecond)
		}
	}
	return next
}

// waiters shares one subscription among all long polls and watches of the process. Its zero value
// is ready.
type waiters struct {
	mu       sync.Mutex
	closed   bool
	count    int
	byID     map[string]map[chan struct{}]struct{}
	watchers map[chan Change]struct{}
	pubsub   *redis.PubSub
	done     chan struct{} // closed when the goroutine that listens has ended
}

type subscriber interface {
	Subscribe(ctx context.Context, channels ...string) *redis.PubSub
}

// listenOnce begins the subscription. It is called under the lock.
func (w *waiters) listenOnce(client subscriber) {
	if w.pubsub != nil {
		return
	}
	w.pubsub, w.done = client.Subscribe(context.Background(), channel), make(chan struct{})
	w.byID, w.watchers = make(map[string]map[chan struct{}]struct{}), make(map[chan Change]struct{})
	go w.listen(w.pubsub, w.done)
}

// join registers a long poll. The channel gets a value after each announced change, and is closed
// by close.
func (w *waiters) join(client subscriber, id string, limit int) (wake <-chan struct{}, leave func(), ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.count >= limit {
		return nil, nil, false
	}
	w.listenOnce(client)
	c := make(chan struct{}, 1)
	if w.byID[id] == nil {
		w.byID[id] = make(map[chan struct{}]struct{})
	}
	w.byID[id][c] = struct{}{}
	w.count++
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.count--
		delete(w.byID[id], c)
		if len(w.byID[id]) == 0 {
			delete(w.byID, id)
		}
	}, true
}

func (w *waiters) listen(pubsub *redis.PubSub, done chan struct{}) {
	defer close(done)
	for message := range pubsub.ChannelWithSubscriptions() {
		switch m := message.(type) {
		case *redis.Message:
			w.wake(m.Payload)
		case *redis.Subscription: // connected, perhaps again: what was announced meanwhile is lost
			w.wakeAll()
		}
	}
}

func (w *waiters) wake(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.byID[id] {
		nudge(c)
	}
	if ValidID(id) { // anybody may publish
		w.tell(Change{Request: id})
	}
}

func (w *waiters) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, channels := range w.byID {
		for c := range channels {
			nudge(c)
		}
	}
	w.tell(Change{})
}

// nudge leaves a value in the channel, unless one lies there already.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (w *waiters) close() {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return
	}
	w.closed = true
	pubsub, done := w.pubsub, w.done
	w.mu.Unlock()
	if pubsub == nil {
		return
	}
	_ = pubsub.Close() // ends listen; there is nothing to save
	<-done
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, channels := range w.byID {
		for c := range channels {
			close(c)
		}
	}
	for c := range w.watchers {
		close(c)
	}
	w.byID, w.watchers = nil, nil
}
