package console

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/sessionstore"
	"github.com/bqgate/bqgate/policies"
)

// Who sees what, and who may do what about it.
func TestVisitors(t *testing.T) {
	b := newWeb(t)
	other, carols, alans := b.hold("dana"), b.hold(""), b.hold("alan") // carols: of a pipeline that carol started
	for _, c := range []struct {
		who           string
		request       approvals.Request
		status        int  // of the page
		buttons       bool // on it
		decisionGives int
	}{
		{"dana", other, 200, false, 403}, {"carol", carols, 200, false, 403}, {"alan", alans, 200, false, 403},
		{"alan", other, 404, false, 404}, {"stranger", other, 403, false, 403},
		{"erin", other, 200, true, 303},
	} {
		t.Run(c.who, func(t *testing.T) {
			v := b.as(c.who)
			page := "/requests/" + c.request.ID
			a := v.get(page)
			if a.status != c.status || strings.Contains(a.text, `class="approve"`) != c.buttons {
				t.Errorf("%s on a request of %s: %d, buttons %v", c.who, c.request.Subject, a.status,
					strings.Contains(a.text, `class="approve"`))
			}
			if c.status != 200 && strings.Contains(a.text, "salary") {
				t.Errorf("%s reads of it: %s", c.who, a.text)
			}
			listed := strings.Contains(v.get("/").text, c.request.ID)
			if listed != (c.status == 200) {
				t.Errorf("%s has it in the queue: %v", c.who, listed)
			}
			for _, verdict := range []string{"deny", "approve"} {
				if verdict == "deny" && c.decisionGives == 303 {
					continue
				}
				if got := v.post(page+"/"+verdict, url.Values{"reason": {"mine"}}); got.status != c.decisionGives {
					t.Errorf("%s says %s: %d, want %d", c.who, verdict, got.status, c.decisionGives)
				}
			}
		})
	}
	if a := b.as("alan").get("/policies"); a.status != 403 || strings.Contains(a.text, "finance") {
		t.Errorf("who reviews nothing reads the policy: %d", a.status)
	}
	if a := b.as("dana").get("/policies"); a.status != 200 || !strings.Contains(a.text, `data-n="13"`) ||
		!strings.Contains(a.text, "reviewers: [data-owners]") {
		t.Errorf("policies: %d %s", a.status, a.text)
	}
	if a := b.as("stranger").get("/"); a.status != 403 || !strings.Contains(a.text, "no role") {
		t.Errorf("no role: %d", a.status)
	}
}

// Two reviewers at the same moment: one decision stands, and the other is told in words whose.
func TestTwoAtOnce(t *testing.T) {
	b := newWeb(t)
	dana, erin := b.as("dana"), b.as("erin")
	for range 5 {
		r := b.hold("")
		var first, second seen
		var both sync.WaitGroup
		both.Go(func() { first = dana.post("/requests/"+r.ID+"/approve", url.Values{"reason": {"fine"}}) })
		both.Go(func() { second = erin.post("/requests/"+r.ID+"/deny", url.Values{"reason": {"no"}}) })
		both.Wait()
		loser, winner := second, "dana@acme.example"
		if first.status == 409 {
			loser, winner = first, "erin@acme.example"
		}
		if first.status+second.status != 303+409 {
			t.Fatalf("%d and %d", first.status, second.status)
		}
		if !strings.Contains(loser.text, "Your decision was not taken") || !strings.Contains(loser.text, winner) ||
			strings.Contains(loser.text, `class="approve"`) {
			t.Errorf("the loser reads %s", loser.text)
		}
	}
}

func TestRequestPage(t *testing.T) {
	b := newWeb(t)
	r := b.hold("", func(h *approvals.Held) {
		h.Subject.Issuer = "https://token.actions.githubusercontent.com"
		h.Subject.Claims = map[string]any{"repository": "acme/app", "sha": "0123456789abcdef0123456789abcdef01234567", "run_id": "77",
			"ref": "refs/heads/main"}
		h.Approval.Quorum, h.MaxRows, h.MaxResultBytes = 2, 100, 2<<20
		h.Approval.Rule = policies.RuleRef{Policy: "web", Name: "payroll", File: "policies/web.yaml", Line: 12}
		h.Review.Columns = []approvals.ReviewColumn{
			{Name: "salary", Type: "NUMERIC", Mask: masking.AlwaysNull,
				Sources: []approvals.ReviewSource{{Column: "acme.finance.payroll.salary"}}},
			{Name: "n", Type: "INT64", Mask: masking.Clear,
				Sources: []approvals.ReviewSource{{Column: "acme.finance.payroll.employee", Derived: true}, {}}},
		}
	})
	v := b.as("dana")
	a := v.get("/requests/" + r.ID)
	for _, want := range []string{
		"carol@acme.example", `href="https://github.com/acme/app"`,
		`href="https://github.com/acme/app/commit/0123456789abcdef0123456789abcdef01234567"`,
		`href="https://github.com/acme/app/actions/runs/77"`, "5 GiB, about $0.03", "10 GiB", "at most 100 rows, at most 2 MiB",
		`value="500"`, "0 of 2 approvals", "when: &#34;true&#34;", "ALWAYS_NULL",
		"computed from finance.payroll.employee, a constant", "Line 1: finance.payroll.salary is sensitive",
	} {
		t.Run(want, func(t *testing.T) {
			if !strings.Contains(a.text, want) {
				t.Errorf("the page lacks %s", want)
			}
		})
	}
	if title := titleOf(t, a.text); strings.Contains(title, "payroll") || !strings.Contains(title, "waiting") {
		t.Errorf("title %q", title)
	}
	if a := v.post("/requests/"+r.ID+"/approve", url.Values{"reason": {"checked"}}); a.status != 303 || a.location != "/requests/"+r.ID {
		t.Fatalf("approve: %d %s", a.status, a.text)
	}
	if a := v.get("/requests/" + r.ID); !strings.Contains(a.text, "1 of 2 approvals") || strings.Contains(a.text, `class="approve"`) ||
		!strings.Contains(a.text, "You have approved") {
		t.Errorf("after one's own vote: %s", a.text)
	}
	// Under another policy than the loaded one an approval would be void, and the page says so;
	// lines of a policy that did not hold it are not shown.
	old := b.hold("", func(h *approvals.Held) {
		h.Review.Policy = "another"
		h.Approval.Rule = policies.RuleRef{Policy: "web", Name: "payroll", File: "policies/web.yaml", Line: 12}
	})
	if a := v.get("/requests/" + old.ID); !strings.Contains(a.text, "The policy has changed") ||
		strings.Contains(a.text, "when: &#34;true&#34;") {
		t.Errorf("changed policy: %s", a.text)
	}
	rewritten := b.hold("", func(h *approvals.Held) {
		h.Review.Forwarded = "SELECT NULL AS salary"
		h.Review.Columns = []approvals.ReviewColumn{{Name: "salary", Type: "NUMERIC", Mask: masking.Clear,
			Sources: []approvals.ReviewSource{{Column: "acme.finance.payroll.salary", Derived: true}}}}
	})
	if a := v.get("/requests/" + rewritten.ID); !strings.Contains(a.text, "The query is rewritten") ||
		!strings.Contains(a.text, "computed on masked values") || strings.Contains(a.text, "as it is") {
		t.Errorf("rewritten: %s", a.text)
	}
}

func titleOf(t *testing.T, page string) string {
	for _, n := range elements(t, page) {
		if n.Data == "title" {
			return textOf(n)
		}
	}
	return ""
}

// A standing approval is given, counted, listed and taken back in pages.
func TestGrantPages(t *testing.T) {
	b := newWeb(t)
	r := b.hold("", func(h *approvals.Held) { h.Approval.Standing = policies.Standing{MaxUses: 5, MaxHours: 8} })
	v := b.as("dana")
	if a := v.get("/requests/" + r.ID); !strings.Contains(a.text, `name="uses"`) || !strings.Contains(a.text, `max="5"`) {
		t.Errorf("no terms to choose: %s", a.text)
	}
	if a := v.post("/requests/"+r.ID+"/approve",
		url.Values{"reason": {""}, "terms": {"standing"}, "uses": {"3"}, "hours": {"2"}}); a.status != 303 {
		t.Fatalf("approve: %d %s", a.status, a.text)
	}
	if a := v.get("/requests/" + r.ID); !strings.Contains(a.text, "0 of 3 runs used") || !strings.Contains(a.text, `id="revoke"`) {
		t.Errorf("page: %s", a.text)
	}
	if a := v.get("/grants"); !strings.Contains(a.text, r.ID) || !strings.Contains(a.text, "0 of 3 runs") ||
		!strings.Contains(a.text, "live") {
		t.Errorf("grants: %s", a.text)
	}
	if a := b.as("alan").get("/grants"); strings.Contains(a.text, r.ID) {
		t.Error("alan sees the grant of others")
	}
	if a := b.as("alan").post("/requests/"+r.ID+"/revoke", url.Values{"reason": {"x"}}); a.status != 404 {
		t.Errorf("alan revokes: %d", a.status)
	}
	if a := b.as("erin").post("/requests/"+r.ID+"/revoke", url.Values{"reason": {"a mistake"}}); a.status != 303 {
		t.Errorf("revoke: %d %s", a.status, a.text)
	}
	if a := v.get("/requests/" + r.ID); !strings.Contains(a.text, "revoked by erin@acme.example") ||
		strings.Contains(a.text, `id="revoke"`) {
		t.Errorf("after it: %s", a.text)
	}
}

// hostile is written into everything that a requester or a reviewer can choose.
const hostile = `</code></pre></title><script>alert(1)</script><img src=x onerror=alert(1)>"'><a href="javascript:alert(1)" hx-get="/x" ` +
	`hx-on:click="alert(1)">` + "\u202e\u2066\u200b\x00{{.}}"

func TestHostile(t *testing.T) {
	b := newWeb(t)
	sql := "SELECT '" + hostile + "'"
	r := b.hold("", func(h *approvals.Held) {
		h.Operation.Query.SQL = sql
		h.Operation.Query.Parameters = json.RawMessage(`[{"name":"` + strings.ReplaceAll("<script>alert(1)</script>", `"`, "") + `"}]`)
		h.Subject.Issuer = "https://token.actions.githubusercontent.com"
		h.Subject.Sub = hostile
		h.Subject.People = []string{hostile + "@acme.example"}
		h.Subject.Claims = map[string]any{"repository": hostile, "sha": "../../x", "run_id": "1/../2", "workflow": hostile,
			"actor": hostile}
		h.Groups = []string{hostile}
		h.Tables, h.Sensitive = []string{"acme." + hostile}, []string{"acme." + hostile + ".c"}
		h.Approval.Why = hostile
		h.Approval.Rule = policies.RuleRef{Policy: hostile, Name: hostile, File: hostile, Line: 1}
		h.Job.JobID = hostile
		h.Review.Columns = []approvals.ReviewColumn{
			{Name: hostile, Type: hostile, Mask: "<b>", Sources: []approvals.ReviewSource{{Column: hostile}}},
		}
		h.Review.Marks = []approvals.Mark{{Start: 0, End: 1 << 40, Column: hostile}, {Start: -5, End: 2}, {Start: 3, End: 1},
			{Start: 7, End: 9, Column: hostile, Use: hostile}}
		h.Review.Forwarded = hostile
	})
	v := b.as("dana")
	if a := v.post("/requests/"+r.ID+"/deny", url.Values{"reason": {"<script>alert(1)</script>\"'>"}}); a.status != 303 {
		t.Fatalf("deny: %d", a.status)
	}
	clean := func(name, page string) {
		t.Helper()
		for _, n := range elements(t, page) {
			switch n.Data {
			case "script":
				if !strings.HasPrefix(attribute(n, "src"), "/assets/") || textOf(n) != "" {
					t.Errorf("%s: script %v %s", name, n.Attr, textOf(n))
				}
			case "img", "iframe", "object", "embed", "base", "style":
				t.Errorf("%s: <%s>", name, n.Data)
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "hx-get" || strings.HasPrefix(a.Key, "hx-on") ||
					strings.Contains(strings.ToLower(a.Val), "javascript:") {
					t.Errorf("%s: %s=%q", name, a.Key, a.Val)
				}
				if a.Key == "href" && !strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "#") {
					t.Errorf("%s: a link leads to %s", name, a.Val)
				}
			}
		}
		if i := strings.IndexFunc(page, func(r rune) bool { h, _ := hides(r, 2); return h }); i >= 0 {
			t.Errorf("%s: a hidden character reaches the browser: %q", name, page[i:min(len(page), i+20)])
		}
		if strings.Contains(titleOf(t, page), "script") {
			t.Errorf("%s: title %q", name, titleOf(t, page))
		}
	}
	for _, path := range []string{"/requests/" + r.ID, "/", "/history", "/grants"} {
		clean(path, v.get(path).text)
	}
	page := v.get("/requests/" + r.ID).text
	for _, n := range elements(t, page) {
		if n.Data == "pre" && attribute(n, "class") == "sql" {
			if got, want := strings.TrimSuffix(sqlOf(n), "\n"), sql; got != want {
				t.Errorf("the SQL reads\n%q, want\n%q", got, want)
			}
			break
		}
	}
	if strings.Contains(b.logged(), "alert") {
		t.Error("the log has what the requester wrote")
	}
}

// sqlOf reads SQL back from the page: hidden characters are what their labels say, notes are not
// part of it.
func sqlOf(n *html.Node) string {
	var b strings.Builder
	var walk func(n *html.Node)
	walk = func(n *html.Node) {
		switch {
		case n.Type == html.TextNode:
			b.WriteString(n.Data)
		case attribute(n, "class") == "note":
		case attribute(n, "class") == "hid":
			var r rune
			fmt.Sscanf(strings.TrimPrefix(textOf(n), "U+"), "%X", &r)
			b.WriteRune(r)
		default:
			for c := range n.ChildNodes() {
				walk(c)
			}
		}
	}
	walk(n)
	return b.String()
}

func TestPageHeaders(t *testing.T) {
	b := newWeb(t)
	r := b.hold("")
	v := b.as("dana")
	const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action " +
		"'self'; frame-ancestors 'none'; base-uri 'none'"
	for _, path := range []string{"/", "/requests/" + r.ID, "/history", "/grants", "/policies", "/logged-out", "/nothing", "/requests/x"} {
		t.Run(path, func(t *testing.T) {
			a := v.get(path)
			for name, want := range map[string]string{
				"Content-Security-Policy": policy, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
				"X-Frame-Options":            "DENY",
				"Referrer-Policy":            "same-origin",
				"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
			} {
				t.Run(name, func(t *testing.T) {
					if a.header.Get(name) != want {
						t.Errorf("%s: %s is %q", path, name, a.header.Get(name))
					}
				})
			}
			for _, n := range elements(t, a.text) {
				for _, name := range []string{"src", "href"} {
					if to := attribute(n, name); strings.HasPrefix(to, "/assets/") {
						if got := v.get(to); got.status != 200 || !strings.Contains(got.header.Get("Cache-Control"), "immutable") {
							t.Errorf("%s: %d", to, got.status)
						}
					}
				}
			}
		})
	}
	if a := v.get("/assets/console.css"); a.status != 404 {
		t.Errorf("a file without its digest: %d", a.status)
	}
}

// The files of others are those that were published, and their licences are with them.
func TestVendored(t *testing.T) {
	dir := filepath.Join("assets", "vendor")
	sums, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	files, _ := os.ReadDir(dir)
	if lines := strings.Count(string(sums), "\n"); lines != len(files)-1 {
		t.Errorf("%d files, %d sums", len(files)-1, lines)
	}
	for line := range strings.Lines(string(sums)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		text, err := os.ReadFile(filepath.Join(dir, name))
		got := sha256.Sum256(text)
		if err != nil || hex.EncodeToString(got[:]) != sum {
			t.Errorf("%s is not the published file: %v", name, err)
		}
	}
}

// follow reads a stream into a channel of its data and events.
func (v *visit) follow(path string) (<-chan string, context.CancelFunc) {
	v.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	v.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", v.http.URL+path, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	response, err := v.client.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	if response.StatusCode != 200 || !strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		v.t.Fatalf("stream: %d %s", response.StatusCode, response.Header)
	}
	out := make(chan string, 100)
	go func() {
		defer close(out)
		defer response.Body.Close()
		var event strings.Builder
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			if lines.Text() == "" {
				out <- event.String()
				event.Reset()
				continue
			}
			event.WriteString(lines.Text() + "\n")
		}
	}()
	return out, cancel
}

// hears waits for an event with a text.
func (v *visit) hears(stream <-chan string, want string) {
	v.t.Helper()
	deadline := time.After(30 * time.Second)
	last := ""
	for {
		select {
		case event, open := <-stream:
			if strings.Contains(event, want) {
				return
			}
			if !open {
				v.t.Fatalf("the stream ended without %q; last was %s", want, last)
			}
			last = event
		case <-deadline:
			v.t.Fatalf("nothing of %q; last was %s", want, last)
		}
	}
}

// onlyEnded is all that a stream says to somebody without a session.
const onlyEnded = "event: ended\ndata: session\n\n"

func TestStreams(t *testing.T) {
	b := newWeb(t)
	dana, erin := b.as("dana"), b.as("erin")
	queue, _ := dana.follow("/events")
	dana.hears(queue, "Nothing waits")
	r := b.hold("")
	dana.hears(queue, r.ID)
	request, _ := dana.follow("/requests/" + r.ID + "/events")
	dana.hears(request, "Waiting")
	b.hold("alan", func(h *approvals.Held) { h.Approval.Reviewers = []string{"nobody-of-these"} }) // none of dana's business
	if a := erin.post("/requests/"+r.ID+"/deny", url.Values{"reason": {"not now"}}); a.status != 303 {
		t.Fatalf("deny: %d", a.status)
	}
	dana.hears(request, "erin@acme.example")
	dana.hears(queue, "denied")
	short := b.hold("", func(h *approvals.Held) { h.Approval.Expires = time.Second })
	dana.hears(queue, short.ID)
	dana.hears(queue, "expired")
	// What is not visible has no stream; revoking the session ends those that are open.
	if a := b.as("alan").get("/requests/" + r.ID + "/events"); a.status != 404 {
		t.Errorf("alan's stream: %d", a.status)
	}
	if a := b.as("stranger").get("/events"); a.text != onlyEnded {
		t.Errorf("a stranger's stream: %d %q", a.status, a.text)
	}
	if err := b.redis.Del(context.Background(), consoleSessionKey+sessionstore.ID(dana.cookie(sessionCookie).Value)).Err(); err != nil {
		t.Fatal(err)
	}
	b.hold("")
	dana.hears(queue, "event: ended")
	dana.hears(request, "event: ended")
}

func TestStreamsAreBounded(t *testing.T) {
	b := newWeb(t)
	v := b.as("dana")
	var ends []context.CancelFunc
	for range maxSessionStreams {
		_, end := v.follow("/events")
		ends = append(ends, end)
	}
	if a := v.get("/events"); a.status != 429 {
		t.Errorf("one more: %d", a.status)
	}
	if _, end := b.as("erin").follow("/events"); end == nil {
		t.Error("another session")
	}
	ends[0]()
	for range 100 {
		if v.opens("/events") {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("a place that was left is not free")
}

// opens says whether a stream may be opened.
func (v *visit) opens(path string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", v.http.URL+path, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	response, err := v.client.Do(r)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == 200
}

// slowWriter is a browser that takes nothing: its deadline passes.
type slowWriter struct {
	header    http.Header
	deadlines []time.Time
}

func (w *slowWriter) Header() http.Header       { return w.header }
func (w *slowWriter) WriteHeader(int)           {}
func (w *slowWriter) Write([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }
func (w *slowWriter) SetWriteDeadline(t time.Time) error {
	w.deadlines = append(w.deadlines, t)
	return nil
}
func (w *slowWriter) FlushError() error { return nil }

func TestSlowBrowserIsDropped(t *testing.T) {
	w := &slowWriter{header: http.Header{}}
	e := &eventWriter{w: w, control: http.NewResponseController(w)}
	e.comment("x")
	e.comment("y")
	if e.err == nil || len(w.deadlines) != 1 || time.Until(w.deadlines[0]) > streamWrite {
		t.Errorf("%v, deadlines %v", e.err, w.deadlines)
	}
}

func TestPagesWithoutRedis(t *testing.T) {
	b := newWeb(t)
	v := b.as("dana")
	r := b.hold("")
	b.redis.Close()
	for _, path := range []string{"/", "/requests/" + r.ID, "/history", "/grants", "/policies"} {
		t.Run(path, func(t *testing.T) {
			if a := v.get(path); a.status != 503 || strings.Contains(a.text, "redis:") || a.header.Get("Retry-After") == "" {
				t.Errorf("%s: %d", path, a.status)
			}
		})
	}
	if a := v.post("/requests/"+r.ID+"/approve", nil); a.status != 503 {
		t.Errorf("decision: %d", a.status)
	}
}
