package googlesql

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/googlesql/enginetest"
)

// Whatever a text does to a worker, its answer comes soon after the deadline, and the next question
// finds a worker. `make bench` runs all bombs and measures how soon, and what another caller feels
// of it; here are a few of each sort, and only what no load of the machine excuses is a failure.
func TestBombs(t *testing.T) {
	const deadline = 300 * time.Millisecond
	analyzer := New(startPool(t, PoolOptions{Workers: 2, Deadline: deadline}), Limits{Cache: -1})
	bombs := enginetest.Bombs()
	for _, name := range []string{"arraydup", "case", "columns doubled", "grouping sets", "number", "open", "pattern", "structdup", "types",
		"unpivot", "with nested"} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			a := analyze(t, analyzer, bombs[name])
			took := time.Since(begin)
			if e := a.Error; e != nil && (e.Code == ErrorUnavailable || e.Message == "" || len(e.Message) > 1000) {
				t.Errorf("%s: %.2000v", name, e)
			}
			if a.Error == nil && name == "structdup" {
				t.Errorf("%s was understood: it is a dud", name)
			}
			if limit := deadline + 15*time.Second; took > limit {
				t.Errorf("%s took %s, want at most %s", name, took, limit)
			}
		})
	}
	if a := analyze(t, analyzer, "SELECT ssn FROM crm.customers"); a.Error != nil {
		t.Errorf("after the bombs: %v", a.Error)
	}
}

// A script of statements that each are analysed in time has one deadline all the same.
func TestDeadlineIsOfTheText(t *testing.T) {
	const deadline = 400 * time.Millisecond
	analyzer := New(startPool(t, PoolOptions{Workers: 2, Deadline: deadline}), Limits{Cache: -1})
	begin := time.Now()
	a := analyze(t, analyzer, strings.Repeat(bomb(10)+";", 100)) // each is accepted, and takes some tens of milliseconds
	if took := time.Since(begin); a.Error == nil || a.Error.Code != ErrorDeadline || took > deadline+15*time.Second {
		t.Errorf("error = %+v after %s, want the deadline of %s", a.Error, took, deadline)
	}
}

// While no process can be started, the spare one takes the place of the first that a caller breaks.
// The place of the next one stays with the caller, so that the last process is left to the others.
func TestSpareTakesThePlace(t *testing.T) {
	no := filepath.Join(t.TempDir(), "no")
	pool := startPool(t, PoolOptions{
		Command: append([]string{"/bin/sh", "-c", `[ ! -e "$0" ] && exec "$@"`, no}, enginetest.Worker(t)...),
		Workers: 2, Deadline: 300 * time.Millisecond, QueueWait: 300 * time.Millisecond,
	})
	eventually(t, "two workers and a spare one", func() bool { return len(idle(pool)) == 3 })
	if err := os.WriteFile(no, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	analyzer := New(pool, Limits{Cache: -1})
	ask := func(caller, sql string) *Analysis {
		t.Helper()
		a, err := analyzer.Analyze(t.Context(), Query{SQL: sql, Project: "demo", Catalog: Files{"testdata/catalog"}, Caller: caller})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for range 2 {
		wantCode(t, ask("attacker", bomb(24)), ErrorDeadline)
	}
	if left := len(idle(pool)); left != 1 {
		t.Fatalf("%d processes are left after two bombs, want 1", left)
	}
	wantCode(t, ask("attacker", "SELECT 1 AS a"), ErrorCrowded)
	for i := range 5 {
		if a := ask("another", fmt.Sprintf("SELECT ssn, %d AS n FROM crm.customers", i)); a.Error != nil {
			t.Errorf("another caller was refused: %v", a.Error)
		}
	}
	if err := os.Remove(no); err != nil {
		t.Fatal(err)
	}
	eventually(t, "processes for all", func() bool { return len(idle(pool)) == 3 })
	if a := ask("attacker", "SELECT 1 AS a"); a.Error != nil {
		t.Errorf("when there are processes again: %v", a.Error)
	}
}

// One caller's bombs, however many at once, leave a worker to the others.
func TestBombsLeaveAWorkerToOthers(t *testing.T) {
	const deadline = 3 * time.Second
	analyzer := New(startPool(t, PoolOptions{Workers: 2, Deadline: deadline}), Limits{Cache: -1})
	var attack sync.WaitGroup
	for range 4 {
		attack.Go(func() {
			a, err := analyzer.Analyze(t.Context(),
				Query{SQL: bomb(24), Project: "demo", Catalog: Files{"testdata/catalog"}, Caller: "attacker"})
			if err != nil || a.Error == nil {
				t.Errorf("a bomb: %+v, %v", a, err)
			}
		})
	}
	time.Sleep(200 * time.Millisecond) // the bombs have what they can get
	for i := range 20 {
		begin := time.Now()
		if a := analyze(t, analyzer, fmt.Sprintf("SELECT ssn, %d AS n FROM crm.customers", i)); a.Error != nil {
			t.Errorf("another caller was refused: %v", a.Error)
		}
		if took := time.Since(begin); took > deadline/2 {
			t.Errorf("another caller waited %s", took)
		}
	}
	attack.Wait()
}
