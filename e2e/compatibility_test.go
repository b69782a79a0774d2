//go:build e2e && clients

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bqgate/bqgate/policies/examples"
)

// client is an unmodified Google client: a program of a few lines that runs one query in a way that
// is named (e2e/clients).
type client struct {
	name string
	// reads are the ways to read a query's rows, waits those of them that are tried with held
	// queries, too.
	reads, waits []string
	tls          bool // speaks to the TLS listeners; Java takes its token by https alone
	command      []string
}

var clients = []client{
	{name: "python", reads: []string{"query", "query_and_wait", "to_arrow", "to_dataframe", "list_rows_of_result"},
		waits:   []string{"query", "query_and_wait"},
		command: []string{"build/clients/python/bin/python", "e2e/clients/python/client.py"}},
	{name: "go", reads: []string{"read", "run"}, waits: []string{"read", "run"}, command: []string{"build/clients/go/client"}},
	{name: "node", reads: []string{"query", "create_job", "pages"}, waits: []string{"query", "create_job"},
		command: []string{"build/clients/node/node", "e2e/clients/node/client.js"}},
	{name: "java", reads: []string{"query", "create_job", "pages", "list_rows_of_result"}, waits: []string{"query", "create_job"},
		tls:     true,
		command: []string{"java", "-XX:TieredStopAtLevel=1", "-cp", "build/clients/java/classes:build/clients/java/lib/*", "Client"}},
}

// shown is what a client's program prints: what a user of the library would see.
type shown struct {
	Rows      [][]any  `json:"rows"`
	Error     string   `json:"error"`
	Job       string   `json:"job"`
	Cancelled bool     `json:"cancelled"`
	Bytes     any      `json:"bytes"`
	Columns   []string `json:"columns"`
	Tables    []string `json:"tables"`
	Datasets  []string `json:"datasets"`
}

// bench is a running demo and what its clients need.
type bench struct {
	*demo
	mu         sync.Mutex // guards demo.got
	adcTLS     string     // an external_account file with the token endpoint of the TLS listener
	trustStore string     // Java's form of the demo's CA
}

// ready says whether a client is installed here. One that this machine has no tools for is skipped,
// which the target reports; one that does not install fails.
func ready(t *testing.T, name string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repoRoot(t), "build", "clients", name+".status"))
	if err != nil {
		t.Fatalf("%v: `make clients` installs the clients", err)
	}
	switch status := strings.TrimSpace(string(text)); {
	case status == "ready":
	case strings.HasPrefix(status, "not run: "):
		t.Skip(status)
	default:
		t.Fatal(status)
	}
}

// startBench starts the demo with its own policy, but that a scan over the cost threshold waits for
// twelve seconds only.
func startBench(t *testing.T) *bench {
	t.Helper()
	i := strings.Index(examples.Demo, "name: big-scans")
	if i < 0 || !strings.Contains(examples.Demo[i:], "expires: 2h") {
		t.Fatal("the demo's policy has no rule big-scans that expires in 2h")
	}
	policy := filepath.Join(t.TempDir(), "demo.yaml")
	if err := os.WriteFile(policy, []byte(examples.Demo[:i]+strings.Replace(examples.Demo[i:], "expires: 2h", "expires: 12s", 1)),
		0o600); err != nil {
		t.Fatal(err)
	}
	b := &bench{demo: startDemo(t, "--policy", policy)}
	adc := map[string]any{}
	if err := json.Unmarshal([]byte(b.read(b.Personas["agent"].ADCFile)), &adc); err != nil {
		t.Fatal(err)
	}
	adc["token_url"] = b.TokenURLTLS
	text, err := json.Marshal(adc)
	if err != nil {
		t.Fatal(err)
	}
	b.adcTLS, b.trustStore = filepath.Join(t.TempDir(), "adc.json"), filepath.Join(t.TempDir(), "trust.p12")
	if err := os.WriteFile(b.adcTLS, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("keytool"); err == nil {
		out, err := exec.Command("keytool", "-importcert", "-noprompt", "-alias", "demo", "-file", b.CAFile, "-keystore", b.trustStore,
			"-storetype", "PKCS12", "-storepass", "changeit").CombinedOutput()
		if err != nil {
			t.Fatalf("keytool: %v\n%s", err, out)
		}
	}
	return b
}

// program runs a command as an agent of the demo would, keeps all that it prints for the search for
// canaries, and returns its standard output.
func (b *bench) program(t *testing.T, env []string, command ...string) (stdout, all string, err error) {
	t.Helper()
	ctx, cancel := contextTimeout(4 * time.Minute)
	defer cancel()
	root := repoRoot(t)
	for i, word := range command { // paths of this repository, whatever folder the command runs in
		if strings.HasPrefix(word, "build/") || strings.HasPrefix(word, "e2e/") {
			parts := strings.Split(word, ":")
			for j, p := range parts {
				parts[j] = filepath.Join(root, p)
			}
			command[i] = strings.Join(parts, ":")
		}
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "GOOGLE_APPLICATION_CREDENTIALS="+b.Personas["agent"].ADCFile, "GOOGLE_CLOUD_PROJECT="+b.Project,
		"BQGATE_REST="+b.REST,
		"NODE_PATH="+filepath.Join(root, "build/clients/node/node_modules"))
	cmd.Env = append(cmd.Env, env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	b.mu.Lock()
	b.got = append(b.got, out.Bytes(), errs.Bytes())
	b.mu.Unlock()
	return out.String(), out.String() + errs.String(), err
}

func (b *bench) run(t *testing.T, c client, way, sql string, more ...string) shown {
	t.Helper()
	command, env := slices.Clone(c.command), []string(nil)
	if c.tls {
		command = slices.Insert(command, 1, "-Djavax.net.ssl.trustStore="+b.trustStore, "-Djavax.net.ssl.trustStorePassword=changeit")
		env = []string{"GOOGLE_APPLICATION_CREDENTIALS=" + b.adcTLS, "BQGATE_REST=" + b.RESTTLS}
	}
	out, all, err := b.program(t, env, append(append(command, way, sql), more...)...)
	var s shown
	if err == nil {
		err = json.Unmarshal([]byte(out), &s)
	}
	if err != nil {
		t.Errorf("%s %s: %v\n%s", c.name, way, err, tail([]byte(all), 3000))
	}
	return s
}

const (
	plainSQL    = `SELECT id, ssn, card_number, email FROM crm.customers ORDER BY id`
	computedSQL = `SELECT UPPER(email) AS e, COUNT(*) AS n, COUNT(DISTINCT ssn) AS d FROM crm.customers WHERE email IS NOT NULL GROUP BY ` +
		`e ORDER BY e`
	filterSQL = `SELECT COUNT(*) AS n FROM crm.customers WHERE ssn LIKE 'XXXXX%'`
)

// Every client reads masked rows, results computed on masked values, and refusals that say why.
func TestClients(t *testing.T) {
	b := startBench(t)
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			ready(t, c.name)
			t.Run("masked", func(t *testing.T) { clientMasked(t, b, c) })
			t.Run("computed", func(t *testing.T) { clientComputed(t, b, c) })
			t.Run("parameters", func(t *testing.T) { clientParameters(t, b, c) })
			t.Run("dry run", func(t *testing.T) { clientDryRun(t, b, c) })
			t.Run("metadata", func(t *testing.T) { clientMetadata(t, b, c) })
			t.Run("refused", func(t *testing.T) { clientRefused(t, b, c) })
		})
	}
	b.searchCanaries()
}

func clientMasked(t *testing.T, b *bench, c client) {
	for _, way := range c.reads {
		s := b.run(t, c, way, plainSQL)
		if s.Error != "" || len(s.Rows) < 20 {
			t.Errorf("%s: %d rows, error %q", way, len(s.Rows), s.Error)
		}
		tails := 0
		for i, r := range s.Rows {
			if len(r) == 4 && r[1] != nil {
				tails++
			}
			if len(r) != 4 || r[0] != fmt.Sprint(i+1) || !maskedCell("ssn", r[1]) || !maskedCell("card_number", r[2]) ||
				!maskedCell("email", r[3]) {
				t.Errorf("%s: row %v is not masked as the policy says", way, r)
				break
			}
		}
		if tails < 15 { // some are NULL, most have the last four digits
			t.Errorf("%s: %d rows have an SSN", way, tails)
		}
	}
}

func clientComputed(t *testing.T, b *bench, c client) {
	s := b.run(t, c, c.reads[0], computedSQL)
	if s.Error != "" || len(s.Rows) < 2 || len(s.Rows) > 10 { // the domains of the addresses: groups of masked values
		t.Errorf("%d rows, error %q", len(s.Rows), s.Error)
	}
	for _, r := range s.Rows {
		if e, _ := r[0].(string); !strings.HasPrefix(e, "XXXXX@") || e != strings.ToUpper(e) {
			t.Errorf("row %v was not computed on masked values", r)
		}
	}
	if s := b.run(t, c, c.reads[0], filterSQL); s.Error != "" || len(s.Rows) != 1 || s.Rows[0][0] == "0" {
		t.Errorf("a filter on masked values: %v, error %q", s.Rows, s.Error)
	}
}

func clientParameters(t *testing.T, b *bench, c client) {
	if s := b.run(t, c, "parameters", `SELECT id FROM crm.customers WHERE id = @id`); len(s.Rows) != 1 || s.Rows[0][0] != "3" {
		t.Errorf("got %v, error %q", s.Rows, s.Error)
	}
}

func clientDryRun(t *testing.T, b *bench, c client) {
	s := b.run(t, c, "dry_run", plainSQL)
	if s.Error != "" || fmt.Sprint(s.Bytes) != "1.048576e+07" && fmt.Sprint(s.Bytes) != "10485760" ||
		!slices.Equal(s.Columns, []string{"id", "ssn", "card_number", "email"}) {
		t.Errorf("got %v bytes, columns %q, error %q", s.Bytes, s.Columns, s.Error)
	}
	if s := b.run(t, c, "dry_run", `SELECT note FROM hr.reviews`); !strings.Contains(s.Error, "bqgate: refused: ") {
		t.Errorf("a dry run over a table of no policy: error %q", s.Error)
	}
}

func clientMetadata(t *testing.T, b *bench, c client) {
	s := b.run(t, c, "metadata", "crm.customers")
	slices.Sort(s.Datasets)
	if s.Error != "" || !slices.Equal(s.Datasets, []string{"crm", "finance"}) || !slices.Contains(s.Tables, "orders") ||
		!slices.Contains(s.Columns, "ssn") {
		t.Errorf("got %+v", s)
	}
	if s := b.run(t, c, "list_rows", "crm.customers"); !strings.Contains(s.Error, "bqgate: refused: ") ||
		!strings.Contains(s.Error, "SELECT * FROM `demo.crm.customers`") {
		t.Errorf("the rows of a table without a query: %v, error %q: want the query to use", s.Rows, s.Error)
	}
}

func clientRefused(t *testing.T, b *bench, c client) {
	for _, way := range c.waits {
		s := b.run(t, c, way, `DROP TABLE crm.customers`)
		for _, part := range []string{"bqgate: refused: DROP_TABLE", "Rule demo/agents-read", "What would pass: SELECT"} {
			if !strings.Contains(s.Error, part) {
				t.Errorf("%s: the client says %q, which has no %q", way, s.Error, part)
			}
		}
	}
	if s := b.run(t, c, c.reads[0], `SELECT note FROM hr.reviews`); !strings.Contains(s.Error, "hr.reviews") ||
		!strings.Contains(s.Error, "bqgate: refused: ") {
		t.Errorf("a table of no policy: the client says %q", s.Error)
	}
}

// waiting is a client that waits for a person.
type waiting struct {
	client
	way, sql string
	id, job  string // of its request and its job
	done     chan shown
}

// holdAll starts every installed client in every way of waiting, all at once, and returns when
// their requests are before the reviewers.
func (b *bench) holdAll(t *testing.T, table, mark string) []*waiting {
	t.Helper()
	var all []*waiting
	for _, c := range clients {
		status, err := os.ReadFile(filepath.Join(repoRoot(t), "build", "clients", c.name+".status"))
		if err != nil || strings.TrimSpace(string(status)) != "ready" {
			continue // TestClients says so
		}
		for _, way := range c.waits {
			all = append(all, &waiting{client: c, way: way, sql: fmt.Sprintf("SELECT * FROM %s -- %s %s %s", table, mark, c.name, way),
				done: make(chan shown, 1)})
		}
	}
	for _, w := range all {
		go func() { w.done <- b.run(t, w.client, w.way, w.sql) }()
	}
	deadline := time.Now().Add(3 * time.Minute)
	for left := len(all); left > 0; {
		if time.Now().After(deadline) {
			for _, w := range all {
				t.Errorf("%s %s: request %q, shows %+v", w.name, w.way, w.id, <-w.done)
			}
			t.Fatalf("%d clients of %d did not ask", left, len(all))
		}
		time.Sleep(300 * time.Millisecond)
		for _, r := range b.requests(t) {
			for _, w := range all {
				if w.id == "" && r["sql"] == w.sql {
					w.id, w.job = r["id"].(string), r["job_id"].(string)
					left--
				}
			}
		}
	}
	return all
}

// requests are all requests that the reviewer may see, newest first.
func (b *bench) requests(t *testing.T) []map[string]any {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.console("reviewer", "GET", "/api/v1/requests", nil)
	if a.Status != 200 {
		t.Errorf("the list of requests: status %d %s", a.Status, a.Body)
		return nil
	}
	var list struct {
		Requests []map[string]any `json:"requests"`
	}
	if err := json.Unmarshal(a.Body, &list); err != nil {
		t.Fatal(err)
	}
	return list.Requests
}

func (b *bench) decide(t *testing.T, all []*waiting, verdict, reason string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range all {
		if a := b.console("reviewer", "POST", "/api/v1/requests/"+w.id+"/"+verdict, map[string]any{"reason": reason}); a.Status != 200 {
			t.Errorf("%s %s: %s answered %d %s", w.name, w.way, verdict, a.Status, a.Body)
		}
	}
}

// still fails for every client that has given up.
func still(t *testing.T, all []*waiting) {
	t.Helper()
	for _, w := range all {
		select {
		case s := <-w.done:
			t.Errorf("%s %s did not wait: %d rows, error %q", w.name, w.way, len(s.Rows), s.Error)
			w.done <- s
		default:
		}
	}
}

// got is what a client shows in the end.
func (w *waiting) got(t *testing.T) shown {
	t.Helper()
	select {
	case s := <-w.done:
		return s
	case <-time.After(3 * time.Minute):
		t.Fatalf("%s %s still waits", w.name, w.way)
		return shown{}
	}
}

// givesUp is how a client may end that does not always try again when the gateway or Envoy dies: Go
// where its connection ends in the middle of a request, Java at a 503 and where nobody listens.
var givesUp = map[string]map[string][]string{
	"bqgate": {"java": {"nothing was let through; try again"}},
	"envoy": {"go": {"EOF"}, "java": {"Connection refused", "Connection reset", "Unexpected end of file from server",
		"nothing was let through; try again"}},
}

// again starts a client anew that has given up. The job waits as before, and its id reads it.
func (b *bench) again(t *testing.T, all []*waiting, victim string) {
	t.Helper()
	for _, w := range all {
		select {
		case s := <-w.done:
			if !slices.ContainsFunc(givesUp[victim][w.name], func(text string) bool { return strings.Contains(s.Error, text) }) {
				w.done <- s
				continue
			}
			t.Logf("%s %s gave up: %s", w.name, w.way, s.Error)
			go func() { w.done <- b.run(t, w.client, "attach", w.sql, w.job) }()
		default:
		}
	}
}

func wantPayroll(t *testing.T, all []*waiting) {
	t.Helper()
	for _, w := range all {
		s := w.got(t)
		if s.Error != "" || len(s.Rows) < 20 {
			t.Errorf("%s %s: %d rows, error %q", w.name, w.way, len(s.Rows), s.Error)
		}
		for _, r := range s.Rows { // employee, ssn, salary
			if r[0] == nil || !maskedCell("ssn", r[1]) || r[2] != nil {
				t.Errorf("%s %s: row %v is not masked", w.name, w.way, r)
				break
			}
		}
	}
}

func wantError(t *testing.T, all []*waiting, parts ...string) {
	t.Helper()
	for _, w := range all {
		s := w.got(t)
		for _, part := range parts {
			if !strings.Contains(s.Error, part) || len(s.Rows) > 0 {
				t.Errorf("%s %s: %d rows, the client says %q, which has no %q", w.name, w.way, len(s.Rows), s.Error, part)
			}
		}
	}
}

// Every client waits for a person as it waits for any pending job: until the answer, whatever it
// is, and while the gateway and Envoy are killed.
func TestClientsHeld(t *testing.T) {
	b := startBench(t)
	t.Run("approved", func(t *testing.T) {
		all := b.holdAll(t, "finance.payroll", "approved")
		time.Sleep(2 * time.Second)
		still(t, all)
		b.decide(t, all, "approve", "month end")
		wantPayroll(t, all)
	})
	t.Run("denied", func(t *testing.T) {
		all := b.holdAll(t, "finance.payroll", "denied")
		b.decide(t, all, "deny", "ask again on Monday")
		wantError(t, all, "bqgate: ", "ask again on Monday", "reviewer@demo.example")
	})
	t.Run("expired", func(t *testing.T) {
		wantError(t, b.holdAll(t, "crm.events", "expired"), "bqgate: nobody decided on request ", "asks again")
	})
	t.Run("cancelled", func(t *testing.T) { clientsCancel(t, b) })
	t.Run("taken up again", func(t *testing.T) { clientsAttach(t, b) })
	for _, victim := range []string{"bqgate", "envoy"} {
		t.Run(victim+" killed", func(t *testing.T) {
			all := b.holdAll(t, "finance.payroll", victim+" killed")
			for range 2 {
				b.kill(t, victim)
				time.Sleep(2 * time.Second)
			}
			b.again(t, all, victim)
			still(t, all)
			b.decide(t, all, "approve", "month end")
			wantPayroll(t, all)
		})
	}
	b.searchCanaries()
}

// kill kills a process of the demo and waits until another serves in its place.
func (b *bench) kill(t *testing.T, name string) {
	t.Helper()
	now := func() map[string]int {
		var d demoInfo
		if json.Unmarshal([]byte(b.read(filepath.Join(b.dir, "demo.json"))), &d) != nil {
			return nil
		}
		return d.PIDs
	}
	pid := now()[name]
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill %s (%d): %v", name, pid, err)
	}
	deadline := time.Now().Add(time.Minute)
	for {
		time.Sleep(300 * time.Millisecond)
		if p := now()[name]; p != 0 && p != pid {
			ctx, cancel := contextTimeout(5 * time.Second)
			b.mu.Lock()
			a, err := b.do(ctx, "GET", b.REST+"/bigquery/v2/projects", b.token("agent"), nil, nil)
			b.mu.Unlock()
			cancel()
			if err == nil && a.Status == 200 {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not come back", name)
		}
	}
}

// A client cancels its own held query: the request is withdrawn, and reading its results says so.
func clientsCancel(t *testing.T, b *bench) {
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			ready(t, c.name)
			sql := "SELECT * FROM finance.payroll -- cancelled " + c.name
			s := b.run(t, c, "cancel", sql)
			if !s.Cancelled || !strings.Contains(s.Error, "cancelled") || !strings.Contains(s.Error, "bqgate: ") || len(s.Rows) > 0 {
				t.Errorf("got %+v", s)
			}
			for _, r := range b.requests(t) {
				if r["sql"] == sql && r["state"] != "cancelled" {
					t.Errorf("the request is %v", r["state"])
				}
			}
		})
	}
}

// A client dies while it waits. Another process of the same CI job reads the result under the job's
// id.
func clientsAttach(t *testing.T, b *bench) {
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			ready(t, c.name)
			w := &waiting{client: c, way: "attach", sql: "SELECT * FROM finance.payroll -- taken up by " + c.name,
				done: make(chan shown, 1)}
			s := b.run(t, c, "start", w.sql)
			if s.Job == "" {
				t.Fatalf("got %+v", s)
			}
			for _, r := range b.requests(t) {
				if r["sql"] == w.sql {
					w.id = r["id"].(string)
				}
			}
			b.decide(t, []*waiting{w}, "approve", "month end")
			w.done <- b.run(t, c, "attach", w.sql, s.Job)
			wantPayroll(t, []*waiting{w})
		})
	}
}
