package fakegoogle

import (
	"maps"
	"strings"
	"testing"
	"time"
)

// One requestId is one job for requests that are duplicates, as the discovery document has it.
func TestRequestID(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	job := func(r reply) string {
		t.Helper()
		if r.status != 200 {
			t.Fatalf("%d %s", r.status, r.body)
		}
		return at(t, r.tree(t), "jobReference", "jobId").(string)
	}
	const sql = "SELECT name FROM crm.customers WHERE id = @id"
	parameter := func(value string) []any {
		return []any{map[string]any{
			"name": "id", "parameterType": map[string]any{"type": "INT64"}, "parameterValue": map[string]any{"value": value},
		}}
	}
	first := map[string]any{"requestId": "same", "parameterMode": "NAMED", "queryParameters": parameter("1")}
	want := job(c.query(sql, first))
	for name, test := range map[string]struct {
		change map[string]any
		sql    string
		same   bool
	}{
		"the same":            {same: true},
		"another wait":        {change: map[string]any{"timeoutMs": 1000}, same: true},
		"another page":        {change: map[string]any{"maxResults": 1}, same: true},
		"another label":       {change: map[string]any{"labels": map[string]any{"a": "b"}}, same: true},
		"another text":        {sql: sql + " LIMIT 5"},
		"another dataset":     {change: map[string]any{"defaultDataset": map[string]any{"datasetId": "crm"}}},
		"another cap":         {change: map[string]any{"maximumBytesBilled": "1000000000"}},
		"another case of it":  {change: map[string]any{"requestId": "Same"}},
		"another requestId":   {change: map[string]any{"requestId": "other"}},
		"no requestId":        {change: map[string]any{"requestId": ""}},
		"another time zone":   {change: map[string]any{"connectionProperties": []any{map[string]any{"key": "time_zone", "value": "UTC"}}}},
		"another value of it": {change: map[string]any{"queryParameters": parameter("2")}},
	} {
		t.Run(name, func(t *testing.T) {
			more := maps.Clone(first)
			maps.Copy(more, test.change)
			text := sql
			if test.sql != "" {
				text = test.sql
			}
			if got := job(c.query(text, more)); (got == want) != test.same {
				t.Errorf("job %s, and the first one is %s", got, want)
			}
		})
	}
	s.SetRequestIDsIgnored(true)
	if got := job(c.query(sql, first)); got == want {
		t.Error("the requestId of a SELECT still counts")
	}
	s.SetRequestIDsIgnored(false)
	if got := job(as(t, s, other).query(sql, first)); got == want {
		t.Error("another account gets the first one's job")
	}
	s.SetRequestIDWindow(time.Nanosecond)
	if got := job(c.query(sql, first)); got == want {
		t.Error("the requestId is still known after its window")
	}
}

// A job is named in a path by its id alone, with its project, and with its location too.
func TestNamesOfAJobInPaths(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	c.insert("named", "SELECT 1 AS x", false)
	for _, method := range []struct{ verb, path string }{{"GET", "/jobs/%"}, {"GET", "/queries/%"}, {"POST", "/jobs/%/cancel"}} {
		for id, want := range map[string]int{
			"named": 200, "demo:US.named": 200, "demo:us.named": 200, "demo:named": 200,
			"demo:EU.named": 404, "other:US.named": 404, "other:named": 404, "US.named": 404, "demo:US.unnamed": 404,
		} {
			t.Run(method.verb+" "+strings.ReplaceAll(method.path, "%", id), func(t *testing.T) {
				if got := c.do(method.verb, base+strings.ReplaceAll(method.path, "%", id), nil); got.status != want {
					t.Errorf("%s %s: %d, want %d: %s", method.verb, strings.ReplaceAll(method.path, "%", id), got.status, want, got.body)
				}
			})
		}
	}
	again := c.insert("named", "SELECT 1 AS x", false)
	if again.status != 409 || again.reason() != "duplicate" || !strings.Contains(string(again.body), "Already Exists: Job demo:US.named") {
		t.Errorf("an id that exists: %d %s", again.status, again.body)
	}
}
