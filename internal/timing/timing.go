// Package timing measures where the time of one request goes, for the line that the log has about
// it.
package timing

import (
	"log/slog"
	"time"
)

// most is how many steps of different names a Clock tells apart; what comes after them is added to
// the last.
const most = 12

// Clock adds up the time of one request by step. Its zero value is ready for Begin. It belongs to
// one goroutine.
type Clock struct {
	last  time.Time
	steps [most]step
	n     int
}

type step struct {
	name string
	took time.Duration
}

// Begin starts the time that the next Done takes: what went before belongs to no step, like the
// wait for a peer.
func (c *Clock) Begin() { c.last = time.Now() }

// Done gives the time since Begin or the last Done to a step.
func (c *Clock) Done(name string) {
	now := time.Now()
	took := now.Sub(c.last)
	c.last = now
	for i := range c.n {
		if c.steps[i].name == name || i == most-1 {
			c.steps[i].took += took
			return
		}
	}
	c.steps[c.n] = step{name, took}
	c.n++
}

// LogValue is a group of one duration a step, in the order in which they came.
func (c *Clock) LogValue() slog.Value {
	attrs := make([]slog.Attr, c.n)
	for i, s := range c.steps[:c.n] {
		attrs[i] = slog.Duration(s.name, s.took)
	}
	return slog.GroupValue(attrs...)
}

// Each calls f with each step, in the order in which they came.
func (c *Clock) Each(f func(name string, took time.Duration)) {
	for _, s := range c.steps[:c.n] {
		f(s.name, s.took)
	}
}
