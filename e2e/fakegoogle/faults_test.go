package fakegoogle

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// try is do for requests that may meet no answer.
func (c *caller) try(method, path string, body string) (reply, error) {
	c.t.Helper()
	req, err := http.NewRequest(method, c.s.BigQueryURL()+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, raw}, err
}

func arm(t *testing.T, s *Server, f Fault) int {
	t.Helper()
	id, err := s.Arm(f)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Each fault by its name, on jobs.query: what arrives, and whether the job came to be. A second try
// of the same request finds what the first one left.
func TestEveryFault(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	for i, name := range FaultNames() {
		t.Run(name, func(t *testing.T) {
			c.t = t
			s.Disarm(0)
			body := `{"query":"SELECT id, name FROM crm.customers ORDER BY id LIMIT 1","useLegacySql":false,"requestId":"fault-` + itoa(i) +
				`"}`
			before := len(s.Jobs())
			arm(t, s, Fault{Name: name, Method: "jobs.query", DelayMs: 1})
			got, err := c.try("POST", base+"/queries", body)
			form, parseErr := parseForm(name)
			if parseErr != nil {
				t.Fatal(parseErr)
			}
			if made := len(s.Jobs()) > before; made != form.done {
				t.Errorf("the job was made: %t, want %t", made, form.done)
			}
			checkForm(t, form, got, err)
			if again, err := c.try("POST", base+"/queries", body); err != nil || again.status != 200 {
				t.Errorf("a second try: %d, %v", again.status, err)
			}
			if n := len(s.Jobs()) - before; n != 1 {
				t.Errorf("%d jobs after the second try, want 1", n)
			}
			if f := s.Faults()[0]; f.Seen != 2 || f.Struck != 1 {
				t.Errorf("seen %d and struck %d requests, want 2 and 1", f.Seen, f.Struck)
			}
		})
	}
}

func checkForm(t *testing.T, form form, got reply, err error) {
	t.Helper()
	if broken := form.kind == "drop" || form.kind == "half"; broken != (err != nil) {
		t.Fatalf("the answer's end: %v", err)
	}
	contentType, _, _ := strings.Cut(got.header.Get("Content-Type"), ";")
	switch form.kind {
	case "json":
		if e, ok := got.tree(t)["error"].(map[string]any); got.status != form.status || !ok || e["code"] != float64(form.status) {
			t.Errorf("%d %s", got.status, got.body)
		}
	case "html":
		if got.status != form.status || contentType != "text/html" || !strings.Contains(string(got.body), itoa(form.status)+" (") {
			t.Errorf("%d %s %s", got.status, contentType, got.body)
		}
	case "html-empty", "json-empty":
		want := map[string]string{"html-empty": "text/html", "json-empty": "application/json"}[form.kind]
		if got.status != form.status || contentType != want || len(got.body) != 0 {
			t.Errorf("%d %s %s", got.status, contentType, got.body)
		}
	case "empty":
		if got.status != 200 || len(got.body) != 0 {
			t.Errorf("%d %s", got.status, got.body)
		}
	case "half":
		if got.status != 200 || len(got.body) == 0 || json.Valid(got.body) {
			t.Errorf("%d %s", got.status, got.body)
		}
	case "repeated":
		half := len(got.body) / 2
		if got.status != 200 || !json.Valid(got.body[:half]) || string(got.body[:half]) != string(got.body[half:]) {
			t.Errorf("%d %s", got.status, got.body)
		}
	case "slow", "trickle", "replayed":
		if got.status != 200 || !got.tree(t)["jobComplete"].(bool) {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
}

// A fault strikes by method, by account, by text, at its turn and as often as it says.
func TestWhomFaultsStrike(t *testing.T) {
	s := start(t)
	r, i := as(t, s, reader), as(t, s, inspect)
	r.insert("struck", "SELECT 1 AS x", false)
	for name, test := range map[string]struct {
		fault Fault
		want  string // statuses of: jobs.get ×3 by the inspection account, jobs.get by the owner, a dry run, an insert
	}{
		"once":           {Fault{Name: "503-json", Method: "jobs.get"}, "503 200 200 200 200 200"},
		"the second":     {Fault{Name: "404-json", Method: "jobs.get", Nth: 2}, "200 404 200 200 200 200"},
		"twice":          {Fault{Name: "502-html", Method: "jobs.get", Times: 2}, "502 502 200 200 200 200"},
		"always":         {Fault{Name: "500-html-empty", Method: "jobs.get", Times: -1}, "500 500 500 500 200 200"},
		"an account":     {Fault{Name: "503-json-empty", Method: "jobs.get", Account: reader}, "200 200 200 503 200 200"},
		"a dry run":      {Fault{Name: "429-json", Method: "dryRun"}, "200 200 200 200 429 200"},
		"no dry run":     {Fault{Name: "504-json", Method: "jobs.insert"}, "200 200 200 200 200 504"},
		"a text":         {Fault{Name: "413-html", Contains: "SELECT 1 AS dry"}, "200 200 200 200 413 200"},
		"another text":   {Fault{Name: "413-html", Contains: "SELECT 2 AS nothing", Times: -1}, "200 200 200 200 200 200"},
		"any request":    {Fault{Name: "400-html", Times: -1}, "400 400 400 400 400 400"},
		"another method": {Fault{Name: "403-html", Method: "jobs.getQueryResults", Times: -1}, "200 200 200 200 200 200"},
	} {
		t.Run(name, func(t *testing.T) {
			s.Disarm(0)
			arm(t, s, test.fault)
			var got []string
			for range 3 {
				got = append(got, itoa(i.do("GET", base+"/jobs/struck", nil).status))
			}
			got = append(got, itoa(r.do("GET", base+"/jobs/struck", nil).status),
				itoa(i.insert("", "SELECT 1 AS dry", true).status), itoa(r.insert("", "SELECT 1 AS run", false).status))
			if strings.Join(got, " ") != test.want {
				t.Errorf("%s, want %s", strings.Join(got, " "), test.want)
			}
		})
	}
	s.Disarm(0)
	for name, f := range map[string]Fault{
		"no name": {}, "no such name": {Name: "418"}, "half is done already": {Name: "done-half"},
		"no such method": {Name: "half", Method: "jobs.got"},
		"counted here":   {Name: "half", Struck: 1}, "before the first": {Name: "half", Nth: -1},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := s.Arm(f); err == nil {
				t.Errorf("%s: armed", name)
			}
		})
	}
}

// Two faults for one method strike one after the other, and one that is disarmed strikes no more.
// The recorder says what a request met.
func TestFaultsInARow(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	c.insert("row", "SELECT 1 AS x", false)
	arm(t, s, Fault{Name: "503-json", Method: "jobs.get"})
	arm(t, s, Fault{Name: "404-json", Method: "jobs.get"})
	arm(t, s, Fault{Name: "empty", Method: "jobs.cancel"})
	s.Disarm(arm(t, s, Fault{Name: "429-json", Method: "jobs.get", Times: -1}))
	s.ResetRequests()
	for _, want := range []int{503, 404, 200} {
		if got := c.do("GET", base+"/jobs/row", nil); got.status != want {
			t.Errorf("status %d, want %d", got.status, want)
		}
	}
	if got := c.do("POST", base+"/jobs/row/cancel", nil); got.status != 200 || len(got.body) != 0 {
		t.Errorf("jobs.cancel: %d %s", got.status, got.body)
	}
	var met []string
	for _, r := range s.Requests() {
		met = append(met, r.Fault)
	}
	if got := strings.Join(met, ","); got != "503-json,404-json,,empty" {
		t.Errorf("the recorder says %s", got)
	}
}

// A slow answer waits, and a client that does not wait so long is let go.
func TestSlowAnswersWait(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	for _, name := range []string{"slow", "trickle"} {
		arm(t, s, Fault{Name: name, Method: "projects.list", DelayMs: 60_000})
		c.http.Timeout = 200 * time.Millisecond
		_, err := c.try("GET", "/bigquery/v2/projects", "")
		var timeout interface{ Timeout() bool }
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%s: %v, want a timeout", name, err)
		}
	}
}

// A process of its own arms faults and looks at jobs through the control endpoint.
func TestFaultsByControl(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	control := func(method, path, body string) string {
		t.Helper()
		req, err := http.NewRequest(method, s.ControlURL()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got := control("POST", "/_fake/faults", `{"name":"done-502-html","method":"jobs.query","account":"`+reader+`"}`); got != `{"id":1}` {
		t.Fatalf("arm: %s", got)
	}
	if got := control("POST", "/_fake/faults", `{"name":"500"}`); !strings.Contains(got, "no fault is called") {
		t.Errorf("a name that is none: %s", got)
	}
	if got := c.query("SELECT 1 AS x", nil); got.status != 502 {
		t.Errorf("status %d, want 502", got.status)
	}
	if got := control("GET", "/_fake/faults", ""); !strings.Contains(got, `"seen":1,"struck":1`) {
		t.Errorf("armed: %s", got)
	}
	if got := control("GET", "/_fake/jobs", ""); !strings.Contains(got, `"sql":"SELECT 1 AS x"`) {
		t.Errorf("jobs: %s", got)
	}
	control("DELETE", "/_fake/faults?id=1", "")
	if got := s.Faults(); len(got) != 0 {
		t.Errorf("still armed: %v", got)
	}
}
