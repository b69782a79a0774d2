package fakegoogle

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/auth/credentials"
)

// realProject is the environment variable that names a Google Cloud project in which the developer
// may run queries: bigquery.jobs.create is enough. Application default credentials say who that is.
// What runs there reads, and bills nothing: literals, dry runs, and lists of a public table's rows.
const realProject = "BQGATE_REAL_PROJECT"

// upstreamAPI is BigQuery, or the stand-in for it.
type upstreamAPI struct {
	t       testing.TB
	name    string
	project string
	send    func(*http.Request) (*http.Response, error)
	base    string
	jobs    string // begins the ids of the jobs that are made
}

// do makes a request; PROJECT and JOBS in the path and in texts of the body stand for the project
// and for the beginning of job ids.
func (a *upstreamAPI) do(method, path string, body any) reply {
	a.t.Helper()
	fill := strings.NewReplacer("PROJECT", a.project, "JOBS", a.jobs)
	var text []byte
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			a.t.Fatal(err)
		}
		text = []byte(fill.Replace(string(raw)))
	}
	req, err := http.NewRequest(method, a.base+"/bigquery/v2"+fill.Replace(path), bytes.NewReader(text))
	if err != nil {
		a.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := a.send(req)
	if err != nil {
		a.t.Fatalf("%s: %v", a.name, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatalf("%s: %v", a.name, err)
	}
	return reply{resp.StatusCode, resp.Header, raw}
}

// query runs a statement by jobs.query and waits for it.
func (a *upstreamAPI) query(sql string, more map[string]any) reply {
	a.t.Helper()
	body := map[string]any{"query": sql, "useLegacySql": false, "timeoutMs": 60000}
	for k, v := range more {
		body[k] = v
	}
	return a.do("POST", "/projects/PROJECT/queries", body)
}

// dry is a dry run by jobs.insert.
func (a *upstreamAPI) dry(sql string) reply {
	a.t.Helper()
	return a.do("POST", "/projects/PROJECT/jobs", map[string]any{
		"configuration": map[string]any{"dryRun": true, "query": map[string]any{"query": sql, "useLegacySql": false}},
	})
}

// standIn is the stand-in with some of Google's public tables.
func standIn(t testing.TB) *upstreamAPI {
	s := start(t, func(o *Options) { o.Project, o.Seeds = "conformance", nil })
	var years strings.Builder
	for year := 1929; year < 1989; year++ {
		fmt.Fprintf(&years, "CREATE TABLE `bigquery-public-data`.noaa_gsod.gsod%d (stn STRING);", year)
	}
	if err := s.Seed(t.Context(),
		"CREATE SCHEMA `bigquery-public-data`.noaa_gsod;"+years.String()+"CREATE SCHEMA `bigquery-public-data`.samples;"+
			"CREATE TABLE `bigquery-public-data`.samples.shakespeare (word STRING NOT NULL, word_count INT64 NOT NULL, corpus STRING NOT "+
			"NULL, corpus_date INT64 NOT NULL);"+
			"INSERT INTO `bigquery-public-data`.samples.shakespeare VALUES ('LVII', 1, 'sonnets', 0), ('augurs', 1, 'sonnets', 0), "+
			"(\"dimm'd\", 1, 'sonnets', 0);"); err != nil {
		t.Fatal(err)
	}
	c := as(t, s, all)
	return &upstreamAPI{t: t, name: "the stand-in", project: "conformance", base: s.BigQueryURL(), jobs: "bqgate_conformance_",
		send: func(r *http.Request) (*http.Response, error) {
			r.Header.Set("Authorization", "Bearer "+c.token)
			return c.http.Do(r)
		}}
}

// google is the real BigQuery, or nil where no project was given.
func google(t testing.TB) *upstreamAPI {
	project := os.Getenv(realProject)
	if project == "" {
		return nil
	}
	creds, err := credentials.DetectDefault(&credentials.DetectOptions{Scopes: []string{ScopeBigQuery}})
	if err != nil {
		t.Fatalf("%s is set, and there are no application default credentials: %v", realProject, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := creds.Token(ctx); err != nil { // once, before every case waits for it
		t.Fatalf("%s is set, and the application default credentials give no token: %v", realProject, err)
	}
	client := &http.Client{Timeout: 2 * time.Minute}
	return &upstreamAPI{t: t, name: "Google", project: project, base: "https://bigquery.googleapis.com",
		jobs: "bqgate_conformance_" + newJobID()[4:12] + "_",
		send: func(r *http.Request) (*http.Response, error) {
			token, err := creds.Token(r.Context())
			if err != nil {
				return nil, err
			}
			r.Header.Set("Authorization", "Bearer "+token.Value)
			return client.Do(r)
		}}
}
