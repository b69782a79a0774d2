package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/approvals/approvalstest"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/console"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/sealedtest"
	"github.com/bqgate/bqgate/policies"
)

// office is a console with two reviewers.
type office struct {
	t     *testing.T
	store *approvals.Store
	url   string
	dir   string
}

type people map[string]identity.Subject

func (p people) Verify(_ context.Context, raw, audience string) (identity.Subject, error) {
	s, ok := p[raw]
	if !ok || audience != "bqgate-console" {
		return identity.Subject{},
			&identity.Error{Status: 403, Code: identity.CodeExpired, Message: "the token expired at noon; get a new one"}
	}
	return s, nil
}

func newOffice(t *testing.T) *office {
	t.Helper()
	keys := sealedtest.Keyring(t, 7)
	m := miniredis.RunT(t)
	store := redis.NewClient(&redis.Options{Addr: m.Addr()})
	t.Cleanup(func() { store.Close() })
	o := &office{t: t, dir: t.TempDir()}
	var err error
	if o.store, err = approvals.New(approvals.Options{Redis: store, Keys: keys, Journal: &approvalstest.Journal{},
		ConsoleURL: "https://console.example"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.store.Close)
	person := func(name string) identity.Subject {
		return identity.Subject{Issuer: "https://login.example", Sub: name, Owner: name, Grant: name, Groups: []string{"data-owners"},
			People: []string{name + "@acme.example"}, Mapped: true}
	}
	server := httptest.NewServer(console.NewAPI(console.Options{
		Log:       slog.New(slog.DiscardHandler),
		Approvals: o.store, Verifier: people{"token-dana": person("dana"), "token-carol": person("carol")}, Audience: "bqgate-console",
		Groups: func(s identity.Subject) []string { return s.Groups }, Known: func(g []string) bool { return len(g) > 0 },
	}))
	t.Cleanup(server.Close)
	o.url = server.URL
	return o
}

// hold makes a request of a workload that carol started.
func (o *office) hold(sql string) string {
	o.t.Helper()
	r, err := o.store.Hold(context.Background(), approvals.Held{
		Operation: bigquery.Operation{Method: bigquery.MethodQuery, Query: &bigquery.QueryRequest{SQL: sql}},
		Job:       bigquery.JobReference{ProjectID: "acme", JobID: fmt.Sprintf("job_%d", time.Now().UnixNano()), Location: "US"},
		Subject: identity.Subject{
			Issuer: "https://ci.example", Sub: "repo:acme/app", Owner: "ci|1", Grant: "ci", People: []string{"carol@acme.example"},
			Mapped: true, Workload: true,
		},
		Statement: "d", Decision: "d-1", Credential: "reader", Tables: []string{"acme.finance.payroll"},
		Sensitive: []string{"acme.finance.payroll.salary"}, Estimated: true, EstimatedBytes: 4096,
		Approval: policies.Approval{
			Why: "it reads the high-value table finance.payroll", Reviewers: []string{"data-owners"}, Quorum: 1, Expires: time.Hour,
			Standing: policies.Standing{MaxUses: 5, MaxHours: 8},
		},
	})
	if err != nil {
		o.t.Fatal(err)
	}
	return r.ID
}

// as runs a command as a reviewer and checks its exit code.
func (o *office) as(name string, want int, args ...string) (stdout, stderr string) {
	o.t.Helper()
	token := filepath.Join(o.dir, name)
	if err := os.WriteFile(token, []byte("token-"+name+"\n"), 0o600); err != nil {
		o.t.Fatal(err)
	}
	args = append([]string{"approvals", args[0], "--console", o.url, "--token-file", token}, args[1:]...)
	return command(context.Background(), o.t, want, args...)
}

// command runs bqgate in this process.
func command(ctx context.Context, t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(ctx, args, strings.NewReader(""), &out, &errs); code != want {
		t.Errorf("bqgate %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, want, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

func says(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q does not say %q", text, w)
		}
	}
}

func TestApprovals(t *testing.T) {
	o := newOffice(t)
	first, second := o.hold("SELECT employee FROM finance.payroll"), o.hold("SELECT salary FROM finance.payroll")

	out, _ := o.as("dana", exitFine, "list")
	var list struct{ Requests []map[string]any }
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Requests) != 2 || list.Requests[0]["state"] != "pending" {
		t.Fatalf("list: %v in %s", err, out)
	}
	out, _ = o.as("dana", exitFine, "show", first)
	says(t, out, `"sql": "SELECT employee FROM finance.payroll"`, `"sensitive_columns"`)
	out, _ = o.as("dana", exitFine, "approve", first, "--reason", "fine")
	says(t, out, `"state": "approved"`)
	out, _ = o.as("dana", exitFine, "deny", second, "--reason", "month end is closed")
	says(t, out, `"state": "denied"`, "month end is closed")
	out, _ = o.as("dana", exitFine, "list")
	says(t, out, `"requests": []`)
	out, _ = o.as("dana", exitFine, "list", "--state", "all")
	says(t, out, first, second)
}

// What the endpoint refuses, it says in words, and the exit code is 1; what the command line has
// wrong is 2.
func TestApprovalsRefused(t *testing.T) {
	o := newOffice(t)
	id := o.hold("SELECT 1")
	_, errs := o.as("carol", exitFindings, "approve", id, "--reason", "mine")
	says(t, errs, "own")
	_, errs = o.as("dana", exitFindings, "show", "r-01J9ZK4T7Q8R9S0T1V2W3X4Y5Z")
	says(t, errs, "there is no such request")
	_, errs = o.as("dana", exitFindings, "show", "../../healthz")
	says(t, errs, "bqgate: ")
	_, errs = o.as("mallory", exitFindings, "list")
	says(t, errs, "expired at noon; get a new one")
	_, errs = o.as("dana", exitFindings, "list", "--state", "open")
	says(t, errs, "state must be one of pending")
	o.as("dana", exitFine, "approve", id, "--reason", "fine")
	_, errs = o.as("dana", exitFindings, "deny", id, "--reason", "no")
	says(t, errs, "already decided")

	_, errs = command(context.Background(), t, exitUsage, "approvals", "list", "--console", o.url)
	says(t, errs, "--token-file is missing")
	_, errs = command(context.Background(), t, exitUsage, "approvals", "list", "--console", "http://console.example", "--token-file", "x")
	says(t, errs, "your token would pass in the clear")
	_, errs = command(context.Background(), t, exitFindings, "approvals", "list", "--console", o.url, "--token-file",
		filepath.Join(o.dir, "nothing"))
	says(t, errs, "read token")
}

// An approval that stands: given for so many runs, seen by a colleague, taken back, and nothing any
// more.
func TestApprovalsGrants(t *testing.T) {
	o := newOffice(t)
	id := o.hold("SELECT employee FROM finance.payroll")
	_, errs := o.as("dana", exitFindings, "approve", id, "--uses", "50", "--hours", "4")
	says(t, errs, "uses must be between 1 and 5")
	_, errs = o.as("dana", exitFindings, "approve", id, "--uses", "3")
	says(t, errs, "hours")
	o.as("dana", exitUsage, "deny", id, "--reason", "no", "--uses", "3")
	o.as("dana", exitFine, "approve", id, "--uses", "3", "--hours", "4", "--reason", "this week")
	out, _ := o.as("carol", exitFine, "grants")
	says(t, out, `"state": "live"`, `"uses": 3`, `"used": 0`, id)
	_, errs = o.as("dana", exitFindings, "revoke", id)
	says(t, errs, "reason")
	out, _ = o.as("dana", exitFine, "revoke", id, "--reason", "the contractor has left")
	says(t, out, `"state": "revoked"`)
	out, _ = o.as("dana", exitFine, "grants")
	says(t, out, `"grants": []`)
	out, _ = o.as("dana", exitFine, "grants", "--state", "all")
	says(t, out, `"revoked"`, id)
	var table strings.Builder
	if err := listGrants.table(&table,
		[]approvals.Grant{{ID: id, State: approvals.GrantLive, Subject: "app\x1b[2K\nr-forged", Tables: []string{"t"}, Used: 1, Uses: 3}},
		false); err != nil {
		t.Fatal(err)
	}
	says(t, table.String(), "1 of 3")
	if strings.Contains(table.String(), "\x1b") || strings.Count(table.String(), "\n") != 2 {
		t.Errorf("a subject paints over the table: %q", table.String())
	}
}

// A watch shows what waits, then what comes and what becomes of it, and ends when it is
// interrupted.
func TestApprovalsWatch(t *testing.T) {
	o := newOffice(t)
	old := o.hold("SELECT 1")
	o.as("dana", exitFine, "deny", old, "--reason", "no")
	first := o.hold("SELECT 2")
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	out := &lines{wake: make(chan string, 10)}
	ended := make(chan int, 1)
	token := filepath.Join(o.dir, "dana")
	go func() {
		ended <- run(ctx, []string{"approvals", "watch", "--console", o.url, "--token-file", token, "--every", "200ms"},
			strings.NewReader(""), out, os.Stderr)
	}()
	expect := func(id, state string) {
		t.Helper()
		select {
		case line := <-out.wake:
			var r struct{ ID, State string }
			if err := json.Unmarshal([]byte(line), &r); err != nil || r.ID != id || r.State != state {
				t.Errorf("got %v and %q, want %s %s", err, line, id, state)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("nothing came of %s %s", id, state)
		}
	}
	expect(first, "pending")
	second := o.hold("SELECT 3")
	expect(second, "pending")
	o.as("dana", exitFine, "deny", first, "--reason", "no")
	expect(first, "denied")
	stop()
	if code := <-ended; code != exitFine {
		t.Errorf("exit code %d", code)
	}
}

// lines hands on each write.
type lines struct{ wake chan string }

func (l *lines) Write(p []byte) (int, error) {
	l.wake <- string(p)
	return len(p), nil
}

// An agent writes the SQL that a reviewer reads: it must not be able to paint over the rest, to
// hide a part of itself or to turn it around.
func TestRequestTextIsHarmless(t *testing.T) {
	bytes := int64(5 << 30)
	price := 0.03
	r := approvals.Request{
		ID: "r-1", State: approvals.StatePending, Subject: "repo:acme/app\x1b[2K\nwho       nobody", Workload: true,
		People: []string{"carol@acme.example"}, PeopleKnown: false,
		Claims: map[string]string{"repository": "acme/app\u202e"}, Tables: []string{"acme.finance.payroll"},
		SensitiveColumns: []string{"acme.finance.payroll.salary"},
		EstimatedBytes:   &bytes, EstimatedCost: &price, Currency: "USD", Why: "it reads payroll", Rule: "finance/payroll",
		RuleAt: "finance.yaml:12", Reviewers: []string{"data-owners"}, Quorum: 1,
		Expires: time.Now().Add(time.Hour), SQL: "SELECT 1\x1b[1A\x1b[2K\r-- harmless\u2028\u200b\u0085\u2066x\n  FROM t",
		URL: "https://console.example/requests/r-1",
	}
	text := requestText(r)
	says(t, text, "carol@acme.example by repo:acme/app", "5 GiB, 0.03 USD", "finance/payroll (finance.yaml:12)", "it needs two approvals",
		"\n      FROM t", "https://console.example/requests/r-1")
	for _, c := range []string{"\x1b", "\r", "\u202e", "\u2028", "\u200b", "\u0085", "\u2066"} {
		t.Run(c, func(t *testing.T) {
			if strings.Contains(text, c) {
				t.Errorf("%q reaches the terminal", c)
			}
		})
	}
	if strings.Contains(text, "\nwho       nobody") {
		t.Error("a subject made a line of its own")
	}
	var table strings.Builder
	if err := listRequests.table(&table, []approvals.Request{r}, true); err != nil {
		t.Fatal(err)
	}
	says(t, table.String(), "REQUEST", "r-1", "pending", "acme.finance.payroll", "there are older ones")
	if strings.ContainsAny(table.String(), "\x1b\r") || strings.Count(table.String(), "\n") != 3 {
		t.Errorf("the table is not one line a request: %q", table.String())
	}
}
