package extproc

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/verdict"
)

// got is the body that the client gets.
func got(sent []*procv3.ProcessingResponse) string {
	var b strings.Builder
	for _, r := range sent {
		b.Write(r.GetResponseBody().GetResponse().GetBodyMutation().GetStreamedResponse().GetBody())
		b.Write(r.GetImmediateResponse().GetBody())
	}
	return b.String()
}

// What leaves is the query that was decided on, byte for byte, and nothing of the client's.
func TestTheQueryIsWrittenAsItWasDecidedOn(t *testing.T) {
	for name, query := range map[string]string{
		"plain": "alt=json&prettyPrint=false", "padding": "pageToken=BEGX%3D%3D%3D", "slash": "pageToken=a%2Fb", "colon": "pageToken=a%3Ab",
		"tilde": "pageToken=a~b",
		"plus":  "pageToken=a%2Bb", "percent": "pageToken=a%2525", "dotted name": "formatOptions.useInt64Timestamp=true",
		"raw padding": "pageToken=a==",
		"ampersand":   "pageToken=a%26alt%3Dproto", "none": "",
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, &journal{})
			first := request(t, s, func(f *verdict.Forward) { f.Query = query })
			for _, h := range first.GetRequestHeaders().Headers.Headers {
				if h.Key == ":path" {
					h.RawValue = append(h.RawValue, "?fields=rows&pageToken=theirs"...)
				}
			}
			sent, _ := run(t, s, false, first)
			set := sent[0].GetRequestHeaders().GetResponse().GetHeaderMutation().GetSetHeaders()
			want := strings.TrimSuffix("/bigquery/v2/projects/demo/queries/j1?"+query, "?")
			if len(set) != 1 || set[0].Header.Key != ":path" || string(set[0].Header.RawValue) != want {
				t.Errorf("set %v, want :path %s", set, want)
			}
		})
	}
}

// Rows of a job that is not complete leave in no cut of the answer: no check can say yet what it
// read.
func TestRowsOfAnUnfinishedJob(t *testing.T) {
	const head = `{"jobReference":{"projectId":"demo","jobId":"j1","location":"US"},`
	const rows = `"rows":[{"f":[{"v":"` + secret + `"}]}]`
	for name, pieces := range map[string][]string{
		"in one piece":                {head + `"jobComplete":false,` + rows + `}`},
		"a later piece":               {head + `"jobComplete":false`, `,` + rows + `}`},
		"a piece after the head":      {head, `"jobComplete":false,`, rows, `}`},
		"rows before the word":        {head, rows, `,"jobComplete":false}`},
		"rows before the job":         {`{` + rows + `,"jobComplete":false,`, head[1 : len(head)-1], `}`},
		"the word before the job":     {`{"jobComplete":false,`, head[1:], rows, `}`},
		"half a row":                  {head + `"jobComplete":false,"rows":[{"f":[{"v":"123-45`, `-6789"}`, `]}]}`},
		"the total alone":             {head + `"jobComplete":false,"totalRows":"7"}`},
		"a page token between":        {head + `"jobComplete":false,"pageToken":"B==",`, rows + `}`},
		"byte by byte":                strings.Split(head+`"jobComplete":false,`+rows+`}`, ""),
		"a second row in a third":     {head + `"jobComplete":false,`, `"rows":[`, `{"f":[{"v":"a"}]},{"f":[{"v":"` + secret + `"}]}]}`},
		"complete by the answer only": {head + `"jobComplete":true,`, rows + `}`},
	} {
		t.Run(name, func(t *testing.T) {
			j := &journal{}
			s := newService(t, j)
			s.Upstream = upstream{bigquery.Job{Reference: bigquery.JobReference{ProjectID: "demo", JobID: "j1"}, State: "RUNNING"}}
			messages := []*procv3.ProcessingRequest{request(t, s, func(f *verdict.Forward) { f.Verified = false }),
				responseHeadersOf("via_upstream", "200")}
			for i, p := range pieces {
				messages = append(messages, responseBodyOf(p, i == len(pieces)-1))
			}
			sent, _ := run(t, s, false, messages...)
			body := got(sent)
			if strings.Contains(body, "rows\"") || strings.Contains(body, "6789") || strings.Contains(body, "totalRows") || leaked(sent) {
				t.Errorf("the client gets %s", body)
			}
			if !strings.Contains(body, `"error"`) {
				t.Errorf("no error: %s", body)
			}
		})
	}
	t.Run("without rows it passes", func(t *testing.T) {
		s := newService(t, &journal{})
		sent, err := run(t, s, true, request(t, s, func(f *verdict.Forward) { f.Verified = false }),
			responseHeadersOf("via_upstream", "200"),
			responseBodyOf(head, false), responseBodyOf(`"jobComplete":false}`, true))
		if body := got(sent); err != nil || !strings.Contains(body, `"jobComplete":false`) || strings.Contains(body, `"error"`) {
			t.Errorf("%v: %s", err, body)
		}
	})
}

// A page token leaves sealed, for this job, reader and method, wherever in the answer it stands.
func TestPageTokensAreSealed(t *testing.T) {
	const token = "BEGXTEE3PMAQAAASA4EAAEEAQCAAKGQEBBSBAZBAWCXBK==="
	record := jobs.Record{Job: bigquery.JobReference{ProjectID: "demo", JobID: "j1", Location: "US"}, Owner: "o"}
	const job = `"jobReference":{"projectId":"demo","jobId":"j1","location":"US"},"jobComplete":true,"totalRows":"2"`
	const rows = `"rows":[{"f":[{"v":"123-45-6789"}]}]`
	const next = `"pageToken":"` + token + `"`
	for name, c := range map[string]struct {
		method bigquery.Method
		fields string
		body   string
		opens  []bigquery.Method
	}{
		"getQueryResults": {
			bigquery.MethodGetQueryResults, "", `{` + job + `,` + next + `,` + rows + `}`,
			[]bigquery.Method{bigquery.MethodGetQueryResults},
		},
		"behind the rows": {
			bigquery.MethodGetQueryResults, "", `{` + job + `,` + rows + `,` + next + `}`,
			[]bigquery.Method{bigquery.MethodGetQueryResults},
		},
		"before the job": {
			bigquery.MethodGetQueryResults, "", `{` + next + `,` + job + `,` + rows + `}`,
			[]bigquery.Method{bigquery.MethodGetQueryResults},
		},
		"escaped": {
			bigquery.MethodGetQueryResults, "", `{` + job + `,"pageToken":"` + strings.Replace(token, "B", `\u0042`, 1) + `",` + rows + `}`,
			[]bigquery.Method{bigquery.MethodGetQueryResults},
		},
		"by fields": {
			bigquery.MethodGetQueryResults, "rows,pageToken", `{` + job + `,` + next + `,` + rows + `}`,
			[]bigquery.Method{bigquery.MethodGetQueryResults},
		},
		"the table of a result": {
			bigquery.MethodListTableData, "", `{"totalRows":"2",` + next + `,` + rows + `}`,
			[]bigquery.Method{bigquery.MethodListTableData},
		},
		"jobs.query, which Java goes on from by its table": {
			bigquery.MethodQuery, "", `{` + job + `,` + next + `,` + rows + `}`,
			[]bigquery.Method{bigquery.MethodGetQueryResults, bigquery.MethodListTableData},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, &journal{})
			first := request(t, s, func(f *verdict.Forward) { f.Method, f.Fields, f.Record = c.method, c.fields, record })
			sent, err := run(t, s, true, first, responseHeadersOf("via_upstream", "200"), responseBodyOf(c.body, true))
			var answer struct{ PageToken string }
			if jerr := json.Unmarshal([]byte(got(sent)), &answer); err != nil || jerr != nil || answer.PageToken == "" {
				t.Fatalf("%v, %v: %s", err, jerr, got(sent))
			}
			if strings.Contains(got(sent), token) || strings.ContainsAny(answer.PageToken, "=/+:~%") {
				t.Errorf("the client gets %s", got(sent))
			}
			for _, method := range []bigquery.Method{bigquery.MethodQuery, bigquery.MethodGetQueryResults, bigquery.MethodListTableData,
				bigquery.MethodListJobs} {
				want := ""
				for _, m := range c.opens {
					if m == method {
						want = token
					}
				}
				if opened, err := record.OpenPageToken(s.Keys, method, answer.PageToken); opened != want || (err == nil) != (want != "") {
					t.Errorf("%s opens it to %q, %v; want %q", method, opened, err, want)
				}
			}
			for what, other := range map[string]jobs.Record{
				"another job":     {Job: bigquery.JobReference{ProjectID: "demo", JobID: "j2"}, Owner: "o"},
				"another project": {Job: bigquery.JobReference{ProjectID: "demo2", JobID: "j1"}, Owner: "o"},
				"another owner":   {Job: record.Job, Owner: "p"},
			} {
				t.Run(what, func(t *testing.T) {
					if opened, err := other.OpenPageToken(s.Keys, c.opens[0], answer.PageToken); err == nil {
						t.Errorf("%s opens it to %q", what, opened)
					}
				})
			}
		})
	}
	for name, text := range map[string]string{"a space": "a b", "a control character": `a\u0007`, "not ASCII": "ä",
		"4 KiB": strings.Repeat("B", 4096)} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, &journal{})
			first := request(t, s, func(f *verdict.Forward) { f.Method, f.Record = bigquery.MethodGetQueryResults, record })
			sent, err := run(t, s, true, first, responseHeadersOf("via_upstream", "200"),
				responseBodyOf(`{`+job+`,"pageToken":"`+text+`",`+rows+`}`, true))
			var answer, upstream struct{ PageToken string }
			jerr := errors.Join(json.Unmarshal([]byte(got(sent)), &answer), json.Unmarshal([]byte(`{"pageToken":"`+text+`"}`), &upstream))
			opened, oerr := record.OpenPageToken(s.Keys, bigquery.MethodGetQueryResults, answer.PageToken)
			if err != nil || jerr != nil || oerr != nil || opened != upstream.PageToken {
				t.Errorf("%v, %v, %v: opens %q, want %q", err, jerr, oerr, opened, upstream.PageToken)
			}
		})
	}
	for name, text := range map[string]string{"too long": strings.Repeat("B", 5000), "no text": `\ud800`} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, &journal{})
			sent, _ := run(t, s, false, request(t, s, nil), responseHeadersOf("via_upstream", "200"),
				responseBodyOf(`{`+job+`,"pageToken":"`+text+`",`+rows+`}`, true))
			if body := got(sent); strings.Contains(body, "6789") || !strings.Contains(body, `"error"`) {
				t.Errorf("passed: %s", body)
			}
		})
	}
	t.Run("no next page", func(t *testing.T) {
		s := newService(t, &journal{})
		sent, err := run(t, s, true, request(t, s, nil), responseHeadersOf("via_upstream", "200"),
			responseBodyOf(`{`+job+`,"pageToken":"",`+rows+`}`, true))
		if body := got(sent); err != nil || strings.Contains(body, "pageToken") || !strings.Contains(body, "6789") {
			t.Errorf("%v: %s", err, body)
		}
	})
}
