// Package unauthenticated counts the requests that showed no valid token, and sums them up in the
// audit journal.
//
// Nobody is known whose records they could be, and anybody can send any number of them: a record of
// each would let strangers fill the disk that everybody's queries wait for (attack A38). So they
// are counted in memory, by cause and by block of client addresses, and every 10 seconds one record
// says how many there were. Memory and record are bounded, whatever comes. A process that is killed
// loses the counts of at most 10 seconds, of requests that got nothing.
package unauthenticated

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/durable"
)

const (
	// every is how often the counts are written.
	every = 10 * time.Second
	// maxBlocks bounds the rows of one record that name a block of addresses. What comes from
	// others is counted by cause alone.
	maxBlocks = 256
	// maxCauses bounds the causes. Those that identity names are fewer.
	maxCauses = 32
	// flushWithin bounds the wait for the journal at the end.
	flushWithin = 2 * time.Second
)

// Counter counts. It is safe for concurrent use.
type Counter struct {
	journal durable.Journal
	log     *slog.Logger
	pulse   durable.Pulse

	mu    sync.Mutex
	since time.Time
	rows  map[row]int64
	rests int // rows without a block
}

type row struct{ cause, block string }

// other is the cause of what has one too many, and the block of an address that is not known.
const other = "other"

// New makes a Counter that writes into a journal.
func New(journal durable.Journal, log *slog.Logger) *Counter {
	return &Counter{journal: journal, log: log, since: time.Now(), rows: map[row]int64{}}
}

// Refuse counts a request that is refused, and gives the witness for its answer. cause is a word of
// a closed set (identity.Code), from the client's address, invalid where it is not known. A journal
// that takes no records gives none.
func (c *Counter) Refuse(ctx context.Context, cause string, from netip.Addr) (durable.Answer, error) {
	w, err := c.pulse.Unauthenticated(ctx, c.journal)
	if err != nil {
		return nil, err
	}
	c.count(row{cause, Block(from)}, 1)
	return w, nil
}

func (c *Counter) count(r row, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, there := c.rows[r]; !there {
		if r.block != "" && len(c.rows)-c.rests >= maxBlocks {
			r.block = ""
		}
		if _, there := c.rows[r]; !there && r.block == "" {
			if c.rests >= maxCauses {
				r.cause = other
			}
			if _, there := c.rows[r]; !there {
				c.rests++
			}
		}
	}
	c.rows[r] += n
}

// Block is what an address is counted under: its /24, or /64 of IPv6; "other" for none.
func Block(a netip.Addr) string {
	a = a.Unmap()
	bits := 64
	switch {
	case !a.IsValid():
		return other
	case a.Is4():
		bits = 24
	}
	return netip.PrefixFrom(a.WithZone(""), bits).Masked().String()
}

// Run writes the counts every 10 seconds until ctx ends. What is counted afterwards Close writes.
func (c *Counter) Run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.flush(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// Close writes what was counted last. It comes before the journal's own.
func (c *Counter) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), flushWithin)
	defer cancel()
	c.flush(ctx)
}

// flush writes the counts. Those that the journal does not take are kept for the next time.
func (c *Counter) flush(ctx context.Context) {
	c.mu.Lock()
	rows, since := c.rows, c.since
	c.rows, c.rests, c.since = map[row]int64{}, 0, time.Now()
	c.mu.Unlock()
	if len(rows) == 0 {
		return
	}
	r, all := audit.Unauthenticated{Since: since.UTC()}, int64(0)
	for k, n := range rows {
		r.Counts = append(r.Counts, audit.UnauthenticatedCount{Cause: k.cause, Addresses: k.block, Requests: n})
		all += n
	}
	slices.SortFunc(r.Counts, func(a, b audit.UnauthenticatedCount) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Cause, b.Cause), cmp.Compare(a.Addresses, b.Addresses))
	})
	if _, err := c.journal.Append(ctx, r); err != nil {
		c.log.Error("requests without a valid token are not recorded yet", "requests", all, "error", err)
		for k, n := range rows {
			c.count(k, n)
		}
		c.mu.Lock()
		c.since = since
		c.mu.Unlock()
		return
	}
	c.log.Info("requests without a valid token were refused", "requests", all, "since", since, "most", r.Counts[0])
}
