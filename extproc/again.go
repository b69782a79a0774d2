package extproc

import (
	"context"
	"errors"
	"sync"
	"time"

	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// An answer may be on its way for longer than the right to it lasts: the token grows too old, the
// session is revoked, the policy changes. So every answer that is under way is decided again at
// intervals and whenever something of that kind has happened, also while its reader takes nothing,
// and is broken off where the right has ended (A51).

// againEvery is how often that is, at the least.
const againEvery = 10 * time.Second

// bell wakes every exchange that listens. The zero bell is ready.
type bell struct {
	mu sync.Mutex
	ch chan struct{}
}

// next is closed by the next ring.
func (b *bell) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// DecideAgain has every answer that is on its way decided again now: a session was revoked, or the
// policy was loaded anew.
func (s *Service) DecideAgain() { s.changed.ring() }

// watch says when an exchange must be decided again.
type watch struct {
	bell *bell
	tick *time.Ticker
	rung <-chan struct{}
}

func (s *Service) watch() *watch {
	return &watch{bell: &s.changed, tick: time.NewTicker(againEvery), rung: s.changed.next()}
}

// heard listens for the next ring. It comes before the exchange is decided again, so that no ring
// is lost.
func (w *watch) heard() { w.rung = w.bell.next() }

// due says whether it is time, without waiting.
func (w *watch) due() bool {
	select {
	case <-w.tick.C:
	case <-w.rung:
		w.heard()
	default:
		return false
	}
	return true
}

// again decides once more about the exchange. Its error ends the stream; an exchange that was
// refused instead is finished.
func (s *Service) again(stream procv3.ExternalProcessor_ProcessServer, x *exchange) error {
	if x.forward == nil || x.finished {
		return nil // nothing of BigQuery's is on its way
	}
	ctx, cancel := context.WithTimeoutCause(stream.Context(), s.stepTimeout(), errStepTimeout)
	defer cancel()
	err := errors.New("nobody can decide again about an answer")
	if s.Again != nil {
		err = s.Again(ctx, x.forward)
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		return nil
	}
	waiting := x.held != nil // Envoy waits for what comes of the response's headers: the client can be told
	x.released = x.released || !waiting
	if reply := x.refuse(over(err)); reply != nil {
		return stream.Send(reply) // and Envoy hangs up
	}
	return status.Error(codes.Aborted, "the right to the response has ended")
}

// deliver sends replies. Envoy takes them as fast as the client reads, which must be fast enough,
// and meanwhile the exchange is decided again like any other.
func (s *Service) deliver(stream procv3.ExternalProcessor_ProcessServer, x *exchange, w *watch,
	replies []*procv3.ProcessingResponse) error {
	sent := make(chan error, 1)
	go func() { // ends with the stream's context at the latest, which gRPC cancels when Process returns
		for _, r := range replies {
			if err := stream.Send(r); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	since := time.Now()
	enough := func() bool {
		now := time.Now()
		d := now.Sub(since)
		since = now
		return x.pace.waited(d)
	}
	patience := time.NewTimer(x.pace.left)
	defer patience.Stop()
	for {
		select {
		case err := <-sent:
			enough()
			return err
		case <-patience.C:
			if !enough() {
				x.released = true
				x.refuse(&slowReader{x.pace.least})
				return status.Error(codes.Aborted, "the response waits for its reader")
			}
			patience.Reset(x.pace.left)
			continue
		case <-w.tick.C:
		case <-w.rung:
			w.heard()
		}
		x.released = true // of what is being sent nobody knows how much has left
		if err := s.again(stream, x); err != nil {
			return err
		}
	}
}
