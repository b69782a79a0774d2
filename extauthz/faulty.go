package extauthz

import "sync"

// toldKept bounds how many faults are remembered; above that they are told anew.
const toldKept = 1000

// told remembers which faults of the policy the operators were told of. The zero value is ready.
type told struct {
	mu   sync.Mutex
	seen map[string]bool
}

// first says whether a fault is seen for the first time.
func (t *told) first(fault string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen[fault] {
		return false
	}
	if t.seen == nil || len(t.seen) >= toldKept {
		t.seen = map[string]bool{}
	}
	t.seen[fault] = true
	return true
}

// tellOperators says once in the log what in the policy has to be mended. The agent is only told that
// something has.
func (s *Service) tellOperators(w *walk) {
	cause := w.decision.Cause
	if cause == "" || !s.told.first(s.Policies().Digest()+cause) {
		return
	}
	s.Log.Error("the policy does not fit the tables: queries are refused until it is mended", "cause", cause, "decision", w.id)
}
