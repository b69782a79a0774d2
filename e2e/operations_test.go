//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bqgate/bqgate/e2e/canaries"
	"github.com/bqgate/bqgate/internal/operations"
)

const healsWithin = 60 * time.Second

// plainly gets a page without the canary search's memory: these are not answers of the data path.
func plainly(t testing.TB, url string) (int, string) {
	t.Helper()
	resp, err := (&http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

func (d *demo) status(t testing.TB) (s operations.Status) {
	t.Helper()
	_, text := plainly(t, d.Ops+"/readyz?verbose")
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Logf("status: %v: %s", err, text)
	}
	return s
}

// comes waits for something that must happen, however long a busy machine takes.
func comes(t testing.TB, what string, there func() (bool, string)) {
	t.Helper()
	for deadline := time.Now().Add(healsWithin); ; time.Sleep(50 * time.Millisecond) {
		ok, now := there()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: still %s", what, now)
		}
	}
}

// A40: what concerns everybody makes /readyz 503 with its reason and Envoy's /healthz 503; what
// concerns some is detail. Both end by themselves with their cause.
func TestHealth(t *testing.T) {
	dir := smallDisk(t, "size=128m")
	d := startDemoIn(t, dir)
	d.healthy(t)
	ready := func() (bool, string) {
		code, text := plainly(t, d.Ops+"/readyz")
		envoy, _ := plainly(t, d.REST+"/healthz")
		return code == 200 && text == "ok\n" && envoy == 200, fmt.Sprintf("/readyz %d %q, /healthz %d", code, text, envoy)
	}
	kill := func(part string, signal syscall.Signal) func() {
		return func() {
			for _, pid := range d.pidsOf(t, part) {
				if err := syscall.Kill(pid, signal); err != nil {
					t.Error(err)
				}
			}
		}
	}
	socket := filepath.Join(d.Sockets, "ext_authz.sock")
	move := func(from, to string) func() {
		return func() {
			if err := os.Rename(from, to); err != nil {
				t.Error(err)
			}
		}
	}
	filler := filepath.Join(d.AuditDir, "filler")
	for _, c := range []struct {
		part     string
		everyone bool
		strike   func()
		mend     func()
	}{
		{"redis", true, kill("redis", syscall.SIGSTOP), kill("redis", syscall.SIGCONT)},
		{"disk", true, func() { fill(t, d.AuditDir, 12<<20) }, func() {
			if err := os.Remove(filler); err != nil {
				t.Error(err)
			}
		}},
		{"sockets", true, move(socket, socket+".away"), move(socket+".away", socket)},
		{"console", false, kill("console", syscall.SIGSTOP), kill("console", syscall.SIGCONT)},
	} {
		t.Run(c.part, func(t *testing.T) {
			comes(t, "ready before", ready)
			mend := sync.OnceFunc(c.mend)
			defer mend()
			c.strike()
			if c.everyone {
				comes(t, "not ready", func() (bool, string) {
					code, text := plainly(t, d.Ops+"/readyz")
					envoy, _ := plainly(t, d.REST+"/healthz")
					named := slices.ContainsFunc(strings.Split(text, "\n"), func(line string) bool {
						return strings.HasPrefix(line, c.part+": ") && strings.Count(line, " ") > 2
					})
					return code == 503 && named && envoy == 503, fmt.Sprintf("/readyz %d %q, /healthz %d", code, text, envoy)
				})
			} else {
				comes(t, "faulty", func() (bool, string) {
					s := d.status(t)
					faulty := slices.ContainsFunc(s.Parts, func(p operations.Part) bool {
						return p.Name == c.part && !p.Well && p.Reason != "" && p.Concerns == "some"
					})
					return faulty, fmt.Sprintf("%+v", s)
				})
				if ok, now := ready(); !ok {
					t.Errorf("what concerns some takes the gateway away from everybody: %s", now)
				}
				if a := d.query("analyst", "SELECT id FROM crm.orders LIMIT 1"); a.Status != 200 {
					t.Errorf("a query beside it: %d %s", a.Status, a.message())
				}
			}
			mend()
			comes(t, "ready again", ready)
			comes(t, "well again", func() (bool, string) {
				s := d.status(t)
				well := slices.ContainsFunc(s.Parts, func(p operations.Part) bool { return p.Name == c.part && p.Well })
				return well, fmt.Sprintf("%+v", s)
			})
		})
	}
	d.healthy(t)
}

var metricName = regexp.MustCompile(`bqgate_[a-z_]+`)

// I2: no byte of what operators are told holds a canary, a subject, a table, a rule, SQL or a
// token; no caller makes a series; and docs/operators.md names what is served, and nothing else.
func TestOperationsTellNothing(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	d.healthy(t)
	_, before := plainly(t, d.Ops+"/metrics")
	const literal = "zebra-crossing-4711"
	for _, persona := range []string{"agent", "analyst", "stranger"} {
		for _, sql := range []string{
			"SELECT ssn, email FROM crm.customers WHERE name = '" + literal + "'", "SELECT note FROM hr.reviews", "SELEC " + literal,
			"SELECT employee FROM finance.payroll -- " + literal,
		} {
			d.query(persona, sql)
		}
	}
	d.exempt()
	token := d.token("agent")
	hostile := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for i := range 300 {
		name := fmt.Sprintf("hostile%04d", i)
		method, unknown := []string{"GET", "POST"}[i/2%2], i%30 == 0
		if unknown { // Envoy hangs up on these, after a second
			method = "X" + strings.ToUpper(name)
		}
		r, err := http.NewRequest(method, d.REST+"/"+name+"/v2/"+name, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("user-agent", name)
		r.Header.Set("authorization", "Bearer "+[]string{token, name}[i%2])
		resp, err := hostile.Do(r)
		switch {
		case err == nil:
			resp.Body.Close()
		case !unknown:
			t.Fatal(err)
		}
		if code, text := plainly(t, d.Ops+"/"+name+"?verbose"); code != 404 {
			t.Errorf("the operations listener answers %d: %s", code, text)
		}
	}
	places := map[string]string{}
	for _, path := range []string{"/metrics", "/readyz", "/readyz?verbose", "/livez", "/"} {
		_, places[path] = plainly(t, d.Ops+path)
	}
	status := exec.Command(filepath.Join(repoRoot(t), "build", "bin", "bqgate-demo"), "status", "--json", "--config",
		filepath.Join(d.dir, "bqgate.yaml"))
	text, err := status.Output()
	if err != nil {
		t.Fatalf("bqgate status: %v: %s", err, text)
	}
	places["bqgate status"] = string(text)
	looked := canaries.Find(d.Canaries)
	for _, secret := range []string{literal, "customers", "finance.payroll", "hr.reviews", "agents-read", "big-scans", "ai-agents",
		"data-owners", "@demo.example", "hostile0", "HOSTILE0", token[:40]} {
		looked.Add(secret, secret)
	}
	for place, text := range places {
		if len(text) == 0 {
			t.Errorf("%s is empty", place)
		}
		for _, found := range looked.In([]byte(text)) {
			t.Errorf("%s is in %s", found, place)
		}
	}
	series := func(text string) (all []string) {
		for line := range strings.Lines(text) {
			if at := strings.LastIndex(line, " "); strings.HasPrefix(line, "bqgate_") && at > 0 {
				all = append(all, line[:at])
			}
		}
		return all
	}
	if was, is := series(before), series(places["/metrics"]); len(was) < 50 || !slices.Equal(was, is) {
		t.Errorf("%d series before, %d after", len(was), len(is))
	}
	served := map[string]bool{}
	for line := range strings.Lines(places["/metrics"]) {
		if name, _, ok := strings.Cut(strings.TrimPrefix(line, "# TYPE "), " "); ok && strings.HasPrefix(line, "# TYPE bqgate_") {
			served[name] = true
		}
	}
	docs, err := os.ReadFile(filepath.Join(repoRoot(t), "docs", "operators.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, name := range metricName.FindAllString(string(docs), -1) {
		named[name] = true
	}
	for name := range served {
		if !named[name] {
			t.Errorf("%s is served, and not in docs/operators.md", name)
		}
	}
	for name := range named {
		label := slices.Contains([]string{"decision", "owner", "group", "repository", "commit", "run", "rule", "request"},
			strings.TrimPrefix(name, "bqgate_"))
		if !served[name] && !strings.HasPrefix(name, "bqgate_console_connections") && !label {
			t.Errorf("%s is in docs/operators.md, and not served", name)
		}
	}
}

// A reload is whole or nothing, and nobody is refused for it. An answer on its way that the new
// policy does not show is broken off.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	whole, err := os.ReadFile(filepath.Join(repoRoot(t), "policies", "examples", "demo.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "policy.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write(string(whole))
	d := startDemo(t, "--policy", path)
	d.healthy(t)
	hangup := func() {
		t.Helper()
		if err := syscall.Kill(d.pidsOf(t, "bqgate")[0], syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	loads := func(text string) {
		t.Helper()
		was := d.status(t).Policy
		write(text)
		hangup()
		comes(t, "another policy in force", func() (bool, string) {
			s := d.status(t)
			return s.Policy != "" && s.Policy != was && s.Refused == nil, fmt.Sprintf("%+v", s)
		})
	}
	finish := d.honestLoad(t)
	for n := range 5 {
		loads(string(whole) + fmt.Sprintf("\n# another one: %d\n", n))
	}
	was := d.status(t).Policy
	write(string(whole) + "\nnonsense: 1\n")
	hangup()
	comes(t, "the broken policy refused", func() (bool, string) {
		s := d.status(t)
		return s.Refused != nil, fmt.Sprintf("%+v", s)
	})
	if now := d.status(t).Policy; now != was {
		t.Errorf("a broken file changed the policy in force: %s, then %s", was, now)
	}
	struck := false
	got, err := d.download(d.token("agent"), longQuery, func(n int) bool {
		first := !struck && n > 4<<20
		struck = struck || first
		return first
	}, func() {
		write(strings.Replace(string(whole), `'"ai-agents" in claims.groups'`, `'"nobody" in claims.groups'`, 1))
		hangup()
	})
	if !struck || err == nil || json.Valid(got) {
		t.Errorf("an answer that the new policy does not show came whole: %d bytes, %v", len(got), err)
	}
	unmasked(t, d, got)
	if a := d.query("agent", "SELECT id FROM crm.orders LIMIT 1"); a.Status != 403 {
		t.Errorf("by the new policy: %d %s", a.Status, a.message())
	}
	finish()
	d.searchCanaries()
}

// honestLoad asks queries, four callers one after the other, until finish is called, which says
// which of them were not answered.
func (d *demo) honestLoad(t *testing.T) (finish func()) {
	t.Helper()
	analyst := d.token("analyst")
	stop, wrong := make(chan struct{}), make(chan string, 100)
	var load sync.WaitGroup
	asked := make([]int, 4)
	for i := range asked {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				sql := fmt.Sprintf(`{"query": "SELECT id FROM crm.orders WHERE id > %d LIMIT 1", "useLegacySql": false}`, i)
				r, err := http.NewRequest("POST", d.REST+"/bigquery/v2/projects/demo/queries", strings.NewReader(sql))
				if err != nil {
					wrong <- err.Error()
					return
				}
				r.Header.Set("authorization", "Bearer "+analyst)
				r.Header.Set("content-type", "application/json")
				resp, err := http.DefaultClient.Do(r)
				if err != nil {
					wrong <- err.Error()
					return
				}
				text, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				asked[i]++
				if resp.StatusCode != 200 {
					wrong <- fmt.Sprintf("%d %s", resp.StatusCode, text)
					return
				}
			}
		})
	}
	return func() {
		t.Helper()
		close(stop)
		load.Wait()
		close(wrong)
		for w := range wrong {
			t.Errorf("an honest query was not answered: %s", w)
		}
		for i, n := range asked {
			if n < 5 {
				t.Errorf("caller %d asked only %d times", i, n)
			}
		}
	}
}
