package console

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/approvals"
)

func TestContract(t *testing.T) {
	b := newBench(t)
	first, second := b.hold("run1"), b.hold("run1")

	a := b.call("dana", "GET", "/api/v1/requests?state=pending", "")
	if got := b.ids(a); len(got) != 2 {
		t.Fatalf("pending: %v", got)
	}
	a = b.call("dana", "GET", "/api/v1/requests/"+first.ID, "")
	for _, key := range []string{
		"id", "state", "subject", "groups", "people", "sql", "tables", "sensitive_columns", "estimated_bytes", "estimated_cost", "job_id",
		"created", "expires", "decisions",
	} {
		t.Run(key, func(t *testing.T) {
			if a.body[key] == nil {
				t.Errorf("a request has no %s: %s", key, a.text)
			}
		})
	}
	a = b.call("dana", "POST", "/api/v1/requests/"+first.ID+"/approve", `{"reason":"fine"}`)
	if a.status != 200 || a.body["state"] != "approved" || a.body["id"] != first.ID {
		t.Fatalf("approve: %d %s", a.status, a.text)
	}
	d := a.body["decisions"].([]any)[0].(map[string]any)
	if d["by"] != "dana@acme.example" || d["verdict"] != "approve" || d["reason"] != "fine" || d["at"] == nil {
		t.Errorf("decision %v", d)
	}
	a = b.call("dana", "POST", "/api/v1/requests/"+second.ID+"/deny", `{"reason":"month end"}`)
	if a.status != 200 || a.body["state"] != "denied" {
		t.Fatalf("deny: %d %s", a.status, a.text)
	}
	if got := b.ids(b.call("dana", "GET", "/api/v1/requests?state=pending", "")); len(got) != 0 {
		t.Errorf("still pending: %v", got)
	}
	if got := b.ids(b.call("dana", "GET", "/api/v1/requests?state=denied", "")); !slices.Equal(got, []string{second.ID}) {
		t.Errorf("denied: %v", got)
	}
	if got := b.ids(b.call("dana", "GET", "/api/v1/requests", "")); len(got) != 2 {
		t.Errorf("all: %v", got)
	}
	for _, id := range []string{first.ID, second.ID} {
		for _, verdict := range []string{"approve", "deny"} {
			b.refused("decided", b.call("erin", "POST", "/api/v1/requests/"+id+"/"+verdict, `{"reason":"x"}`), 409, "already decided",
				"dana@acme.example")
		}
	}
}

func TestSecondVote(t *testing.T) {
	b := newBench(t)
	r := b.hold("run1", func(h *approvals.Held) { h.Approval.Quorum = 2 })
	path := "/api/v1/requests/" + r.ID + "/approve"
	if a := b.call("dana", "POST", path, `{"reason":"1"}`); a.status != 200 || a.body["state"] != "pending" {
		t.Fatalf("first vote: %d %s", a.status, a.text)
	}
	b.refused("second vote", b.call("dana", "POST", path, `{"reason":"2"}`), 409, "counts once")
	if a := b.call("erin", "POST", path, ""); a.status != 200 || a.body["state"] != "approved" {
		t.Fatalf("second person: %d %s", a.status, a.text)
	}
}

// A token of an old login decides nothing where the policy wants a fresh one, and says so as RFC
// 9470 does.
func TestStaleLogin(t *testing.T) {
	b := newBench(t)
	r := b.hold("run1", func(h *approvals.Held) { h.Approval.MaxAuthAge = 15 * time.Minute })
	path := "/api/v1/requests/" + r.ID
	for _, who := range []string{"tired", "dana"} { // dana's token says nothing
		for _, verdict := range []string{"/approve", "/deny"} {
			a := b.call(who, "POST", path+verdict, `{"reason":"x"}`)
			b.refused(who, a, 401, "the policy wants a login of you before you decide, at most 15m0s old")
			if h := a.header.Get("WWW-Authenticate"); !strings.Contains(h, `error="insufficient_user_authentication"`) {
				t.Errorf("%s: challenge %s", who, h)
			}
		}
	}
	if a := b.call("tired", "GET", path, ""); a.body["state"] != "pending" || a.body["max_auth_age_seconds"] != 900.0 {
		t.Errorf("%s", a.text)
	}
	if a := b.call("fresh", "POST", path+"/approve", `{}`); a.status != 200 || a.body["state"] != "approved" {
		t.Errorf("fresh: %d %s", a.status, a.text)
	}
	b.refused("too late", b.call("tired", "POST", path+"/approve", `{}`), 409, "already decided")
}

func TestExpired(t *testing.T) {
	b := newBench(t)
	r := b.hold("run1", func(h *approvals.Held) { h.Approval.Expires = 50 * time.Millisecond })
	time.Sleep(80 * time.Millisecond)
	b.refused("expired", b.call("dana", "POST", "/api/v1/requests/"+r.ID+"/approve", `{}`), 409, "expired")
	if a := b.call("dana", "GET", "/api/v1/requests/"+r.ID, ""); a.body["state"] != "expired" {
		t.Errorf("state %v", a.body["state"])
	}
}

// Who sees and decides what. The pipeline's requests are carol's too; a pull request's run sees its
// own only (A7).
func TestWho(t *testing.T) {
	b := newBench(t)
	r := b.hold("run1")
	own := b.hold("dana")
	cases := []struct {
		by     string
		sees   []string
		decide int // on r
	}{
		{"carol", []string{r.ID, own.ID}, 403}, // behind r, and a reviewer
		{"run1", []string{r.ID}, 403},
		{"run2", nil, 404}, // the same sub and the same people, another run
		{"bot", []string{r.ID, own.ID}, 403},
		{"alan", nil, 404},
		{"dana", []string{r.ID, own.ID}, 200},
	}
	for _, c := range cases {
		t.Run(c.by, func(t *testing.T) {
			want := append([]string{}, c.sees...)
			slices.Sort(want)
			if got := b.ids(b.call(c.by, "GET", "/api/v1/requests", "")); !slices.Equal(got, want) {
				t.Errorf("%s sees %v, want %v", c.by, got, want)
			}
			for _, id := range []string{r.ID, own.ID} {
				status := b.call(c.by, "GET", "/api/v1/requests/"+id, "").status
				if (status == 200) != slices.Contains(want, id) || (status != 200 && status != 404) {
					t.Errorf("%s gets %d for %s", c.by, status, id)
				}
			}
			a := b.call(c.by, "POST", "/api/v1/requests/"+r.ID+"/approve", `{"reason":"me"}`)
			if c.decide == 200 {
				if a.status != 200 {
					t.Errorf("%s: %d %s", c.by, a.status, a.text)
				}
				return
			}
			b.refused(c.by+" approves", a, c.decide)
			b.refused(c.by+" denies", b.call(c.by, "POST", "/api/v1/requests/"+r.ID+"/deny", `{"reason":"me"}`), c.decide)
		})
	}
	b.refused("own", b.call("dana", "POST", "/api/v1/requests/"+own.ID+"/approve", `{}`), 403, "own", "someone else")
	// What is not there and what may not be seen look the same.
	absent := b.call("alan", "GET", "/api/v1/requests/r-01ARZ3NDEKTSV4RRFFQ69G5FAV", "")
	hidden := b.call("alan", "GET", "/api/v1/requests/"+r.ID, "")
	if absent.text != hidden.text || absent.status != 404 {
		t.Errorf("absent: %s\nhidden: %s", absent.text, hidden.text)
	}
}

func TestTokens(t *testing.T) {
	b := newBench(t)
	r := b.hold("run1")
	for _, target := range [][3]string{
		{"GET", "/api/v1/requests", ""}, {"GET", "/api/v1/requests/" + r.ID, ""}, {"POST", "/api/v1/requests/" + r.ID + "/approve", "{}"},
		{"POST", "/api/v1/requests/" + r.ID + "/deny", `{"reason":"x"}`}, {"GET", "/api/v1/requests?state=nonsense", ""},
	} {
		auth := func(values ...string) func(*http.Request) {
			return func(r *http.Request) { r.Header["Authorization"] = values }
		}
		call := func(change func(*http.Request)) answer { return b.call("", target[0], target[1], target[2], change) }
		none := call(func(*http.Request) {})
		b.refused("no token", none, 401, "Bearer", audience)
		if !strings.HasPrefix(none.header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("challenge %q", none.header.Get("WWW-Authenticate"))
		}
		b.refused("expired token", call(auth("Bearer old")), 401, "expired at noon")
		for _, bad := range [][]string{{"Basic x"}, {"Bearer"}, {"Bearer "}, {"Bearer token-dana, Bearer x"},
			{"Bearer token-dana", "Bearer token-dana"}, {"token-dana"}, {""}} {
			b.refused(fmt.Sprint(bad), call(auth(bad...)), 401)
		}
		b.refused("no role", call(auth("Bearer token-stranger")), 403, "group")
		b.refused("issuer down", call(auth("Bearer token-of-a-silent-issuer")), 503, "try again")
	}
	if a := b.call("dana", "GET", "/api/v1/requests/"+r.ID, ""); a.body["state"] != "pending" {
		t.Errorf("state is %v", a.body["state"])
	}
	if log := b.log.String(); strings.Contains(log, "token-") {
		t.Errorf("a token is in the log:\n%s", log)
	}
}

func TestInput(t *testing.T) {
	b := newBench(t)
	r := b.hold("run1")
	base := "/api/v1/requests/" + r.ID
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		says               string
	}{
		"denial without body":    {"POST", base + "/deny", "", 400, "reason"},
		"denial without reason":  {"POST", base + "/deny", "{}", 400, "reason"},
		"blank reason":           {"POST", base + "/deny", `{"reason":" "}`, 400, "reason"},
		"unknown key":            {"POST", base + "/approve", `{"reason":"x","quorum":0}`, 400, `{"reason"`},
		"repeated key":           {"POST", base + "/approve", `{"reason":"x","reason":"y"}`, 400, `{"reason"`},
		"key in capitals":        {"POST", base + "/approve", `{"Reason":"x"}`, 400, `{"reason"`},
		"reason is no string":    {"POST", base + "/approve", `{"reason":1}`, 400, `{"reason"`},
		"null":                   {"POST", base + "/approve", `null`, 400, `{"reason"`},
		"list":                   {"POST", base + "/approve", `["x"]`, 400, `{"reason"`},
		"two values":             {"POST", base + "/approve", `{} {}`, 400, `{"reason"`},
		"form":                   {"POST", base + "/approve", `reason=x`, 400, `{"reason"`},
		"invalid UTF-8":          {"POST", base + "/approve", "{\"reason\":\"\xff\"}", 400, `{"reason"`},
		"invisible characters":   {"POST", base + "/approve", `{"reason":"a\u202eb"}`, 400, "U+202E"},
		"reason too long":        {"POST", base + "/approve", `{"reason":"` + strings.Repeat("x", 1001) + `"}`, 400, "1000"},
		"body too large":         {"POST", base + "/approve", `{"reason":"` + strings.Repeat("x", 20<<10) + `"}`, 413, "16384"},
		"unknown state":          {"GET", "/api/v1/requests?state=open", "", 400, "pending, approved, denied"},
		"stored state":           {"GET", "/api/v1/requests?state=releasing", "", 400, "pending"},
		"misspelt parameter":     {"GET", "/api/v1/requests?stat=pending", "", 400, "state"},
		"state twice":            {"GET", "/api/v1/requests?state=pending&state=used", "", 400, "more than once"},
		"malformed query":        {"GET", "/api/v1/requests?%zz", "", 400, "malformed"},
		"parameter to a request": {"GET", base + "?fields=id", "", 400, "no query parameters"},
		"parameter to a verdict": {"POST", base + "/approve?reason=x", "{}", 400, "no query parameters"},
		"id of another shape":    {"GET", "/api/v1/requests/x", "", 404, "no such request"},
		"wrong method":           {"POST", "/api/v1/requests", "", 405, "GET"},
		"get on a verdict":       {"GET", base + "/approve", "", 405, "POST"},
		"delete":                 {"DELETE", base, "", 405, "GET"},
		"unknown path":           {"GET", "/api/v2/requests", "", 404, "nothing under this path"},
		"trailing slash":         {"GET", "/api/v1/requests/", "", 404, "nothing under this path"},
	} {
		b.refused(name, b.call("dana", c.method, c.path, c.body), c.status, c.says)
	}
	b.refused("compressed", b.call("dana", "POST", base+"/approve", "{}", func(r *http.Request) {
		r.Header.Set("Content-Encoding", "gzip")
	}), 415)
	if a := b.call("dana", "GET", base, ""); a.body["state"] != "pending" {
		t.Fatalf("after all that it is %v", a.body["state"])
	}
	if a := b.call("dana", "POST", base+"/approve", ""); a.status != 200 {
		t.Errorf("an approval needs no reason: %d %s", a.status, a.text)
	}
}

func TestCrossOrigin(t *testing.T) {
	b := newBench(t)
	r := b.hold("run1")
	for name, change := range map[string]func(*http.Request){
		"fetch metadata": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"same site":      func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"origin":         func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
	} {
		t.Run(name, func(t *testing.T) {
			a := b.call("dana", "POST", "/api/v1/requests/"+r.ID+"/approve", "{}", change)
			b.refused(name, a, 403, "origin")
			if a.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s: CORS is open", name)
			}
		})
	}
	if a := b.call("", "OPTIONS", "/api/v1/requests", "", func(r *http.Request) {
		r.Header.Set("Origin", "https://evil.example")
	}); a.status == 200 ||
		a.header.Get("Access-Control-Allow-Methods") != "" {
		t.Errorf("preflight is answered: %d %v", a.status, a.header)
	}
}

// A Redis that has lost what was there closes approvals, and every path says so: trying again would
// open nothing.
func TestApprovalsClosed(t *testing.T) {
	for name, ask := range map[string][2]string{
		"list":    {"GET", "/api/v1/requests"},
		"get":     {"GET", "/api/v1/requests/%s"},
		"approve": {"POST", "/api/v1/requests/%s/approve"},
		"grants":  {"GET", "/api/v1/grants"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			q := b.hold("run1")
			if err := b.redis.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			path, body := strings.ReplaceAll(ask[1], "%s", q.ID), ""
			if ask[0] == "POST" {
				body = `{"reason": "needed"}`
			}
			a := b.call("dana", ask[0], path, body, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") })
			b.refused(name, a, http.StatusServiceUnavailable, "approvals are closed")
			if e, _ := a.body["error"].(map[string]any); e["reason"] != "approvalsClosed" {
				t.Errorf("reason %v, want approvalsClosed", e["reason"])
			}
		})
	}
}

func TestRedisDown(t *testing.T) {
	b := newBench(t)
	r := b.hold("run1")
	b.redis.Close()
	for _, target := range [][2]string{{"GET", "/api/v1/requests"}, {"GET", "/api/v1/requests/" + r.ID},
		{"POST", "/api/v1/requests/" + r.ID + "/approve"}} {
		a := b.call("dana", target[0], target[1], "")
		b.refused(target[1], a, 503, "try again")
		if strings.Contains(a.text, "redis") {
			t.Errorf("the cause is shown: %s", a.text)
		}
	}
	if a := b.call("", "GET", "/healthz", ""); a.status != 200 || a.text != "ok\n" {
		t.Errorf("healthz: %d %q", a.status, a.text)
	}
}

func TestNothingConfigured(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/api/v1/requests", nil)
	r.Header.Set("Authorization", "Bearer token-dana")
	NewAPI(Options{Log: slog.New(slog.DiscardHandler)}).ServeHTTP(w, r)
	if w.Code != 503 {
		t.Errorf("status %d", w.Code)
	}
}

func TestHeaders(t *testing.T) {
	b := newBench(t)
	r := b.hold("run1")
	for _, path := range []string{"/", "/healthz", "/style.css", "/requests/" + r.ID, "/nothing", "/api/v1/requests",
		"/api/v1/requests/" + r.ID, "/api/v1/requests/x"} {
		t.Run(path, func(t *testing.T) {
			h := b.call("dana", "GET", path, "").header
			for name, want := range map[string]string{
				"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
				"X-Frame-Options": "DENY",
				"Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors " +
					"'none'",
			} {
				t.Run(name, func(t *testing.T) {
					if h.Get(name) != want {
						t.Errorf("%s: %s is %q", path, name, h.Get(name))
					}
				})
			}
		})
	}
}

func TestPage(t *testing.T) {
	b := newBench(t)
	r := b.hold("run1")
	for path, want := range map[string]string{"/": "$CONSOLE/api/v1/requests/$ID/approve",
		"/requests/" + r.ID: "$CONSOLE/api/v1/requests/" + r.ID + "/approve"} {
		a := b.call("", "GET", path, "")
		if a.status != 200 || a.header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(a.text, want) ||
			!strings.Contains(a.text, audience) {
			t.Errorf("%s: %d %s", path, a.status, a.text)
		}
		for _, banned := range []string{"<script", "style=", "onclick", "SELECT", "carol"} {
			t.Run(banned, func(t *testing.T) {
				if strings.Contains(a.text, banned) {
					t.Errorf("%s has %s", path, banned)
				}
			})
		}
	}
	for _, id := range []string{"x", "%3Cscript%3Ealert(1)%3C%2Fscript%3E", "r-01ARZ3NDEKTSV4RRFFQ69G5FAV%22"} {
		t.Run(id, func(t *testing.T) {
			a := b.call("", "GET", "/requests/"+id, "")
			b.refused(id, a, 404)
			if strings.Contains(a.text, "alert") {
				t.Errorf("%s is repeated: %s", id, a.text)
			}
		})
	}
	if a := b.call("", "GET", "/style.css", ""); a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/css") {
		t.Errorf("style: %d", a.status)
	}
}

// A22: the log says who decided on what, and nothing that was asked or said.
func TestLogs(t *testing.T) {
	b := newBench(t)
	r := b.hold("run1")
	b.call("dana", "POST", "/api/v1/requests/"+r.ID+"/deny", `{"reason":"words for the requester"}`)
	b.call("erin", "POST", "/api/v1/requests/"+r.ID+"/deny", `{"reason":"words for the requester"}`)
	b.call("erin", "POST", "/api/v1/requests/evil%0Aline/deny", `{"reason":"words for the requester"}`)
	log := b.log.String()
	if !strings.Contains(log, r.ID) || !strings.Contains(log, "id-of-dana") {
		t.Errorf("the log does not say who decided:\n%s", log)
	}
	for _, banned := range []string{"SELECT", "words for", "token-", "evil", "payroll"} {
		t.Run(banned, func(t *testing.T) {
			if strings.Contains(log, banned) {
				t.Errorf("the log has %q:\n%s", banned, log)
			}
		})
	}
}
