//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/redis/go-redis/v9"
)

// twin is a second gateway with an Envoy of its own, beside a demo's, on the same Redis and the
// same BigQuery. Its journal is its own.
type twin struct {
	d             *demo
	dir, rest     string
	configuration string
	serve         *exec.Cmd
}

// freePort is an address on loopback that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func startTwin(t *testing.T, d *demo) *twin {
	t.Helper()
	dir, err := os.MkdirTemp("", "bqgate-twin")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &twin{d: d, dir: dir, configuration: filepath.Join(dir, "bqgate.yaml")}
	text, err := os.ReadFile(filepath.Join(d.dir, "bqgate.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	in := func(names ...string) map[string]any {
		at := c
		for _, n := range names {
			at, _ = at[n].(map[string]any)
		}
		return at
	}
	in("sockets")["dir"] = filepath.Join(dir, "run")
	in("audit")["dir"] = filepath.Join(dir, "audit")
	in("console")["address"] = freePort(t)
	delete(c, "operations")
	w.rest = freePort(t)
	in("envoy")["rest"] = []any{map[string]any{"address": w.rest}}
	in("envoy")["grpc"] = []any{map[string]any{"address": freePort(t)}}
	in("envoy")["token"] = []any{map[string]any{"address": freePort(t)}}
	in("envoy")["admin"] = filepath.Join(dir, "admin.sock")
	in("envoy")["access_log"] = filepath.Join(dir, "access.log")
	for _, part := range []string{"ext_authz", "ext_proc"} {
		in("envoy", part)["socket"] = filepath.Join(dir, "run", part+".sock")
	}
	in("envoy", "token_endpoint")["socket"] = filepath.Join(dir, "run", "token.sock")
	if text, err = yaml.Marshal(c); err == nil {
		err = os.WriteFile(w.configuration, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.start(t)
	rendered, err := exec.Command(w.binary(), "envoy", "render", "--config", w.configuration).Output()
	if err != nil {
		t.Fatalf("envoy render: %v", err)
	}
	bootstrap := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(bootstrap, rendered, 0o600); err != nil {
		t.Fatal(err)
	}
	proxy := exec.Command(filepath.Join(repoRoot(t), "build", "bin", "envoy"), "--config-path", bootstrap, "--disable-hot-restart",
		"--log-level", "error")
	proxy.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proxy.Process.Kill(); proxy.Wait() })
	return w
}

func (w *twin) binary() string { return filepath.Join(repoRoot(w.d.t), "build", "bin", "bqgate-demo") }

// start starts its `bqgate serve`.
func (w *twin) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(w.dir, "bqgate.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	w.serve = exec.Command(w.binary(), "serve", "--config", w.configuration)
	w.serve.Stdout, w.serve.Stderr, w.serve.Dir = log, log, repoRoot(t)
	w.serve.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := w.serve.Start(); err != nil {
		t.Fatal(err)
	}
	started := w.serve
	t.Cleanup(func() {
		started.Process.Kill()
		started.Wait()
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("--- the twin\n%s", tail(text, 3000))
		}
	})
}

// A35, A52: two gateways, each behind an Envoy of its own, and 64 callers of one repository, each
// with another run and ref, at the edge of a day's budget. BigQuery never bills more than it,
// whatever is killed, emptied or put back meanwhile.
func TestTwoGatewaysOneBudget(t *testing.T) {
	const limit = 20 * floor
	d := startDemo(t, "--policy", budgetPolicy(t, "{bytes: 1GiB, per: day, by: owner}", "{bytes: 200MiB, per: day, by: owner}"))
	second := startTwin(t, d)
	client := redis.NewClient(&redis.Options{Addr: d.redis})
	t.Cleanup(func() { client.Close() })

	const marker = "/* two gateways */"
	tokens := make([]string, 64)
	for i := range tokens {
		n := fmt.Sprint(i)
		tokens[i] = d.mint(
			map[string]any{"subject": "repo:org/app:ref:refs/heads/" + n, "groups": []string{"analysts"}, "claims": map[string]any{
				"repository_id": "42", "repository": "org/app", "run_id": n, "run_attempt": n, "ref": "refs/heads/" + n,
				"workflow_ref": "org/app/.github/workflows/ci.yml@refs/heads/" + n, "actor": "alice", "actor_id": "7",
			}},
		)
	}
	doors := []string{d.REST, "http://" + second.rest}
	ask := func(i, n int) answer {
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		a, err := d.do(ctx, "POST", doors[i%2]+"/bigquery/v2/projects/demo/queries", tokens[i], nil, map[string]any{
			"query": fmt.Sprintf(
				"SELECT name FROM crm.customers WHERE id = %d %s",
				n*64+i,
				marker,
			), "useLegacySql": false, "useQueryCache": false,
		})
		if err != nil {
			return answer{Status: 599}
		}
		return a
	}
	billed := func() (total int64) {
		for _, j := range d.ran(t) {
			if strings.Contains(j.SQL, marker) {
				total += j.Billed
			}
		}
		return total
	}
	over := func(a answer) bool { return a.Status == 403 && strings.HasPrefix(a.message(), "quotaExceeded: ") }
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if a := ask(1, 0); a.Status == 200 {
			break
		} else if time.Now().After(end) {
			t.Fatalf("the twin does not answer: %d %s", a.Status, a.message())
		}
	}

	var ran atomic.Int64
	kept := map[string]string{} // what Redis had early
	var once sync.Once
	killed := make(chan struct{})
	var group sync.WaitGroup
	end := time.Now().Add(90 * time.Second)
	for i := range tokens {
		group.Go(func() {
			for n := 1; ; n++ {
				a := ask(i, n)
				switch {
				case over(a):
					return
				case a.Status == 200:
					if ran.Add(1) == 4 {
						once.Do(func() {
							for _, k := range client.Keys(t.Context(), "bqgate:{budgets}*").Val() {
								kept[k] = client.Dump(t.Context(), k).Val()
							}
							second.serve.Process.Kill()
							second.serve.Wait()
							close(killed)
						})
					}
				case time.Now().After(end):
					t.Errorf("caller %d: still %d %s", i, a.Status, a.message())
					return
				case a.Status != 599 && a.Status != 503 && !strings.HasPrefix(a.message(), "rateLimitExceeded: "):
					t.Errorf("caller %d: %d %s", i, a.Status, a.message())
					return
				default:
					time.Sleep(50 * time.Millisecond)
				}
			}
		})
	}
	select {
	case <-killed:
		second.start(t)
	case <-time.After(60 * time.Second):
		t.Error("fewer than four queries ran")
	}
	group.Wait()
	if total := billed(); total > limit || total < ran.Load()*floor || ran.Load() == 0 {
		t.Errorf("BigQuery billed %d MiB of %d; %d answers came", total>>20, limit>>20, ran.Load())
	}

	// What queries have not billed is free again, so that some more may run; then both refuse.
	for _, harm := range []struct {
		name string
		do   func()
	}{
		{"as it is", func() {}},
		{"emptied", func() { client.FlushAll(t.Context()) }},
		{"put back", func() {
			client.FlushAll(t.Context())
			for k, v := range kept {
				client.RestoreReplace(t.Context(), k, 0, v)
			}
		}},
		{"both killed", func() {
			second.serve.Process.Kill()
			second.serve.Wait()
			syscall.Kill(d.pidsOf(t, "bqgate")[0], syscall.SIGKILL)
			second.start(t)
		}},
		{"both killed, and Redis emptied", func() {
			second.serve.Process.Kill()
			second.serve.Wait()
			syscall.Kill(d.pidsOf(t, "bqgate")[0], syscall.SIGKILL)
			client.FlushAll(t.Context())
			second.start(t)
		}},
	} {
		t.Run(harm.name, func(t *testing.T) {
			harm.do()
			seen := map[int]bool{} // each door has refused for the budget
			for end := time.Now().Add(60 * time.Second); len(seen) < 2; {
				for i := range 2 {
					a := ask(i, 2000)
					switch {
					case over(a):
						seen[i] = true
					case time.Now().After(end):
						t.Fatalf("door %d: %d %s", i, a.Status, a.message())
					default:
						time.Sleep(50 * time.Millisecond)
					}
				}
			}
			if total := billed(); total > limit {
				t.Errorf("BigQuery billed %d MiB of %d", total>>20, limit>>20)
			}
		})
	}
	t.Logf("%d MiB of %d were billed", billed()>>20, limit>>20)
}
