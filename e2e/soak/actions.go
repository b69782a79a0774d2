package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// action is one of the things that agents, and those who review for them, do.
type action struct {
	name   string
	weight int
	do     func(ctx context.Context, c *caller)
}

var actions = []action{
	{"a query that was asked before", 24, func(ctx context.Context, c *caller) {
		c.query(ctx, "a query that was asked before", fmt.Sprintf("SELECT name, %d AS n FROM crm.customers LIMIT 5", c.random.IntN(64)))
	}},
	{"a masked query", 16, func(ctx context.Context, c *caller) {
		c.query(ctx, "a masked query", fmt.Sprintf("SELECT id, ssn, card_number, email, phones FROM crm.customers WHERE id > %d -- %d",
			c.random.IntN(20), serial.Add(1)))
	}},
	{"a rewritten query", 8, func(ctx context.Context, c *caller) {
		c.query(ctx, "a rewritten query", fmt.Sprintf("SELECT UPPER(email) AS e, COUNT(*) AS n, %d AS k FROM crm.customers "+
			"WHERE ssn IS NOT NULL GROUP BY e ORDER BY e LIMIT 5", c.random.IntN(1000)))
	}},
	{"a job and its pages", 8, insertAndRead},
	{"a download", 5, func(ctx context.Context, c *caller) {
		c.ask(ctx, request{action: "a download", method: http.MethodPost, url: "/queries", want: 200, body: download(c)})
	}},
	{"a download that is left", 3, func(ctx context.Context, c *caller) {
		c.ask(ctx, request{action: "a download that is left", method: http.MethodPost, url: "/queries", body: download(c), leave: 300_000})
	}},
	{"a held query", 4, heldQuery},
	{"a held query that is withdrawn", 3, withdrawn},
	{"a table of nobody's", 5, func(ctx context.Context, c *caller) {
		c.ask(ctx, request{action: "a table of nobody's", method: http.MethodPost, url: "/queries", want: 403,
			body: query(fmt.Sprintf("SELECT note FROM hr.reviews -- %d", c.random.IntN(100)))})
	}},
	{"a statement that changes data", 3, func(ctx context.Context, c *caller) {
		c.ask(ctx, request{action: "a statement that changes data", method: http.MethodPost, url: "/queries", want: 403,
			body: query("DROP TABLE crm.orders")})
	}},
	{"no SQL", 3, func(ctx context.Context, c *caller) {
		c.ask(ctx, request{action: "no SQL", method: http.MethodPost, url: "/queries", want: 400, body: query("SELEC 1")})
	}},
	{"a token exchange", 5, exchange},
	{"no token", 2, func(ctx context.Context, c *caller) {
		c.ask(ctx, request{action: "no token", method: http.MethodPost, url: "/queries", body: query("SELECT 1"), bearer: "nobody",
			mild: true})
	}},
	{"tables.get", 5, func(ctx context.Context, c *caller) { c.get(ctx, "tables.get", "/datasets/crm/tables/customers") }},
	{"lists of datasets and tables", 3, func(ctx context.Context, c *caller) {
		c.get(ctx, "datasets.list", "/datasets")
		c.get(ctx, "tables.list", "/datasets/crm/tables")
	}},
	{"a dry run", 3, func(ctx context.Context, c *caller) {
		body := query(fmt.Sprintf("SELECT payload FROM crm.events LIMIT %d", 1+c.random.IntN(50)))
		body["dryRun"] = true
		c.ask(ctx, request{action: "a dry run", method: http.MethodPost, url: "/queries", want: 200, body: body})
	}},
	{"a list of jobs", 2, func(ctx context.Context, c *caller) { c.get(ctx, "a list of jobs", "/jobs?maxResults=5") }},
	{"a reviewer's list", 3, func(ctx context.Context, c *caller) { c.pending(ctx) }},
}

func pick(r *rand.Rand) action {
	total := 0
	for _, a := range actions {
		total += a.weight
	}
	n := r.IntN(total)
	for _, a := range actions {
		if n -= a.weight; n < 0 {
			return a
		}
	}
	panic("the weights have no end")
}

func query(sql string) map[string]any { return map[string]any{"query": sql, "useLegacySql": false} }

// download is of two to three megabytes, mostly one that was there before.
func download(c *caller) map[string]any {
	return query(fmt.Sprintf("SELECT id, name, ssn, card_number, email, phones FROM crm.customers -- fake:rows=%d",
		6000+1000*c.random.IntN(4)))
}

func (c *caller) get(ctx context.Context, name, path string) {
	c.ask(ctx, request{action: name, method: http.MethodGet, url: path, want: 200})
}

// result is what of an answer to a query is looked at.
type result struct {
	JobComplete  bool   `json:"jobComplete"`
	PageToken    string `json:"pageToken"`
	JobReference struct {
		JobID string `json:"jobId"`
	} `json:"jobReference"`
	Rows []any `json:"rows"`
}

func (c *caller) query(ctx context.Context, name, sql string) {
	a, ok := c.ask(ctx, request{action: name, method: http.MethodPost, url: "/queries", want: 200, body: query(sql)})
	if ok {
		c.results(ctx, name, a, true)
	}
}

// results reads on where an answer has not all rows, as clients do.
func (c *caller) results(ctx context.Context, name string, a answer, wanted bool) {
	for polls := 0; ; {
		var r result
		if err := json.Unmarshal(a.body, &r); err != nil {
			c.s.notes.find("%q of %s: status 200 with %.200q", name, c.subject, a.body)
			return
		}
		if r.JobComplete && r.PageToken == "" || !r.JobComplete && polls == 20 || ctx.Err() != nil {
			if wanted && !r.JobComplete {
				c.s.notes.amiss(a, "the job is not complete after all polls")
			}
			return
		}
		path := "/queries/" + r.JobReference.JobID + "?timeoutMs=2000&maxResults=10"
		if r.PageToken != "" {
			path += "&pageToken=" + url.QueryEscape(r.PageToken)
		} else {
			polls++
		}
		// A poll of a job that waits has no record of its own where the journal is known to take
		// records.
		var ok bool
		if a, ok = c.ask(ctx, request{action: name + ", read on", method: http.MethodGet, url: path, want: 200,
			mild: !r.JobComplete}); !ok {
			return
		}
	}
}

func insertAndRead(ctx context.Context, c *caller) {
	id := fmt.Sprintf("soak_%d_%d", c.s.Seed, serial.Add(1))
	const name = "a job and its pages"
	_, ok := c.ask(ctx, request{action: name, method: http.MethodPost, url: "/jobs", want: 200, body: map[string]any{
		"jobReference": map[string]any{"projectId": c.s.Info.Project, "jobId": id},
		"configuration": map[string]any{"query": map[string]any{"useLegacySql": false,
			"query": fmt.Sprintf("SELECT id, ssn, phones FROM crm.customers ORDER BY id -- %s", id)}},
	}})
	if !ok {
		return
	}
	if a, ok := c.ask(ctx, request{action: name + ", read on", method: http.MethodGet,
		url: "/queries/" + id + "?maxResults=10", want: 200}); ok {
		c.results(ctx, name, a, true)
	}
}

// hold makes a query that waits for a person, and returns its job.
func (c *caller) hold(ctx context.Context, name string) (job string) {
	a, ok := c.ask(ctx, request{action: name, method: http.MethodPost, url: "/queries", want: 200,
		body: query(fmt.Sprintf("SELECT employee, ssn, salary FROM finance.payroll -- %d", serial.Add(1)))})
	if !ok {
		return ""
	}
	var r result
	if err := json.Unmarshal(a.body, &r); err != nil || r.JobComplete || len(r.Rows) > 0 {
		c.s.notes.find("%q of %s: a query that needs approval was answered by %.200q", name, c.subject, a.body)
		return ""
	}
	return r.JobReference.JobID
}

func heldQuery(ctx context.Context, c *caller) {
	const name = "a held query"
	job := c.hold(ctx, name)
	if job == "" {
		return
	}
	id := c.pending(ctx)[job]
	if id == "" || !c.approve(ctx, id) {
		return
	}
	if a, ok := c.ask(ctx, request{action: name + ", read on", method: http.MethodGet, url: "/queries/" + job + "?timeoutMs=2000",
		want: 200, mild: true}); ok {
		c.results(ctx, name, a, true)
	}
}

func withdrawn(ctx context.Context, c *caller) {
	const name = "a held query that is withdrawn"
	if job := c.hold(ctx, name); job != "" {
		c.ask(ctx, request{action: name + ": cancel", method: http.MethodPost, url: "/jobs/" + job + "/cancel", want: 200})
	}
}

// reviewer is the token of the persona who approves.
func (c *caller) reviewer() string {
	text, _ := os.ReadFile(c.s.Info.Personas["reviewer"].ConsoleTokenFile)
	return strings.TrimSpace(string(text))
}

// pending are the requests that wait for the reviewer, by job.
func (c *caller) pending(ctx context.Context) map[string]string {
	a, ok := c.ask(ctx, request{action: "a reviewer's list", method: http.MethodGet, want: 200, bearer: c.reviewer(),
		url: c.s.Info.Console + "/api/v1/requests?state=pending"})
	if !ok {
		return nil
	}
	var list struct {
		Requests []struct {
			ID    string `json:"id"`
			JobID string `json:"job_id"`
		} `json:"requests"`
	}
	if err := json.Unmarshal(a.body, &list); err != nil {
		c.s.notes.find("a reviewer's list is %.200q", a.body)
	}
	byJob := map[string]string{}
	for _, r := range list.Requests {
		byJob[r.JobID] = r.ID
	}
	return byJob
}

func (c *caller) approve(ctx context.Context, id string) bool {
	_, ok := c.ask(ctx, request{action: "an approval", method: http.MethodPost, want: 200, bearer: c.reviewer(),
		url: c.s.Info.Console + "/api/v1/requests/" + id + "/approve", body: map[string]string{"reason": "soak"}})
	if ok {
		c.s.notes.vote(id)
	}
	return ok
}

// exchange gets a session (RFC 8693), and asks with it.
func exchange(ctx context.Context, c *caller) {
	a, ok := c.ask(ctx, request{action: "a token exchange", method: http.MethodPost, url: c.s.Info.TokenURL, want: 200, body: url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {c.bearer},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
	}})
	if !ok {
		return
	}
	var session struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(a.body, &session); err != nil || session.Token == "" {
		c.s.notes.find("a token exchange is answered by 200 and no token")
		return
	}
	c.ask(ctx, request{action: "a query with a session", method: http.MethodPost, url: "/queries", want: 200, bearer: session.Token,
		body: query("SELECT id, ssn FROM crm.customers LIMIT 3")})
}
