//go:build e2e

package e2e

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// receiver is somebody else's web server that takes notifications under /hook and /slack, and wants
// none under /gone.
type receiver struct {
	*httptest.Server
	secret  []byte
	mu      sync.Mutex
	failing bool
	all     []delivered
}

type delivered struct {
	path, body, problem string
	failed              bool
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{secret: make([]byte, 32)}
	if _, err := rand.Read(r.secret); err != nil {
		t.Fatal(err)
	}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	got := delivered{path: q.URL.Path, body: string(body)}
	if err == nil && q.URL.Path == "/hook" {
		err = r.verify(q.Header, body)
	}
	if err != nil {
		got.problem = err.Error()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	status := http.StatusNoContent
	switch {
	case q.URL.Path == "/gone":
		status = http.StatusGone
	case r.failing:
		got.failed, status = true, http.StatusServiceUnavailable
	}
	r.all = append(r.all, got)
	w.WriteHeader(status)
}

// verify is what a receiver does by
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md,
// written from that text alone.
func (r *receiver) verify(h http.Header, body []byte) error {
	id, stamp := h.Get("webhook-id"), h.Get("webhook-timestamp")
	at, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || id == "" || time.Since(time.Unix(at, 0)).Abs() > 5*time.Minute {
		return fmt.Errorf("webhook-id %q, webhook-timestamp %q", id, stamp)
	}
	mac := hmac.New(sha256.New, r.secret)
	io.WriteString(mac, id+"."+stamp+"."+string(body))
	for _, signature := range strings.Fields(h.Get("webhook-signature")) {
		version, text, _ := strings.Cut(signature, ",")
		sum, err := base64.StdEncoding.DecodeString(text)
		if version == "v1" && err == nil && hmac.Equal(sum, mac.Sum(nil)) {
			return nil
		}
	}
	return fmt.Errorf("webhook-signature %q is not of this message", h.Get("webhook-signature"))
}

func (r *receiver) fail(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failing = on
}

func (r *receiver) deliveries() []delivered {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]delivered(nil), r.all...)
}

func (r *receiver) failed(request string) bool {
	for _, m := range r.deliveries() {
		if m.failed && m.path == "/hook" && strings.Contains(m.body, request) {
			return true
		}
	}
	return false
}

// got says whether an event of a request has arrived at the hook.
func (r *receiver) got(request, event string) bool {
	for _, m := range r.deliveries() {
		var v struct {
			Type string
			Data struct{ Request string }
		}
		if m.path == "/hook" && !m.failed && json.Unmarshal([]byte(m.body), &v) == nil && v.Type == event && v.Data.Request == request {
			return true
		}
	}
	return false
}

func (r *receiver) until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// A22: an agent types an SSN into its SQL. Every request that was ever held has been told of,
// signed, with a link; nothing of the SQL, of columns or of reasons left. A target that wants
// nothing is a dead letter, and the metadata server is not asked.
func told(t *testing.T, d *demo, hook *receiver) {
	const typed = "987-65-4320"
	id := d.hold(t, "agent", "SELECT employee AS e987654320 FROM finance.payroll WHERE employee = '"+typed+"'")
	d.decideOn(t, "lead", typed, "deny", map[string]any{"reason": "who is " + typed + "?"})
	if a := d.poll(t, d.token("agent"), id); a.Status != 403 {
		t.Errorf("status %d", a.Status)
	}
	requests := d.console("lead", "GET", "/api/v1/requests", nil).json(t)["requests"].([]any)
	if len(requests) < 10 {
		t.Fatalf("%d requests", len(requests))
	}
	for _, r := range requests {
		r := r.(map[string]any)
		if r["under"] != nil { // runs on an approval that stands: nobody has to decide
			continue
		}
		hook.until(t, fmt.Sprintf("request %s: %s", r["id"], r["sql"]),
			func() bool { return hook.got(r["id"].(string), "request.requested") })
		if r["state"] == "denied" {
			hook.until(t, "its denial", func() bool { return hook.got(r["id"].(string), "request.denied") })
		}
	}
	paths := map[string]int{}
	for _, m := range hook.deliveries() {
		paths[m.path]++
		if m.problem != "" {
			t.Errorf("a message that the receiver cannot trust: %s", m.problem)
		}
		for _, secret := range []string{typed, "987654320", "SELECT", "employee", "salary", "ssn", "-- ", "who is", "not now"} {
			if strings.Contains(m.body, secret) {
				t.Errorf("%s was told %q: %s", m.path, secret, m.body)
			}
		}
		if !strings.Contains(m.body, d.Console+"/requests/r-") {
			t.Errorf("%s was told without a link: %s", m.path, m.body)
		}
		d.got = append(d.got, []byte(m.body))
	}
	if paths["/slack"] == 0 || paths["/gone"] == 0 {
		t.Errorf("told %v", paths)
	}
	for state, want := range map[string][2]string{"dead": {"gone", "410"}, "waiting": {"metadata", "not a public one"}} {
		a := d.console("lead", "GET", "/api/v1/notifications?state="+state, nil)
		found := false
		for _, n := range a.json(t)["notifications"].([]any) {
			n := n.(map[string]any)
			found = found || n["target"] == want[0] && strings.Contains(fmt.Sprint(n["last_failure"]), want[1])
		}
		if !found {
			t.Errorf("no %s notification of %s: %s", state, want[0], tail(a.Body, 1000))
		}
	}
}
