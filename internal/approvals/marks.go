package approvals

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// marks remembers the highest version of each request for as long as the request could matter, so
// that an older record, put back by an attacker or a failover, is noticed. Other replicas tell of
// theirs in the ledger; what other processes of this host and earlier lives of this one have seen
// comes from the journal.
type marks struct {
	mu      sync.Mutex
	entries map[string]mark
	// announced in the journal and not known to have been committed, by request; old ones go when a
	// newer one comes
	attempts map[string][]attempt
	sweepAt  int
}

type mark struct {
	version int64
	until   time.Time
	over    bool // it need not be told again: a record of which nobody is told is none
}

type attempt struct {
	nonce   string
	version int64
	at      time.Time
}

const firstSweep = 10_000

// get returns the highest version seen, 0 for none. It must be asked before Redis is read: a
// version seen meanwhile proves nothing about that read.
func (m *marks) get(id string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entries[id].version
}

func (m *marks) see(id string, version int64, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set(id, version, until)
}

func (m *marks) set(id string, version int64, until time.Time) {
	if m.entries == nil {
		m.entries, m.attempts, m.sweepAt = make(map[string]mark), make(map[string][]attempt), firstSweep
	}
	has := m.entries[id]
	if until.Before(has.until) {
		until = has.until
	}
	m.entries[id] = mark{max(version, has.version), until, has.over}
	if len(m.entries) >= m.sweepAt {
		m.sweep(time.Now())
	}
}

func (m *marks) sweep(now time.Time) {
	for id, has := range m.entries {
		if now.After(has.until) {
			delete(m.entries, id)
			delete(m.attempts, id)
		}
	}
	m.sweepAt = max(firstSweep, 2*len(m.entries))
}

// over says of requests that they need not be told again.
func (m *marks) over(ids ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		if has, ok := m.entries[id]; ok {
			has.over = true
			m.entries[id] = has
		}
	}
}

// news says whether any of these is not known.
func (m *marks) news(marks []Reached) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(marks, func(k Reached) bool { return m.entries[k.ID].version < k.Version })
}

// partSize is how many marks one message of the ledger tells again.
const partSize = 200

// parts are all marks that still matter, in at least one part.
func (m *marks) parts(now time.Time) [][]Reached {
	m.mu.Lock()
	defer m.mu.Unlock()
	parts := [][]Reached{nil}
	for _, id := range slices.Sorted(maps.Keys(m.entries)) {
		has := m.entries[id]
		if has.version == 0 || has.over || now.After(has.until) {
			continue
		}
		if last := len(parts) - 1; len(parts[last]) == partSize {
			parts = append(parts, nil)
		}
		last := len(parts) - 1
		parts[last] = append(parts[last], Reached{id, has.version, has.until})
	}
	return parts
}

// learn takes an event of the journal by the rule for its readers: an attempt counts once an event
// with its nonce says "committed", or names that nonce as its previous one.
func (m *marks) learn(e Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.attempts[e.Request] {
		if a.nonce == e.Previous {
			m.set(e.Request, a.version, e.Until)
		}
	}
	if e.Phase == PhaseCommitted {
		m.set(e.Request, e.Version, e.Until)
		return
	}
	m.set(e.Request, 0, e.Until)
	open := slices.DeleteFunc(m.attempts[e.Request], func(a attempt) bool {
		return a.version <= m.entries[e.Request].version || e.At.Sub(a.at) > attemptsKept
	})
	m.attempts[e.Request] = append(open, attempt{e.Nonce, e.Version, e.At})
}

// attemptsKept is far longer than any claim.
const attemptsKept = 10 * time.Minute

// contested says whether somebody else has announced, within the lease, a step to a version above
// the one given, and whether it came to that is not known yet. mine are the nonces that do not
// count.
func (m *marks) contested(id string, above int64, mine string, now time.Time, lease time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries[id].version > above {
		return true
	}
	return slices.ContainsFunc(m.attempts[id], func(a attempt) bool {
		return a.version > above && a.nonce != mine && now.Sub(a.at) < lease
	})
}
