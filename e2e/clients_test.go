//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func contextTimeout(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

// script runs a Python script with the unmodified Google client and returns its standard output.
func (d *demo) script(t *testing.T, persona, source string, args ...string) string {
	t.Helper()
	ctx, cancel := contextTimeout(90 * time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(repoRoot(t), "build", "venv", "bin", "python"),
		append([]string{"-c", prelude + source}, args...)...)
	cmd.Env = append(os.Environ(),
		"GOOGLE_APPLICATION_CREDENTIALS="+d.Personas[persona].ADCFile, "GOOGLE_CLOUD_PROJECT="+d.Project, "BQGATE_REST="+d.REST,
		"BQGATE_CONSOLE="+d.Console, "BQGATE_REVIEWER="+d.Personas["reviewer"].ConsoleTokenFile)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	d.got = append(d.got, out, errs.Bytes())
	if err != nil {
		t.Fatalf("python: %v\n%s\n%s", err, tail(out, 1500), tail(errs.Bytes(), 3000))
	}
	return string(out)
}

// prelude is all the set-up an agent's author writes: the endpoint, and credentials from the
// ordinary external_account file.
const prelude = `
import json, os, sys, threading, time, urllib.request
from google.api_core.client_options import ClientOptions
from google.cloud import bigquery
client = bigquery.Client(client_options=ClientOptions(api_endpoint=os.environ["BQGATE_REST"]))

def decide(verdict, reason):
    token = open(os.environ["BQGATE_REVIEWER"]).read().strip()
    def call(method, path, body=None):
        r = urllib.request.Request(os.environ["BQGATE_CONSOLE"] + path, method=method, data=body and json.dumps(body).encode(),
            headers={"authorization": "Bearer " + token, "content-type": "application/json"})
        return json.load(urllib.request.urlopen(r))
    for _ in range(100):
        waiting = [r for r in call("GET", "/api/v1/requests?state=pending")["requests"] if sys.argv[1] in r["sql"]]
        if waiting:
            return call("POST", "/api/v1/requests/%s/%s" % (waiting[0]["id"], verdict), {"reason": reason})
        time.sleep(0.1)
    raise SystemExit("no request appeared")
`

func python(t *testing.T, d *demo) {
	t.Run("query_and_wait", func(t *testing.T) {
		out := d.script(t, "agent", `
rows = list(client.query_and_wait("SELECT id, name, ssn, card_number, email, phones, address FROM crm.customers ORDER BY id"))
print(json.dumps([[r["id"], r["ssn"], r["card_number"], r["email"], [p["number"] for p in r["phones"]], r["address"]["city"] if r["address"] else None] for r in rows]))`)
		checkPython(t, out)
	})
	t.Run("query", func(t *testing.T) {
		out := d.script(t, "agent", `
job = client.query("SELECT id, ssn AS s, card_number AS c, email AS e, phones AS p, address FROM crm.customers ORDER BY id")
rows = list(job.result(page_size=7))
print(json.dumps([[r["id"], r["s"], r["c"], r["e"], [p["number"] for p in r["p"]], r["address"]["city"] if r["address"] else None] for r in rows]))`)
		checkPython(t, out)
	})
	t.Run("parameters", func(t *testing.T) {
		out := d.script(t, "agent", `
config = bigquery.QueryJobConfig(query_parameters=[bigquery.ScalarQueryParameter("id", "INT64", 3)], labels={"team": "data"})
print(json.dumps([r["id"] for r in client.query("SELECT id FROM crm.customers WHERE id = @id", job_config=config)]))`)
		if strings.TrimSpace(out) != "[3]" {
			t.Errorf("got %s, want [3]", out)
		}
	})
	t.Run("refused", func(t *testing.T) {
		out := d.script(t, "agent", `
from google.api_core import exceptions
for run in (lambda: client.query_and_wait("DROP TABLE crm.customers"), lambda: client.query("DROP TABLE crm.customers").result()):
    try:
        run()
        print("RAN")
    except exceptions.Forbidden as e:
        print(str(e))`)
		if strings.Contains(out, "RAN") || strings.Count(out, "bqgate: refused: DROP_TABLE") != 2 {
			t.Errorf("the client printed %q", out)
		}
	})
	for name, how := range map[string]string{"query": `list(client.query(sql).result())`,
		"query_and_wait": `list(client.query_and_wait(sql))`} {
		t.Run("held "+name+" approved", func(t *testing.T) {
			out := d.script(t, "agent", `
sql = "SELECT employee, salary FROM finance.payroll -- %s" % sys.argv[1]
threading.Thread(target=decide, args=("approve", "month end")).start()
rows = `+how+`
print(json.dumps([len(rows), sum(r["salary"] is not None for r in rows), all(r["employee"] for r in rows)]))`, "approve-"+name)
			var got []any
			if err := json.Unmarshal([]byte(out), &got); err != nil || got[0].(float64) < 20 || got[1].(float64) != 0 || got[2] != true {
				t.Errorf("got %s: want at least 20 rows, no salary", out)
			}
		})
		t.Run("held "+name+" denied", func(t *testing.T) {
			out := d.script(t, "agent", `
from google.api_core import exceptions
sql = "SELECT employee, salary FROM finance.payroll -- %s" % sys.argv[1]
threading.Thread(target=decide, args=("deny", "ask again on Monday")).start()
try:
    print(len(`+how+`))
except exceptions.Forbidden as e:
    print(str(e))`, "deny-"+name)
			if !strings.Contains(out, "ask again on Monday") || !strings.Contains(out, "bqgate: ") {
				t.Errorf("the client printed %q, want the reviewer's words", out)
			}
		})
	}
}

func checkPython(t *testing.T, out string) {
	t.Helper()
	var rows [][]any
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		t.Fatalf("%v: %s", err, tail([]byte(out), 500))
	}
	if len(rows) < 20 {
		t.Errorf("%d rows, want at least 20", len(rows))
	}
	for _, r := range rows {
		ok := maskedCell("ssn", r[1]) && maskedCell("card_number", r[2]) && maskedCell("email", r[3])
		for _, n := range r[4].([]any) {
			ok = ok && maskedCell("number", n)
		}
		if !ok {
			t.Errorf("row %v is not masked", r)
			break
		}
	}
}

// auditList reads the journal as an auditor does.
func auditList(t *testing.T, d *demo) {
	cmd := exec.Command(filepath.Join(repoRoot(t), "build", "bin", "bqgate-demo"), "audit", "list", "--dir", d.AuditDir, "--key-file",
		d.AuditKeyFile, "--json")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("audit list: %v", err)
	}
	var allowed, refused, held int
	masked := false
	for line := range strings.Lines(string(out)) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		for _, key := range []string{"time", "subject", "decision", "rule", "sql", "tables", "masked_columns", "bytes", "rows", "job_id",
			"request_id"} {
			if _, ok := e[key]; !ok {
				t.Fatalf("entry without %q: %s", key, line)
			}
		}
		if list, ok := e["masked_columns"].([]any); ok && slices.Contains(list, any("demo.crm.customers.ssn")) && e["decision"] == "allow" {
			masked = true
		}
		switch e["decision"] {
		case "allow":
			allowed++
		case "refuse":
			refused++
		case "hold":
			held++
		}
	}
	if allowed < 10 || refused < 20 || held < 5 {
		t.Errorf("journal lists %d allowed, %d refused, %d held: too few for what this test did", allowed, refused, held)
	}
	if !masked {
		t.Error("no entry names demo.crm.customers.ssn among its masked columns")
	}
	d.got = append(d.got, out) // the auditor's list shows no row data either
}
