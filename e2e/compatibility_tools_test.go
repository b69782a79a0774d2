//go:build e2e && clients

package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// decideWhen decides about the request whose SQL has the mark as soon as it is there, in the
// background.
func (b *bench) decideWhen(t *testing.T, mark, verdict, reason string) (decided chan bool) {
	decided = make(chan bool, 1)
	go func() {
		for range 300 {
			time.Sleep(300 * time.Millisecond)
			for _, r := range b.requests(t) {
				if sql, _ := r["sql"].(string); strings.Contains(sql, mark) && r["state"] == "pending" {
					b.decide(t, []*waiting{{client: client{name: "a tool"}, id: r["id"].(string)}}, verdict, reason)
					decided <- true
					return
				}
			}
		}
		decided <- false
	}()
	return decided
}

// dbt compiles and shows models, which only read. It says in the reviewer's or the gateway's words
// why something does not run.
func TestClientsDbt(t *testing.T) {
	ready(t, "dbt")
	b := startBench(t)
	scratch := t.TempDir()
	dbt := func(args ...string) (string, error) {
		project := filepath.Join(repoRoot(t), "e2e", "clients", "dbt")
		env := []string{"DBT_TARGET_PATH=" + filepath.Join(scratch, "target"), "DBT_LOG_PATH=" + filepath.Join(scratch, "logs"),
			"DBT_SEND_ANONYMOUS_USAGE_STATS=false",
			"DBT_PROJECT_DIR=" + project, "DBT_PROFILES_DIR=" + project, "DBT_USE_COLORS=false"}
		_, all, err := b.program(t, env,
			append([]string{"build/clients/dbt/bin/python", "-c", "import sys; from dbt.cli.main import cli; sys.exit(cli())"}, args...)...)
		return all, err
	}
	show := func(args ...string) (rows []map[string]any, said string, err error) {
		said, err = dbt(append([]string{"--quiet", "show", "--output", "json", "--limit", "-1"}, args...)...)
		if i := strings.Index(said, "{"); err == nil && i >= 0 {
			var v struct {
				Show []map[string]any `json:"show"`
			}
			err = json.NewDecoder(strings.NewReader(said[i:])).Decode(&v)
			rows = v.Show
		}
		return rows, said, err
	}
	t.Run("debug", func(t *testing.T) {
		if said, err := dbt("debug"); err != nil || !strings.Contains(said, "All checks passed") {
			t.Errorf("%v\n%s", err, said)
		}
	})
	t.Run("masked", func(t *testing.T) {
		rows, said, err := show("--select", "contacts")
		if err != nil || len(rows) < 20 {
			t.Fatalf("%d rows, %v\n%s", len(rows), err, said)
		}
		for _, r := range rows {
			if !maskedCell("ssn", r["ssn"]) || !maskedCell("card_number", r["card_number"]) || !maskedCell("email", r["email"]) {
				t.Fatalf("row %v is not masked", r)
			}
		}
	})
	t.Run("computed", func(t *testing.T) {
		rows, said, err := show("--select", "domains")
		if err != nil || len(rows) < 2 || len(rows) > 10 || !strings.HasPrefix(fmt.Sprint(rows[0]["e"]), "XXXXX@") {
			t.Errorf("%v %v\n%s", rows, err, said)
		}
	})
	t.Run("refused", func(t *testing.T) {
		said, err := dbt("run", "--select", "written")
		if err == nil || !strings.Contains(said, "bqgate: refused: ") {
			t.Errorf("a model that writes: %v\n%s", err, said)
		}
		if _, said, err := show("--inline", "SELECT note FROM hr.reviews"); err == nil || !strings.Contains(said, "hr.reviews") ||
			!strings.Contains(said, "bqgate: refused: ") {
			t.Errorf("a table of no policy: %v\n%s", err, said)
		}
	})
	t.Run("held and approved", func(t *testing.T) {
		decided := b.decideWhen(t, "dbt approved", "approve", "month end")
		rows, said, err := show("--inline", "SELECT employee, salary FROM finance.payroll /* dbt approved */")
		if !<-decided || err != nil || len(rows) < 20 || rows[0]["salary"] != nil || rows[0]["employee"] == nil {
			t.Errorf("%d rows, %v\n%s", len(rows), err, tail([]byte(said), 2000))
		}
	})
	t.Run("held and denied", func(t *testing.T) {
		decided := b.decideWhen(t, "dbt denied", "deny", "ask again on Monday")
		if _, said, err := show("--inline", "SELECT employee, salary FROM finance.payroll /* dbt denied */"); !<-decided || err == nil ||
			!strings.Contains(said, "ask again on Monday") {
			t.Errorf("%v\n%s", err, said)
		}
	})
	b.searchCanaries()
}

// The MCP toolbox's ready-made BigQuery tools, called as an agent calls them.
func TestClientsToolbox(t *testing.T) {
	ready(t, "toolbox")
	b := startBench(t)
	tool := func(name string, arguments map[string]any) (string, error) {
		text, err := json.Marshal(arguments)
		if err != nil {
			t.Fatal(err)
		}
		env := []string{"BIGQUERY_PROJECT=" + b.Project, "BIGQUERY_ENDPOINT=" + b.REST + "/bigquery/v2/"}
		_, all, err := b.program(t, env, "build/clients/toolbox/bin/toolbox-server", "--disable-version-check", "--log-level", "ERROR",
			"--prebuilt", "bigquery", "invoke", name, string(text))
		return all, err
	}
	sql := func(text string) (rows []map[string]any, said string, err error) {
		said, err = tool("execute_sql", map[string]any{"sql": text})
		if err == nil {
			err = json.Unmarshal([]byte(said), &rows)
		}
		return rows, said, err
	}
	t.Run("masked", func(t *testing.T) {
		rows, said, err := sql(plainSQL)
		if err != nil || len(rows) < 20 {
			t.Fatalf("%d rows, %v\n%s", len(rows), err, said)
		}
		for _, r := range rows {
			if !maskedCell("ssn", r["ssn"]) || !maskedCell("card_number", r["card_number"]) || !maskedCell("email", r["email"]) {
				t.Fatalf("row %v is not masked", r)
			}
		}
	})
	t.Run("computed", func(t *testing.T) {
		rows, said, err := sql(computedSQL)
		if err != nil || len(rows) < 2 || len(rows) > 10 || !strings.HasPrefix(fmt.Sprint(rows[0]["e"]), "XXXXX@") {
			t.Errorf("%v %v\n%s", rows, err, said)
		}
	})
	t.Run("metadata", func(t *testing.T) {
		for name, want := range map[string]string{"list_dataset_ids": "finance", "list_table_ids": "customers",
			"get_dataset_info": "demo:crm", "get_table_info": "customer_id"} {
			t.Run(name, func(t *testing.T) {
				said, err := tool(name, map[string]any{"dataset": "crm", "table": "orders"})
				if err != nil || !strings.Contains(said, want) || strings.Contains(said, "reviews") {
					t.Errorf("%s: %v\n%s", name, err, said)
				}
			})
		}
	})
	t.Run("refused", func(t *testing.T) {
		if _, said, err := sql("DROP TABLE crm.customers"); err == nil || !strings.Contains(said, "bqgate: refused: DROP_TABLE") ||
			!strings.Contains(said, "What would pass: SELECT") {
			t.Errorf("%v\n%s", err, said)
		}
		for name, arguments := range map[string]map[string]any{
			"forecast":             {"history_data": "crm.orders", "timestamp_col": "ordered", "data_col": "amount", "horizon": 3},
			"get_dataset_info":     {"dataset": "hr"},
			"get_table_info":       {"dataset": "hr", "table": "reviews"},
			"list_table_ids":       {"dataset": "hr"},
			"analyze_contribution": {"input_data": "crm.orders", "contribution_metric": "SUM(amount)", "is_test_col": "status"},
		} {
			t.Run(name, func(t *testing.T) {
				if said, err := tool(name, arguments); err == nil {
					t.Errorf("%s answers %s", name, tail([]byte(said), 500))
				}
			})
		}
	})
	t.Run("held and approved", func(t *testing.T) {
		decided := b.decideWhen(t, "toolbox approved", "approve", "month end")
		rows, said, err := sql("SELECT employee, salary FROM finance.payroll -- toolbox approved")
		if !<-decided || err != nil || len(rows) < 20 || rows[0]["salary"] != nil || rows[0]["employee"] == nil {
			t.Errorf("%d rows, %v\n%s", len(rows), err, tail([]byte(said), 2000))
		}
	})
	t.Run("held and denied", func(t *testing.T) {
		decided := b.decideWhen(t, "toolbox denied", "deny", "ask again on Monday")
		if _, said, err := sql("SELECT employee, salary FROM finance.payroll -- toolbox denied"); !<-decided || err == nil ||
			!strings.Contains(said, "ask again on Monday") {
			t.Errorf("%v\n%s", err, said)
		}
	})
	b.searchCanaries()
}

// bq is no package of a registry; these are the requests that its source makes for `bq query`,
// `bq query --dry_run`, `bq ls`, `bq show`, `bq head`, `bq cancel` and `bq ls -j`: jobs.insert
// under an id of its own without useLegacySql, jobs.get until DONE, then getQueryResults that must
// be complete at once.
func TestClientsBq(t *testing.T) {
	b := startBench(t)
	const root = "/bigquery/v2/projects/demo"
	insert := func(id, sql string, dry bool) answer {
		body := map[string]any{"configuration": map[string]any{"query": map[string]any{"query": sql}},
			"jobReference": map[string]any{"jobId": id, "projectId": "demo"}}
		if dry {
			delete(body, "jobReference")
			body["configuration"].(map[string]any)["dryRun"] = true
		}
		return b.call("POST", root+"/jobs?alt=json", b.token("agent"), body)
	}
	state := func(a answer) (string, string) {
		var v struct {
			Status struct {
				State       string `json:"state"`
				ErrorResult struct {
					Reason  string `json:"reason"`
					Message string `json:"message"`
				} `json:"errorResult"`
			} `json:"status"`
		}
		if err := json.Unmarshal(a.Body, &v); err != nil {
			t.Fatalf("%v: %s", err, a.Body)
		}
		return v.Status.State, v.Status.ErrorResult.Message
	}
	wait := func(t *testing.T, id string) string {
		for range 60 {
			a := b.call("GET", root+"/jobs/"+id+"?location=US&alt=json", b.token("agent"), nil)
			if a.Status != 200 {
				t.Fatalf("jobs.get: status %d %s", a.Status, a.message())
			}
			if s, failure := state(a); s == "DONE" {
				return failure
			}
			time.Sleep(time.Second)
		}
		t.Fatal("the job is never DONE")
		return ""
	}
	results := func(id string) answer {
		return b.call("GET", root+"/queries/"+id+"?location=US&maxResults=100&timeoutMs=0&startIndex=0&alt=json", b.token("agent"), nil)
	}
	t.Run("query", func(t *testing.T) {
		if s, _ := state(insert("bqjob_r1_1", plainSQL, false)); s == "" {
			t.Fatal("the answer has no status.state")
		}
		if failure := wait(t, "bqjob_r1_1"); failure != "" {
			t.Fatal(failure)
		}
		rows := results("bqjob_r1_1").rows(t)
		if len(rows) < 20 {
			t.Errorf("%d rows", len(rows))
		}
		for _, r := range rows {
			if !maskedCell("ssn", r[1]) || !maskedCell("card_number", r[2]) || !maskedCell("email", r[3]) {
				t.Fatalf("row %v is not masked", r)
			}
		}
	})
	t.Run("computed", func(t *testing.T) {
		insert("bqjob_r1_2", computedSQL, false)
		if failure := wait(t, "bqjob_r1_2"); failure != "" {
			t.Fatal(failure)
		}
		if rows := results("bqjob_r1_2").rows(t); len(rows) < 2 || !strings.HasPrefix(fmt.Sprint(rows[0][0]), "XXXXX@") {
			t.Errorf("got %v", rows)
		}
	})
	t.Run("dry run", func(t *testing.T) {
		a := insert("", plainSQL, true)
		if v := a.json(t)["statistics"].(map[string]any); a.Status != 200 || v["totalBytesProcessed"] != "10485760" {
			t.Errorf("status %d %s", a.Status, a.Body)
		}
	})
	t.Run("refused", func(t *testing.T) {
		if a := insert("bqjob_r1_3", "DROP TABLE crm.customers", false); a.Status != 403 ||
			!strings.HasPrefix(a.message(), "accessDenied: bqgate: refused: DROP_TABLE") {
			t.Errorf("status %d %s", a.Status, a.message())
		}
	})
	t.Run("ls, show, head", func(t *testing.T) {
		for path, want := range map[string]string{
			"/datasets?maxResults=50&alt=json":             `"datasetId":"crm"`,
			"/datasets/crm/tables?maxResults=50&alt=json":  `"tableId":"orders"`,
			"/datasets/crm/tables/orders?alt=json":         `"customer_id"`,
			"/datasets/crm?alt=json":                       `"demo:crm"`,
			"/jobs?projection=full&maxResults=50&alt=json": "bqjob_r1_1",
		} {
			t.Run(path, func(t *testing.T) {
				if a := b.call("GET", root+path, b.token("agent"), nil); a.Status != 200 || !strings.Contains(string(a.Body), want) {
					t.Errorf("%s: status %d %s", path, a.Status, tail(a.Body, 500))
				}
			})
		}
		if a := b.call("GET", root+"/datasets/crm/tables/customers/data?maxResults=100&startIndex=0&alt=json", b.token("agent"),
			nil); a.Status != 403 || !strings.Contains(a.message(), "SELECT * FROM") {
			t.Errorf("head: status %d %s: want the query to use", a.Status, a.message())
		}
	})
	for verdict, want := range map[string]string{"approve": "", "deny": "ask again on Monday"} {
		t.Run("held, "+verdict, func(t *testing.T) {
			id := "bqjob_r2_" + verdict
			if s, _ := state(insert(id, "SELECT * FROM finance.payroll -- bq "+verdict, false)); s != "PENDING" {
				t.Fatalf("the state is %q", s)
			}
			decided := b.decideWhen(t, "bq "+verdict, verdict, "ask again on Monday")
			failure := wait(t, id)
			if !<-decided || !strings.Contains(failure, want) || (failure == "") != (want == "") {
				t.Fatalf("the job ends with %q, want %q", failure, want)
			}
			if want != "" {
				return
			}
			rows := results(id).rows(t)
			if len(rows) < 20 {
				t.Errorf("%d rows", len(rows))
			}
			for _, r := range rows {
				if !maskedCell("ssn", r[1]) || r[2] != nil {
					t.Fatalf("row %v is not masked", r)
				}
			}
		})
	}
	t.Run("held, expired", func(t *testing.T) {
		insert("bqjob_r3_1", "SELECT COUNT(*) FROM crm.events", false)
		if failure := wait(t, "bqjob_r3_1"); !strings.Contains(failure, "nobody decided on request ") {
			t.Errorf("the job ends with %q", failure)
		}
	})
	t.Run("held, cancelled", func(t *testing.T) {
		insert("bqjob_r3_2", "SELECT * FROM finance.payroll -- bq cancel", false)
		a := b.call("POST", root+"/jobs/bqjob_r3_2/cancel?location=US&alt=json", b.token("agent"), nil)
		if a.Status != 200 || a.json(t)["job"].(map[string]any)["status"].(map[string]any)["state"] != "DONE" {
			t.Errorf("status %d %s", a.Status, a.Body)
		}
		if failure := wait(t, "bqjob_r3_2"); !strings.Contains(failure, "cancelled") {
			t.Errorf("the job ends with %q", failure)
		}
	})
	b.searchCanaries()
}
