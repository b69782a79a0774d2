package soak

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"
)

// busy is how many tasks wanted a processor, on average (proc_loadavg(5)): a machine that does
// other things beside makes all that is timed here longer.
type busy struct {
	mu          sync.Mutex
	total, most float64
	samples     int
}

func (b *busy) watch(ctx context.Context) {
	for ctx.Err() == nil {
		text, err := os.ReadFile("/proc/loadavg")
		var load float64
		if _, bad := fmt.Sscan(string(text), &load); err == nil && bad == nil {
			b.add(load)
		}
		pause(ctx, 10*time.Second)
	}
}

func (b *busy) add(load float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.total, b.most, b.samples = b.total+load, max(b.most, load), b.samples+1
}

func (b *busy) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.samples == 0 {
		return "load not known"
	}
	return fmt.Sprintf("load %.1f, at most %.1f", b.total/float64(b.samples), b.most)
}
