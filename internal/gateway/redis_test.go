package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/health"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/metrics"
	"github.com/bqgate/bqgate/internal/operations"
	"github.com/bqgate/bqgate/internal/redistest"
	"github.com/bqgate/bqgate/internal/sealedtest"
)

func connected(t *testing.T, addr string) redis.UniversalClient {
	t.Helper()
	client, err := connect(t.Context(), config.Redis{URL: "redis://" + addr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func toServer(t *testing.T, s *redistest.Server, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(s.PID, sig); err != nil {
		t.Fatal(err)
	}
}

// While Redis takes no records, whatever else it answers, the gateway is not ready and says why;
// and it is ready again at the first look that finds Redis well.
func TestNotReadyWhileRedisTakesNoRecords(t *testing.T) {
	type server struct {
		*redistest.Server
		admin *redis.Client
	}
	do := func(args ...any) func(*testing.T, server) {
		return func(t *testing.T, s server) {
			t.Helper()
			if err := s.admin.Do(t.Context(), args...).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	set := func(name, value string) func(*testing.T, server) { return do("CONFIG", "SET", name, value) }
	for name, c := range map[string]struct {
		away, back func(*testing.T, server)
		says       string
	}{
		"read-only":     {do("REPLICAOF", "127.0.0.1", "1"), do("REPLICAOF", "NO", "ONE"), "it is a read-only replica"},
		"out of memory": {set("maxmemory", "1"), set("maxmemory", "0"), "it is out of memory (maxmemory)"},
		"a password": {func(t *testing.T, s server) {
			set("requirepass", "x")(t, s)
			do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")(t, s)
		}, set("requirepass", ""), "it wants a password"},
		"no right to write": {do("ACL", "SETUSER", "default", "-@scripting"), do("ACL", "SETUSER", "default", "+@all"),
			"its user may not write here"},
		"no replica": {set("min-replicas-to-write", "1"), set("min-replicas-to-write", "0"), "it has too few replicas to take writes"},
		"frozen": {
			func(t *testing.T, s server) { toServer(t, s.Server, syscall.SIGSTOP) },
			func(t *testing.T, s server) { toServer(t, s.Server, syscall.SIGCONT) }, "it does not answer in time",
		},
		"loading": {func(t *testing.T, s server) {
			for n := range 300 {
				do("SET", fmt.Sprintf("k%d", n), strings.Repeat("x", 4096))(t, s)
			}
			set("key-load-delay", "50000")(t, s) // µs a key
			go s.admin.Do(context.Background(), "DEBUG", "RELOAD")
			for s.admin.Get(t.Context(), "k0").Err() == nil && t.Context().Err() == nil {
				continue // until it loads
			}
		}, func(t *testing.T, s server) {
			set("key-load-delay", "0")(t, s)
			for s.admin.Get(t.Context(), "k0").Err() != nil && t.Context().Err() == nil {
				continue
			}
		}, "it is still loading what it keeps"},
	} {
		t.Run(name, func(t *testing.T) {
			s := server{Server: redistest.StartServer(t, "--enable-debug-command", "yes", "--loading-process-events-interval-bytes", "1024",
				"--rdbcompression", "no")}
			s.admin = redis.NewClient(&redis.Options{Addr: s.Addr})
			t.Cleanup(func() { s.admin.Close() })
			parts := health.New(quiet)
			w := &watched{
				records: jobs.NewStore(connected(t, s.Addr), sealedtest.Keyring(t, 1)), redis: parts.Part("redis", health.Everybody),
				failed: map[*health.Part]int{},
			}
			readyz := func() (int, string) {
				answer := httptest.NewRecorder()
				operations.Handler(parts, metrics.New(), func() operations.Status { return operations.Status{} }).
					ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
				return answer.Code, answer.Body.String()
			}
			w.lookAtRedis(t.Context())
			if status, body := readyz(); status != 200 {
				t.Fatalf("before: %d %s", status, body)
			}
			c.away(t, s)
			// One look may be too short for a busy machine; what it finds then is another word.
			look := func(well func(status int, body string) bool) (int, string, bool) {
				for range 10 * tries {
					w.lookAtRedis(t.Context())
					if status, body := readyz(); well(status, body) {
						return status, body, true
					}
				}
				status, body := readyz()
				return status, body, false
			}
			if status, body, ok := look(func(status int, body string) bool {
				return status == 503 && strings.Contains(body, "takes no records, so that no query is sent: "+c.says)
			}); !ok {
				t.Errorf("during: %d %s, want the words %q", status, body, c.says)
			}
			c.back(t, s)
			if status, body, ok := look(func(status int, _ string) bool { return status == 200 }); !ok {
				t.Errorf("after: %d %s", status, body)
			}
		})
	}
}

// Approvals that are closed are detail: whoever needs none is served on.
func TestClosedApprovalsAreDetail(t *testing.T) {
	addr := redistest.Start(t)
	dir, text := installation(t, addr)
	cfg := configured(t, dir, text)
	g := newGateway(cfg, quiet)
	t.Cleanup(g.close)
	for _, step := range []func(context.Context) error{
		g.openStores, func(context.Context) error { return errors.Join(g.openIdentity(), g.readInForce()) }, g.buildApprovals,
	} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	approvalsPart := func() (part health.State) {
		report := g.parts.Report()
		if !report.Ready {
			t.Errorf("not ready: %+v", report.Faults())
		}
		for _, p := range report.Parts {
			if p.Name == "approvals" {
				part = p
			}
		}
		if part.Name == "" || part.Concerns != health.Some {
			t.Errorf("the part is %+v", part)
		}
		return part
	}
	request, err := g.approvals.Hold(t.Context(), held())
	if err != nil {
		t.Fatal(err)
	}
	if part := approvalsPart(); !part.Well() {
		t.Fatalf("before: %+v", part)
	}
	if err := g.redis.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := g.approvals.Get(t.Context(), request.ID); !errors.Is(err, approvals.ErrRolledBack) {
		t.Fatal(err)
	}
	if part := approvalsPart(); !strings.Contains(part.Reason, "bqgate approvals reopen") {
		t.Errorf("closed: %+v", part)
	}
	found, err := ReopenApprovals(t.Context(), cfg, Reopening{}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	reopening := Reopening{Acknowledged: found.Acknowledge, By: "op", Reason: "a test"}
	if _, err := ReopenApprovals(t.Context(), cfg, reopening, quiet); err != nil {
		t.Fatal(err)
	}
	if open, err := g.approvals.Heal(t.Context()); err != nil || !open {
		t.Fatalf("open %t, %v", open, err)
	}
	if part := approvalsPart(); !part.Well() {
		t.Errorf("open again: %+v", part)
	}
}

// A frozen Redis: every caller gets an error, however many wait for a connection, and all is well
// after it. No exchange goes on without an end, and a subscription is not cut.
func TestFrozenRedis(t *testing.T) {
	server := redistest.StartServer(t)
	client := connected(t, server.Addr)
	messages := client.Subscribe(t.Context(), "told")
	defer messages.Close()
	if _, err := messages.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	records := jobs.NewStore(client, sealedtest.Keyring(t, 1))
	all := func(want bool) {
		t.Helper()
		var group sync.WaitGroup
		for range 32 {
			group.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				if err := records.Takes(ctx); (err == nil) != want || ctx.Err() != nil {
					t.Errorf("%v, %v", err, ctx.Err())
				}
			})
		}
		group.Wait()
	}
	all(true)
	toServer(t, server, syscall.SIGSTOP)
	all(false)
	toServer(t, server, syscall.SIGCONT)
	all(true)
	if err := client.Publish(t.Context(), "told", "x").Err(); err != nil {
		t.Fatal(err)
	}
	if m, err := messages.ReceiveMessage(t.Context()); err != nil || m.Payload != "x" {
		t.Errorf("the subscription: %v, %v", m, err)
	}
}

// Each exchange with Redis, of one command or of many, has an end.
func TestEveryExchangeIsBounded(t *testing.T) {
	client, ok := connected(t, redistest.Start(t)).(*redis.Client)
	if !ok {
		t.Fatal("another client")
	}
	seen := &seesDeadlines{}
	client.AddHook(seen)
	before := time.Now()
	client.Get(t.Context(), "k")
	get := func(p redis.Pipeliner) error { p.Get(t.Context(), "k"); return nil }
	if _, err := client.Pipelined(t.Context(), get); !errors.Is(err, redis.Nil) {
		t.Fatal(err)
	}
	if _, err := client.TxPipelined(t.Context(), get); !errors.Is(err, redis.Nil) {
		t.Fatal(err)
	}
	redis.NewScript(`return 1`).Run(t.Context(), client, nil)
	if len(seen.ends) < 4 {
		t.Fatalf("%d exchanges seen", len(seen.ends))
	}
	for _, end := range seen.ends {
		if end.IsZero() || end.After(time.Now().Add(redisExchange)) || end.Before(before) {
			t.Errorf("an exchange ends at %v", end)
		}
	}
}

type seesDeadlines struct{ ends []time.Time }

func (s *seesDeadlines) see(ctx context.Context) {
	end, _ := ctx.Deadline()
	s.ends = append(s.ends, end)
}

func (s *seesDeadlines) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *seesDeadlines) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		s.see(ctx)
		return next(ctx, cmd)
	}
}

func (s *seesDeadlines) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		s.see(ctx)
		return next(ctx, cmds)
	}
}
