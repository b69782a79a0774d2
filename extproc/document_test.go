package extproc

import (
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/verdict"
)

// A cancelled job's error can hold a value. It is shown to whom the result may be shown, and a bare
// answer shows nothing of the job at all, whatever BigQuery answers.
func TestWhatACancelShows(t *testing.T) {
	const words = "Bad int64 value: " + secret
	job := func(state, failed string) string {
		return `{"kind":"bigquery#jobCancelResponse","job":{"kind":"bigquery#job","jobReference":{"projectId":"demo","jobId":"j1","location":"US"},` +
			`"configuration":{"jobType":"QUERY","labels":{"bqgate_decision":"d-0"},"query":{"query":"SELECT 1","useLegacySql":false,` +
			`"destinationTable":{"projectId":"demo","datasetId":"_anon","tableId":"t7"}}},` +
			`"statistics":{"creationTime":"1","startTime":"2","endTime":"3","query":{"statementType":"SELECT","totalBytesProcessed":"77"}},` +
			`"status":{"state":"` + state + `"` + failed + `}}}`
	}
	failed := `,"errorResult":{"reason":"invalidQuery","message":"` + words + `"}`
	for name, c := range map[string]struct {
		bare, sensitive bool
		status, body    string
		shows, hides    []string
	}{
		"its reader's": {false, false, "200", job("DONE", failed), []string{words, "invalidQuery", "_anon"}, nil},
		"of a sensitive query": {
			false, true, "200", job("DONE", failed), []string{"Its own words are not shown", "invalidQuery"}, []string{secret},
		},
		"bare, failed": {
			true, true, "200", job("DONE", failed), []string{`"stopped"`, "the job was cancelled", "SELECT mine"}, []string{secret, "invalidQuery", "_anon", "t7", "77", "10485760"},
		},
		"bare, done":    {true, true, "200", job("DONE", ""), []string{`"stopped"`}, []string{"_anon", "10485760", "SELECT 1"}},
		"bare, running": {true, true, "200", job("RUNNING", ""), []string{`"stopped"`}, []string{"RUNNING", "_anon"}},
		"bare, an error of BigQuery": {true, true, "400", `{"error":{"code":400,"message":"` + words + `","errors":[{"reason":"invalid","message":"` + words + `"}]}}`,
			[]string{`"error"`, "Its own words are not shown"}, []string{secret}},
		"bare, another job's": {
			true, true, "200", strings.Replace(job("DONE", failed), `"j1"`, `"j2"`, 1), []string{`"error"`}, []string{secret, "j2"},
		},
		"bare, nonsense": {true, true, "200", `{"x":"` + secret + `"}`, []string{`"error"`}, []string{secret}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, &journal{})
			first := request(t, s, func(f *verdict.Forward) {
				f.Method, f.Bare, f.Plan = bigquery.MethodCancel, c.bare, masking.Plan{Sensitive: c.sensitive}
				f.Record.Query = bigquery.QueryRequest{SQL: "SELECT mine"}
				f.Record.SQLDigest = jobs.Digest("SELECT 1")
			})
			sent, _ := run(t, s, false, first, responseHeadersOf("via_upstream", c.status), responseBodyOf(c.body, true))
			body := got(sent)
			for _, want := range c.shows {
				if !strings.Contains(body, want) {
					t.Errorf("the client does not get %q: %s", want, body)
				}
			}
			for _, not := range c.hides {
				if strings.Contains(body, not) {
					t.Errorf("the client gets %q: %s", not, body)
				}
			}
		})
	}
}
