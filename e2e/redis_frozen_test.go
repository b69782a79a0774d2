//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/redistest"
)

// A frozen Redis and many callers at once, more than there are connections to it: each gets its
// 503 in time, nothing is sent, and all are served once Redis goes on.
func TestManyCallersOfAFrozenRedis(t *testing.T) {
	server := redistest.StartServer(t)
	d := startDemo(t, "--redis", "redis://"+server.Addr)
	d.healthy(t)
	sent := &sender{d: d, token: d.token("agent")}
	all := func(mark string, want int) {
		t.Helper()
		var group sync.WaitGroup
		var mu sync.Mutex
		var longest time.Duration
		for n := range 32 {
			group.Go(func() {
				ctx, cancel := contextTimeout(10 * time.Second)
				defer cancel()
				since := time.Now()
				a, err := sent.post(
					ctx,
					"queries",
					map[string]any{"query": fmt.Sprintf("SELECT %d /* %s */", n, mark), "useLegacySql": false},
				)
				if err != nil || a.Status != want {
					t.Errorf("status %d %s, %v, want %d", a.Status, a.message(), err, want)
				}
				mu.Lock()
				longest = max(longest, time.Since(since))
				mu.Unlock()
			})
		}
		group.Wait()
		t.Logf("%s: the longest took %s", mark, longest.Round(time.Millisecond))
	}
	ran := func(mark string) (n int) {
		for _, j := range d.ran(t) {
			if strings.Contains(j.SQL, mark) {
				n++
			}
		}
		return n
	}
	all("before the freeze", 200)
	if err := syscall.Kill(server.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	all("during the freeze", 503)
	if n := ran("during the freeze"); n != 0 {
		t.Errorf("%d jobs were sent", n)
	}
	if err := syscall.Kill(server.PID, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	all("after the freeze", 200)
	if n := ran("after the freeze"); n != 32 {
		t.Errorf("%d jobs for 32 requests", n)
	}
	sent.keep()
	d.searchCanaries()
}
