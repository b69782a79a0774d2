package extauthz

import (
	"sync"
	"time"
)

// Rate is how often one caller may ask the gateway what costs it calls of Google: dry runs, lists
// of jobs, and metadata that it does not know yet. The zero value is DefaultRate.
type Rate struct {
	AtOnce    int     // so many at once after a rest
	PerSecond float64 // and so many more each second
}

// DefaultRate lets a client look at some hundred tables when it connects, and make a dry run before
// each query. BigQuery itself serves 100 metadata requests a second and user.
var DefaultRate = Rate{AtOnce: 600, PerSecond: 10}

func (r Rate) orDefault() Rate {
	if r == (Rate{}) {
		return DefaultRate
	}
	return r
}

// refill is the time in which one more is given.
func (r Rate) refill() time.Duration { return time.Duration(float64(time.Second) / r.PerSecond) }

const bucketsKept = 10_000

// buckets is a token bucket for each caller of this process. The zero value is ready, and each
// bucket begins full.
type buckets struct {
	mu   sync.Mutex
	full map[string]time.Time // when each bucket will be full again; one that is full is not kept
}

// take takes one token. Where there is none, it says when there will be one.
func (b *buckets) take(key string, now time.Time, r Rate) (wait time.Duration) {
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
	full = full.Add(r.refill())
	if over := full.Sub(now) - time.Duration(r.AtOnce)*r.refill(); over > 0 {
		return over
	}
	if len(b.full) >= bucketsKept {
		return time.Second
	}
	b.full[key] = full
	return 0
}

// sweep forgets buckets that are full.
func (b *buckets) sweep(now time.Time) {
	for key, full := range b.full {
		if !full.After(now) {
			delete(b.full, key)
		}
	}
}
