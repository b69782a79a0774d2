package extproc

import (
	"context"
	"errors"
	"strings"
	"testing"

	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/verdict"
)

// A cancelled job's error can hold a value. It is shown to whom the result may be shown, and a bare
// answer shows nothing of the job at all, whatever BigQuery answers.
func TestWhatACancelShows(t *testing.T) {
	const words = "Bad int64 value: " + secret
	job := func(state, failed string) string {
		return `{"kind":"bigquery#jobCancelResponse","job":{"kind":"bigquery#job","jobReference":{"projectId":"demo","jobId":"j1",` +
			`"location":"US"},` +
			`"configuration":{"jobType":"QUERY","labels":{"bqgate_decision":"d-0"},"query":{"query":"SELECT 1","useLegacySql":false,` +
			`"destinationTable":{"projectId":"demo","datasetId":"_anon","tableId":"t7"}}},` +
			`"statistics":{"creationTime":"1","startTime":"2","endTime":"3","query":{"statementType":"SELECT",` +
			`"totalBytesProcessed":"77"}},` +
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
			true, true, "200", job("DONE", failed), []string{`"stopped"`, "the job was cancelled", "SELECT mine"},
			[]string{secret, "invalidQuery", "_anon", "t7", "77", "10485760"},
		},
		"bare, done":    {true, true, "200", job("DONE", ""), []string{`"stopped"`}, []string{"_anon", "10485760", "SELECT 1"}},
		"bare, running": {true, true, "200", job("RUNNING", ""), []string{`"stopped"`}, []string{"RUNNING", "_anon"}},
		"bare, an error of BigQuery": {true, true, "400",
			`{"error":{"code":400,"message":"` + words + `","errors":[{"reason":"invalid","message":"` + words + `"}]}}`,
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

// An answer to jobs.cancel may be a status without a body. The client gets a whole one, whatever
// the headers say of a body that is not there; a body that is there is still read, or withheld.
func TestACancelThatIsAnsweredWithoutABody(t *testing.T) {
	ref := bigquery.JobReference{ProjectID: "demo", JobID: "j1", Location: "US"}
	running := bigquery.Job{Reference: ref, Labels: map[string]string{jobs.Label: "d-0"}, SQL: "SELECT 1", State: "RUNNING",
		StatementType: "SELECT"}
	stopped := running
	stopped.State, stopped.Error = "DONE", &bigquery.JobError{Reason: "stopped", Message: "Job execution was cancelled: " + secret}
	foreign := running
	foreign.Labels = nil
	json := []string{"content-type", "application/json; charset=UTF-8", "content-length", "0"}
	for name, c := range map[string]struct {
		status  string
		headers []string
		body    []*procv3.ProcessingRequest // none: the headers end the answer
		known   func() (bigquery.Job, error)
		bare    bool
		code    int
		shows   []string
	}{
		"no body": {"200", json, nil, found(running), false, 200,
			[]string{`"bigquery#jobCancelResponse"`, `"RUNNING"`, "SELECT mine", `"j1"`}},
		"a job that ended": {"200", json, nil, found(stopped), false, 200,
			[]string{`"DONE"`, `"stopped"`, "ran longer than its jobTimeoutMs"}},
		"no type":          {"200", nil, nil, found(running), false, 200, []string{`"RUNNING"`}},
		"the type of HTML": {"200", []string{"content-type", "text/html"}, nil, found(running), false, 200, []string{`"RUNNING"`}},
		"204":              {"204", nil, nil, found(running), false, 200, []string{`"RUNNING"`}},
		"an empty piece": {"200", json, []*procv3.ProcessingRequest{responseBodyOf("", true)}, found(running), false, 200,
			[]string{`"RUNNING"`}},
		"white space": {"200", json, []*procv3.ProcessingRequest{responseBodyOf(" \n", false), responseBodyOf("", true)},
			found(running), false, 200, []string{`"RUNNING"`}},
		"bare":                 {"200", nil, nil, found(stopped), true, 200, []string{`"stopped"`, "the job was cancelled"}},
		"the job is not told":  {"200", nil, nil, lost, false, 200, []string{`"bigquery#jobCancelResponse"`, `"RUNNING"`, `"j1"`}},
		"the job is another's": {"200", nil, nil, found(foreign), false, 403, []string{`"accessDenied"`}},
		"HTML where JSON is": {"200", []string{"content-type", "text/html"},
			[]*procv3.ProcessingRequest{responseBodyOf("<html>"+secret, true)}, found(running), false, 503, nil},
		"gzip where nothing is": {"200", []string{"content-encoding", "gzip"}, nil, found(running), false, 200, []string{`"RUNNING"`}},
		"gzip": {"200", []string{"content-encoding", "gzip", "content-type", "application/json"},
			[]*procv3.ProcessingRequest{responseBodyOf(secret, true)}, found(running), false, 503, nil},
	} {
		t.Run(name, func(t *testing.T) {
			j := &journal{}
			s := newService(t, j)
			s.Upstream = asked(c.known)
			first := request(t, s, func(f *verdict.Forward) {
				f.Method, f.Bare, f.Plan = bigquery.MethodCancel, c.bare, masking.Plan{Sensitive: true}
				f.Record.Query, f.Record.SQLDigest = bigquery.QueryRequest{SQL: "SELECT mine"}, jobs.Digest("SELECT 1")
			})
			answer := responseHeadersOf("via_upstream", c.status)
			answer.GetResponseHeaders().Headers = headers(append([]string{":status", c.status}, c.headers...)...)
			answer.GetResponseHeaders().EndOfStream = c.body == nil
			sent, _ := run(t, s, c.code == 200, append([]*procv3.ProcessingRequest{first, answer}, c.body...)...)
			body := got(sent)
			if code := int(sent[len(sent)-1].GetImmediateResponse().GetStatus().GetCode()); code != c.code {
				t.Errorf("status %d, want %d: %s", code, c.code, body)
			}
			for _, want := range c.shows {
				if !strings.Contains(body, want) {
					t.Errorf("the client does not get %q: %s", want, body)
				}
			}
			if leaked(sent) {
				t.Errorf("a raw value passed: %s", body)
			}
			if frame, ok := j.Records()[0].(audit.Frame); c.code == 200 && (!ok || string(frame.Bytes) != body) {
				t.Errorf("the journal has %v, the client %s", j.Records()[0], body)
			}
		})
	}
}

type asked func() (bigquery.Job, error)

func (a asked) GetJob(context.Context, durable.Facts, bigquery.JobReference) (bigquery.Job, error) {
	return a()
}

func found(j bigquery.Job) func() (bigquery.Job, error) {
	return func() (bigquery.Job, error) { return j, nil }
}

func lost() (bigquery.Job, error) { return bigquery.Job{}, errors.New("connection reset") }
