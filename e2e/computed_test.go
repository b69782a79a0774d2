//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// Queries that use a sensitive column other than by selecting it run on masked values: what they
// answer is what the same query would over a table of masked values, and BigQuery never computes on
// a raw one.
func computedOnMasked(t *testing.T, d *demo) {
	// The masked table, as the agent may see it.
	type customer struct{ id, ssn, email string }
	var customers []customer
	for _, r := range d.query("agent", `SELECT id, ssn, email FROM crm.customers`).rows(t) {
		c := customer{id: r[0].(string)}
		c.ssn, _ = r[1].(string)
		c.email, _ = r[2].(string)
		customers = append(customers, c)
	}
	if len(customers) < 20 {
		t.Fatalf("%d customers", len(customers))
	}
	var ssns, upper, filtered, least []string
	emails := map[string]int{}
	for _, c := range customers {
		if c.ssn != "" {
			ssns = append(ssns, c.ssn)
			filtered = append(filtered, c.id)
		}
		upper = append(upper, strings.ToUpper(c.ssn))
		emails[c.email]++
	}
	slices.Sort(ssns)
	for _, c := range customers {
		if c.ssn == ssns[0] {
			least = append(least, c.id)
		}
	}
	groups, pairs := []string{}, 0
	for email, n := range emails {
		groups = append(groups, fmt.Sprintf("%s|%d", email, n))
		if email != "" {
			pairs += n * n
		}
	}
	known := d.Canaries[0].Value
	for _, c := range d.Canaries {
		if c.Column == "crm.customers.ssn" {
			known = c.Value
		}
	}
	// not as it is: nothing that comes back may hold it
	guess := func(v string) string { return `CONCAT('` + v[:5] + `', '` + v[5:] + `')` }
	tail := known[len(known)-4:]
	for name, c := range map[string]struct {
		sql  string
		want []string // rows, cells joined by |; NULL is empty. Order does not matter
	}{
		"count distinct": {`SELECT COUNT(DISTINCT ssn) FROM crm.customers`, []string{fmt.Sprint(len(slices.Compact(slices.Clone(ssns))))}},
		"group by":       {`SELECT email, COUNT(*) AS n FROM crm.customers GROUP BY email`, groups},
		"distinct":       {`SELECT DISTINCT email FROM crm.customers`, slices.Collect(maps.Keys(emails))},
		"function":       {`SELECT UPPER(ssn) FROM crm.customers`, upper},
		"join":           {`SELECT COUNT(*) FROM crm.customers a JOIN crm.customers b ON a.email = b.email`, []string{fmt.Sprint(pairs)}},
		"join using":     {`SELECT COUNT(*) FROM crm.customers a JOIN crm.customers b USING (email)`, []string{fmt.Sprint(pairs)}},
		"filter":         {`SELECT id FROM crm.customers WHERE ssn = ` + guess(known), nil},
		"masked filter": {`SELECT COUNT(*) FROM crm.customers WHERE ssn = 'XXXXX` + tail + `'`,
			[]string{fmt.Sprint(count(ssns, "XXXXX"+tail))}},
		"like":           {`SELECT id FROM crm.customers WHERE ssn LIKE '1%'`, nil},
		"greater":        {`SELECT id FROM crm.customers WHERE ssn > '5'`, filtered},
		"in subquery":    {`SELECT id FROM crm.customers WHERE id IN (SELECT id FROM crm.customers WHERE ssn > '5')`, filtered},
		"intersect":      {`SELECT ssn FROM crm.customers INTERSECT DISTINCT SELECT ` + guess(known), nil},
		"order":          {`SELECT id FROM crm.customers WHERE ssn IS NOT NULL ORDER BY ssn, id LIMIT 1`, least[:1]},
		"nothing at all": {`SELECT COUNT(card_number) FROM crm.customers`, []string{"0"}},
		"nested":         {`SELECT COUNT(DISTINCT p.number) FROM crm.customers, UNNEST(phones) AS p`, []string{"1"}},
		"backticks":      {"SELECT COUNT(*) FROM `demo.crm.customers` WHERE ssn LIKE 'XXXXX%'", []string{fmt.Sprint(len(ssns))}},
		"whole name":     {"SELECT UPPER(`demo.crm.customers`.ssn) FROM `demo.crm.customers`", upper},
		"dotted alias":   {"SELECT `crm.orders`.id FROM `demo.crm`.customers AS `crm.orders` WHERE `crm.orders`.ssn > '5'", filtered},
		"dotted cte": {"WITH `crm.orders` AS (SELECT id, ssn AS status FROM `crm.customers`) SELECT id FROM `crm.orders` WHERE " +
			"status > '5'", filtered},
		"pipe": {`FROM crm.customers |> WHERE ssn LIKE 'XXXXX%' |> AGGREGATE COUNT(*) AS n`, []string{fmt.Sprint(len(ssns))}},
	} {
		a := d.query("agent", c.sql)
		if a.Status != 200 {
			t.Errorf("%s: status %d: %s", name, a.Status, a.message())
			continue
		}
		var got []string
		for _, r := range a.rows(t) {
			cells := make([]string, len(r))
			for i := range r {
				cells[i], _ = r[i].(string)
			}
			got = append(got, strings.Join(cells, "|"))
		}
		want := slices.Clone(c.want)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	// A guess in the same column is no oracle: it comes back as it went, whatever the table holds
	// (A3).
	guessed := d.query("agent", `SELECT ssn FROM crm.customers UNION ALL SELECT FORMAT('%09d', n) FROM UNNEST(GENERATE_ARRAY(0,9)) n`)
	if guessed.Status != 200 || count(column(guessed.rows(t)), "000000007") != 1 || len(guessed.rows(t)) != len(customers)+10 {
		t.Errorf("guesses: status %d, %v", guessed.Status, guessed.rows(t))
	}
	// Whole rows hold the masked values.
	for _, r := range d.query("agent", `SELECT TO_JSON_STRING(c) FROM crm.customers c`).rows(t) {
		if text, _ := r[0].(string); !strings.Contains(text, `"card_number":null`) || !strings.Contains(text, `XXXXX`) {
			t.Errorf("a row as JSON: %s", text)
			break
		}
	}
	// An error is the same one for every row, and its text is the gateway's (A2).
	said := map[string]bool{}
	for id := 1; id < 6; id++ {
		a := d.query("agent", fmt.Sprintf(`SELECT 1/(CAST(SUBSTR(ssn,1,1) AS INT64)-5) FROM crm.customers WHERE id=%d`, id))
		said[fmt.Sprint(a.Status, a.message())] = true
	}
	if len(said) != 1 {
		t.Errorf("errors tell rows apart: %v", said)
	}
	// What arrived at BigQuery computes on masks only; what the client sees of its job is its own
	// text.
	const own = `SELECT MIN(ssn) AS least FROM crm.customers`
	a := d.query("agent", own)
	id := a.json(t)["jobReference"].(map[string]any)["jobId"].(string)
	job := d.call("GET", "/bigquery/v2/projects/demo/jobs/"+id, d.token("agent"), nil)
	if job.Status != 200 || !strings.Contains(string(job.Body), own) || strings.Contains(string(job.Body), "bqgate_row") {
		t.Errorf("jobs.get: status %d %s", job.Status, job.Body)
	}
	found := false
	for _, r := range d.arrived() {
		found = found || strings.Contains(r.Body, "MIN(ssn) AS least FROM (SELECT * REPLACE (IF(CHAR_LENGTH(bqgate_row.`ssn`)")
		if r.Method == "POST" && strings.Contains(r.Body, own) {
			t.Errorf("the client's text arrived: %s", r.Body)
		}
	}
	if !found {
		t.Error("no rewritten text arrived")
	}
	// What cannot be rewritten is refused, with the reason.
	for name, c := range map[string]struct{ sql, says string }{
		"sensitive in no select": {`SELECT id FROM crm.customers TABLESAMPLE SYSTEM (10 PERCENT) WHERE ssn > '5'`, ""},
	} {
		a := d.query("agent", c.sql)
		if a.Status == 200 {
			continue // served: then on masked values, as the search for canaries shows
		}
		if a.Status != 403 || !strings.HasPrefix(a.message(), "accessDenied: bqgate: refused: ") || !strings.Contains(a.message(), c.says) {
			t.Errorf("%s: status %d %s", name, a.Status, a.message())
		}
	}
}

// heldAndComputed: a query that computes on payroll waits for a person, who sees the text that will
// run; once approved it runs on masked values, and that text only.
func heldAndComputed(t *testing.T, d *demo) {
	const sql = `SELECT COUNT(*) AS n, MAX(salary) AS most, MAX(ssn) LIKE 'XXXXX%' AS masked FROM finance.payroll WHERE ssn IS NULL OR ` +
		`ssn LIKE 'XXXXX%'`
	id := d.hold(t, "agent", sql)
	r := d.request(t, "reviewer", id)
	path := "/api/v1/requests/" + r["id"].(string)
	if a := d.console("reviewer", "GET", path, nil); r["sql"] != sql || !strings.Contains(string(a.Body), "bqgate_row") {
		t.Errorf("the reviewer sees %v and not what will run: %s", r["sql"], a.Body)
	}
	if a := d.console("reviewer", "POST", path+"/approve", map[string]any{"reason": "counts only"}); a.Status != 200 {
		t.Fatalf("approve: status %d %s", a.Status, a.Body)
	}
	a := d.poll(t, d.token("agent"), id)
	if a.Status != 200 {
		t.Fatalf("status %d %s", a.Status, a.message())
	}
	rows := a.rows(t)
	if len(rows) != 1 || rows[0][0] == "0" || rows[0][1] != nil || rows[0][2] != "true" {
		t.Errorf("rows %v, want a count, no salary and a masked SSN", rows)
	}
	// Its pages and its job are read again under the same masks.
	for range 2 {
		if again := d.call("GET", "/bigquery/v2/projects/demo/queries/"+id, d.token("agent"), nil); again.Status != 200 ||
			fmt.Sprint(again.rows(t)) != fmt.Sprint(rows) {
			t.Errorf("read again: status %d %s", again.Status, again.Body)
		}
	}
	job := d.call("GET", "/bigquery/v2/projects/demo/jobs/"+id, d.token("agent"), nil)
	if job.Status != 200 || strings.Contains(string(job.Body), "bqgate_row") {
		t.Errorf("jobs.get: status %d %s", job.Status, job.Body)
	}
}

func column(rows [][]any) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i], _ = r[0].(string)
	}
	return out
}

func count(all []string, one string) int {
	n := 0
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}
