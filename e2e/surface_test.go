//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/e2e/rawhttp"
	"github.com/bqgate/bqgate/e2e/surface"
)

const inspection = "bqgate-inspection@"

// Every method and every other form of e2e/testdata/surface, byte for byte through the real Envoy,
// with the recorder saying what arrived.
func TestSurface(t *testing.T) {
	cases, err := surface.Load("testdata/surface")
	if err != nil {
		t.Fatal(err)
	}
	d := startDemo(t)
	vars := d.variables(t)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) { d.surfaceCase(t, c, vars) })
	}
	d.searchCanaries()
}

// variables prepares what the cases ask about: a finished job of the agent's and its result table,
// a held one, and a job of somebody else's.
func (d *demo) variables(t *testing.T) map[string]string {
	vars := map[string]string{"project": d.Project}
	vars["job"], vars["table"] = d.finished(t, "agent", "SELECT ssn, id, name, email, created FROM crm.customers ORDER BY id")
	vars["others_job"], vars["others_table"] = d.finished(t, "analyst", "SELECT email, ssn FROM crm.customers ORDER BY id")
	d.exempt()
	held := d.query("agent", "SELECT employee, ssn, salary FROM finance.payroll")
	vars["held"] = held.json(t)["jobReference"].(map[string]any)["jobId"].(string)
	return vars
}

// finished runs a query and gives its job id and the path of its result table. The last answer kept
// is that of the job, which shows no rows.
func (d *demo) finished(t *testing.T, persona, sql string) (job, table string) {
	t.Helper()
	a := d.query(persona, sql)
	if a.Status != http.StatusOK {
		t.Fatalf("%s: status %d %s", sql, a.Status, a.message())
	}
	if persona == "analyst" {
		d.exempt()
	}
	job = a.json(t)["jobReference"].(map[string]any)["jobId"].(string)
	got := d.call("GET", "/bigquery/v2/projects/"+d.Project+"/jobs/"+job, d.token(persona), nil)
	var j struct {
		Configuration struct {
			Query struct {
				DestinationTable struct{ ProjectID, DatasetID, TableID string }
			}
		}
	}
	if err := json.Unmarshal(got.Body, &j); err != nil || got.Status != http.StatusOK {
		t.Fatalf("job %s: status %d %s %v", job, got.Status, got.message(), err)
	}
	dst := j.Configuration.Query.DestinationTable
	return job, fmt.Sprintf("projects/%s/datasets/%s/tables/%s", dst.ProjectID, dst.DatasetID, dst.TableID)
}

// raw sends a request as it was written down and keeps every byte of the answer.
func (d *demo) raw(t testing.TB, r rawhttp.Request, persona string) rawhttp.Answer {
	t.Helper()
	if r.As != "" {
		persona = r.As
	}
	address := strings.TrimPrefix(d.REST, "http://")
	a, err := rawhttp.Send(address, r.Bytes(address, d.token(persona)), 30*time.Second)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.Target, err)
	}
	return a
}

func (d *demo) forget(t testing.TB) {
	t.Helper()
	req, err := http.NewRequest(http.MethodDelete, d.Fake+"/_fake/requests", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// wire is an arrival as one text.
func wire(r arrival) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s?%s\nHost: %s\n", r.Method, r.Path, r.Query, r.Host)
	r.Header.Write(&b)
	r.Trailer.Write(&b)
	b.WriteString(r.Body)
	return b.String()
}

func (d *demo) surfaceCase(t *testing.T, c surface.Case, vars map[string]string) {
	r, err := rawhttp.Parse(c.Request, vars)
	if err != nil {
		t.Fatal(err)
	}
	d.forget(t)
	a := d.raw(t, r, "agent")
	d.got = append(d.got, a.Everything())
	var sent, asked []string
	for _, got := range d.arrived() {
		switch {
		case got.Service != "bigquery":
		case strings.HasPrefix(got.Account, inspection):
			asked = append(asked, wire(got))
		default:
			sent = append(sent, wire(got))
		}
	}
	has := func(all []string, part string) bool {
		return slices.ContainsFunc(all, func(s string) bool { return strings.Contains(s, part) })
	}
	begins := func(all []string, part string) bool {
		return slices.ContainsFunc(all, func(s string) bool { return strings.HasPrefix(s, part) })
	}
	for _, w := range c.Want {
		text := w.Text
		for name, value := range vars {
			text = strings.ReplaceAll(text, "{{"+name+"}}", value)
		}
		ok := false
		switch w.Word {
		case "status":
			ok = slices.Contains(strings.Fields(text), fmt.Sprint(a.Status))
		case "says":
			ok = strings.Contains(a.Message(), text)
		case "has":
			ok = strings.Contains(string(a.Body), text)
		case "not":
			ok = !strings.Contains(string(a.Body), text)
		case "upstream":
			ok = text == "none" && len(sent) == 0 || begins(sent, text)
		case "sent":
			ok = has(sent, text)
		case "unsent":
			ok = !has(sent, text)
		case "asked":
			ok = begins(asked, text)
		}
		if !ok {
			t.Errorf("%s %s: not so\nstatus %d %s\nbody %s\nsent %.600q\nasked %.300q", w.Word, text, a.Status, a.Message(),
				tail(a.Body, 600), sent, asked)
		}
	}
	if a.Status >= 400 && r.Method != http.MethodHead && len(a.Body) > 0 && a.Status != 426 && a.Message() == "" {
		t.Errorf("the error is not in BigQuery's form: %s", tail(a.Body, 300))
	}
	if token := d.token("agent"); has(sent, token) || has(asked, token) {
		t.Error("the client's credential arrived upstream")
	}
}
