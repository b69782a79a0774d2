//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/console/openapitest"
)

// One demo serves the tests that break nothing.
func TestFirstLight(t *testing.T) {
	d := startDemo(t)
	t.Run("allowed and masked", func(t *testing.T) { allowedAndMasked(t, d) })
	t.Run("refused", func(t *testing.T) { refusedStatements(t, d) })
	t.Run("computed on masked values", func(t *testing.T) { computedOnMasked(t, d) })
	t.Run("held and computed on masked values", func(t *testing.T) { heldAndComputed(t, d) })
	t.Run("existence", func(t *testing.T) { existenceNotTold(t, d) })
	t.Run("identity", func(t *testing.T) { refusedIdentities(t, d) })
	t.Run("hold approved", func(t *testing.T) { holdApproved(t, d) })
	t.Run("hold denied", func(t *testing.T) { holdDenied(t, d) })
	t.Run("over the cost threshold", func(t *testing.T) { overThreshold(t, d) })
	t.Run("own request", func(t *testing.T) { ownRequest(t, d) })
	t.Run("exemption", func(t *testing.T) { exemption(t, d) })
	t.Run("python", func(t *testing.T) { python(t, d) })
	t.Run("audit list", func(t *testing.T) { auditList(t, d) })
	d.searchCanaries()
}

// answersMasked asks for ssn, card_number, email and id of every customer, in some way.
func (d *demo) answersMasked(t *testing.T, name, sql string) {
	t.Helper()
	a := d.query("agent", sql)
	if a.Status != 200 {
		t.Errorf("%s: status %d: %s", name, a.Status, a.message())
		return
	}
	rows := a.rows(t)
	if len(rows) < 20 {
		t.Errorf("%s: %d rows, want at least 20", name, len(rows))
	}
	for _, r := range rows {
		if !maskedCell("ssn", r[0]) || !maskedCell("card_number", r[1]) || !maskedCell("email", r[2]) || r[3] == nil {
			t.Errorf("%s: row %v is not masked as the policy says", name, r)
			return
		}
	}
}

// maskedCell says whether a masked answer of a column is what its rule gives.
func maskedCell(column string, v any) bool {
	s, isString := v.(string)
	switch column {
	case "ssn":
		return v == nil || isString && strings.HasPrefix(s, "XXXXX") && len(s) == 9
	case "card_number":
		return v == nil
	case "email":
		return v == nil || isString && strings.HasPrefix(s, "XXXXX@")
	case "number":
		return v == nil || s == ""
	}
	return false
}

func allowedAndMasked(t *testing.T, d *demo) {
	for name, sql := range map[string]string{
		"plain":     `SELECT ssn, card_number, email, id FROM crm.customers ORDER BY id`,
		"aliased":   `SELECT c.ssn AS a, card_number AS b, email AS e, id FROM crm.customers AS c`,
		"star":      `SELECT * FROM (SELECT ssn, card_number, email, id FROM crm.customers)`,
		"cte":       `WITH x AS (SELECT ssn, card_number, email, id FROM crm.customers) SELECT * FROM x`,
		"joined":    `SELECT c.ssn, c.card_number, c.email, o.id FROM crm.customers c JOIN crm.orders o ON o.customer_id = c.id`,
		"pipe":      `FROM crm.customers |> SELECT ssn, card_number, email, id`,
		"backticks": "SELECT ssn, card_number, email, id FROM `demo.crm.customers`",
		"whole name": "SELECT `crm.customers`.ssn, `crm.customers`.`card_number`, `crm.customers`.email, `crm.customers`.id FROM " +
			"`crm.customers`",
		"dotted cte": "WITH `crm.orders` AS (SELECT ssn, card_number, email, id FROM `demo.crm.customers`) SELECT `crm.orders`.* FROM " +
			"`crm.orders`, (SELECT COUNT(*) AS n FROM demo.crm.orders)",
		"outer row": "SELECT (SELECT orders.ssn FROM `crm.orders` LIMIT 1), orders.card_number, orders.email, orders.id FROM " +
			"crm.customers AS orders",
		"union": `SELECT ssn, card_number, email, id FROM crm.customers WHERE id < 5 UNION ALL SELECT ssn, card_number, email, id ` +
			`FROM crm.customers WHERE id >= 5`,
		"in comment": "SELECT ssn /* , name */, card_number, email, id -- DROP TABLE crm.customers\nFROM crm.customers",
	} {
		d.answersMasked(t, name, sql)
	}
	// Nested: the whole array, one field of it, and the whole row.
	for name, sql := range map[string]string{
		"array":  `SELECT phones FROM crm.customers`,
		"unnest": `SELECT p.kind, p.number FROM crm.customers, UNNEST(phones) AS p`,
		"all":    `SELECT * FROM crm.customers`,
		"struct": `SELECT STRUCT(name, ssn) AS s FROM crm.customers`,
	} {
		a := d.query("agent", sql)
		if a.Status != 200 {
			t.Errorf("%s: status %d: %s", name, a.Status, a.message())
		}
	}
	for _, r := range d.query("agent", `SELECT p.kind, p.number FROM crm.customers, UNNEST(phones) AS p`).rows(t) {
		if r[0] == nil || !maskedCell("number", r[1]) {
			t.Errorf("unnested phone %v: want the kind clear and the number masked", r)
			break
		}
	}
}

// A refusal is a 403 in BigQuery's error JSON that says what, why and what would pass, and BigQuery
// never hears of it.
func refusedStatements(t *testing.T, d *demo) {
	for name, c := range map[string]struct {
		sql  string
		says []string
	}{
		"drop":           {`DROP TABLE crm.customers`, []string{"DROP_TABLE", "crm.customers", "SELECT"}},
		"alter database": {"ALTER DATABASE crm SET OPTIONS (description = 'x')", []string{"ALTER_DATABASE"}},
		"script":         {`SELECT 1; DROP TABLE crm.customers;`, []string{"DROP_TABLE"}},
		"begin":          {`BEGIN SELECT 1; EXECUTE IMMEDIATE 'DROP TABLE crm.customers'; END`, []string{"script"}},
		"if":             {`IF TRUE THEN DROP TABLE crm.customers; END IF`, []string{"DROP_TABLE"}},
		"declare":        {`DECLARE x STRING DEFAULT (SELECT MAX(ssn) FROM crm.customers); SELECT x`, nil},
		"no policy":      {`SELECT * FROM hr.reviews`, []string{"hr.reviews"}},
		"join no policy": {`SELECT c.id FROM crm.customers c JOIN hr.reviews r ON r.employee = c.name`, []string{"hr.reviews"}},
		"insert":         {`INSERT INTO crm.orders (id) VALUES (1)`, []string{"INSERT"}},
		"ctas":           {`CREATE TABLE crm.copy AS SELECT ssn FROM crm.customers`, []string{"CREATE_TABLE_AS_SELECT"}},
		"export":         {`EXPORT DATA OPTIONS(uri='gs://x/*', format='CSV') AS SELECT ssn FROM crm.customers`, []string{"EXPORT_DATA"}},
		"external query": {`SELECT * FROM EXTERNAL_QUERY('us.c', 'SELECT 1')`, nil},
		"unknown table":  {`SELECT * FROM crm.nothing`, nil},
		"information":    {`SELECT * FROM crm.INFORMATION_SCHEMA.TABLES`, nil},
		"legacy":         {"#legacySQL\nSELECT 1", nil},
		"cached table":   {"SELECT * FROM `demo._abc.anon123`", nil},
	} {
		before := len(d.rowRequests())
		a := d.query("agent", c.sql)
		message := a.message()
		if a.Status != 403 || !strings.HasPrefix(message, "accessDenied: bqgate: ") {
			t.Errorf("%s: status %d, %q: want 403 accessDenied beginning with bqgate:", name, a.Status, message)
		}
		for _, word := range c.says {
			if !strings.Contains(message, word) {
				t.Errorf("%s: %q does not say %q", name, message, word)
			}
		}
		if after := d.rowRequests(); len(after) != before {
			t.Errorf("%s: something of it arrived upstream: %+v", name, after[len(after)-1])
		}
	}
}

// A table that the caller may not read and one that does not exist read the same, also behind an
// alias that hides the name.
func existenceNotTold(t *testing.T, d *demo) {
	for _, shape := range []string{`SELECT * FROM %s`, `SELECT 1 FROM %s, (SELECT 1 AS a) AS hr`,
		`SELECT x FROM crm.orders o JOIN %s r ON r.x = o.id`, `SELECT nothing FROM %s`} {
		var said []string
		for _, table := range []string{"hr.reviews", "hr.missing"} {
			text := d.query("agent", fmt.Sprintf(shape, table)).message()
			text, _, _ = strings.Cut(text, "Decision ")
			said = append(said, strings.ReplaceAll(text, table, "TABLE"))
		}
		if said[0] != said[1] {
			t.Errorf("%s tells that the table exists:\n%s\n%s", shape, said[0], said[1])
		}
	}
}

func refusedIdentities(t *testing.T, d *demo) {
	good := d.token("agent")
	parts := strings.Split(good, ".")
	forged := parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2]))
	none := "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0." + parts[1] + "."
	for name, c := range map[string]struct {
		token  string
		status int
	}{
		"no token":       {"", 401},
		"stranger":       {d.token("stranger"), 403},
		"forged":         {forged, 403},
		"alg none":       {none, 403},
		"expired":        {d.mint(map[string]any{"subject": "agent", "groups": []string{"ai-agents"}, "ttl_seconds": -10}), 403},
		"wrong audience": {d.mint(map[string]any{"subject": "agent", "groups": []string{"ai-agents"}, "audience": "somebody-else"}), 403},
		"console token":  {d.consoleToken("agent"), 403},
		"garbage":        {"not-a-token", 403},
		"session":        {"bqs_" + strings.Repeat("a", 43), 401},
	} {
		before := len(d.rowRequests())
		a := d.call("POST", "/bigquery/v2/projects/demo/queries", c.token, map[string]any{"query": "SELECT 1", "useLegacySql": false})
		if a.Status != c.status {
			t.Errorf("%s: status %d (%s), want %d", name, a.Status, a.message(), c.status)
		}
		if len(d.rowRequests()) != before {
			t.Errorf("%s: something arrived upstream", name)
		}
	}
}

const payroll = `SELECT employee, salary, ssn FROM finance.payroll`

// request finds the pending request for a job at the console.
func (d *demo) request(t *testing.T, persona, jobID string) map[string]any {
	t.Helper()
	a := d.console(persona, "GET", "/api/v1/requests?state=pending", nil)
	if a.Status != 200 {
		t.Fatalf("list requests: status %d %s", a.Status, a.Body)
	}
	for _, r := range a.json(t)["requests"].([]any) {
		if m := r.(map[string]any); m["job_id"] == jobID {
			return m
		}
	}
	t.Fatalf("no pending request for job %s in %s", jobID, a.Body)
	return nil
}

// console asks the approval endpoint; its own openapi.yaml must know the answer.
func (d *demo) console(persona, method, path string, body any) answer {
	d.t.Helper()
	ctx, cancel := contextTimeout(30 * time.Second)
	defer cancel()
	a, err := d.do(ctx, method, d.Console+path, d.consoleToken(persona), nil, body)
	if err != nil {
		d.t.Fatal(err)
	}
	if d.openapi == nil {
		text, err := d.do(ctx, "GET", d.Console+"/api/v1/openapi.yaml", "", nil, nil)
		if err != nil || text.Status != 200 {
			d.t.Fatalf("openapi.yaml: status %d, %v", text.Status, err)
		}
		d.openapi = openapitest.Read(d.t, text.Body)
	}
	d.openapi.Answer(method, path, a.Status, a.Body)
	return a
}

// hold runs a query that must be held and returns its job id.
func (d *demo) hold(t *testing.T, persona, sql string) string {
	t.Helper()
	before := len(d.rowRequests())
	a := d.query(persona, sql)
	if a.Status != 200 {
		t.Fatalf("held query: status %d %s", a.Status, a.message())
	}
	v := a.json(t)
	if v["jobComplete"] != false || v["rows"] != nil {
		t.Fatalf("held query: %s: want jobComplete false and no rows", a.Body)
	}
	if n := len(d.rowRequests()); n != before {
		t.Fatalf("a held query arrived upstream")
	}
	return v["jobReference"].(map[string]any)["jobId"].(string)
}

// poll reads the results until they are complete or an error.
func (d *demo) poll(t *testing.T, token, jobID string) answer {
	t.Helper()
	for range 20 {
		a := d.call("GET", fmt.Sprintf("/bigquery/v2/projects/demo/queries/%s?timeoutMs=2000", jobID), token, nil)
		if a.Status != 200 || a.json(t)["jobComplete"] == true {
			return a
		}
	}
	t.Fatal("the job never completed")
	return answer{}
}

func holdApproved(t *testing.T, d *demo) {
	id := d.hold(t, "agent", payroll)
	if a := d.call("GET", "/bigquery/v2/projects/demo/queries/"+id, d.token("analyst"), nil); a.Status != 403 {
		t.Errorf("somebody else's poll: status %d, want 403", a.Status)
	}
	r := d.request(t, "reviewer", id)
	if !strings.Contains(r["sql"].(string), "finance.payroll") || len(r["sensitive_columns"].([]any)) == 0 {
		t.Errorf("request %v does not show what is asked", r)
	}
	if a := d.console("stranger", "GET", "/api/v1/requests", nil); a.Status != 403 {
		t.Errorf("stranger lists requests: status %d, want 403", a.Status)
	}
	if a := d.console("agent", "POST", "/api/v1/requests/"+r["id"].(string)+"/approve", map[string]any{"reason": "mine"}); a.Status != 403 {
		t.Errorf("own request approved: status %d, want 403", a.Status)
	}
	if a := d.console("reviewer", "POST", "/api/v1/requests/"+r["id"].(string)+"/approve",
		map[string]any{"reason": "month end"}); a.Status != 200 {
		t.Fatalf("approve: status %d %s", a.Status, a.Body)
	}
	if a := d.console("lead", "POST", "/api/v1/requests/"+r["id"].(string)+"/deny", map[string]any{"reason": "late"}); a.Status != 409 {
		t.Errorf("second decision: status %d, want 409", a.Status)
	}
	a := d.poll(t, d.token("agent"), id)
	if a.Status != 200 {
		t.Fatalf("approved query: status %d %s", a.Status, a.message())
	}
	rows := a.rows(t)
	if len(rows) < 20 {
		t.Errorf("%d rows, want at least 20", len(rows))
	}
	for _, row := range rows {
		if row[0] == nil || row[1] != nil || !maskedCell("ssn", row[2]) {
			t.Errorf("row %v: want salary and ssn masked", row)
			break
		}
	}
	// The result stays readable; the same SQL is a new question.
	if a := d.poll(t, d.token("agent"), id); a.Status != 200 || len(a.rows(t)) != len(rows) {
		t.Errorf("second read: status %d", a.Status)
	}
	if again := d.hold(t, "agent", payroll); again == id {
		t.Error("the same SQL again ran under the old approval")
	}
}

func holdDenied(t *testing.T, d *demo) {
	id := d.hold(t, "agent", payroll+" WHERE employee LIKE 'A%'")
	r := d.request(t, "reviewer", id)
	reason := "month end is closed, ask again on Monday"
	if a := d.console("reviewer", "POST", "/api/v1/requests/"+r["id"].(string)+"/deny", map[string]any{"reason": reason}); a.Status != 200 {
		t.Fatalf("deny: status %d %s", a.Status, a.Body)
	}
	a := d.poll(t, d.token("agent"), id)
	if a.Status != 403 || !strings.Contains(a.message(), reason) || !strings.HasPrefix(a.message(), "accessDenied: bqgate: ") {
		t.Errorf("denied query: status %d %q, want 403 with the reviewer's words", a.Status, a.message())
	}
}

func overThreshold(t *testing.T, d *demo) {
	id := d.hold(t, "agent", `SELECT id, payload FROM crm.events`)
	r := d.request(t, "lead", id)
	if r["estimated_bytes"].(float64) != 5<<30 {
		t.Errorf("estimated_bytes %v, want 5 GiB", r["estimated_bytes"])
	}
	if a := d.call("POST", "/bigquery/v2/projects/demo/jobs/"+id+"/cancel", d.token("agent"), nil); a.Status != 200 {
		t.Errorf("cancel: status %d %s", a.Status, a.message())
	}
	if a := d.poll(t, d.token("agent"), id); a.Status != 403 || !strings.Contains(a.message(), "cancelled") {
		t.Errorf("cancelled query: status %d %q", a.Status, a.message())
	}
	if a := d.console("reviewer", "POST", "/api/v1/requests/"+r["id"].(string)+"/approve",
		map[string]any{"reason": "late"}); a.Status != 409 {
		t.Errorf("approving a cancelled request: status %d, want 409", a.Status)
	}
}

// A7: a reviewer who asks is not the one who answers, under any of their names.
func ownRequest(t *testing.T, d *demo) {
	id := d.hold(t, "reviewer", payroll)
	r := d.request(t, "lead", id)
	path := "/api/v1/requests/" + r["id"].(string) + "/approve"
	if a := d.console("reviewer", "POST", path, map[string]any{"reason": "me"}); a.Status != 403 {
		t.Errorf("own request: status %d, want 403", a.Status)
	}
	if a := d.console("lead", "POST", path, map[string]any{"reason": "fine"}); a.Status != 200 {
		t.Fatalf("lead approves: status %d %s", a.Status, a.Body)
	}
	a := d.poll(t, d.token("reviewer"), id)
	if a.Status != 200 {
		t.Fatalf("status %d %s", a.Status, a.message())
	}
	if rows := a.rows(t); rows[0][1] == nil || !maskedCell("ssn", rows[0][2]) {
		t.Errorf("row %v: want salary clear for data owners, ssn masked", rows[0])
	}
	d.exempt() // data owners may see salaries
}

func exemption(t *testing.T, d *demo) {
	rows := d.query("analyst", `SELECT email, ssn FROM crm.customers WHERE email IS NOT NULL`).rows(t)
	if len(rows) == 0 || strings.HasPrefix(rows[0][0].(string), "XXXXX") || !maskedCell("ssn", rows[0][1]) {
		t.Errorf("analyst sees %v: want email clear, ssn masked", rows)
	}
	d.exempt() // an analyst may see e-mail addresses
}

// rowRequests are the requests upstream that run or read a query: what a refused one must not
// cause.
func (d *demo) rowRequests() []arrival {
	var out []arrival
	for _, r := range d.arrived() {
		dry := strings.Contains(r.Body, `"dryRun":true`)
		if r.Service != "bigquery" {
			continue
		}
		if strings.Contains(r.Path, "/queries") || r.Method == http.MethodPost && strings.HasSuffix(r.Path, "/jobs") && !dry {
			out = append(out, r)
		}
	}
	return out
}
