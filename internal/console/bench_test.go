package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/approvals/approvalstest"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/redistest"
	"github.com/bqgate/bqgate/internal/sealedtest"
	"github.com/bqgate/bqgate/policies"
)

const audience = "bqgate-console"

// person is a human of the organisation, whose token is "token-" and the name.
func person(name string, groups ...string) identity.Subject {
	return identity.Subject{
		Issuer: "https://login.example", Sub: "id-of-" + name, Owner: "login|" + name, Grant: "login|" + name, Groups: groups,
		People: []string{name + "@acme.example"}, Mapped: true,
	}
}

// pipeline is a run of a CI workload that carol started.
func pipeline(run string) identity.Subject {
	return identity.Subject{
		Issuer: "https://ci.example", Sub: "repo:acme/app:pull_request", Owner: "ci|acme/app|" + run, Grant: "ci|acme/app",
		Groups: []string{"ai-agents"},
		People: []string{"carol@acme.example"}, Mapped: true, Workload: true,
	}
}

var callers = map[string]identity.Subject{
	"dana": person("dana", "data-owners"), "erin": person("erin", "data-owners"), "carol": person("carol", "data-owners"),
	"alan": person("alan", "analysts"), "stranger": person("stranger"),
	"run1": pipeline("1"), "run2": pipeline("2"),
	"fresh": loggedIn(person("erin", "data-owners"), time.Minute), "tired": loggedIn(person("erin", "data-owners"), time.Hour),
	"ghost": {Issuer: "https://login.example", Sub: "8f3c", Owner: "login|8f3c", Grant: "login|8f3c", Groups: []string{"data-owners"},
		People: []string{"8f3c"}},
	"bot": {Issuer: "https://ci.example", Sub: "bot", Owner: "ci|bot", Grant: "ci|bot", Groups: []string{"data-owners"},
		People: []string{"bo"}, Workload: true},
}

// loggedIn is somebody whose token says how long ago they logged in.
func loggedIn(s identity.Subject, ago time.Duration) identity.Subject {
	s.Claims = maps.Clone(s.Claims)
	if s.Claims == nil {
		s.Claims = map[string]any{}
	}
	s.Claims["auth_time"] = float64(time.Now().Add(-ago).Unix())
	return s
}

// fakeVerifier knows the callers' tokens, for one audience.
type fakeVerifier struct{}

func (fakeVerifier) Verify(_ context.Context, raw, aud string) (identity.Subject, error) {
	if raw == "token-of-a-silent-issuer" {
		return identity.Subject{}, &identity.Error{Status: 403, Code: identity.CodeUnavailable, Message: "the issuer does not answer"}
	}
	s, ok := callers[strings.TrimPrefix(raw, "token-")]
	if !ok || aud != audience {
		return identity.Subject{},
			&identity.Error{Status: 403, Code: identity.CodeExpired, Message: "the token expired at noon; get a new one"}
	}
	return s, nil
}

type bench struct {
	t     *testing.T
	store *approvals.Store
	redis *redis.Client
	http  *httptest.Server
	log   *bytes.Buffer
	mu    sync.Mutex
}

func (b *bench) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.Write(p)
}

func newBench(t *testing.T) *bench {
	keys := sealedtest.Keyring(t, 7)
	var err error
	b := &bench{t: t, log: &bytes.Buffer{}}
	log := slog.New(slog.NewTextHandler(b, nil))
	b.redis = redis.NewClient(&redis.Options{Addr: redistest.Start(t), MaxRetries: 1, DialerRetries: 1})
	t.Cleanup(func() { b.redis.Close() })
	b.store, err = approvals.New(approvals.Options{Redis: b.redis, Keys: keys, Journal: &approvalstest.Journal{},
		ConsoleURL: "https://console.example", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.store.Close)
	b.http = httptest.NewServer(NewAPI(Options{
		Approvals: b.store, Verifier: fakeVerifier{}, Audience: audience, Log: log,
		Groups: func(s identity.Subject) []string { return s.Groups },
		Known:  func(groups []string) bool { return len(groups) > 0 },
	}))
	t.Cleanup(b.http.Close)
	return b
}

// hold makes a request of a caller.
func (b *bench) hold(caller string, change ...func(*approvals.Held)) approvals.Request {
	b.t.Helper()
	h := approvals.Held{
		Operation: bigquery.Operation{Method: bigquery.MethodQuery,
			Query: &bigquery.QueryRequest{SQL: "SELECT salary FROM finance.payroll"}},
		Job:     bigquery.JobReference{ProjectID: "acme", JobID: fmt.Sprintf("job_%d", time.Now().UnixNano()), Location: "US"},
		Subject: callers[caller], Groups: callers[caller].Groups, Statement: "d", Decision: "d-1", Credential: "reader",
		Tables: []string{"acme.finance.payroll"}, Sensitive: []string{"acme.finance.payroll.salary"}, Estimated: true, EstimatedBytes: 4096,
		EstimatedCost: 0.01,
		Approval:      policies.Approval{Why: "high-value table", Reviewers: []string{"data-owners"}, Quorum: 1, Expires: time.Hour},
	}
	for _, c := range change {
		c(&h)
	}
	r, err := b.store.Hold(context.Background(), h)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

type answer struct {
	status int
	header http.Header
	body   map[string]any
	text   string
}

// call sends one request. By is a caller's name, "" for no token.
func (b *bench) call(by, method, path, body string, change ...func(*http.Request)) answer {
	b.t.Helper()
	r, err := http.NewRequest(method, b.http.URL+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if by != "" {
		r.Header.Set("Authorization", "Bearer token-"+by)
	}
	for _, c := range change {
		c(r)
	}
	response, err := b.http.Client().Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	a := answer{status: response.StatusCode, header: response.Header, text: string(text)}
	if strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(text, &a.body); err != nil {
			b.t.Fatalf("%s %s: %v in %s", method, path, err, text)
		}
	}
	return a
}

// refused checks the shape and the status of an error, and that its message says something.
func (b *bench) refused(name string, a answer, status int, says ...string) {
	b.t.Helper()
	e, _ := a.body["error"].(map[string]any)
	message, _ := e["message"].(string)
	if a.status != status || e["code"] != float64(status) || message == "" {
		b.t.Errorf("%s: status %d, body %s; want %d", name, a.status, a.text, status)
	}
	for _, s := range says {
		if !strings.Contains(message, s) {
			b.t.Errorf("%s: message %q does not say %q", name, message, s)
		}
	}
}

func (b *bench) ids(a answer) []string {
	b.t.Helper()
	if a.status != 200 {
		b.t.Fatalf("list: status %d, %s", a.status, a.text)
	}
	ids := []string{}
	for _, r := range a.body["requests"].([]any) {
		ids = append(ids, r.(map[string]any)["id"].(string))
	}
	slices.Sort(ids)
	return ids
}
