//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bqgate/bqgate/e2e/canaries"
	"github.com/bqgate/bqgate/e2e/fakegoogle"
	"github.com/bqgate/bqgate/e2e/rawhttp"
	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/console/openapitest"
	"github.com/bqgate/bqgate/internal/redistest"
)

// demoInfo is demo.json, as contract 2 describes it.
type demoInfo struct {
	REST         string            `json:"rest"`
	RESTTLS      string            `json:"rest_tls"`
	CAFile       string            `json:"ca_file"`
	GRPC         string            `json:"grpc"`
	Console      string            `json:"console"`
	Ops          string            `json:"ops"`
	TokenURL     string            `json:"token_url"`
	TokenURLTLS  string            `json:"token_url_tls"`
	Issuer       string            `json:"issuer"`
	Project      string            `json:"project"`
	AuditDir     string            `json:"audit_dir"`
	AuditKeyFile string            `json:"audit_key_file"`
	Fake         string            `json:"fake"` // control endpoint of fakegoogle
	Sockets      string            `json:"sockets"`
	Canaries     []canaries.Canary `json:"canaries"`
	PIDs         map[string]int    `json:"pids"`
	Personas     map[string]struct {
		Subject          string   `json:"subject"`
		Groups           []string `json:"groups"`
		TokenFile        string   `json:"token_file"`
		ConsoleTokenFile string   `json:"console_token_file"`
		ADCFile          string   `json:"adc_file"`
	} `json:"personas"`
}

// demo is a running demo. Everything it sent to a client, wrote to a log or kept in the audit
// folder is searched for canaries when the test ends.
type demo struct {
	demoInfo
	t        testing.TB
	dir      string
	cmd      *exec.Cmd
	out      *bytes.Buffer
	redisPID int
	redis    string                // host:port
	openapi  *openapitest.Document // of the console, once something was asked
	got      [][]byte              // every byte that a client of this test got
}

func repoRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(dir)
}

// startDemo runs build/bin/bqgate-demo in a folder of its own, on a real Redis, and waits for
// demo.json.
func startDemo(t testing.TB, args ...string) *demo {
	t.Helper()
	dir, err := os.MkdirTemp("", "bqgate-e2e")
	if err != nil {
		t.Fatal(err)
	}
	return startDemoIn(t, dir, args...)
}

// startDemoIn is startDemo in a folder that was made ready for it. The folder is removed when the
// test ends.
func startDemoIn(t testing.TB, dir string, args ...string) *demo {
	t.Helper()
	binary := filepath.Join(repoRoot(t), "build", "bin", "bqgate-demo")
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("%v: `make test` builds it", err)
	}
	redis := redistest.StartServer(t)
	d := &demo{t: t, dir: dir, out: &bytes.Buffer{}, redisPID: redis.PID, redis: redis.Addr}
	d.cmd = exec.Command(binary, append([]string{"demo", "--dir", dir, "--redis", "redis://" + redis.Addr}, args...)...)
	d.cmd.Dir = repoRoot(t)
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.out
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- d.cmd.Wait() }()
	t.Cleanup(func() {
		d.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(20 * time.Second):
			d.cmd.Process.Kill()
			t.Error("the demo did not stop within 20 s of SIGTERM")
		}
		if t.Failed() {
			t.Logf("demo said:\n%s", tail(d.out.Bytes(), 4000))
			d.logs(t)
		}
		if err := os.RemoveAll(dir); err != nil && !errors.Is(err, syscall.EBUSY) { // a disk of its own is the test's to take away
			t.Error(err)
		}
	})
	deadline := time.Now().Add(90 * time.Second)
	for {
		text, err := os.ReadFile(filepath.Join(dir, "demo.json"))
		if err == nil {
			if err := json.Unmarshal(text, &d.demoInfo); err != nil {
				t.Fatalf("demo.json: %v", err)
			}
			return d
		}
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("the demo ended before it was ready: %v\n%s", err, tail(d.out.Bytes(), 2000))
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("the demo is not ready after 90 s:\n%s", d.out)
		}
	}
}

func tail(b []byte, n int) []byte {
	if len(b) > n {
		return b[len(b)-n:]
	}
	return b
}

func (d *demo) logs(t testing.TB) {
	files, _ := filepath.Glob(filepath.Join(d.dir, "*.log"))
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err == nil {
			t.Logf("--- %s\n%s", filepath.Base(f), tail(text, 3000))
		}
	}
}

// token is a persona's bearer token for the data path.
func (d *demo) token(persona string) string {
	d.t.Helper()
	p, ok := d.Personas[persona]
	if !ok {
		d.t.Fatalf("no persona %q", persona)
	}
	return d.read(p.TokenFile)
}

func (d *demo) consoleToken(persona string) string {
	d.t.Helper()
	return d.read(d.Personas[persona].ConsoleTokenFile)
}

func (d *demo) read(path string) string {
	d.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		d.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// mint asks the demo's issuer for a token.
func (d *demo) mint(body map[string]any) string {
	d.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		d.t.Fatal(err)
	}
	resp, err := http.Post(d.Issuer+"/mint", "application/json", bytes.NewReader(text))
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	var out struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || out.Token == "" {
		d.t.Fatalf("mint: status %d, %v", resp.StatusCode, err)
	}
	return out.Token
}

// answer is what a client got.
type answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// message is "reason: message" of an error in BigQuery's form.
func (a answer) message() string { return rawhttp.Answer{Body: a.Body}.Message() }

func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(a.Body, &v); err != nil {
		t.Fatalf("status %d, not JSON: %v\n%s", a.Status, err, tail(a.Body, 500))
	}
	return v
}

// do sends one request and keeps every byte of the answer.
func (d *demo) do(ctx context.Context, method, url, bearer string, header http.Header, body any) (answer, error) {
	d.t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	case []byte:
		r = bytes.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			d.t.Fatal(err)
		}
		r = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, r)
	if err != nil {
		d.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("content-type", "application/json")
	}
	if bearer != "" {
		req.Header.Set("authorization", "Bearer "+bearer)
	}
	for k, v := range header {
		req.Header[http.CanonicalHeaderKey(k)] = v
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	a := answer{resp.StatusCode, resp.Header, text}
	var all bytes.Buffer
	resp.Header.Write(&all)
	all.Write(text)
	for k, v := range resp.Trailer {
		fmt.Fprintln(&all, k, v)
	}
	d.got = append(d.got, all.Bytes())
	return a, err
}

func (d *demo) call(method, path, bearer string, body any) answer {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	a, err := d.do(ctx, method, d.REST+path, bearer, nil, body)
	if err != nil {
		d.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// exempt takes the last answer out of the canary search: its reader may see it.
func (d *demo) exempt() { d.got = d.got[:len(d.got)-1] }

// query runs jobs.query as a persona.
func (d *demo) query(persona, sql string) answer {
	d.t.Helper()
	return d.call("POST", "/bigquery/v2/projects/"+d.Project+"/queries", d.token(persona),
		map[string]any{"query": sql, "useLegacySql": false})
}

// rows is the answer's rows as plain values: scalars as strings, nil for NULL.
func (a answer) rows(t testing.TB) [][]any {
	t.Helper()
	var v struct {
		Rows []struct {
			F []struct {
				V any `json:"v"`
			} `json:"f"`
		} `json:"rows"`
	}
	if err := json.Unmarshal(a.Body, &v); err != nil {
		t.Fatalf("status %d, not JSON: %v\n%s", a.Status, err, tail(a.Body, 500))
	}
	var out [][]any
	for _, r := range v.Rows {
		var row []any
		for _, f := range r.F {
			row = append(row, f.V)
		}
		out = append(out, row)
	}
	return out
}

// arrival is a request as the stand-ins for Google recorded it.
type arrival = fakegoogle.Request

// arrived is every request that reached BigQuery through Envoy or from the gateway itself since the
// last reset.
func (d *demo) arrived() []arrival {
	d.t.Helper()
	resp, err := http.Get(d.Fake + "/_fake/requests")
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	var out struct {
		Requests []arrival `json:"requests"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		d.t.Fatal(err)
	}
	return out.Requests
}

// written is everything that left: bytes that clients got, logs, the audit folder, configuration.
func (d *demo) written() map[string][]byte {
	d.t.Helper()
	places := map[string][]byte{"answers": bytes.Join(d.got, []byte("\n")), "demo output": d.out.Bytes()}
	err := filepath.Walk(d.dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || !info.Mode().IsRegular() || filepath.Base(path) == "demo.json" {
			return err
		}
		text, err := os.ReadFile(path)
		places[path] = text
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return places
}

// searchCanaries looks for every canary, in every form an encoder could give it, in everything that
// was written, and in what the audit journal says when it is opened.
func (d *demo) searchCanaries() {
	d.t.Helper()
	if len(d.Canaries) == 0 {
		d.t.Fatal("demo.json names no canaries")
	}
	looked := canaries.Find(d.Canaries)
	for place, text := range d.written() {
		for _, found := range looked.In(text) {
			d.t.Errorf("%s found in %s", found, place)
		}
	}
	for decision, r := range d.recorded() {
		for _, found := range looked.In(r.text) {
			if !r.mayShow(found) {
				d.t.Errorf("%s found in the opened journal: %s of %v", found, decision, r.groups)
			}
		}
	}
}

// recorded is what the audit journal says about a decision when it is opened.
type recorded struct {
	groups []string
	text   []byte
}

// mayShow says whether the demo's policy shows a canary's column to the asker: the two exemptions
// of the default data.
func (r *recorded) mayShow(found string) bool {
	return slices.Contains(r.groups, "analysts") && strings.HasPrefix(found, "canary of crm.customers.email ") ||
		slices.Contains(r.groups, "data-owners") && strings.HasPrefix(found, "canary of finance.payroll.salary ")
}

// recorded opens the audit journal: by decision the pieces of its answer, joined, and the rest of
// each record but for the SQL, which is the asker's own text.
func (d *demo) recorded() map[string]*recorded {
	d.t.Helper()
	key, err := audit.LoadKey(d.AuditKeyFile)
	if err != nil {
		d.t.Fatal(err)
	}
	all := map[string]*recorded{}
	of := func(decision string) *recorded {
		if all[decision] == nil {
			all[decision] = &recorded{}
		}
		return all[decision]
	}
	frames := 0
	_, err = audit.Read(d.AuditDir, key, func(_ audit.Position, r audit.Record) error {
		switch r := r.(type) {
		case audit.Frame:
			frames++
			of(r.Decision).text = append(of(r.Decision).text, r.Bytes...)
		case audit.Decision:
			if text, err := json.Marshal(r.SQL); err == nil { // a pending job shows its owner their own text
				r.Reply = strings.ReplaceAll(r.Reply, string(text), "")
			}
			r.SQL, r.ForwardedSQL = "", ""
			of(r.ID).groups = r.Subject.Groups
			of(r.ID + ", the decision").text = fmt.Appendf(nil, "%+v", r)
		case audit.Asked:
			r.SQL = ""
			of(r.Decision + ", what is asked").text = fmt.Appendf(nil, "%+v", r)
		default:
			of("other records").text = fmt.Appendf(of("other records").text, "%+v\n", r)
		}
		return nil
	})
	if err != nil {
		d.t.Fatalf("open the audit journal: %v", err)
	}
	if frames == 0 {
		d.t.Error("the audit journal has no answer in it: nothing was searched")
	}
	return all
}
