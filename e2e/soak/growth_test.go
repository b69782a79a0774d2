package soak

import (
	"testing"
	"time"
)

// A measure that grows is told from one that only swings, from one that was new, and from one that
// was not there for long.
func TestTrend(t *testing.T) {
	for name, c := range map[string]struct {
		length time.Duration
		value  func(at time.Duration) float64
		judged bool
		grows  bool
	}{
		"flat":              {10 * time.Minute, func(time.Duration) float64 { return 500 }, true, false},
		"a leak":            {10 * time.Minute, func(at time.Duration) float64 { return 500 + 40*at.Minutes() }, true, true},
		"a leak, too short": {2 * time.Minute, func(at time.Duration) float64 { return 500 + 400*at.Minutes() }, false, false},
		"teeth of a collector": {10 * time.Minute, func(at time.Duration) float64 {
			return 400 + float64(at/time.Second%40)*5
		}, true, false},
		"a fault in the middle": {10 * time.Minute, func(at time.Duration) float64 {
			if at > 5*time.Minute && at < 5*time.Minute+15*time.Second {
				return 5000
			}
			return 500
		}, true, false},
		"caches that fill": {10 * time.Minute, func(at time.Duration) float64 { return min(500, 500*at.Minutes()) }, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			var g growth
			start := time.Now()
			for at := time.Duration(0); at <= c.length; at += sampleEvery {
				g.add("m", "", "MiB", 10, start.Add(at), c.value(at))
			}
			got := g.trends()[0]
			if got.life > 0 != c.judged || got.grows() != c.grows {
				t.Errorf("judged over %s, grew by %.1f of %.1f: want judged %v, grows %v", got.life, got.rise, got.bound, c.judged, c.grows)
			}
		})
	}
}
