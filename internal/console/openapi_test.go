package console

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/console/openapitest"
	"github.com/bqgate/bqgate/policies"
)

// document is openapi.yaml, and a console to hold against it.
type document struct {
	*openapitest.Document
	b *bench
}

func openDocument(t *testing.T, b *bench) *document {
	t.Helper()
	a := b.call("", "GET", "/api/v1/openapi.yaml", "")
	if a.status != 200 {
		t.Fatalf("openapi.yaml: status %d", a.status)
	}
	d := &document{openapitest.Read(t, []byte(a.text)), b}
	d.Seen["GET /api/v1/openapi.yaml 200"] = true
	return d
}

// call sends a request and holds the answer against the document.
func (d *document) call(by, method, path, body string, change ...func(*http.Request)) answer {
	d.b.t.Helper()
	a := d.b.call(by, method, path, body, change...)
	d.Answer(method, path, a.status, []byte(a.text))
	return a
}

// Every answer of contract 7 and of the grants and notifications beside it is as openapi.yaml says,
// and every answer that it names is given.
func TestOpenAPI(t *testing.T) {
	b := newBench(t)
	d := openDocument(t, b)
	standing := func(h *approvals.Held) { h.Approval.Standing = policies.Standing{MaxUses: 5, MaxHours: 8} }
	fresh := func(h *approvals.Held) { h.Statement = fmt.Sprint(time.Now().UnixNano()) }
	quorum := func(h *approvals.Held) {
		h.Approval.Quorum, h.Approval.Needs = 2, []policies.Need{{Groups: []string{"data-owners"}, Quorum: 1}}
		h.Operation.Query.ParameterMode, h.Operation.Query.Parameters = "NAMED", json.RawMessage(`[{"name":"p"}]`)
	}
	once, many, two, no := b.hold("run1", fresh), b.hold("run1", fresh, standing), b.hold("run1", fresh, quorum), b.hold("run1", fresh)
	request := func(r approvals.Request, verb string) string { return "/api/v1/requests/" + r.ID + verb }
	revoke := func(r approvals.Request) string { return "/api/v1/grants/" + r.ID + "/revoke" }
	gzip := func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }
	huge := `{"reason":"` + strings.Repeat("x", 20<<10) + `"}`
	want := func(a answer, status int) {
		t.Helper()
		if a.status != status {
			t.Errorf("status %d, want %d: %s", a.status, status, a.text)
		}
	}
	want(d.call("dana", "POST", request(once, "/approve"), `{"reason":"fine"}`), 200)
	want(d.call("dana", "POST", request(many, "/approve"), `{"reason":"this week","uses":5,"hours":8}`), 200)
	want(d.call("dana", "POST", request(two, "/approve"), `{"reason":"one of two"}`), 200)
	want(d.call("dana", "POST", request(two, "/approve"), `{"reason":"two of two"}`), 409)
	want(d.call("dana", "POST", request(no, "/deny"), `{"reason":"month end"}`), 200)
	want(d.call("erin", "POST", request(no, "/deny"), `{"reason":"month end"}`), 409)
	for _, path := range []string{"/api/v1/requests", "/api/v1/grants", "/api/v1/notifications"} {
		want(d.call("dana", "GET", path, ""), 200)
		want(d.call("dana", "GET", path+"?state=unheard", ""), 400)
		want(d.call("dana", "GET", path+"?stat=pending", ""), 400)
		want(d.call("", "GET", path, ""), 401)
		want(d.call("stranger", "GET", path, ""), 403)
	}
	for _, state := range approvals.States() {
		want(d.call("dana", "GET", "/api/v1/requests?state="+string(state), ""), 200)
	}
	for _, state := range approvals.GrantStates() {
		want(d.call("dana", "GET", "/api/v1/grants?state="+string(state), ""), 200)
	}
	want(d.call("dana", "GET", request(two, ""), ""), 200)
	want(d.call("dana", "GET", request(two, "?x=1"), ""), 400)
	want(d.call("", "GET", request(two, ""), ""), 401)
	want(d.call("stranger", "GET", request(two, ""), ""), 403)
	want(d.call("alan", "GET", request(two, ""), ""), 404)
	posts := []string{request(two, "/approve"), request(two, "/deny"), revoke(many)}
	for _, path := range posts {
		want(d.call("erin", "POST", path, `{"why":"x"}`), 400)
		want(d.call("", "POST", path, `{"reason":"x"}`), 401)
		want(d.call("run1", "POST", path, `{"reason":"x"}`), 403)
		want(d.call("alan", "POST", path, `{"reason":"x"}`), 404)
		want(d.call("erin", "POST", path, huge), 413)
		want(d.call("erin", "POST", path, `{"reason":"x"}`, gzip), 415)
	}
	want(d.call("erin", "POST", request(two, "/approve"), `{"reason":"x","uses":2,"hours":2}`), 400) // the policy lets it not stand
	want(d.call("erin", "POST", revoke(many), `{"reason":"x","uses":2}`), 400)
	want(d.call("erin", "POST", revoke(many), `{}`), 400)
	want(d.call("erin", "POST", revoke(two), `{"reason":"x"}`), 409)
	if a := d.call("erin", "POST", revoke(many), `{"reason":"the contractor has left"}`); a.body["state"] != "revoked" {
		t.Errorf("revoked: %s", a.text)
	}
	want(d.call("erin", "POST", revoke(many), `{"reason":"again"}`), 409)
	if err := b.redis.ZAdd(context.Background(), "bqgate:{approvals}:outbox", member("n|requested|"+two.ID+"|slack")).Err(); err != nil {
		t.Fatal(err)
	}
	if a := d.call("dana", "GET", "/api/v1/notifications?state=waiting", ""); len(a.body["notifications"].([]any)) != 1 {
		t.Errorf("notifications: %s", a.text)
	}
	if a := d.call("alan", "GET", "/api/v1/notifications", ""); len(a.body["notifications"].([]any)) != 0 {
		t.Errorf("notifications of others: %s", a.text)
	}
	b.redis.ShutdownNoSave(context.Background())
	for _, path := range []string{"/api/v1/requests", "/api/v1/grants", "/api/v1/notifications", request(two, "")} {
		want(d.call("dana", "GET", path, ""), 503)
	}
	for _, path := range posts {
		want(d.call("erin", "POST", path, `{"reason":"x"}`), 503)
	}
	for _, key := range d.All() {
		if !d.Seen[key] {
			t.Errorf("%s is documented, and was never answered", key)
		}
	}
	if len(d.Seen) < 45 {
		t.Errorf("only %d kinds of answers: %v", len(d.Seen), slices.Sorted(maps.Keys(d.Seen)))
	}
}

func member(text string) redis.Z { return redis.Z{Member: text, Score: 1} }
