package gateway

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// leastGrowth is how much garbage there may be before the collector runs, however little is
	// alive: at a few thousand decisions a second a small heap would be collected all the time.
	leastGrowth = 48 << 20
	// leastPercent is the least of GOGC. Clients that poll leave deep stacks behind, which only the
	// collector shrinks; docs/performance.md has what a thousand of them take.
	leastPercent = 50
	// paceEvery is how often the pace is set anew.
	paceEvery = 5 * time.Second
)

// paceCollector sets how often the collector runs (GOGC) by what is alive, until ctx ends: a small
// heap may grow by leastGrowth, a large one by half.
func paceCollector(ctx context.Context) {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(paceEvery)
	defer tick.Stop()
	set := 0
	for {
		metrics.Read(sample)
		if percent := pace(sample[0].Value.Uint64()); percent != set {
			debug.SetGCPercent(percent)
			set = percent
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// pace is the GOGC for a heap of which so much was alive after the last collection. It comes in
// steps of 50, so that it is seldom set.
func pace(live uint64) int {
	percent := 100 * leastGrowth / max(live, 8<<20)
	return max(leastPercent, int(percent)/50*50) //nolint:gosec // G115: 600 at most
}
