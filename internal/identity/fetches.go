package identity

import (
	"context"
	"errors"
	"sync"
)

// fetches owns the requests to issuers, which outlive the request that caused them: others wait for
// the same answer.
type fetches struct {
	ctx    context.Context //nolint:containedctx // ends with close: a fetch outlives the request that caused it
	cancel context.CancelFunc

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

func newFetches() *fetches {
	f := &fetches{}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// begin registers one fetch. Its context ends after fetchTimeout and with close; done must be
// called.
func (f *fetches) begin() (ctx context.Context, done func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, nil, errors.New("verifier is closed")
	}
	f.running.Add(1)
	ctx, cancel := context.WithTimeout(f.ctx, fetchTimeout)
	return ctx, func() { cancel(); f.running.Done() }, nil
}

// close ends all fetches and waits for them.
func (f *fetches) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.cancel()
	f.running.Wait()
}
