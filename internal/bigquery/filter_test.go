package bigquery

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// canary marks what must never be seen behind a filter.
const canary = "CANARY-123-45-6789"

func upstreamJob(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("testdata/job.json")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestParseJob(t *testing.T) {
	j, err := ParseJob([]byte(upstreamJob(t)), false)
	if err != nil {
		t.Fatal(err)
	}
	if j.Reference != (JobReference{"demo", "j1", "US"}) || j.Labels[DecisionLabel] != "d-1" || j.State != "DONE" ||
		j.StatementType != "SELECT" ||
		len(j.ReferencedTables) != 1 || j.ReferencedTables[0].String() != "demo.crm.customers" || j.DestinationTable.Dataset != "_anon1" ||
		*j.TotalBytesProcessed != 4096 ||
		j.Created != 1795391325000 || j.Error == nil || j.Error.Reason != "invalidQuery" || !strings.HasPrefix(j.SQL, "SELECT name") ||
		len(j.ReferencedRoutines) != 1 {
		t.Errorf("%+v", j)
	}
	wrapped, err := ParseJob([]byte(`{"kind":"bigquery#jobCancelResponse","job":`+upstreamJob(t)+`}`), true)
	if err != nil || wrapped.Reference != j.Reference {
		t.Errorf("%+v, %v", wrapped, err)
	}
}

// An answer that is not the Job that is expected says nothing.
// filterJob is what ext_proc does with an answer of BigQuery's.
func filterJob(body []byte, v JobView) ([]byte, error) {
	j, err := ParseJob(body, v.Wrapped)
	if err != nil {
		return nil, err
	}
	return ShowJob(j, v)
}

func TestFilterJobRefuses(t *testing.T) {
	good := upstreamJob(t)
	replace := func(before, after string) string {
		if !strings.Contains(good, before) {
			t.Fatalf("testdata/job.json lacks %s", before)
		}
		return strings.Replace(good, before, after, 1)
	}
	for name, body := range map[string]string{
		"empty":         ``,
		"null":          `null`,
		"error":         `{"error":{"code":403}}`,
		"rows":          `{"rows":[{"f":[{"v":"` + canary + `"}]}]}`,
		"duplicate key": replace(`"kind": "bigquery#job",`, `"kind": "bigquery#job", "kind": "bigquery#job",`),
		"trailing":      good + `{}`,
		"other kind":    replace(`bigquery#job`, `bigquery#table`),
		"other state":   replace(`"state": "DONE"`, `"state": "`+canary+`"`),
		"bad job id":    replace(`"jobId": "j1"`, `"jobId": "../`+canary+`"`),
		"bad location":  replace(`"location": "US"`, `"location": "`+canary+` 1"`),
		"bad project":   replace(`"projectId": "demo"`, `"projectId": "Demo"`),
		"load": replace(`"query": {
      "query"`, `"load": {
      "query"`),
		"legacy":           replace(`"useLegacySql": false`, `"useLegacySql": true`),
		"bytes as a float": replace(`"totalBytesProcessed": "4096"`, `"totalBytesProcessed": 1.5`),
		"table name":       replace(`"tableId": "anon2"`, `"tableId": "a b"`),
		"labels as list":   replace(`"labels": {`, `"labels": [], "x": {`),
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := filterJob([]byte(body), JobView{SQL: "SELECT 1"}); err == nil {
				t.Errorf("%s: %s", name, out)
			}
		})
	}
	if out, err := filterJob([]byte(good), JobView{Wrapped: true}); err == nil {
		t.Errorf("not wrapped: %s", out)
	}
}

func TestFilterJob(t *testing.T) {
	view := JobView{SQL: "SELECT name FROM crm.customers", Labels: map[string]string{"team": "x", "bqgate_decision": "d-1"},
		UserEmail: "agent@example.com", Sensitive: true}
	out, err := filterJob([]byte(upstreamJob(t)), view)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"kind":"bigquery#job","id":"demo:US.j1",` +
		`"selfLink":"https://bigquery.googleapis.com/bigquery/v2/projects/demo/jobs/j1?location=US",` +
		`"user_email":"agent@example.com",` +
		`"jobReference":{"projectId":"demo","jobId":"j1","location":"US"},"configuration":{"jobType":"QUERY","labels":{"team":"x"},` +
		`"query":{"query":"SELECT name FROM crm.customers",` +
		`"useLegacySql":false,"priority":"INTERACTIVE","destinationTable":{"projectId":"demo","datasetId":"_anon1","tableId":"anon2"}}},` +
		`"statistics":{"creationTime":"1795391325000","startTime":"1795391325100","endTime":"1795391326000",` +
		`"totalBytesProcessed":"10485760",` +
		`"query":{"statementType":"SELECT","totalBytesProcessed":"10485760","cacheHit":false}},` +
		`"status":{"state":"DONE","errorResult":{"reason":"invalidQuery","message":"` + SensitiveErrorText +
		`"},"errors":[{"reason":"invalidQuery","message":"` + SensitiveErrorText + `"}]}}`
	if string(out) != want {
		t.Errorf("got  %s\nwant %s", out, want)
	}
	if strings.Contains(string(out), canary) {
		t.Error("a value passed")
	}
	view.Sensitive, view.Wrapped = false, true
	out, err = filterJob([]byte(`{"kind":"bigquery#jobCancelResponse","job":`+upstreamJob(t)+`,"x":"`+canary+`"}`), view)
	if err != nil || !strings.HasPrefix(string(out), `{"kind":"bigquery#jobCancelResponse","job":{"kind":"bigquery#job"`) {
		t.Fatalf("%s, %v", out, err)
	}
	// What is shown of an error that touches nothing sensitive is its message, in errorResult and
	// errors; nothing else of the upstream job is.
	if n := strings.Count(string(out), canary); n != 2 {
		t.Errorf("the upstream's text appears %d times, want 2: %s", n, out)
	}
}

// Every byte count of a job, and every text that holds one, is as coarse as that of a dry run.
func TestJobsTellRoundedBytes(t *testing.T) {
	const job = `{"kind":"bigquery#job","jobReference":{"projectId":"demo","jobId":"j1","location":"US"},` +
		`"configuration":{"query":{"query":"SELECT 1","useLegacySql":false}},` +
		`"statistics":{"totalBytesProcessed":"12345678","query":{"statementType":"SELECT","totalBytesProcessed":"12345678",` +
		`"totalBytesBilled":"13631488","estimatedBytesProcessed":"12345678",` +
		`"queryPlan":[{"recordsRead":"7","shuffleOutputBytes":"12345678"}],"timeline":[{"totalSlotMs":"9"}]}},` +
		`"status":{"state":"DONE","errorResult":{"reason":"bytesBilledLimitExceeded","message":"Query exceeded limit for bytes billed: ` +
		`1. 13631488 or higher required."}}}`
	for name, body := range map[string]string{"get": job, "as a number": strings.ReplaceAll(job, `"12345678"`, `12345678`),
		"cancel": `{"kind":"bigquery#jobCancelResponse","job":` + job + `}`} {
		t.Run(name, func(t *testing.T) {
			out, err := filterJob([]byte(body), JobView{SQL: "SELECT 1", Wrapped: name == "cancel", Cap: BytesCap{20 << 20, CapPolicy}})
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(out), `"totalBytesProcessed":"20971520"`); n != 2 ||
				!strings.Contains(string(out), "20 MiB, the max_bytes") {
				t.Errorf("%d of 2 figures are rounded: %s", n, out)
			}
			for _, exact := range []string{"12345678", "13631488", "shuffleOutputBytes", "recordsRead", "totalSlotMs"} {
				t.Run(exact, func(t *testing.T) {
					if strings.Contains(string(out), exact) {
						t.Errorf("%s is told: %s", exact, out)
					}
				})
			}
		})
	}
}

func TestFilterError(t *testing.T) {
	full := `{"error":{"code":400,"message":"Bad int64 value: ` + canary + `","errors":[{"message":"` + canary +
		`","domain":"global","reason":"invalidQuery","location":"` + canary + `","debugInfo":"` + canary + `"}],` +
		`"status":"INVALID_ARGUMENT","details":[{"@type":"x","detail":"` + canary + `"}]}}`
	billed := `{"error":{"code":400,"message":"Query exceeded limit for bytes billed: 20971520. 34603008 or higher ` +
		`required.","errors":[{"reason":"bytesBilledLimitExceeded"}]}}`
	noCap := BytesCap{}.words()
	for name, c := range map[string]struct {
		status          int
		body            string
		sensitive       bool
		code            int
		reason, message string
	}{
		"sensitive":          {400, full, true, 400, "invalidQuery", SensitiveErrorText},
		"clear":              {400, full, false, 400, "invalidQuery", "Bad int64 value: " + canary},
		"bytes billed":       {400, billed, false, 400, "bytesBilledLimitExceeded", noCap},
		"bytes in a text":    {400, strings.Replace(billed, "bytesBilledLimitExceeded", "invalid", 1), false, 400, "invalid", noCap},
		"bytes and secret":   {400, billed, true, 400, "bytesBilledLimitExceeded", noCap},
		"unknown reason":     {403, `{"error":{"message":"m","errors":[{"reason":"` + canary + `"}]}}`, false, 403, "accessDenied", "m"},
		"no entries":         {404, `{"error":{"message":"m"}}`, false, 404, "notFound", "m"},
		"html":               {502, `<html>` + canary, false, 502, "backendError", unreadableErrorText},
		"html and sensitive": {502, `<html>` + canary, true, 502, "backendError", "bqgate: " + reasonWords["backendError"] + hiddenWords},
		"duplicate keys":     {400, `{"error":{"message":"a","message":"` + canary + `"}}`, false, 400, "invalid", unreadableErrorText},
		"empty":              {500, ``, false, 500, "backendError", unreadableErrorText},
		"list":               {400, `[{"error":{"message":"` + canary + `"}}]`, false, 400, "invalid", unreadableErrorText},
		"wrong types":        {400, `{"error":"` + canary + `"}`, false, 400, "invalid", unreadableErrorText},
		"not an error":       {200, `{}`, false, 500, "backendError", unreadableErrorText},
		"gateway credential": {401, `{"error":{"message":"` + canary + `","errors":[{"reason":"authError"}]}}`, false, 401, "authError",
			"bqgate: BigQuery did not accept the gateway's credential; ask an operator"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out := FilterError(c.status, []byte(c.body), ErrorView{Sensitive: c.sensitive})
			var got errorBody
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if code != c.code || got.Error.Code != c.code || got.Error.Message != c.message || len(got.Error.Errors) != 1 ||
				got.Error.Errors[0].Reason != c.reason || got.Error.Status == "" {
				t.Errorf("%s: %d %s", name, code, out)
			}
			if strings.Contains(string(out), "debugInfo") || strings.Contains(string(out), "details") || name != "clear" &&
				strings.Contains(string(out), canary) {
				t.Errorf("%s: %s", name, out)
			}
		})
	}
	long, _ := json.Marshal(map[string]any{"error": map[string]string{"message": strings.Repeat("ü", 5000)}})
	if _, out := FilterError(400, long, ErrorView{}); len(out) > 9000 || !json.Valid(out) {
		t.Errorf("a long message became %d bytes", len(out))
	}
}

func TestReplies(t *testing.T) {
	h := HeldJob{
		Job: JobReference{"demo", "j1", "US"}, SQL: "SELECT '<1>'", Labels: map[string]string{"team": "x"},
		Created: time.UnixMilli(1795391325000), Ended: time.UnixMilli(1795391326000),
	}
	head := `{"kind":"bigquery#job","id":"demo:US.j1",` +
		`"selfLink":"https://bigquery.googleapis.com/bigquery/v2/projects/demo/jobs/j1?location=US",` +
		`"jobReference":{"projectId":"demo","jobId":"j1","location":"US"},` +
		`"configuration":{"jobType":"QUERY","labels":{"team":"x"},"query":{"query":"SELECT ` +
		`'<1>'","useLegacySql":false,"priority":"INTERACTIVE"}},"statistics":{"creationTime":"1795391325000"`
	ended := `,"startTime":"1795391325000","endTime":"1795391326000"},"status":{"state":"DONE","errorResult":{"reason":"%",` +
		`"message":"$"},"errors":[{"reason":"%","message":"$"}]}}`
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"query": {PendingQuery(h, MethodQuery),
			`{"kind":"bigquery#queryResponse","jobReference":{"projectId":"demo","jobId":"j1","location":"US"},"jobComplete":false}`},
		"results": {PendingQuery(h, MethodGetQueryResults),
			`{"kind":"bigquery#getQueryResultsResponse","jobReference":{"projectId":"demo","jobId":"j1","location":"US"},` +
				`"jobComplete":false}`},
		"job":    {PendingJob(h), head + `},"status":{"state":"PENDING"}}`},
		"failed": {FailedJob(h, "accessDenied", "no"), head + strings.NewReplacer("%", "accessDenied", "$", "no").Replace(ended)},
		"cancelled": {CancelledJob(h), `{"kind":"bigquery#jobCancelResponse","job":` + head +
			strings.NewReplacer("%", "stopped", "$", "bqgate: the request was cancelled while it waited for approval").Replace(ended) +
			`}`},
		"error": {ErrorBody(403, "accessDenied", "bqgate: <no>\n"),
			`{"error":{"code":403,"message":"bqgate: <no>\n","errors":[{"message":"bqgate: ` +
				`<no>\n","domain":"global","reason":"accessDenied"}],"status":"PERMISSION_DENIED"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			if string(c.got) != c.want {
				t.Errorf("%s:\ngot  %s\nwant %s", name, c.got, c.want)
			}
		})
	}
	// A held job reads as a job: the gateway's own parser takes what it gives to clients.
	for _, body := range [][]byte{PendingJob(h), FailedJob(h, "accessDenied", "no")} {
		if _, err := ParseJob(body, false); err != nil {
			t.Error(err)
		}
	}
	if _, err := ParseJob(CancelledJob(h), true); err != nil {
		t.Error(err)
	}
	if !strings.Contains(string(FailedJob(HeldJob{Job: h.Job, Created: h.Created}, "stopped", "x")), `"endTime":"1795391325000"`) {
		t.Error("a job that ended has no endTime")
	}
}

// FuzzFilterJob: what passes is made of the view's words, of ids, of numbers and of documented
// words.
func FuzzFilterJob(f *testing.F) {
	fixed := []string{SensitiveErrorText, BytesCap{}.words()}
	for _, words := range reasonWords {
		fixed = append(fixed, "bqgate: "+words+hiddenWords)
	}
	f.Add(upstreamJob(f), false)
	for _, form := range recordedForms(f, "jobs", 10) {
		f.Add(form.sections["body"], form.sections["wrapped"] != "")
	}
	f.Add(`{"job":{"jobReference":{"projectId":"p","jobId":"j"},"configuration":{"query":{"query":"x"}},"status":{"state":"DONE"}}}`, true)
	f.Fuzz(func(t *testing.T, body string, wrapped bool) {
		view := JobView{SQL: "SELECT 1", Labels: map[string]string{"team": "x"}, Sensitive: true, Wrapped: wrapped}
		out, err := filterJob([]byte(body), view)
		if err != nil {
			return
		}
		if _, err := oneValue(out); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		again, err := filterJob(out, view)
		if err != nil || string(again) != string(out) {
			t.Fatalf("filtered twice: %v\n%s\n%s", err, out, again)
		}
		var tree any
		if err := json.Unmarshal(out, &tree); err != nil {
			t.Fatal(err)
		}
		eachText(tree, func(s string) {
			known := s == "SELECT 1" || slices.Contains(fixed, s) ||
				strings.HasPrefix(s, "https://bigquery.googleapis.com/bigquery/v2/projects/")
			if !known && strings.ContainsFunc(s, func(r rune) bool {
				return r > '~' || r <= ' ' || strings.ContainsRune(`"'<>&;/\`, r)
			}) {
				t.Fatalf("%q passed: %s", s, out)
			}
		})
	})
}

func eachText(v any, f func(string)) {
	switch v := v.(type) {
	case string:
		f(v)
	case []any:
		for _, x := range v {
			eachText(x, f)
		}
	case map[string]any:
		for _, x := range v {
			eachText(x, f)
		}
	}
}
