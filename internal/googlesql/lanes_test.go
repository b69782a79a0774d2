package googlesql

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// told are Habits that a test sets, and what they were told.
type told struct {
	long string // the caller whose texts take long

	mu  sync.Mutex
	ran map[string]time.Duration
}

func (h *told) Long(caller string) bool { return caller == h.long }

func (h *told) Ran(caller string, took time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ran == nil {
		h.ran = map[string]time.Duration{}
	}
	h.ran[caller] += took
}

func asked(p *Pool) (n int) {
	p.slow.mu.Lock()
	defer p.slow.mu.Unlock()
	for w := range p.slow.alive {
		n += w.asked
	}
	return n
}

// A text that takes longer than the first deadline is analysed all the same, by a slow worker.
func TestLongTextsGoToTheSlowLane(t *testing.T) {
	long := strings.Repeat(bomb(10)+";", 20) // each statement takes some tens of milliseconds
	for name, c := range map[string]struct {
		sql    string
		caller string
		slow   bool // analysed there
		told   bool // habits were
	}{
		"a short text":                        {"SELECT 1 AS a", "anybody", false, false},
		"a long text":                         {long, "anybody", true, true},
		"a short text of a caller with habit": {"SELECT 1 AS a", "bomber", true, false},
		"a long text of a caller with habit":  {long, "bomber", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			habits := &told{long: "bomber"}
			pool := startPool(t, PoolOptions{Workers: 1, Slow: 1, FirstDeadline: 60 * time.Millisecond, Deadline: time.Minute,
				SlowWait: time.Minute, Habits: habits})
			a, err := New(pool, Limits{Cache: -1}).Analyze(t.Context(),
				Query{SQL: c.sql, Project: "demo", Catalog: Files{"testdata/catalog"}, Owner: c.caller})
			if err != nil || a.Error != nil {
				t.Fatalf("Analyze = %v, %v, want an analysis", a.Error, err)
			}
			if slow := asked(pool) > 0; slow != c.slow {
				t.Errorf("the slow worker was asked: %v, want %v", slow, c.slow)
			}
			if _, told := habits.ran[c.caller]; told != c.told {
				t.Errorf("habits were told %v, want %v", habits.ran, c.told)
			}
		})
	}
}

// What no lane can analyse is refused by the whole deadline's name, and what was known by the first
// is kept.
func TestTheSlowLaneEndsToo(t *testing.T) {
	pool := startPool(t, PoolOptions{Workers: 1, Slow: 1, FirstDeadline: 100 * time.Millisecond, Deadline: 400 * time.Millisecond,
		SlowWait: time.Minute})
	a := analyze(t, New(pool, Limits{Cache: -1}), bomb(24))
	wantCode(t, a, ErrorDeadline)
	if want := "within 400ms"; !strings.Contains(a.Error.Message, want) {
		t.Errorf("%q does not name the bound, %q", a.Error.Message, want)
	}
	if len(a.Statements) != 1 || a.Statements[0].Kind != "SELECT" {
		t.Errorf("statements = %+v, want the one known SELECT", a.Statements)
	}
	if a := analyze(t, New(pool, Limits{Cache: -1}), "SELECT ssn FROM crm.customers"); a.Error != nil {
		t.Errorf("after the bomb: %v", a.Error)
	}
}

// However many long texts an owner sends, they wait for each other, so many and no more; who has
// none is served beside them.
func TestLongTextsWaitForEachOther(t *testing.T) {
	pool := startPool(t, PoolOptions{Workers: 1, Slow: 1, Spare: -1, Deadline: time.Minute, SlowWait: time.Minute,
		Habits: &told{long: "bomber"}})
	analyzer := New(pool, Limits{Cache: -1})
	ask := func(owner, sql string) *Analysis {
		a, err := analyzer.Analyze(context.Background(), Query{SQL: sql, Project: "demo", Catalog: Files{"testdata/catalog"}, Owner: owner})
		if err != nil {
			t.Errorf("%s: %v", owner, err)
			return &Analysis{Error: &Error{}}
		}
		return a
	}
	eventually(t, "a slow worker", func() bool { return pool.SlowStaff().Alive == 1 })
	pool.slow.mu.Lock()
	pid := pool.slow.idle[0].cmd.Process.Pid
	pool.slow.mu.Unlock()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil { // it takes its time, whatever the machine's load
		t.Fatal(err)
	}
	var bombs sync.WaitGroup
	defer bombs.Wait()
	for range 1 + slowEach {
		bombs.Go(func() {
			if a := ask("bomber", "SELECT 2 AS a"); a.Error == nil || a.Error.Code != ErrorUnavailable { // the pool closes
				t.Errorf("a bomb ended with %v", a.Error)
			}
		})
	}
	eventually(t, "the bombs wait for each other", func() bool {
		s := pool.SlowStaff()
		return s.Busy == 1 && s.Waiting == slowEach
	})
	wantCode(t, ask("bomber", "SELECT 1 AS a"), ErrorCrowded)
	for i := range 10 {
		if a := ask("another", fmt.Sprintf("SELECT ssn, %d AS n FROM crm.customers", i)); a.Error != nil {
			t.Errorf("another owner was refused: %v", a.Error)
		}
	}
	if s := pool.SlowStaff(); s.Busy != 1 || s.Waiting != slowEach {
		t.Errorf("the slow lane is %+v: the others were served by it", s)
	}
	_ = pool.Close()
}

// 64 callers of one repository take turns as one; ten others are served meanwhile.
func TestOneRepositoryBesideOthers(t *testing.T) {
	const callers = 64
	pool := startPool(t, PoolOptions{Workers: 2, Deadline: time.Minute, QueueWait: time.Minute})
	analyzer := New(pool, Limits{Cache: -1})
	var flood sync.WaitGroup
	defer flood.Wait()
	for i := range callers {
		flood.Go(func() {
			a, err := analyzer.Analyze(context.Background(), Query{SQL: bomb(24), Project: "demo", Catalog: Files{"testdata/catalog"},
				Caller: "repository, run " + strconv.Itoa(i), Owner: "repository"})
			if err != nil || a.Error == nil || a.Error.Code != ErrorUnavailable { // the pool closes
				t.Errorf("a caller of the repository: %+v, %v", a, err)
			}
		})
	}
	defer pool.Close()
	eventually(t, "the callers of the repository ask", func() bool {
		s := pool.Staff()
		return s.Busy+s.Waiting == callers
	})
	var others sync.WaitGroup
	for i := range 10 {
		others.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			sql := fmt.Sprintf("SELECT ssn, %d AS n FROM crm.customers", i)
			a, err := analyzer.Analyze(ctx,
				Query{SQL: sql, Project: "demo", Catalog: Files{"testdata/catalog"}, Owner: "other " + strconv.Itoa(i)})
			if err != nil || a.Error != nil {
				t.Errorf("other %d was not served: %+v, %v", i, a, err)
			}
		})
	}
	others.Wait()
	if s := pool.Staff(); s.Busy != 1 || s.Waiting != callers-1 {
		t.Errorf("after the others, %+v; want one of the repository's at work and %d waiting", s, callers-1)
	}
}

// All threads of a slow worker run only when nobody else wants a processor, those that it started
// while it worked among them.
func TestSlowWorkersAreBehindAll(t *testing.T) {
	pool := startPool(t, PoolOptions{Workers: 1, Slow: 1, SlowWait: time.Minute, Deadline: time.Minute, Habits: &told{long: "test"}})
	if a := analyze(t, New(pool, Limits{Cache: -1}), "SELECT 1 AS a"); a.Error != nil {
		t.Fatal(a.Error)
	}
	policies := func(l *lane) (all []uint32) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for w := range l.alive {
			threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", w.cmd.Process.Pid))
			if err != nil {
				t.Fatal(err)
			}
			for _, thread := range threads {
				id, err := strconv.Atoi(thread.Name())
				if err != nil {
					t.Fatal(err)
				}
				attributes, err := unix.SchedGetAttr(id, 0)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, attributes.Policy)
			}
		}
		return all
	}
	for name, c := range map[string]struct {
		lane *lane
		want uint32
	}{"slow": {pool.slow, unix.SCHED_IDLE}, "fast": {pool.fast, unix.SCHED_NORMAL}} {
		got := policies(c.lane)
		for _, p := range got {
			if p != c.want {
				t.Errorf("the %s lane's threads have the scheduling policies %v, want %d", name, got, c.want)
				break
			}
		}
		if len(got) == 0 {
			t.Errorf("the %s lane has no threads", name)
		}
	}
}
