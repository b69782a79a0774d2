package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/policies"
)

// document is openapi.yaml, with what was answered.
type document struct {
	t    *testing.T
	b    *bench
	root map[string]any
	seen map[string]bool // "GET /path 200"
}

func openDocument(t *testing.T, b *bench) *document {
	t.Helper()
	a := b.call("", "GET", "/api/v1/openapi.yaml", "")
	if a.status != 200 {
		t.Fatalf("openapi.yaml: status %d", a.status)
	}
	var loose any
	if err := yaml.Unmarshal([]byte(a.text), &loose); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(loose)
	if err != nil {
		t.Fatal(err)
	}
	d := &document{t: t, b: b, seen: map[string]bool{"GET /api/v1/openapi.yaml 200": true}}
	if err := json.Unmarshal(text, &d.root); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *document) at(path ...string) any {
	var v any = d.root
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	return d.resolve(v)
}

// resolve follows a $ref; keywords beside it, a description, count for nothing here.
func (d *document) resolve(v any) any {
	m, _ := v.(map[string]any)
	ref, ok := m["$ref"].(string)
	if !ok {
		return v
	}
	out := d.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	if out == nil {
		d.t.Fatalf("%s leads nowhere", ref)
	}
	return out
}

var ids = regexp.MustCompile(`/(requests|grants)/[^/?]+`)

// call sends a request and holds the answer against the document.
func (d *document) call(by, method, path, body string, change ...func(*http.Request)) answer {
	d.t.Helper()
	a := d.b.call(by, method, path, body, change...)
	template, _, _ := strings.Cut(ids.ReplaceAllString(path, "/$1/{id}"), "?")
	key := fmt.Sprintf("%s %s %d", method, template, a.status)
	d.seen[key] = true
	response, _ := d.at("paths", template, strings.ToLower(method), "responses", fmt.Sprint(a.status)).(map[string]any)
	if response == nil {
		d.t.Errorf("%s is not documented: %s", key, a.text)
		return a
	}
	schema := d.dig(response, "content", "application/json", "schema")
	var v any
	decoder := json.NewDecoder(bytes.NewReader([]byte(a.text)))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		d.t.Fatalf("%s: %v", key, err)
	}
	d.check(key, "", schema, v)
	return a
}

func (d *document) dig(v any, path ...string) any {
	for _, p := range path {
		m, _ := d.resolve(v).(map[string]any)
		v = m[p]
	}
	return d.resolve(v)
}

// check is what of JSON Schema the document uses. A keyword that is not known here fails the test: it would check nothing.
func (d *document) check(where, at string, schema, v any) {
	d.t.Helper()
	s, ok := d.resolve(schema).(map[string]any)
	if !ok {
		d.t.Errorf("%s%s: no schema", where, at)
		return
	}
	wrong := func(format string, args ...any) {
		d.t.Helper()
		d.t.Errorf("%s at %q: %s", where, at, fmt.Sprintf(format, args...))
	}
	for keyword, want := range s {
		switch keyword {
		case "description":
		case "type":
			if !slices.ContainsFunc(listed(want), func(t string) bool { return isType(t, v) }) {
				wrong("%v is not %v", v, want)
			}
		case "enum":
			if !slices.Contains(want.([]any), v) {
				wrong("%v is none of %v", v, want)
			}
		case "pattern":
			if text, ok := v.(string); ok && !regexp.MustCompile(want.(string)).MatchString(text) {
				wrong("%q does not match %s", text, want)
			}
		case "format":
			if _, err := time.Parse(time.RFC3339, fmt.Sprint(v)); want != "date-time" || err != nil {
				wrong("%v is no %v", v, want)
			}
		case "minimum":
			if n, ok := v.(json.Number); ok {
				if f, _ := n.Float64(); f < want.(float64) {
					wrong("%v is below %v", v, want)
				}
			}
		case "minLength":
			if text, ok := v.(string); ok && utf8.RuneCountInString(text) < int(want.(float64)) {
				wrong("%q is too short", text)
			}
		case "items":
			items, _ := v.([]any)
			for i, item := range items {
				d.check(where, fmt.Sprintf("%s[%d]", at, i), want, item)
			}
		case "required":
			for _, name := range want.([]any) {
				if m, ok := v.(map[string]any); ok && !hasKey(m, name.(string)) {
					wrong("%v is missing", name)
				}
			}
		case "properties", "additionalProperties":
		default:
			wrong("the schema has %q, which this test does not know", keyword)
		}
	}
	m, _ := v.(map[string]any)
	properties, _ := s["properties"].(map[string]any)
	for name, value := range m {
		switch p, known := properties[name]; {
		case known:
			d.check(where, at+"."+name, p, value)
		case s["additionalProperties"] == false:
			wrong("%s is not documented", name)
		case s["additionalProperties"] != nil:
			d.check(where, at+"."+name, s["additionalProperties"], value)
		}
	}
}

func hasKey(m map[string]any, key string) bool { _, ok := m[key]; return ok }

func listed(v any) []string {
	if text, ok := v.(string); ok {
		return []string{text}
	}
	var out []string
	for _, item := range v.([]any) {
		out = append(out, item.(string))
	}
	return out
}

func isType(name string, v any) bool {
	switch v := v.(type) {
	case nil:
		return name == "null"
	case bool:
		return name == "boolean"
	case string:
		return name == "string"
	case json.Number:
		_, err := v.Int64()
		return name == "number" || name == "integer" && err == nil
	case []any:
		return name == "array"
	case map[string]any:
		return name == "object"
	}
	return false
}

// Every answer of contract 7 and of the grants and notifications beside it is as openapi.yaml says, and every answer that it names is given.
func TestOpenAPI(t *testing.T) {
	b := newBench(t)
	d := openDocument(t, b)
	standing := func(h *approvals.Held) { h.Approval.Standing = policies.Standing{MaxUses: 5, MaxHours: 8} }
	fresh := func(h *approvals.Held) { h.Digest = fmt.Sprint(time.Now().UnixNano()) }
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
	paths, _ := d.root["paths"].(map[string]any)
	for path := range paths {
		for method := range d.at("paths", path).(map[string]any) {
			for status := range d.at("paths", path, method, "responses").(map[string]any) {
				if key := strings.ToUpper(method) + " " + path + " " + status; !d.seen[key] {
					t.Errorf("%s is documented, and was never answered", key)
				}
			}
		}
	}
	if len(d.seen) < 45 {
		t.Errorf("only %d kinds of answers: %v", len(d.seen), slices.Sorted(maps.Keys(d.seen)))
	}
}

func member(text string) redis.Z { return redis.Z{Member: text, Score: 1} }
