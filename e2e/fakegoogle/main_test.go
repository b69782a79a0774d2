package fakegoogle

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

const (
	reader  = "reader@demo.iam.gserviceaccount.com"
	other   = "other@demo.iam.gserviceaccount.com"
	inspect = "inspect@demo.iam.gserviceaccount.com"
	nobody  = "nobody@demo.iam.gserviceaccount.com"
	all     = "all@demo.iam.gserviceaccount.com"
)

var binaries = sync.OnceValues(func() (string, error) {
	dir, err := filepath.Abs("../../build/bin")
	if err != nil {
		return "", err
	}
	for _, b := range [][]string{
		{"build", "-o", filepath.Join(dir, "sqlengine"), "."},
		{"build", "-o", filepath.Join(dir, "bigquery-emulator"), "github.com/goccy/bigquery-emulator/cmd/bigquery-emulator"},
	} {
		cmd := exec.Command("go", b...)
		cmd.Dir = "../sqlengine"
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("go %v: %w\n%s", b, err, out)
		}
	}
	return dir, nil
})

func built(t testing.TB, name string) string {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func sqlEngine(t testing.TB) Engine {
	t.Helper()
	e, err := NewSQLEngine(context.Background(), built(t, "sqlengine"), quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// start runs a stand-in with the demo's data and four accounts.
func start(t testing.TB, change ...func(*Options)) *Server {
	t.Helper()
	opts := Options{
		Dir: t.TempDir(), Seeds: DefaultSeeds(), Log: quiet(),
		ServiceAccounts: map[string]Permissions{
			reader:  {ReadRows: true, CreateJobs: true},
			other:   {ReadRows: true, CreateJobs: true},
			inspect: {Metadata: true, DryRun: true, RowAccess: true},
			nobody:  {},
			all:     {ReadRows: true, CreateJobs: true, Metadata: true, DryRun: true, RowAccess: true},
		},
	}
	for _, f := range change {
		f(&opts)
	}
	if opts.Engine == nil {
		opts.Engine = sqlEngine(t)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := Start(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// client trusts the stand-in's CA and does not decompress.
func client(t testing.TB, s *Server) *http.Client {
	t.Helper()
	pemText, err := os.ReadFile(s.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pemText) {
		t.Fatal("the CA file holds no certificate")
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true, DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: time.Minute}
}

type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) tree(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(r.body, &v); err != nil {
		t.Fatalf("status %d: %v\n%.500s", r.status, err, r.body)
	}
	return v
}

// reason is the error's reason, or "" where there is none.
func (r reply) reason() string {
	var v struct {
		Error struct{ Errors []struct{ Reason string } }
	}
	if json.Unmarshal(r.body, &v) != nil || len(v.Error.Errors) == 0 {
		return ""
	}
	return v.Error.Errors[0].Reason
}

// caller makes requests as one account.
type caller struct {
	t     testing.TB
	s     *Server
	http  *http.Client
	token string
}

func as(t testing.TB, s *Server, account string) *caller {
	t.Helper()
	return &caller{t: t, s: s, http: client(t, s), token: s.MintToken(account, time.Minute)}
}

func (c *caller) do(method, path string, body any, header ...string) reply {
	c.t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = bytes.NewReader([]byte(b))
	default:
		text, err := json.Marshal(b)
		if err != nil {
			c.t.Fatal(err)
		}
		r = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, c.s.BigQueryURL()+path, r)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, raw}
}

const base = "/bigquery/v2/projects/demo"

// query is jobs.query with standard SQL and more keys as given.
func (c *caller) query(sql string, more map[string]any) reply {
	c.t.Helper()
	body := map[string]any{"query": sql, "useLegacySql": false}
	for k, v := range more {
		body[k] = v
	}
	return c.do("POST", base+"/queries", body)
}

// insert is jobs.insert of a query.
func (c *caller) insert(id, sql string, dry bool) reply {
	c.t.Helper()
	body := map[string]any{"configuration": map[string]any{"dryRun": dry, "query": map[string]any{"query": sql, "useLegacySql": false}}}
	if id != "" {
		body["jobReference"] = map[string]any{"projectId": "demo", "jobId": id}
	}
	return c.do("POST", base+"/jobs", body)
}

func (c *caller) results(id string, params url.Values) reply {
	c.t.Helper()
	return c.do("GET", base+"/queries/"+id+"?"+params.Encode(), nil)
}

// at walks a decoded tree: at(v, "rows", 0, "f").
func at(t testing.TB, v any, path ...any) any {
	t.Helper()
	for i, p := range path {
		switch k := p.(type) {
		case string:
			m, ok := v.(map[string]any)
			if !ok {
				t.Fatalf("at %v: a %T", path[:i+1], v)
			}
			v = m[k]
		case int:
			l, ok := v.([]any)
			if !ok || k >= len(l) {
				t.Fatalf("at %v: %T of %d", path[:i+1], v, len(l))
			}
			v = l[k]
		}
	}
	return v
}

// cell is the text of one scalar cell.
func cell(t testing.TB, tree map[string]any, row, col int) any {
	t.Helper()
	return at(t, tree, "rows", row, "f", col, "v")
}

func names(t testing.TB, tree map[string]any) []string {
	t.Helper()
	var out []string
	for _, f := range at(t, tree, "schema", "fields").([]any) {
		out = append(out, f.(map[string]any)["name"].(string))
	}
	return out
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
