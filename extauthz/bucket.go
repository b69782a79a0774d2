package extauthz

import (
	"sync"
	"time"
)

// What one subject may ask of the gateway itself, beyond its queries: so many at once, and one more each second.
const (
	askedAtOnce = 60
	askedRefill = time.Second
	bucketsKept = 10_000
)

// buckets is a token bucket for each subject of this process. The zero value is ready, and each bucket begins full.
type buckets struct {
	mu   sync.Mutex
	full map[string]time.Time // when each bucket will be full again; one that is full is not kept
}

// take takes one token, or says that there is none.
func (b *buckets) take(key string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.full == nil {
		b.full = map[string]time.Time{}
	}
	if len(b.full) >= bucketsKept {
		b.sweep(now)
	}
	full := b.full[key]
	if full.Before(now) {
		full = now
	}
	full = full.Add(askedRefill)
	if full.Sub(now) > askedAtOnce*askedRefill || len(b.full) >= bucketsKept {
		return false
	}
	b.full[key] = full
	return true
}

// sweep forgets buckets that are full.
func (b *buckets) sweep(now time.Time) {
	for key, full := range b.full {
		if !full.After(now) {
			delete(b.full, key)
		}
	}
}
