package extauthz

import (
	"context"
	"sync"
)

// turns lets one thing after the other be done for each owner, and those of different owners beside
// each other. A large body takes some ten times its size while it is read: 400 requests of one
// owner at once would take the memory of all. Its zero value is ready.
type turns struct {
	mu     sync.Mutex
	owners map[string]*queue
}

type queue struct {
	turn  chan struct{} // of one: full while somebody has it
	users int
}

// turn waits for the owner's turn, which done ends. It ends with an error where ctx does before.
func (t *turns) turn(ctx context.Context, owner string) (done func(), err error) {
	t.mu.Lock()
	q := t.owners[owner]
	if q == nil {
		q = &queue{turn: make(chan struct{}, 1)}
		if t.owners == nil {
			t.owners = map[string]*queue{}
		}
		t.owners[owner] = q
	}
	q.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if q.users--; q.users == 0 {
			delete(t.owners, owner)
		}
	}
	select {
	case q.turn <- struct{}{}:
		return func() { <-q.turn; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
