//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/bqgate/bqgate/e2e/fakegoogle"
	"github.com/bqgate/bqgate/internal/config"
)

// directly is BigQuery as somebody reaches it who needs no gateway.
type directly struct {
	d     *demo
	http  *http.Client
	token string
}

func (d *demo) directly(t *testing.T, account string) directly {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(d.dir, "bqgate.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var c config.Config
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(c.Upstream.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "bigquery.googleapis.com"}}
	body, err := json.Marshal(map[string]any{"account": account, "ttl_seconds": 600})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(d.Fake+"/_fake/token", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var minted struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&minted); err != nil {
		t.Fatal(err)
	}
	return directly{d, &http.Client{Transport: rewrite{transport, c.Upstream.Address}, Timeout: 20 * time.Second}, minted.Token}
}

// rewrite sends every request to one address.
type rewrite struct {
	http.RoundTripper
	address string
}

func (r rewrite) RoundTrip(q *http.Request) (*http.Response, error) {
	q = q.Clone(q.Context())
	q.Host, q.URL.Host = q.URL.Host, r.address
	return r.RoundTripper.RoundTrip(q)
}

func (b directly) insert(t *testing.T, body any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest("POST", "https://bigquery.googleapis.com/bigquery/v2/projects/"+b.d.Project+"/jobs?alt=json",
		bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("authorization", "Bearer "+b.token)
	r.Header.Set("content-type", "application/json")
	resp, err := b.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 {
		t.Fatalf("a job made directly: %d %s, %v", resp.StatusCode, answer, err)
	}
}

// A48: the agent's request did not reach BigQuery. Somebody who may make jobs there has its label,
// id and SQL, and makes the job, with something else in it. The agent's reads of the job, and its
// request sent again, show no row of it.
func TestAJobMadeDirectlyIsNotTheAgents(t *testing.T) {
	d := startDemo(t)
	runner := ""
	if a := d.query("agent", "SELECT 1"); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	for _, j := range d.ran(t) {
		runner = j.Account
	}
	c := newRetrying(d, "agent")
	for name, change := range map[string]func(configuration, query map[string]any){
		"": nil, // the job as the gateway would have made it
		"another default dataset": func(_, q map[string]any) {
			q["defaultDataset"] = map[string]string{"projectId": d.Project, "datasetId": "finance"}
		},
		"no limit of bytes": func(_, q map[string]any) { q["maximumBytesBilled"] = "99999999999" },
		"the cache":         func(_, q map[string]any) { q["useQueryCache"] = true },
		"parameters": func(_, q map[string]any) {
			q["parameterMode"], q["queryParameters"] = "NAMED",
				[]any{map[string]any{"name": "p", "parameterType": map[string]string{"type": "INT64"},
					"parameterValue": map[string]string{"value": "1"}}}
		},
		"a connection property": func(_, q map[string]any) {
			q["connectionProperties"] = []any{map[string]string{"key": "dataset_id", "value": "finance"}}
		},
		"a destination": func(_, q map[string]any) {
			q["destinationTable"] = map[string]string{"projectId": d.Project, "datasetId": "crm", "tableId": "planted"}
		},
		"a label more":  func(c, _ map[string]any) { c["labels"].(map[string]any)["team"] = "x" },
		"batch":         func(_, q map[string]any) { q["priority"] = "BATCH" },
		"another label": func(c, _ map[string]any) { c["labels"].(map[string]any)["bqgate_decision"] = "d-0" },
	} {
		t.Run(name, func(t *testing.T) {
			id := fmt.Sprintf("direct-%d", time.Now().UnixNano())
			sql := "SELECT id, ssn FROM crm.customers WHERE ssn IS NOT NULL ORDER BY id LIMIT 3 -- " + id
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			d.fake(t, "/_fake/faults", fakegoogle.Fault{Name: "503-html", Method: "jobs.insert", Contains: id, Times: -1})
			c.byInsert(ctx, sql, id)
			d.disarm(t)
			var body map[string]any
			for _, r := range d.arrived() {
				if r.Method == "POST" && bytes.Contains([]byte(r.Body), []byte(id)) {
					if err := json.Unmarshal([]byte(r.Body), &body); err != nil {
						t.Fatal(err)
					}
				}
			}
			if body == nil {
				t.Fatal("nothing of the request arrived")
			}
			configuration := body["configuration"].(map[string]any)
			if change != nil {
				change(configuration, configuration["query"].(map[string]any))
			}
			d.directly(t, runner).insert(t, body)
			for _, path := range []string{"/jobs/" + id, "/queries/" + id} {
				a, err := c.once(t.Context(), "GET", path, nil)
				if want := map[bool]int{true: 200, false: 403}[change == nil]; err != nil || a.Status != want {
					t.Errorf("GET %s: %d %s, %v; want %d", path, a.Status, a.Body, err, want)
				}
			}
			longer, stop := context.WithTimeout(t.Context(), patience)
			defer stop()
			if a, err := c.byInsert(longer, sql, id); err != nil || (a.Status == 200) != (change == nil) {
				t.Errorf("sent again: %d %s, %v", a.Status, a.Body, err)
			}
		})
	}
	c.keep()
	d.searchCanaries()
}
