//go:build e2e

package e2e

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// upstreamRuns counts the queries that went to BigQuery under a job id.
func (d *demo) upstreamRuns(id string) int {
	n := 0
	for _, r := range d.rowRequests() {
		if r.Method == "POST" && strings.Contains(r.Body, `"`+id+`"`) {
			n++
		}
	}
	return n
}

func (d *demo) approve(t *testing.T, id string) {
	t.Helper()
	r := d.request(t, "lead", id)
	if a := d.console("lead", "POST", "/api/v1/requests/"+r["id"].(string)+"/approve", map[string]any{"reason": "fine"}); a.Status != 200 ||
		a.json(t)["state"] != "approved" {
		t.Fatalf("approve: status %d %s", a.Status, a.Body)
	}
}

// noRows polls a job, as somebody who must not get a row of it.
func (d *demo) noRows(t *testing.T, what, persona, id string) {
	t.Helper()
	a := d.call("GET", "/bigquery/v2/projects/demo/queries/"+id+"?timeoutMs=200", d.token(persona), nil)
	if a.Status == 200 && (a.json(t)["jobComplete"] != false || a.json(t)["rows"] != nil) || d.upstreamRuns(id) != 0 {
		t.Errorf("%s: status %d, %d runs, %s", what, a.Status, d.upstreamRuns(id), tail(a.Body, 500))
	}
}

// A9: between the approval and the run somebody else polls; the owner polls from everywhere at
// once; the table changes; a job of another life takes the id. One approval, at most one run, of
// what was approved.
func attackRelease(t *testing.T, d *demo) {
	t.Run("polls at once", func(t *testing.T) {
		id := d.hold(t, "agent", payroll+" -- at once")
		d.approve(t, id)
		for _, persona := range []string{"analyst", "lead", "stranger"} {
			if a := d.call("GET", "/bigquery/v2/projects/demo/queries/"+id, d.token(persona), nil); a.Status != 403 {
				t.Errorf("%s polls: status %d", persona, a.Status)
			}
		}
		if n := d.upstreamRuns(id); n != 0 {
			t.Fatalf("somebody else's poll ran it %d times", n)
		}
		const polls = 8
		token, answers := d.token("agent"), make(chan answer, polls)
		for i := range polls {
			path := []string{"/queries/" + id + "?timeoutMs=3000", "/jobs/" + id}[i%2]
			go func() {
				ctx, cancel := contextTimeout(60 * time.Second)
				defer cancel()
				a, _ := send(ctx, "GET", d.REST+"/bigquery/v2/projects/demo"+path, token, nil)
				answers <- a
			}()
		}
		for range polls {
			if a := d.gets(answers); a.Status != 200 {
				t.Errorf("one of the polls: status %d %s", a.Status, a.Body)
			}
		}
		if a := d.poll(t, token, id); a.Status != 200 || len(a.rows(t)) < 20 {
			t.Errorf("status %d %s", a.Status, a.message())
		}
		if n := d.upstreamRuns(id); n != 1 {
			t.Errorf("one approval, %d runs", n)
		}
	})
	t.Run("the table changes", func(t *testing.T) {
		seed(t, d, "CREATE TABLE finance.bonus (employee STRING, amount STRING); INSERT INTO finance.bonus VALUES ('a', 'harmless');")
		id := d.hold(t, "agent", "SELECT employee FROM finance.bonus")
		d.approve(t, id)
		seed(t, d, "DROP TABLE finance.bonus; CREATE TABLE finance.bonus (amount STRING, employee STRING, ssn STRING); INSERT INTO "+
			"finance.bonus SELECT 'x', ssn, ssn FROM finance.payroll;")
		a := d.poll(t, d.token("agent"), id)
		if a.Status == 200 || len(a.rows(t)) != 0 {
			t.Errorf("rows of a table that the reviewer did not see: status %d %s", a.Status, tail(a.Body, 300))
		}
	})
	t.Run("the id is taken", func(t *testing.T) {
		const id = "of_another_life"
		insert := map[string]any{
			"jobReference":  map[string]any{"projectId": "demo", "jobId": id, "location": "US"},
			"configuration": map[string]any{"query": map[string]any{"query": payroll + " -- taken", "useLegacySql": false}},
		}
		if a := d.call("POST", "/bigquery/v2/projects/demo/jobs", d.token("agent"), insert); a.Status != 200 {
			t.Fatalf("insert: status %d %s", a.Status, a.message())
		}
		d.approve(t, id)
		d.fake(t, "/_fake/plant", map[string]any{"account": "crm-reader@demo.iam.gserviceaccount.com", "job_id": id,
			"sql": "SELECT ssn AS employee, ssn AS salary, ssn FROM finance.payroll"})
		for range 2 {
			if a := d.poll(t, d.token("agent"), id); a.Status == 200 || strings.Contains(string(a.Body), `"rows"`) {
				t.Errorf("rows of the other job: status %d %s", a.Status, tail(a.Body, 300))
			}
		}
	})
}

// A11: the attacker holds Redis, and cannot make an approval, move one to another request, bring a
// used one back, or take another's plan; and a Redis that has lost everything opens
// nothing.
func attackRedis(t *testing.T, d *demo) {
	ctx := context.Background()
	client := redis.NewClient(&redis.Options{Addr: d.redis})
	defer client.Close()
	do := func(args ...any) any {
		t.Helper()
		v, err := client.Do(ctx, args...).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			t.Fatalf("%v: %v", args, err)
		}
		return v
	}
	key := func(job string) string {
		return "bqgate:{approvals}:request:" + d.request(t, "lead", job)["id"].(string)
	}
	keys := func() []string {
		t.Helper()
		all, err := client.Keys(ctx, "*").Result()
		if err != nil {
			t.Fatal(err)
		}
		return all
	}

	// A state of the attacker's own making.
	written := d.hold(t, "agent", payroll+" -- written")
	writtenKey := key(written)
	do("HSET", writtenKey, "state", "approved")
	d.noRows(t, "a state that was written", "agent", written)

	// An approval moved to another request, whole.
	approved, other := d.hold(t, "agent", payroll+" -- approved"), d.hold(t, "agent", payroll+" -- other")
	approvedKey, otherKey := key(approved), key(other)
	before, err := client.Dump(ctx, approvedKey).Result()
	if err != nil {
		t.Fatal(err)
	}
	d.approve(t, approved)
	do("COPY", approvedKey, otherKey, "REPLACE")
	d.noRows(t, "an approval that was moved", "agent", other)

	// A used approval brought back, and an older state of it.
	live, err := client.Dump(ctx, approvedKey).Result()
	if err != nil {
		t.Fatal(err)
	}
	if a := d.poll(t, d.token("agent"), approved); a.Status != 200 {
		t.Fatalf("approved: status %d %s", a.Status, a.message())
	}
	for _, state := range []string{live, before} {
		do("RESTORE", approvedKey, 0, state, "REPLACE")
		d.call("GET", "/bigquery/v2/projects/demo/queries/"+approved+"?timeoutMs=200", d.token("agent"), nil)
		d.call("GET", "/bigquery/v2/projects/demo/jobs/"+approved, d.token("agent"), nil)
		if n := d.upstreamRuns(approved); n != 1 {
			t.Errorf("a used approval was brought back: %d runs", n)
		}
	}

	// The plan of somebody who sees more, in place of one's own.
	record := func(persona, sql string) (job, key string) {
		t.Helper()
		known := keys()
		a := d.query(persona, sql)
		if a.Status != 200 {
			t.Fatalf("status %d %s", a.Status, a.message())
		}
		for _, k := range keys() {
			if !slices.Contains(known, k) && strings.Contains(k, "job") && client.Type(ctx, k).Val() == "string" &&
				!strings.HasSuffix(k, ":verified") && strings.Contains(k, ":") {
				key = k
			}
		}
		return a.json(t)["jobReference"].(map[string]any)["jobId"].(string), key
	}
	_, theirs := record("lead", "SELECT 1 AS salary")
	mine, own := record("agent", "SELECT ssn FROM crm.customers")
	if theirs == "" || own == "" {
		t.Fatalf("records %q and %q in %v", theirs, own, keys())
	}
	do("COPY", theirs, own, "REPLACE")
	if a := d.call("GET", "/bigquery/v2/projects/demo/queries/"+mine, d.token("agent"), nil); a.Status == 200 {
		t.Errorf("read under somebody else's plan: %s", tail(a.Body, 300))
	}

	// Everything is lost, or rolled back to before.
	waiting := d.hold(t, "agent", payroll+" -- lost")
	do("FLUSHALL")
	for _, id := range []string{waiting, approved, written, other, mine} {
		if a := d.call("GET", "/bigquery/v2/projects/demo/queries/"+id+"?timeoutMs=200", d.token("agent"), nil); a.Status == 200 {
			t.Errorf("a Redis that lost everything opens a job: %s", tail(a.Body, 300))
		}
	}
}
