//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// A58: a query is held and approved under one token, and run for another one of the same person, or
// of the same workflow, that sees more, or needs more approvals, or may read more.
func TestApprovalsBindWhatWasSeen(t *testing.T) {
	t.Parallel()
	d := startDemo(t, "--policy", approvalsPolicy(t))
	const agent = "agent@demo.example"
	as := func(groups ...string) string {
		return d.mint(map[string]any{"subject": agent, "groups": groups, "claims": map[string]any{"email": agent}})
	}
	const queries = "/bigquery/v2/projects/demo/queries"
	run := func(token, sql string, more map[string]any) answer {
		body := map[string]any{"query": sql, "useLegacySql": false}
		maps.Copy(body, more)
		return d.call("POST", queries, token, body)
	}
	noWait := map[string]any{"labels": map[string]any{"bqgate_wait": "no"}}
	pending := func(sql string) string {
		t.Helper()
		for _, r := range d.console("lead", "GET", "/api/v1/requests?state=pending", nil).json(t)["requests"].([]any) {
			if m := r.(map[string]any); m["sql"] == sql {
				return m["id"].(string)
			}
		}
		t.Fatalf("no pending request for %s", sql)
		return ""
	}
	approve := func(sql string, terms map[string]any) {
		t.Helper()
		body := map[string]any{"reason": "salaries are NULL"}
		maps.Copy(body, terms)
		if a := d.console("lead", "POST", "/api/v1/requests/"+pending(sql)+"/approve", body); a.Status != 200 {
			t.Fatalf("approve: status %d %s", a.Status, a.Body)
		}
	}
	// masked wants what reviewers saw: an answer with every salary NULL.
	masked := func(t *testing.T, a answer) {
		t.Helper()
		if a.Status != 200 || len(a.rows(t)) < 20 {
			t.Fatalf("status %d %s", a.Status, tail(a.Body, 300))
		}
		for _, row := range a.rows(t) {
			if row[1] != nil {
				t.Fatal("a salary that its reviewers did not see")
			}
		}
	}
	few, more := as("ai-agents"), as("ai-agents", "data-owners")
	held := func(t *testing.T, token, sql string) string {
		t.Helper()
		a := run(token, sql, nil)
		if a.Status != 200 || a.json(t)["jobComplete"] != false {
			t.Fatalf("not held: status %d %s", a.Status, a.Body)
		}
		return a.json(t)["jobReference"].(map[string]any)["jobId"].(string)
	}
	query := func(name string) string { return "SELECT employee, salary FROM finance.payroll -- seen, " + name }

	t.Run("getQueryResults", func(t *testing.T) {
		id := held(t, few, query("results"))
		approve(query("results"), nil)
		masked(t, d.poll(t, more, id))
		masked(t, d.poll(t, as("data-owners"), id))
	})
	t.Run("jobs.get", func(t *testing.T) {
		id := held(t, few, query("get"))
		approve(query("get"), nil)
		if a := d.call("GET", "/bigquery/v2/projects/demo/jobs/"+id, more, nil); a.Status != 200 {
			t.Fatalf("status %d %s", a.Status, a.Body)
		}
		masked(t, d.poll(t, more, id))
	})
	t.Run("no wait", func(t *testing.T) {
		if a := run(few, query("no wait"), noWait); a.Status != 403 {
			t.Fatalf("status %d %s", a.Status, a.Body)
		}
		approve(query("no wait"), nil)
		a := run(more, query("no wait"), noWait)
		if a.Status != 200 {
			t.Fatalf("status %d %s", a.Status, a.Body)
		}
		masked(t, d.poll(t, more, a.json(t)["jobReference"].(map[string]any)["jobId"].(string)))
	})
	t.Run("standing", func(t *testing.T) {
		id := held(t, few, query("standing"))
		approve(query("standing"), map[string]any{"uses": 4, "hours": 2})
		masked(t, d.poll(t, few, id))
		masked(t, d.poll(t, more, held(t, more, query("standing"))))
	})
	t.Run("no group any more", func(t *testing.T) {
		id := held(t, few, query("no group"))
		approve(query("no group"), nil)
		if a := d.poll(t, as(), id); a.Status != 403 || d.upstreamRuns(id) != 0 {
			t.Fatalf("status %d, %d runs", a.Status, d.upstreamRuns(id))
		}
	})
	t.Run("a smaller cap", func(t *testing.T) {
		const sql = "SELECT id, payload FROM crm.events -- seen, capped"
		limit := map[string]any{"maximumBytesBilled": "10485760", "labels": map[string]any{"bqgate_wait": "no"}}
		if a := run(few, sql, limit); a.Status != 403 || !strings.Contains(a.message(), "needs approval") {
			t.Fatalf("status %d %s", a.Status, a.Body)
		}
		approve(sql, nil)
		a := run(few, sql, noWait)
		if a.Status != 200 {
			t.Fatalf("status %d %s", a.Status, a.Body)
		}
		id := a.json(t)["jobReference"].(map[string]any)["jobId"].(string)
		if a := d.poll(t, few, id); a.Status == 200 {
			t.Errorf("5 GiB were read under an approval of 10 MiB")
		}
		for _, r := range d.rowRequests() {
			if r.Method == "POST" && strings.Contains(r.Body, `"`+id+`"`) && !strings.Contains(r.Body, `"maximumBytesBilled":"10485760"`) {
				t.Errorf("upstream got %s", r.Body)
			}
		}
	})
	d.searchCanaries()
}

// Reads of a finished job that name it: its error's words, which may hold values, are for whom
// today's rules let read it; a page token opens no other job; and BigQuery's own tokens survive the
// way there.
func TestReadsThatNameAJob(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	const analyst = "analyst@demo.example"
	token := d.token("analyst")
	out := d.mint(map[string]any{"subject": analyst, "groups": []string{}, "claims": map[string]any{"email": analyst}})
	const base = "/bigquery/v2/projects/demo/"
	t.Run("cancel", func(t *testing.T) {
		a := d.call("POST", base+"jobs", token, map[string]any{
			"jobReference": map[string]any{"projectId": "demo", "jobId": "fails", "location": "US"},
			"configuration": map[string]any{
				"query": map[string]any{"query": "SELECT CAST(status AS INT64) FROM crm.orders", "useLegacySql": false},
			},
		})
		if a.Status != 200 {
			t.Fatalf("status %d %s", a.Status, a.Body)
		}
		words := func(a answer) string {
			var v struct {
				Status *jobStatus
				Job    struct{ Status *jobStatus }
			}
			if err := json.Unmarshal(a.Body, &v); err != nil {
				t.Fatal(err)
			}
			for _, s := range []*jobStatus{v.Status, v.Job.Status} {
				if s != nil && s.ErrorResult != nil {
					return s.ErrorResult.Reason + ": " + s.ErrorResult.Message
				}
			}
			return ""
		}
		var mine answer
		for range 50 {
			if mine = d.call("GET", base+"jobs/fails", token, nil); words(mine) != "" {
				break
			}
		}
		if !strings.Contains(words(mine), "Bad int64 value") {
			t.Fatalf("the job did not fail as it should: %s", mine.Body)
		}
		if a := d.call("POST", base+"jobs/fails/cancel", token, nil); a.Status != 200 || !strings.Contains(words(a), "Bad int64") {
			t.Errorf("its own: status %d %s", a.Status, a.Body)
		}
		before := len(d.cancels())
		if a := d.call("POST", base+"jobs/fails/cancel", out, nil); a.Status != 200 ||
			words(a) != "stopped: bqgate: the job was cancelled" || strings.Contains(string(a.Body), "Bad int64") {
			t.Errorf("a removed group: status %d %s", a.Status, a.Body)
		}
		if n := len(d.cancels()); n != before+1 {
			t.Errorf("%d cancels arrived at BigQuery, want %d", n, before+1)
		}
		for _, path := range []string{"jobs/fails", "queries/fails", "jobs"} {
			t.Run(path, func(t *testing.T) {
				if a := d.call("GET", base+path, out, nil); a.Status != 403 ||
					strings.Contains(string(a.Body), "Bad int64") || strings.Contains(string(a.Body), "invalidQuery") {
					t.Errorf("%s: status %d %s", path, a.Status, a.Body)
				}
			})
		}
	})
	t.Run("page tokens", func(t *testing.T) {
		first := func() (id, next string, ids []string) {
			t.Helper()
			a := d.call("POST", base+"queries", token,
				map[string]any{"query": "SELECT id FROM crm.customers ORDER BY id", "useLegacySql": false, "maxResults": 5})
			if a.Status != 200 {
				t.Fatalf("status %d %s", a.Status, a.Body)
			}
			for _, row := range a.rows(t) {
				ids = append(ids, fmt.Sprint(row[0]))
			}
			return a.json(t)["jobReference"].(map[string]any)["jobId"].(string), a.json(t)["pageToken"].(string), ids
		}
		id, next, ids := first()
		_, foreign, _ := first()
		page := func(token string) answer {
			return d.call("GET", base+"queries/"+id+"?maxResults=5&pageToken="+url.QueryEscape(token), d.token("analyst"), nil)
		}
		for pages := 1; next != ""; pages++ {
			a := page(next)
			if a.Status != 200 || pages > 10 {
				t.Fatalf("page %d: status %d %s", pages, a.Status, a.Body)
			}
			for _, row := range a.rows(t) {
				ids = append(ids, fmt.Sprint(row[0]))
			}
			next, _ = a.json(t)["pageToken"].(string)
		}
		if all := slices.Compact(slices.Clone(ids)); len(all) != 24 || len(ids) != 24 {
			t.Errorf("rows %v", ids)
		}
		upstream := ""
		for _, r := range d.arrived() {
			if q, err := url.ParseQuery(r.Query); err == nil && q.Has("pageToken") {
				upstream = q.Get("pageToken")
			}
		}
		if !strings.HasSuffix(upstream, "=") {
			t.Fatalf("BigQuery was asked for page %q, which is not padded", upstream)
		}
		for name, bad := range map[string]string{"another job's": foreign, "BigQuery's own": upstream, "made up": "BEGX==="} {
			t.Run(name, func(t *testing.T) {
				if a := page(bad); a.Status != 400 || strings.Contains(string(a.Body), `"rows"`) {
					t.Errorf("%s: status %d %s", name, a.Status, a.Body)
				}
			})
		}
	})
	d.searchCanaries()
}

type jobStatus struct {
	ErrorResult *struct{ Reason, Message string }
}

// cancels are the requests to stop a job that arrived at BigQuery.
func (d *demo) cancels() []arrival {
	return slices.DeleteFunc(d.arrived(), func(r arrival) bool { return r.Method != "POST" || !strings.Contains(r.Path, "/cancel") })
}
