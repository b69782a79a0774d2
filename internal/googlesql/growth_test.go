package googlesql

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

var analyses = flag.Int("analyses", 1000, "how many queries TestNoGrowth analyses")

// TestNoGrowth analyses one new query after the other in one worker that is never recycled: neither
// it nor this process may grow with their number. `make soak` analyses 100,000.
func TestNoGrowth(t *testing.T) {
	pool := startPool(t, PoolOptions{Workers: 1, Recycle: 1 << 30})
	analyzer := New(pool, Limits{Cache: 500})
	pid := next(pool).cmd.Process.Pid
	var worker, own [2]int64 // when a third is done, and at the end
	for i := range *analyses {
		sql := fmt.Sprintf("SELECT name, UPPER(ssn) AS s%d, (SELECT COUNT(*) FROM crm.orders AS o WHERE o.customer_id = c.id AND o.id > "+
			"%d) AS n FROM crm.customers AS c WHERE id = %d ORDER BY 1", i, i, i)
		a, err := analyzer.Analyze(t.Context(), Query{SQL: sql, Project: "demo", Catalog: benchmarkCatalog, Caller: "growth"})
		if err != nil || a.Error != nil {
			t.Fatalf("query %d: %v %+v", i, err, a)
		}
		for at, n := range []int{*analyses / 3, *analyses - 1} {
			if i == n {
				worker[at], own[at] = residentAnonymous(t, pid), heap()
			}
		}
	}
	t.Logf("%d analyses: worker %d MiB, then %d MiB; own heap %d KiB, then %d KiB", *analyses, worker[0]>>20, worker[1]>>20, own[0]>>10,
		own[1]>>10)
	if limit := worker[0] + worker[0]/4 + 16<<20; worker[1] > limit {
		t.Errorf("the worker grew from %d MiB to %d MiB", worker[0]>>20, worker[1]>>20)
	}
	if limit := own[0] + own[0]/4 + 4<<20; own[1] > limit {
		t.Errorf("this process's heap grew from %d KiB to %d KiB", own[0]>>10, own[1]>>10)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// residentAnonymous is the memory that a process has for itself, without its program. A process
// that is gone is a failure.
func residentAnonymous(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatalf("the worker was replaced: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Skip("this system does not say what memory a process has")
	return 0
}
