package durable

import (
	"context"
	"sync"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
)

// pulseEvery is how long one record answers for the polls of those who wait.
const pulseEvery = time.Second

// Pulse finds out whether the journal still takes records, for answers of one kind that have none
// of their own. A record a second, while there are such answers, says how many there were since the
// one before. The zero Pulse is ready.
type Pulse struct {
	mu       sync.Mutex
	until    time.Time // how long the last record answers for
	answered int
	beat     chan struct{} // closed when the append that is under way has ended; nil without one
}

// What may be answered without a record of its own. The set is closed;
// docs/design/journal-before-verdict.md has the reasons.
const (
	stillWaiting = "still waiting"
	sessionAgain = "session given again"
	strangers    = "unauthenticated"
	beyondLimit  = "refused beyond a limit"
)

type unrecorded struct{ what string }

func (u *unrecorded) because() string { return u.what }
func (*unrecorded) answer()           {}

// Waiting is the witness for an answer to a client that polls while a person has not decided yet:
// that it waits was recorded when that began, and is when it ends. A journal that has failed, is
// full or is frozen gives none.
func (p *Pulse) Waiting(ctx context.Context, j Journal) (Answer, error) {
	return p.beats(ctx, j, stillWaiting)
}

// SessionAgain is the witness for giving a client its session once more: that it was opened is
// recorded.
func (p *Pulse) SessionAgain(ctx context.Context, j Journal) (Answer, error) {
	return p.beats(ctx, j, sessionAgain)
}

// Unauthenticated is the witness for refusing whoever has shown no valid token: there is nobody to
// record it of, and internal/unauthenticated sums such requests up.
func (p *Pulse) Unauthenticated(ctx context.Context, j Journal) (Answer, error) {
	return p.beats(ctx, j, strangers)
}

func (p *Pulse) beats(ctx context.Context, j Journal, what string) (Answer, error) {
	for {
		p.mu.Lock()
		if time.Now().Before(p.until) {
			p.answered++
			p.mu.Unlock()
			return &unrecorded{what}, nil
		}
		if beat := p.beat; beat != nil {
			p.mu.Unlock()
			select {
			case <-beat:
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		beat, began, answered := make(chan struct{}), time.Now(), p.answered
		p.beat = beat
		p.mu.Unlock()

		_, err := j.Append(ctx, audit.Unrecorded{What: what, Answers: answered})

		p.mu.Lock()
		p.beat = nil
		close(beat)
		if err != nil {
			p.mu.Unlock()
			return nil, err
		}
		p.until, p.answered = began.Add(pulseEvery), p.answered-answered+1
		p.mu.Unlock()
		return &unrecorded{what}, nil
	}
}
