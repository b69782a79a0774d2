package googlesql

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/googlesql/enginetest"
)

// Whatever a text does to a worker, its answer comes soon after the deadline, and the next question finds a worker. `make bench` runs all bombs and
// measures how soon, and what another caller feels of it; here are a few of each sort, and only what no load of the machine excuses is a failure.
func TestBombs(t *testing.T) {
	const deadline = 300 * time.Millisecond
	analyzer := New(startPool(t, PoolOptions{Workers: 2, Deadline: deadline}), Limits{Cache: -1})
	bombs := enginetest.Bombs()
	for _, name := range []string{"arraydup", "case", "columns doubled", "grouping sets", "number", "open", "pattern", "structdup", "types", "unpivot", "with nested"} {
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

// One caller's bombs, however many at once, leave a worker to the others.
func TestBombsLeaveAWorkerToOthers(t *testing.T) {
	const deadline = 3 * time.Second
	analyzer := New(startPool(t, PoolOptions{Workers: 2, Deadline: deadline}), Limits{Cache: -1})
	var attack sync.WaitGroup
	for range 4 {
		attack.Go(func() {
			a, err := analyzer.Analyze(t.Context(), Request{SQL: bomb(24), Project: "demo", Catalog: Files{"testdata/catalog"}, Caller: "attacker"})
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
