package identity

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/bqgate/bqgate/internal/durable"
)

// Journal makes durable what is done to sessions. After an error nothing is done.
type Journal interface {
	SessionOpened(ctx context.Context, s Session, of Subject) (durable.Opened, error)
	// SessionGivenAgain is asked before the client of a session that was opened gets it once more.
	SessionGivenAgain(ctx context.Context) (durable.Answer, error)
	SessionRevoked(ctx context.Context, s Session) error
}

// revoked remembers sessions that were revoked, and the tokens that opened them, until they would
// have ended by themselves: whoever can write Redis may have kept the sealed record, and put it
// back. Its zero value is ready.
type revoked struct {
	mu       sync.Mutex
	ids      map[string]time.Time
	subjects map[string]Revocation    // by SubjectKey
	ahead    map[string]time.Duration // how far the clocks of issuers are ahead, by URL, as far as was seen
	began    time.Time                // since when tokens and revocations are looked at here
}

func (r *revoked) add(id string, until, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids == nil {
		r.ids = make(map[string]time.Time)
	}
	if len(r.ids)%1000 == 999 {
		for id, until := range r.ids {
			if now.After(until) {
				delete(r.ids, id)
			}
		}
	}
	if id != "" && until.After(r.ids[id]) {
		r.ids[id] = until
	}
}

func (r *revoked) has(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.ids[id]
	return ok
}

// Ban makes a session, also one of the console, over for good, and with it the OIDC token that
// opened it, whatever Redis may show of them later. The journal has it before it is in force.
func (s *Sessions) Ban(ctx context.Context, session Session) error {
	if s.Journal != nil {
		if err := s.Journal.SessionRevoked(ctx, session); err != nil {
			return fmt.Errorf("journal the revocation of session %s: %w", session.ID, err)
		}
	}
	s.revoked.add(session.Token, session.TokenEnds, s.now())
	s.LearnRevoked(session.ID, session.End())
	return nil
}

// Banned says whether a session, or an OIDC token by its TokenDigest, was revoked.
func (s *Sessions) Banned(id string) bool { return s.revoked.has(id) }

// LearnRevoked takes the revocation of a session, or of an OIDC token by its TokenDigest, from the
// journal: this process's in an earlier life, or another's. What the journal says must be learnt
// before anything is served.
func (s *Sessions) LearnRevoked(id string, until time.Time) {
	s.revoked.add(id, until, s.now())
	if s.Revoked != nil {
		s.Revoked()
	}
}
