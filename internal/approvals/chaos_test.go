package approvals

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/redis/go-redis/v9"
)

// durableRedis is a redis-server that keeps every write on disk, and can be killed, started again
// and set back.
type durableRedis struct {
	t    *testing.T
	dir  string
	addr string
	cmd  *exec.Cmd
}

func newDurableRedis(t *testing.T) *durableRedis {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &durableRedis{t: t, dir: t.TempDir(), addr: l.Addr().String()}
	l.Close()
	d.start()
	t.Cleanup(d.kill)
	return d
}

func (d *durableRedis) start() {
	d.t.Helper()
	_, port, _ := net.SplitHostPort(d.addr)
	d.cmd = exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", d.dir, "--appendonly", "yes", "--appendfsync",
		"always", "--save", "",
		"--aof-use-rdb-preamble", "yes", "--loglevel", "warning")
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: d.addr, MaxRetries: -1, DialerRetries: 1})
	defer client.Close()
	for deadline := time.Now().Add(20 * time.Second); client.Ping(context.Background()).Err() != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatal("redis-server is not ready after 20 s")
		}
	}
}

func (d *durableRedis) kill() {
	_ = d.cmd.Process.Kill() // gone already is as good
	_ = d.cmd.Wait()
}

// backup copies what Redis has on disk; restore puts it back, as an operator or a storage snapshot
// would.
func (d *durableRedis) backup() string {
	d.t.Helper()
	to := filepath.Join(d.t.TempDir(), "backup")
	if err := os.CopyFS(to, os.DirFS(d.dir)); err != nil {
		d.t.Fatal(err)
	}
	return to
}

func (d *durableRedis) restore(from string) {
	d.t.Helper()
	d.kill()
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(d.dir, e.Name())); err != nil {
			d.t.Fatal(err)
		}
	}
	if err := os.CopyFS(d.dir, os.DirFS(from)); err != nil {
		d.t.Fatal(err)
	}
	d.start()
}

// crasher ends a process between any two steps: before a command reaches Redis, or after Redis has
// done it and before the answer is read.
type crasher struct {
	odds float64
	dead atomic.Bool
}

func (c *crasher) strikes() bool { return c.odds > 0 && rand.Float64() < c.odds }

func (c *crasher) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *crasher) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if c.dead.Load() || c.strikes() {
			c.dead.Store(true)
			cmd.SetErr(errKilled)
			return errKilled
		}
		err := next(ctx, cmd)
		if c.dead.Load() || c.strikes() {
			c.dead.Store(true)
			cmd.SetErr(errKilled)
			return errKilled
		}
		return err
	}
}

func (c *crasher) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ApprovalEvent makes the crasher a journal too: the process dies before or after its record is
// durable.
type crashingJournal struct {
	*memoryJournal
	crash *crasher
}

func (j crashingJournal) ApprovalEvent(ctx context.Context, e Event) error {
	if j.crash.dead.Load() || j.crash.strikes() {
		j.crash.dead.Store(true)
		return errKilled
	}
	if j.crash.odds > 0 && rand.IntN(25) == 0 { // a slow disk: the claim runs out meanwhile, and another acts
		time.Sleep(chaosClaim + time.Duration(rand.IntN(50))*time.Millisecond)
	}
	if err := j.memoryJournal.ApprovalEvent(ctx, e); err != nil {
		return err
	}
	if j.crash.strikes() {
		j.crash.dead.Store(true)
		return errKilled
	}
	return nil
}

// gatewayProcess is one place where a gateway runs; it lives many lives.
type gatewayProcess struct {
	b     *bench
	odds  float64
	mu    sync.Mutex
	store *Store
	crash *crasher
	lives int
}

// get returns the living process: a new life begins by learning from the journal.
func (p *gatewayProcess) get() *Store {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.store != nil && !p.crash.dead.Load() {
		return p.store
	}
	p.lives++
	p.crash = &crasher{odds: p.odds}
	client := redis.NewClient(&redis.Options{Addr: p.b.addr, PoolSize: 20, MaxRetries: 1, DialerRetries: 1,
		DialTimeout: 500 * time.Millisecond})
	client.AddHook(p.crash)
	options := p.b.options
	options.Redis, options.Keys, options.Journal = client, p.b.keys, crashingJournal{p.b.journal, p.crash}
	store, err := New(options)
	p.b.must(err)
	p.b.t.Cleanup(func() { store.Close(); client.Close() })
	var learnt int
	var mu sync.Mutex
	catchUp := func() error {
		mu.Lock()
		defer mu.Unlock()
		events := p.b.journal.all()
		for _, e := range events[learnt:] {
			store.Learn(e)
		}
		learnt = len(events)
		return nil
	}
	b := catchUp()
	p.b.must(b)
	store.CatchUpWith(catchUp)
	p.store = store
	return store
}

// The operations of the history that porcupine checks, and what was answered.
type chaosInput struct {
	request int
	op      string // approve, deny, begin, finish, cancel, get
	who     int
	nonce   string
}

type chaosOutput struct {
	word  string // ok, unknown, or the name of a refusal
	state State
	nonce string
}

type chaosState struct {
	state  State // pending, approved, releasing, denied, cancelled, used
	voters uint8
	nonce  string
}

const chaosQuorum = 2

// chaosModel is a request as the design draws it, for many who act at once. An unknown answer may
// have taken effect or not.
var chaosModel = (&porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := map[int][]porcupine.Operation{}
		for _, op := range history {
			n := op.Input.(chaosInput).request
			parts[n] = append(parts[n], op)
		}
		var out [][]porcupine.Operation
		for _, p := range parts {
			out = append(out, p)
		}
		return out
	},
	Init: func() []any { return []any{chaosState{state: StatePending}} },
	Step: func(s, i, o any) []any {
		var out []any
		for _, next := range chaosStep(s.(chaosState), i.(chaosInput), o.(chaosOutput)) {
			out = append(out, next)
		}
		return out
	},
	Equal: func(a, b any) bool { return a == b },
}).ToModel()

func chaosStep(s chaosState, in chaosInput, out chaosOutput) []chaosState {
	if out.word == "unknown" {
		all := []chaosState{s}
		for _, word := range []string{"ok"} {
			for _, next := range chaosStep(s, in, chaosOutput{word: word, nonce: "nobody's", state: "any"}) {
				if next != s {
					all = append(all, next)
				}
			}
		}
		return all
	}
	same := []chaosState{s}
	shown := s.state
	if shown == stateReleasing {
		shown = StateApproved
	}
	fits := func(state State) bool { return out.state == "any" || out.state == state }
	voted := s.voters&(1<<in.who) != 0
	switch in.op + " " + out.word {
	case "get ok":
		if fits(shown) {
			return same
		}
	case "approve own", "deny own":
		if in.who == 3 {
			return same
		}
	case "approve decided", "deny decided":
		if s.state != StatePending || voted {
			return same
		}
	case "approve ok":
		if s.state != StatePending || voted || in.who == 3 {
			return nil
		}
		next := s
		next.voters |= 1 << in.who
		n := 0
		for v := next.voters; v != 0; v &= v - 1 {
			n++
		}
		if n >= chaosQuorum {
			next.state = StateApproved
		}
		if fits(next.state) {
			return []chaosState{next}
		}
	case "deny ok":
		if s.state == StatePending && !voted && in.who != 3 && fits(StateDenied) {
			return []chaosState{{state: StateDenied, voters: s.voters | 1<<in.who}}
		}
	case "begin ok":
		if s.state == StateApproved || s.state == stateReleasing { // in the latter case its lease is over, which is checked by the clock
			return []chaosState{{state: stateReleasing, voters: s.voters, nonce: out.nonce}}
		}
	case "begin releasing":
		if s.state == stateReleasing {
			return same
		}
	case "begin used":
		if s.state == StateUsed {
			return same
		}
	case "begin not approved":
		if s.state == StatePending || s.state == StateDenied || s.state == StateCancelled {
			return same
		}
	case "finish ok":
		if s.state == stateReleasing && s.nonce == in.nonce {
			return []chaosState{{state: StateUsed, voters: s.voters}}
		}
	case "finish lost":
		if s.state != stateReleasing || s.nonce != in.nonce {
			return same
		}
	case "cancel ok":
		if (s.state == StatePending || shown == StateApproved) && fits(StateCancelled) {
			return []chaosState{{state: StateCancelled, voters: s.voters}}
		}
		if fits(shown) && s.state != stateReleasing {
			return same
		}
	case "cancel releasing":
		if s.state == stateReleasing {
			return same
		}
	}
	return nil
}

// chaosWord names an answer. What is not a refusal by the rules is unknown: it may have happened.
func chaosWord(err error) string {
	for _, known := range []struct {
		err  error
		word string
	}{
		{ErrOwn, "own"}, {ErrDecided, "decided"}, {ErrReleasing, "releasing"}, {ErrUsed, "used"}, {ErrNotApproved, "not approved"},
		{ErrLeaseLost, "lost"},
	} {
		if errors.Is(err, known.err) {
			return known.word
		}
	}
	if err == nil {
		return "ok"
	}
	return "unknown"
}

// chaos is many people, polls and withdrawals at once, on processes that die between any two steps
// and a Redis that is killed.
type chaos struct {
	b         *bench
	processes []*gatewayProcess
	requests  []Request
	start     time.Time

	mu      sync.Mutex
	history []porcupine.Operation
	leases  map[int][]Lease
	runs    map[int]map[string]bool // job ids that BigQuery was given, by request: it takes each once
	ran     map[string]time.Time
}

const (
	chaosClaim = 150 * time.Millisecond
	chaosLease = 200 * time.Millisecond
)

func newChaos(t *testing.T, addr string, odds float64, requests int) *chaos {
	t.Helper()
	c := &chaos{
		b:     newBench(t, addr, Options{ClaimLease: chaosClaim, ReleaseLease: chaosLease, MaxPerOwner: 1 << 20}),
		start: time.Now(), leases: map[int][]Lease{}, runs: map[int]map[string]bool{}, ran: map[string]time.Time{},
	}
	for range 3 {
		c.processes = append(c.processes, &gatewayProcess{b: c.b, odds: odds})
	}
	for i := range requests {
		c.requests = append(c.requests, c.b.hold(func(h *Held) { h.Approval.Quorum, h.Statement = chaosQuorum, fmt.Sprint(i) }))
	}
	return c
}

var chaosPeople = []Decider{reviewer("ann"), reviewer("bob"), reviewer("cid"), func() Decider {
	d := reviewer("carol")
	return d
}()}

// act does one thing and writes it into the history.
func (c *chaos) act(r *rand.Rand, client int) {
	n := r.IntN(len(c.requests))
	id := c.requests[n].ID
	store := c.processes[r.IntN(len(c.processes))].get()
	in := chaosInput{request: n, op: []string{"approve", "approve", "approve", "approve", "begin", "begin", "begin", "get", "get", "deny",
		"cancel"}[r.IntN(11)], who: r.IntN(4)}
	if (in.op == "deny" || in.op == "cancel") && r.IntN(4) > 0 {
		in.op = "approve" // or hardly anything would ever run
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var out chaosOutput
	called := time.Since(c.start)
	switch in.op {
	case "approve", "deny":
		got, err := store.Vote(ctx, id, chaosPeople[in.who], Choice(in.op), "because")
		out = chaosOutput{word: chaosWord(err), state: got.State}
	case "cancel":
		got, err := store.Cancel(ctx, id, owner)
		out = chaosOutput{word: chaosWord(err), state: got.State}
	case "get":
		got, err := store.Get(ctx, id)
		out = chaosOutput{word: chaosWord(err), state: got.State}
	case "begin":
		lease, err := store.BeginRelease(ctx, id, owner)
		out = chaosOutput{word: chaosWord(err), nonce: lease.Nonce}
		c.note(client, in, out, called)
		if err == nil {
			c.submit(r, client, n, store, lease)
		}
		return
	}
	c.note(client, in, out, called)
}

// submit is the gateway between the two halves of a release: BigQuery gets the job under its fixed
// id.
func (c *chaos) submit(r *rand.Rand, client, n int, store *Store, lease Lease) {
	c.mu.Lock()
	c.leases[n] = append(c.leases[n], lease)
	if c.runs[n] == nil {
		c.runs[n] = map[string]bool{}
	}
	c.runs[n][c.requests[n].JobID] = true
	c.mu.Unlock()
	if r.IntN(4) == 0 {
		return // dies here
	}
	in := chaosInput{request: n, op: "finish", nonce: lease.Nonce}
	called := time.Since(c.start)
	err := store.FinishRelease(context.Background(), lease, Ran())
	c.note(client, in, chaosOutput{word: chaosWord(err)}, called)
}

func (c *chaos) note(client int, in chaosInput, out chaosOutput, called time.Duration) {
	returned := time.Since(c.start)
	if out.word == "unknown" {
		if in.op == "get" {
			return
		}
		returned = time.Hour // it may take effect whenever it likes
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history = append(c.history,
		porcupine.Operation{ClientId: client, Input: in, Output: out, Call: int64(called), Return: int64(returned)})
}

// play lets everybody act for a while.
func (c *chaos) play(seed uint64, long time.Duration) {
	var all sync.WaitGroup
	until := time.Now().Add(long)
	for client := range 8 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(client)))
			for time.Now().Before(until) {
				c.act(r, client)
			}
		})
	}
	all.Wait()
}

// safe checks what must hold whatever happened: who ran had the approval of enough others, and
// nobody ran twice or while another had the lease.
func (c *chaos) safe(t *testing.T) (ran int) {
	t.Helper()
	for n, r := range c.requests {
		if len(c.runs[n]) > 1 {
			t.Errorf("request %s ran under %d job ids", r.ID, len(c.runs[n]))
		}
		for i := 1; i < len(c.leases[n]); i++ {
			a, b := c.leases[n][i-1], c.leases[n][i]
			if b.Until.Before(a.Until) {
				a, b = b, a
			}
			if began := b.Until.Add(-chaosLease); began.Before(a.Until) && !c.finished(n, a.Nonce) {
				t.Errorf("request %s: a release began at %s while another had the lease until %s", r.ID, began, a.Until)
			}
		}
		c.oneLife(t, r.ID)
		if len(c.runs[n]) == 0 {
			continue
		}
		ran++
		approvers := map[string]bool{}
		for _, e := range c.b.journal.counts(r.ID) {
			if e.Kind == EventApprove {
				approvers[e.By] = true
			}
			if e.Kind == EventReleasing {
				break
			}
		}
		if len(approvers) < chaosQuorum || approvers["carol@acme.example"] {
			t.Errorf("request %s ran, and the journal's approvers are %v", r.ID, approvers)
		}
	}
	return ran
}

// oneLife checks what the journal says happened to a request: one step after the other, none twice,
// and nothing after its end.
func (c *chaos) oneLife(t *testing.T, id string) {
	t.Helper()
	ended := false
	for i, e := range c.b.journal.inTime(id, chaosClaim) {
		if e.Version != int64(i+1) || ended {
			t.Errorf("request %s: step %d is %s, version %d, ended before: %v; the journal tells %s", id, i+1, e.Kind, e.Version, ended,
				c.b.journal.kinds(id))
			return
		}
		ended = e.State == StateDenied || e.State == StateCancelled || e.State == StateUsed && e.Kind != EventRun
	}
}

func (c *chaos) finished(n int, nonce string) bool {
	for _, op := range c.history {
		if in := op.Input.(chaosInput); in.request == n && in.op == "finish" && in.nonce == nonce {
			return true
		}
	}
	return false
}

// soakFor is how long a chaos plays: short in `make test`, BQGATE_SOAK ("10m") in `make soak`.
func soakFor(t *testing.T, short time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv("BQGATE_SOAK")
	if text == "" {
		return short
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("BQGATE_SOAK: %v", err)
	}
	return d
}

func chaosSeed(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("BQGATE_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("BQGATE_SEED: %v", err)
		}
	}
	t.Logf("seed %d", seed)
	return seed
}

// Deciders, polls and withdrawals at once, on three processes that die between any two steps and a
// Redis that is killed: what everybody was told is one story, request by request, that the drawing
// allows (linearizability), and nobody ran without two others, or twice.
func TestChaosIsOneStory(t *testing.T) {
	redisServer := newDurableRedis(t)
	for deadline := time.Now().Add(soakFor(t, 6*time.Second)); time.Now().Before(deadline); {
		c := newChaos(t, redisServer.addr, 0.01, 12)
		seed := chaosSeed(t)
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.play(seed, 1500*time.Millisecond)
		}()
		time.Sleep(500 * time.Millisecond)
		redisServer.kill()
		time.Sleep(50 * time.Millisecond)
		redisServer.start()
		<-done
		ran := c.safe(t)
		result, info := porcupine.CheckOperationsVerbose(chaosModel, c.history, 20*time.Second)
		lives := 0
		for _, p := range c.processes {
			lives += p.lives
			if p.store != nil && p.store.Err() != nil {
				t.Errorf("a Redis that kept every write is said to have gone back: %v", p.store.Err())
			}
		}
		t.Logf("%d operations, %d of %d requests ran, %d lives: %s", len(c.history), ran, len(c.requests), lives, result)
		if result != porcupine.Ok {
			path := filepath.Join(os.TempDir(), fmt.Sprintf("bqgate-chaos-%d.html", seed))
			if err := porcupine.VisualizePath(chaosModel, info, path); err != nil {
				t.Log(err)
			}
			t.Fatalf("no single story explains what was answered (%s); see %s", result, path)
		}
		if ran == 0 || lives < 4 {
			t.Errorf("nothing happened: %d ran, %d lives", ran, lives)
		}
		if t.Failed() {
			return
		}
	}
}

// attack keeps records and puts old ones back, until stop is called, which says how often.
func (c *chaos) attack(seed uint64) (stop func() int) {
	ctx, cancel := context.WithCancel(context.Background())
	puts := make(chan int)
	go func() {
		r := rand.New(rand.NewPCG(seed, 99))
		kept := map[string][]map[string]string{}
		n := 0
		for ctx.Err() == nil {
			key := requestKey(c.requests[r.IntN(len(c.requests))].ID)
			if v := c.b.client.HGetAll(ctx, key).Val(); len(v) > 0 {
				delete(v, "claim")
				delete(v, "claim_until")
				kept[key] = append(kept[key], v)
			}
			if old := kept[key]; len(old) > 1 && r.IntN(4) == 0 {
				if r.IntN(2) == 0 {
					c.b.client.HDel(ctx, key, "claim", "claim_until")
				}
				c.b.client.HSet(ctx, key, old[r.IntN(len(old))])
				n++
			}
			time.Sleep(time.Millisecond)
		}
		puts <- n
	}()
	return func() int { cancel(); return <-puts }
}

// The same under an attacker who keeps sealed records, and puts old ones back at any moment,
// claims and all: it denies, and opens nothing.
func TestChaosUnderAttack(t *testing.T) {
	redisServer := newDurableRedis(t)
	for deadline := time.Now().Add(soakFor(t, 3*time.Second)); time.Now().Before(deadline); {
		c := newChaos(t, redisServer.addr, 0.005, 12)
		seed := chaosSeed(t)
		stop := c.attack(seed)
		c.play(seed, 1500*time.Millisecond)
		puts := stop()
		ran := c.safe(t)
		t.Logf("%d operations, %d ran, %d records put back", len(c.history), ran, puts)
		if puts < 3 {
			t.Error("the attacker did nothing")
		}
		if t.Failed() {
			return
		}
	}
}

// Standing grants, used by many runs at once on processes that die, under the attacker: never more
// runs than were approved.
func TestChaosGrants(t *testing.T) {
	redisServer := newDurableRedis(t)
	const uses = 6
	for deadline := time.Now().Add(soakFor(t, 2*time.Second)); time.Now().Before(deadline); {
		c := newChaos(t, redisServer.addr, 0.005, 0)
		seed := chaosSeed(t)
		for i := range 6 {
			r := c.b.hold(standing(50, 8), func(h *Held) { h.Statement, h.NoWait = fmt.Sprint("grant ", i, seed), true })
			approved, err := c.b.store.Vote(c.b.ctx, r.ID, chaosPeople[0], Approve, "all week", Terms{uses, 8})
			for errors.Is(err, ErrBusy) || errors.Is(err, ErrDecided) { // a machine too slow for such short claims
				if approved, err = c.b.store.Get(c.b.ctx, r.ID); err == nil && approved.State == StatePending {
					approved, err = c.b.store.Vote(c.b.ctx, r.ID, chaosPeople[0], Approve, "all week", Terms{uses, 8})
				}
			}
			c.b.must(err)
			c.requests = append(c.requests, approved)
		}
		var mu sync.Mutex
		runs := map[int]map[string]bool{}
		stop := c.attack(seed)
		var all sync.WaitGroup
		until := time.Now().Add(1500 * time.Millisecond)
		for client := range 8 {
			all.Go(func() {
				r := rand.New(rand.NewPCG(seed, uint64(client)))
				for i := 0; time.Now().Before(until); i++ {
					n, who := r.IntN(len(c.requests)), fmt.Sprintf("run %d of %d", i, client)
					store := c.processes[r.IntN(len(c.processes))].get()
					child, err := store.Hold(c.b.ctx,
						query(standing(50, 8), func(h *Held) {
							h.Statement, h.NoWait, h.Subject.Owner = fmt.Sprint("grant ", n, seed), true,
								who
						}))
					if err != nil || child.Under == "" {
						continue
					}
					if _, err := store.BeginRelease(c.b.ctx, child.ID, who); err != nil {
						continue
					}
					mu.Lock()
					if runs[n] == nil {
						runs[n] = map[string]bool{}
					}
					runs[n][child.JobID] = true
					mu.Unlock()
				}
			})
		}
		all.Wait()
		puts := stop()
		total := 0
		for n, jobs := range runs {
			total += len(jobs)
			if len(jobs) > uses {
				t.Errorf("grant %d of %d runs ran %d times", n, uses, len(jobs))
			}
			c.oneLife(t, c.requests[n].ID)
		}
		t.Logf("%d runs on %d grants of %d, %d records put back", total, len(c.requests), uses, puts)
		if total < 3 || puts < 3 {
			t.Error("nothing happened")
		}
		if t.Failed() {
			return
		}
	}
}

// Redis is restored from yesterday's backup. Nothing is served until an operator says that they
// know; then what ran, and what was denied, stays so.
func TestRestoredBackup(t *testing.T) {
	redisServer := newDurableRedis(t)
	c := newChaos(t, redisServer.addr, 0, 10)
	for _, r := range c.requests {
		c.b.approve(r, chaosPeople[0])
	}
	c.b.approve(c.requests[0], chaosPeople[1])
	c.b.approve(c.requests[1], chaosPeople[1])
	backup := redisServer.backup()
	c.b.runOut(c.requests[0])
	if _, err := c.b.store.Vote(c.b.ctx, c.requests[2].ID, chaosPeople[1], Deny, "no"); err != nil {
		t.Fatal(err)
	}
	high := c.b.store.ledger.sure().number
	redisServer.restore(backup)
	running, fresh := c.b.store, c.b.learned()
	_, err := running.BeginRelease(c.b.ctx, c.requests[0].ID, owner)
	wantErr(t, err, ErrRolledBack)
	_, err = running.BeginRelease(c.b.ctx, c.requests[1].ID, owner)
	wantErr(t, err, ErrRolledBack)
	c.b.must(fresh.Begin(c.b.ctx, 0))
	wantErr(t, fresh.Err(), ErrRolledBack)
	fresh = c.b.learned()
	c.b.must(fresh.Begin(c.b.ctx, high))
	c.b.must(fresh.Err())
	_, err = fresh.BeginRelease(c.b.ctx, c.requests[0].ID, owner)
	wantErr(t, err, ErrTampered) // it ran
	_, err = fresh.Vote(c.b.ctx, c.requests[2].ID, chaosPeople[1], Approve, "")
	wantErr(t, err, ErrTampered) // it was denied
	lease, err := fresh.BeginRelease(c.b.ctx, c.requests[1].ID, owner)
	c.b.must(err) // what the backup has and nothing has changed since is good
	c.b.must(fresh.FinishRelease(c.b.ctx, lease, Ran()))
}
