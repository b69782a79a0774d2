package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// flood is one kind of caller that harms others, if it can.
type flood struct {
	name  string
	about string // for the table
	// run floods until ctx ends. It calls ready when it has what it needs.
	run func(ctx context.Context, a attacker, t *tally, ready func()) error
}

var floods = slices.Concat(readers, connections, frames, requests, approvals, statements)

// tally counts what an attacker met.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (t *tally) add(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[string]int{}
	}
	t.counts[what]++
}

// String is what was met, the most frequent first, and no more than six kinds.
func (t *tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	kinds := slices.SortedFunc(maps.Keys(t.counts), func(a, b string) int { return t.counts[b] - t.counts[a] })
	var said []string
	for _, k := range kinds[:min(6, len(kinds))] {
		said = append(said, fmt.Sprintf("%d × %s", t.counts[k], k))
	}
	return strings.Join(said, ", ")
}

// crowd runs n of something at once until ctx ends.
func crowd(ctx context.Context, n int, one func(ctx context.Context, i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for ctx.Err() == nil {
				one(ctx, i)
			}
		})
	}
	all.Wait()
}
