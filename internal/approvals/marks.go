package approvals

import "sync"

// marks remembers the highest version seen of each request, so that an older record, put back by an attacker or a failover, is noticed for as long as this
// process lives. It keeps between one and two generations of marksKept requests.
type marks struct {
	mu      sync.Mutex
	current map[string]int64
	older   map[string]int64
}

const marksKept = 50_000

// get returns the highest version seen, 0 for none. It must be asked before Redis is read: a version seen meanwhile proves nothing about that read.
func (m *marks) get(id string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return max(m.current[id], m.older[id])
}

func (m *marks) see(id string, version int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current == nil || len(m.current) >= marksKept {
		m.older, m.current = m.current, make(map[string]int64)
	}
	m.current[id] = max(version, m.current[id], m.older[id])
}
