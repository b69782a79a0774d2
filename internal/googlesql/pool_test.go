package googlesql

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/googlesql/enginetest"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// The test binary plays two more parts when its first argument says so: a worker that misbehaves,
// and a gateway that gets killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case "play-worker":
			playWorker(os.Args[2])
			return
		case "play-gateway":
			playGateway(os.Args[2:])
			return
		}
	}
	code := m.Run()
	if workerCommand != nil {
		if pool, err := sharedPool(); err == nil {
			_ = pool.Close()
		}
	}
	os.Exit(code)
}

// playWorker says hello and then answers the first question in the given wrong way.
func playWorker(how string) {
	hello := wire.Hello{Version: wire.Version, Engine: "a play"}
	if how == "old" {
		hello.Version = "bqgate-sql/0"
	}
	if how == "silent" {
		time.Sleep(time.Minute)
	}
	_ = wire.WriteFrame(os.Stdout, hello)
	var question wire.Question
	if wire.ReadFrame(os.Stdin, &question) != nil {
		return
	}
	outline := &wire.Script{Statements: []wire.Statement{{Kind: "SELECT", End: 13}}}
	first := wire.Reply{ID: question.ID, Script: outline, More: true}
	switch how {
	case "dies between":
		_ = wire.WriteFrame(os.Stdout, first)
		return
	case "hangs between":
		_ = wire.WriteFrame(os.Stdout, first)
	case "slow halves": // each within the deadline
		time.Sleep(200 * time.Millisecond)
		_ = wire.WriteFrame(os.Stdout, first)
		time.Sleep(200 * time.Millisecond)
		_ = wire.WriteFrame(os.Stdout, wire.Reply{ID: question.ID, Analysis: &wire.Analysis{}})
	case "goes on and on":
		for range 3 {
			_ = wire.WriteFrame(os.Stdout, first)
		}
	case "nothing follows":
		_ = wire.WriteFrame(os.Stdout, first)
		_ = wire.WriteFrame(os.Stdout, wire.Reply{ID: question.ID})
	case "follows another":
		_ = wire.WriteFrame(os.Stdout, first)
		_ = wire.WriteFrame(os.Stdout, wire.Reply{ID: question.ID + 1, Analysis: &wire.Analysis{}})
	case "other tables": // it says that it analysed something else than will be asked
		_ = wire.WriteFrame(os.Stdout, first)
		_ = wire.WriteFrame(os.Stdout, wire.Reply{ID: question.ID, Given: []string{"demo.crm.customers"},
			Analysis: &wire.Analysis{Columns: []wire.Column{{Name: "forged"}}}})
		if wire.ReadFrame(os.Stdin, &question) == nil && question.Analyze != nil {
			_ = wire.WriteFrame(os.Stdout, wire.Reply{ID: question.ID, Analysis: &wire.Analysis{Columns: []wire.Column{{Name: "asked"}}}})
		}
	case "outside":
		outline.Statements[0].End = 1 << 20
		_ = wire.WriteFrame(os.Stdout, wire.Reply{ID: question.ID, Script: outline})
	case "garbage":
		_, _ = os.Stdout.WriteString("\x00\x00\x00\x04nope and more")
	case "huge":
		_, _ = os.Stdout.Write([]byte{0xff, 0xff, 0xff, 0xff})
	case "short":
		_, _ = os.Stdout.Write([]byte{0, 0, 0, 9, '{'})
	case "other":
		_ = wire.WriteFrame(os.Stdout, wire.Reply{ID: question.ID + 1, Script: &wire.Script{}})
	case "empty":
		_ = wire.WriteFrame(os.Stdout, wire.Reply{ID: question.ID})
	case "exit":
		os.Exit(0)
	case "killed": // so many workers as the last argument says; the folder counts them
		dead, _ := os.ReadDir(os.Args[3])
		if most, _ := strconv.Atoi(os.Args[4]); len(dead) < most {
			_ = os.WriteFile(filepath.Join(os.Args[3], strconv.Itoa(os.Getpid())), nil, 0o600)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			time.Sleep(time.Minute)
		}
		_ = wire.WriteFrame(os.Stdout, first)
		_ = wire.WriteFrame(os.Stdout, wire.Reply{ID: question.ID, Analysis: &wire.Analysis{Columns: []wire.Column{{Name: "a"}}}})
	}
	time.Sleep(time.Minute)
}

// playGateway starts a pool, prints its workers, keeps one of them busy and waits to be killed.
func playGateway(command []string) {
	pool, err := NewPool(context.Background(), PoolOptions{Command: command, Deadline: time.Minute})
	for err == nil && len(idle(pool)) < 3 { // with the spare one
		time.Sleep(time.Millisecond)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var line []string
	for _, w := range idle(pool) {
		line = append(line, strconv.Itoa(w.cmd.Process.Pid))
	}
	fmt.Println(strings.Join(line, " "))
	_, _ = New(pool, Limits{}).Analyze(context.Background(), Query{SQL: bomb(24), Project: "demo", Catalog: Files{}})
}

// bomb is a query whose type doubles with each level.
func bomb(levels int) string {
	var b strings.Builder
	b.WriteString("WITH a0 AS (SELECT STRUCT(1 AS x, 2 AS y) AS s)")
	for i := 1; i <= levels; i++ {
		fmt.Fprintf(&b, ", a%d AS (SELECT STRUCT(s AS l, s AS r) AS s FROM a%d)", i, i-1)
	}
	fmt.Fprintf(&b, " SELECT s FROM a%d", levels)
	return b.String()
}

func startPool(t *testing.T, options PoolOptions) *Pool {
	t.Helper()
	if options.Command == nil {
		options.Command = enginetest.Worker(t)
	}
	pool, err := NewPool(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	return pool
}

// idle are the processes that have nothing to do; the last is the next to be asked.
func idle(p *Pool) []*process {
	p.fast.mu.Lock()
	defer p.fast.mu.Unlock()
	return slices.Clone(p.fast.idle)
}

// next is the process that the next question goes to.
func next(p *Pool) *process {
	all := idle(p)
	return all[len(all)-1]
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for begin := time.Now(); !holds(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("%s: not in 30 s", what)
		}
	}
}

func analyze(t *testing.T, a *Analyzer, sql string) *Analysis {
	t.Helper()
	analysis, err := a.Analyze(t.Context(), Query{SQL: sql, Project: "demo", Catalog: Files{"testdata/catalog"}, Caller: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return analysis
}

func wantCode(t *testing.T, analysis *Analysis, code ErrorCode) {
	t.Helper()
	if analysis.Error == nil || analysis.Error.Code != code {
		t.Fatalf("error = %+v, want code %s", analysis.Error, code)
	}
}

func TestDeadlineKillsAndReplaces(t *testing.T) {
	const deadline = 2 * time.Second
	pool := startPool(t, PoolOptions{Workers: 2, Deadline: deadline})
	analyzer := New(pool, Limits{})
	var others sync.WaitGroup
	stop := make(chan struct{})
	others.Go(func() { // the other worker is not disturbed
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			a, err := analyzer.Analyze(context.Background(), Query{
				SQL: fmt.Sprintf("SELECT ssn, %d AS n FROM crm.customers", i), Project: "demo", Catalog: Files{"testdata/catalog"},
				Caller: "other",
			})
			if err != nil || a.Error != nil {
				t.Errorf("another query failed: %v %+v", err, a.Error)
				return
			}
		}
	})
	start := time.Now()
	analysis := analyze(t, analyzer, bomb(24))
	took := time.Since(start)
	close(stop)
	others.Wait()
	wantCode(t, analysis, ErrorDeadline)
	if took > deadline+10*time.Second {
		t.Errorf("the bomb held for %s", took)
	}
	if len(analysis.Statements) != 1 || analysis.Statements[0].Kind != "SELECT" {
		t.Errorf("statements = %+v, want the one known SELECT", analysis.Statements)
	}
	if a := analyze(t, analyzer, "SELECT ssn FROM crm.customers"); a.Error != nil {
		t.Errorf("after the bomb: %v", a.Error)
	}
}

func TestMemoryLimit(t *testing.T) {
	pool := startPool(t, PoolOptions{Workers: 1, MemoryLimit: 400 << 20, Deadline: 20 * time.Second})
	analyzer := New(pool, Limits{Tables: 100_000, Nodes: 1_000_000, Depth: 100_000})
	sql := "SELECT 1 FROM crm.events a0"
	for i := 1; i < 3000; i++ {
		sql += fmt.Sprintf(" CROSS JOIN crm.events a%d", i)
	}
	wantCode(t, analyze(t, analyzer, sql), ErrorDeadline)
	if a := analyze(t, analyzer, "SELECT ssn FROM crm.customers"); a.Error != nil {
		t.Errorf("after the memory bomb: %v", a.Error)
	}
}

func TestDeepInputDoesNotKill(t *testing.T) {
	pool := startPool(t, PoolOptions{Workers: 1, Deadline: 20 * time.Second, MemoryLimit: 4 << 30})
	deep := New(pool, Limits{Depth: 1 << 20, Nodes: 1 << 22, Text: 1 << 22})
	wantCode(t, analyze(t, deep, "SELECT "+strings.Repeat("UPPER(", 50_000)+"'a'"+strings.Repeat(")", 50_000)), ErrorDeadline)
	if a := analyze(t, deep, "SELECT ssn FROM crm.customers"); a.Error != nil {
		t.Errorf("after deep input: %v", a.Error)
	}
}

// A worker that is killed from outside refuses nobody: another one is asked. Only a text whose
// workers are killed again and again is refused, for its words and for a while.
func TestKilledInFlight(t *testing.T) {
	for _, c := range []struct {
		name  string
		kills int
		codes []ErrorCode // of the same text, one time after the other; "" for an answer
		dead  int
	}{
		{"once", 1, []ErrorCode{"", ""}, 1},
		{"twice", 2, []ErrorCode{ErrorUnavailable, ""}, 2},
		{"again and again", 100, []ErrorCode{ErrorUnavailable, ErrorDeadline, ErrorDeadline}, killsOfABomb},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := t.TempDir()
			pool := startPool(t, PoolOptions{
				Command: []string{
					os.Args[0],
					"play-worker",
					"killed",
					folder,
					strconv.Itoa(c.kills),
				}, Workers: 1, Deadline: 20 * time.Second,
				Recycle: 1,
			})
			for n, code := range c.codes {
				a := analyze(t, New(pool, Limits{}), "SELECT 1 AS a")
				switch {
				case code == "" && (a.Error != nil || len(a.Statements) != 1):
					t.Errorf("time %d: %+v", n, a)
				case code != "":
					wantCode(t, a, code)
				}
			}
			if dead, err := os.ReadDir(folder); err != nil || len(dead) != c.dead {
				t.Errorf("%d workers were killed, %v; want %d", len(dead), err, c.dead)
			}
			pool.killers.kills.RemoveIf(func([32]byte) bool { return true }) // its time is over
			if c.kills > killsOfABomb {
				wantCode(t, analyze(t, New(pool, Limits{}), "SELECT 1 AS a"), ErrorUnavailable)
			}
		})
	}
	t.Run("not what ends by itself", func(t *testing.T) {
		pool := startPool(t, PoolOptions{Command: []string{os.Args[0], "play-worker", "exit"}, Workers: 1})
		wantCode(t, analyze(t, New(pool, Limits{}), "SELECT 1 AS a"), ErrorDeadline)
	})
}

func TestKilledWhileIdle(t *testing.T) {
	pool := startPool(t, PoolOptions{Workers: 1})
	analyzer := New(pool, Limits{})
	for range 3 { // the one that works, the spare one, and what came in their place
		eventually(t, "a worker", func() bool { return len(idle(pool)) > 0 })
		dead := next(pool)
		if err := syscall.Kill(dead.cmd.Process.Pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the dead worker is gone", func() bool { return !slices.Contains(idle(pool), dead) })
		if a := analyze(t, analyzer, "SELECT 1 AS a"); a.Error != nil {
			t.Errorf("a question was put to a dead worker: %v", a.Error)
		}
	}
	eventually(t, "a worker and a spare one", func() bool { return len(idle(pool)) == 2 })
}

func TestFrozenWorker(t *testing.T) {
	pool := startPool(t, PoolOptions{Workers: 1, Deadline: 300 * time.Millisecond})
	pid := next(pool).cmd.Process.Pid
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all threads of the worker stand still", func() bool {
		states, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		return err == nil && len(states) > 0 && !slices.ContainsFunc(states, func(name string) bool {
			stat, err := os.ReadFile(name)
			return err != nil || !bytes.Contains(stat, []byte(") T "))
		})
	})
	start := time.Now()
	wantCode(t, analyze(t, New(pool, Limits{}), "SELECT 1 AS a"), ErrorDeadline)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("a frozen worker held for %s", took)
	}
}

func TestMisbehavingWorkers(t *testing.T) {
	for _, how := range []string{"garbage", "huge", "short", "other", "empty", "exit", "hang", "outside"} {
		t.Run(how, func(t *testing.T) {
			pool := startPool(t, PoolOptions{Command: []string{os.Args[0], "play-worker", how}, Workers: 1,
				Deadline: 300 * time.Millisecond})
			analysis := analyze(t, New(pool, Limits{}), "SELECT 1 AS a")
			if analysis.Error == nil || len(analysis.Statements) != 0 {
				t.Errorf("analysis = %+v, want an error and nothing else", analysis)
			}
		})
	}
	for how, code := range map[string]ErrorCode{
		"dies between": ErrorDeadline, "hangs between": ErrorDeadline, "slow halves": ErrorDeadline,
		"goes on and on": ErrorUnavailable, "nothing follows": ErrorUnavailable, "follows another": ErrorUnavailable,
	} {
		t.Run(how, func(t *testing.T) {
			pool := startPool(t, PoolOptions{Command: []string{os.Args[0], "play-worker", how}, Workers: 1,
				Deadline: 300 * time.Millisecond})
			analysis := analyze(t, New(pool, Limits{}), "SELECT 1 AS a")
			wantCode(t, analysis, code)
			if len(analysis.Statements) != 1 || len(analysis.Statements[0].Columns) > 0 { // the outline was there by then
				t.Errorf("statements = %+v, want the outline", analysis.Statements)
			}
		})
	}
	t.Run("other tables", func(t *testing.T) {
		pool := startPool(t, PoolOptions{Command: []string{os.Args[0], "play-worker", "other tables"}, Workers: 1})
		analysis := analyze(t, New(pool, Limits{}), "SELECT 1 AS a")
		if analysis.Error != nil || len(analysis.Statements[0].Columns) != 1 || analysis.Statements[0].Columns[0].Name != "asked" {
			t.Errorf("analysis = %+v, %v, want the answer to what was asked", analysis.Statements, analysis.Error)
		}
	})
	for _, how := range []string{"old", "exit-at-once"} {
		command := []string{os.Args[0], "play-worker", how}
		if how == "exit-at-once" {
			command = []string{"/bin/false"}
		}
		if pool, err := NewPool(t.Context(), PoolOptions{Command: command, Workers: 2}); err == nil {
			_ = pool.Close()
			t.Errorf("%s: the pool started", how)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := NewPool(ctx, PoolOptions{Command: []string{os.Args[0], "play-worker", "silent"}}); err == nil {
		t.Error("a pool of silent workers started")
	}
}

func TestRecycling(t *testing.T) {
	pool := startPool(t, PoolOptions{Workers: 1, Recycle: 4})
	analyzer, pids := New(pool, Limits{Cache: -1}), map[int]bool{}
	for i := range 10 {
		eventually(t, "a worker", func() bool { return len(idle(pool)) > 0 })
		pids[next(pool).cmd.Process.Pid] = true
		if a := analyze(t, analyzer, fmt.Sprintf("SELECT %d AS a", i)); a.Error != nil {
			t.Fatal(a.Error)
		}
	}
	if len(pids) < 2 {
		t.Errorf("10 analyses used the processes %v, want several", pids)
	}
}

func TestContextEndsTheWait(t *testing.T) {
	pool := startPool(t, PoolOptions{Workers: 1, Deadline: time.Second})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	analysis, err := New(pool, Limits{}).Analyze(ctx, Query{SQL: bomb(24), Project: "demo", Catalog: Files{}})
	if !errors.Is(err, context.DeadlineExceeded) || analysis != nil {
		t.Errorf("Analyze = %+v, %v, want the context's error", analysis, err)
	}
}

func TestCloseEndsQuestions(t *testing.T) {
	pool := startPool(t, PoolOptions{Workers: 1, Deadline: time.Minute})
	time.AfterFunc(100*time.Millisecond, func() { _ = pool.Close() })
	wantCode(t, analyze(t, New(pool, Limits{}), bomb(24)), ErrorUnavailable)
	wantCode(t, analyze(t, New(pool, Limits{}), "SELECT 1 AS a"), ErrorUnavailable)
}

func TestQueueIsBoundedAndFair(t *testing.T) {
	var q turns
	q.limit = 4
	anybody := func(string) bool { return true }
	var order []string
	push := func(caller string, want bool) *ticket {
		t.Helper()
		mine, evicted := q.push(caller)
		if (mine != nil) != want {
			t.Fatalf("push(%s): got a place: %v, want %v", caller, mine != nil, want)
		}
		if evicted != nil {
			order = append(order, "-"+evicted.caller)
		}
		return mine
	}
	for range 4 {
		push("flood", true)
	}
	push("flood", false) // its own queue is the longest
	push("alice", true)  // takes the place of the flood's newest
	push("bob", true)
	push("carol", true) // flood 1, alice 1, bob 1, carol 1
	push("dave", false) // everybody has one
	for next := q.pop(anybody); next != nil; next = q.pop(anybody) {
		order = append(order, next.caller)
	}
	want := []string{"-flood", "-flood", "-flood", "flood", "alice", "bob", "carol"}
	if !slices.Equal(order, want) {
		t.Errorf("order = %v, want %v", order, want)
	}
	q.limit = 10
	for range 3 {
		push("flood", true)
	}
	push("alice", true)
	gone := push("bob", true)
	q.remove(gone)
	q.remove(gone)
	order = nil
	for next := q.pop(anybody); next != nil; next = q.pop(anybody) {
		order = append(order, next.caller)
	}
	if want := []string{"flood", "alice", "flood", "flood"}; !slices.Equal(order, want) {
		t.Errorf("order = %v, want %v", order, want)
	}
	if q.size != 0 {
		t.Errorf("size = %d, want 0", q.size)
	}
}

func TestFloodDoesNotStarve(t *testing.T) {
	pool := startPool(t, PoolOptions{Workers: 1, QueueLimit: 8})
	analyzer := New(pool, Limits{Cache: -1})
	stop := make(chan struct{})
	var flood sync.WaitGroup
	for range 32 {
		flood.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				a, err := analyzer.Analyze(context.Background(),
					Query{SQL: "SELECT 1 AS a", Project: "demo", Catalog: Files{}, Caller: "flood"})
				if err != nil || a.Error != nil {
					time.Sleep(time.Millisecond) // refused at once; the processor is the test's as well
				}
			}
		})
	}
	for range 20 {
		if a := analyze(t, analyzer, "SELECT ssn FROM crm.customers"); a.Error != nil {
			t.Errorf("a quiet caller was refused: %v", a.Error)
		}
	}
	close(stop)
	flood.Wait()
}

func TestConcurrentAnalyses(t *testing.T) {
	analyzer := testAnalyzer(t)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 60 {
				name := fmt.Sprintf("c_%d_%d", g, i)
				a, err := analyzer.Analyze(t.Context(), Query{
					SQL: "SELECT ssn AS " + name + " FROM crm.customers", Project: "demo", Catalog: Files{"testdata/catalog"},
					Caller: strconv.Itoa(g),
				})
				if err != nil || a.Error != nil || a.Statements[0].Columns[0].Name != name {
					t.Errorf("%s: %+v, %v", name, a, err)
				}
			}
		})
	}
	all.Wait()
}

// A worker knows nothing: its environment is empty, it has no files but three, and less memory than
// the machine.
func TestWorkerIsBare(t *testing.T) {
	t.Setenv("BQGATE_TEST_SECRET", "hunter2")
	pool := startPool(t, PoolOptions{Workers: 1, MemoryLimit: 700 << 20})
	proc := fmt.Sprintf("/proc/%d/", next(pool).cmd.Process.Pid)
	environment, err := os.ReadFile(proc + "environ")
	if err != nil || len(environment) > 0 {
		t.Errorf("environment = %q, %v, want none", environment, err)
	}
	limits, err := os.ReadFile(proc + "limits")
	if err != nil || !bytes.Contains(limits, []byte(strconv.Itoa(700<<20))) {
		t.Errorf("limits = %s, %v, want the memory limit in it", limits, err)
	}
	files, err := os.ReadDir(proc + "fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		target, _ := os.Readlink(proc + "fd/" + f.Name())
		switch {
		case strings.HasPrefix(target, "pipe:"), target == os.DevNull, strings.HasPrefix(target, "anon_inode:"):
		case strings.HasPrefix(target, "/sys/fs/cgroup/"): // the Go run-time reads the CPU quota
		case strings.HasSuffix(target, "/statm"): // its own size, so that it asks to be replaced in time
		default:
			t.Errorf("the worker has the file %s", target)
		}
	}
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		t.Fatal(err)
	}
	own, _ := os.Readlink("/proc/self/ns/net")
	network, _ := os.Readlink(proc + "ns/net")
	for what, proof := range map[string]bool{
		"namespaces":        network != own && bytes.Contains(status, []byte("CapEff:\t0000000000000000")),
		"no-new-privileges": bytes.Contains(status, []byte("NoNewPrivs:\t1")),
		"seccomp":           bytes.Contains(status, []byte("Seccomp:\t2")),
	} {
		t.Run(what, func(t *testing.T) {
			if claimed := slices.Contains(pool.Confined(), what); claimed != proof {
				t.Errorf("%s: claimed %t, found %t", what, claimed, proof)
			} else if !claimed {
				t.Logf("this system does not allow %s", what)
			}
		})
	}
}

func TestWorkersDieWithTheGateway(t *testing.T) {
	gateway := exec.Command(os.Args[0], append([]string{"play-gateway"}, enginetest.Worker(t)...)...)
	out, err := gateway.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := gateway.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // one worker is busy now
	_ = gateway.Process.Kill()
	_ = gateway.Wait()
	for _, word := range strings.Fields(line) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			t.Fatalf("the gateway said %q", line)
		}
		gone := false
		for range 1000 {
			if gone = !running(pid); gone {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if !gone {
			t.Errorf("the worker %d outlived its gateway by 20 s", pid)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// running reports whether a process is there and not just waiting to be reaped.
func running(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(status, []byte(") Z "))
}
