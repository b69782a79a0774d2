package extproc

import (
	"fmt"
	"time"
)

// Envoy passes on to its client what the client takes, and keeps a few hundred KiB ready. Beyond
// that it takes no more from BigQuery, so that no piece of the answer comes here, or takes none
// from here, so that a send waits. How long either lasts, once the body has begun, says how fast
// the client reads: BigQuery sends an answer that it has begun without a pause. Who reads nothing,
// or a trickle, holds memory here, in Envoy and at BigQuery, and is broken off (A37).

// Reading is the least that a client must take of an answer: Bytes in each Within, while something
// waits to be sent. What is not sent yet, a job that still runs, counts for nobody.
type Reading struct {
	Bytes  int64
	Within time.Duration
}

// DefaultReading is 6.4 KiB a second. The slowest line that somebody works over takes twice that.
var DefaultReading = Reading{Bytes: 64 << 10, Within: 10 * time.Second}

// grace is for how many Withins an answer may wait that was read fast before: buffers between
// BigQuery and the client empty in steps of up to 256 KiB.
const grace = 4

func (r Reading) orDefault() Reading {
	if r == (Reading{}) {
		return DefaultReading
	}
	return r
}

func (r Reading) String() string { return fmt.Sprintf("%d bytes in %s", r.Bytes, r.Within) }

// pace is for how long one answer may still wait for its reader. Waiting uses it up, and what moves
// earns it back.
type pace struct {
	least Reading
	left  time.Duration
}

func newPace(least Reading) *pace {
	least = least.orDefault()
	return &pace{least: least, left: grace * least.Within}
}

// waited counts a wait, and says whether the reader is fast enough.
func (p *pace) waited(d time.Duration) bool {
	p.left -= d
	return p.left > 0
}

// came counts the bytes of the answer that Envoy brought: it had room for them.
func (p *pace) came(bytes int) {
	earned := time.Duration(float64(bytes) / float64(p.least.Bytes) * float64(p.least.Within))
	p.left = min(p.left+earned, grace*p.least.Within)
}

// slowReader is why an answer was broken off of which too little was taken.
type slowReader struct{ least Reading }

func (s *slowReader) Error() string {
	return fmt.Sprintf("its reader takes less than %s of what waits for it", s.least)
}
