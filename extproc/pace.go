package extproc

import (
	"fmt"
	"time"
)

// Envoy passes on to its client what the client takes, and keeps a few hundred KiB ready; beyond
// that a send to Envoy waits. So how long sends wait says how fast the client reads. Who reads
// nothing, or a trickle, holds memory here, in Envoy and at BigQuery, and is broken off (A37).

// Reading is the least that a client must take of an answer: Bytes in each Within, while something
// waits to be sent. What is not sent yet, a job that still runs, counts for nobody.
type Reading struct {
	Bytes  int64
	Within time.Duration
}

// DefaultReading is 6.4 KiB a second. The slowest line that somebody works over takes twice that.
var DefaultReading = Reading{Bytes: 64 << 10, Within: 10 * time.Second}

// grace is for how many Withins an answer may wait that was read fast before: buffers between here
// and the client empty in steps of up to 128 KiB.
const grace = 2

func (r Reading) orDefault() Reading {
	if r == (Reading{}) {
		return DefaultReading
	}
	return r
}

func (r Reading) String() string { return fmt.Sprintf("%d bytes in %s", r.Bytes, r.Within) }

// pace is how long the sends of one answer may still wait. Waiting uses it up, and what is taken
// earns it back.
type pace struct {
	least Reading
	left  time.Duration
}

func newPace(least Reading) *pace {
	least = least.orDefault()
	return &pace{least: least, left: grace * least.Within}
}

// waited counts a wait and the bytes that were taken meanwhile, and says whether the reader is fast
// enough.
func (p *pace) waited(d time.Duration, taken int64) bool {
	earned := time.Duration(float64(taken) / float64(p.least.Bytes) * float64(p.least.Within))
	p.left = min(p.left-d+earned, grace*p.least.Within)
	return p.left > 0
}

// slowReader is why an answer was broken off of which too little was taken.
type slowReader struct{ least Reading }

func (s *slowReader) Error() string {
	return fmt.Sprintf("its reader takes less than %s of what waits for it", s.least)
}
