package extproc

import (
	"fmt"
	"strings"
	"testing"

	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/redistest"
	"github.com/bqgate/bqgate/internal/verdict"
)

// An answer that is whole, and not the one that was planned, is refused for good: BigQuery would
// answer the same, each time as a new job. What came broken may be asked for again.
func TestWhatIsDecidedIsNeverA5xx(t *testing.T) {
	const head = `{"jobReference":{"projectId":"demo","jobId":"j1","location":"US"},"jobComplete":true,"totalRows":"1",`
	row := func(cells string) string { return `"rows":[{"f":[` + cells + `]}]}` }
	const cell = `{"v":"` + secret + `"}`
	metadata := func(f *verdict.Forward) {
		f.Record.Reads.Metadata = []string{"demo.crm.INFORMATION_SCHEMA.COLUMNS"}
		f.Plan = masking.Plan{Metadata: true, Columns: []masking.Column{{Name: "table_name", Type: "STRING", Mask: masking.Clear}}}
	}
	get := func(f *verdict.Forward) { f.Method = bigquery.MethodGetJob }
	for name, c := range map[string]struct {
		change func(*verdict.Forward)
		body   string
		code   int
		words  string
	}{
		"another schema": {nil, head + `"schema":{"fields":[{"name":"id","type":"STRING"}]},` + row(cell), 403,
			"named in place of *"},
		"one cell more":           {nil, head + row(cell+","+cell), 403, "named in place of *"},
		"one cell less":           {nil, head + row(``), 403, "named in place of *"},
		"a record for a text":     {nil, head + row(`{"v":{"f":[`+cell+`]}}`), 403, "named in place of *"},
		"an array for a text":     {nil, head + row(`{"v":[`+cell+`]}`), 403, "named in place of *"},
		"a number for a text":     {nil, head + row(`{"v":5}`), 403, "named in place of *"},
		"a member beside a value": {nil, head + row(`{"v":"x","w":"`+secret+`"}`), 403, "named in place of *"},
		"a member beside a row":   {nil, head + `"rows":[{"f":[` + cell + `],"id":"` + secret + `"}]}`, 403, "named in place of *"},
		"rows that are no list":   {nil, head + `"rows":"` + secret + `"}`, 403, "named in place of *"},
		"not masked by BigQuery": {func(f *verdict.Forward) {
			f.Plan.Columns[0].Mask, f.Plan.Columns[0].Expect = masking.Clear, masking.SHA256
		}, head + row(cell), 403, "named in place of *"},
		"totalRows of words": {nil, strings.Replace(head, `"1"`, `"many"`, 1) + row(cell), 403, "named in place of *"},
		"a member too long": {nil, head + `"queryId":"` + strings.Repeat("x", 1<<20+1) + `",` + row(cell), 403,
			"named in place of *"},
		"no job":              {nil, `{"jobComplete":true,"totalRows":"1",` + row(cell), 403, "named in place of *"},
		"a page token before": {nil, `{"pageToken":"B==",` + head[1:] + row(cell), 200, ""},
		"too many rows": {func(f *verdict.Forward) { f.MaxRows = 1 }, strings.Replace(head, `"1"`, `"2"`, 1) + row(cell), 403,
			"larger than the policy's cap"},
		"metadata, a new column": {metadata,
			head + `"schema":{"fields":[{"name":"table_name","type":"STRING"},{"name":"new","type":"STRING"}]},` + row(cell+","+cell), 403,
			"INFORMATION_SCHEMA"},
		"metadata, without schema": {metadata, head + row(cell), 403, "jobs.getQueryResults first"},
		"a job of another form":    {get, `{"jobReference":"` + secret + `"}`, 403, "a form that bqgate does not know"},
		"a job that is a list":     {get, `["` + secret + `"]`, 403, "a form that bqgate does not know"},
		"a member twice":           {nil, head + row(cell)[:len(row(cell))-1] + `,"totalRows":"1"}`, 403, "named in place of *"},
		"a job with a member twice": {get, `{"jobReference":{"projectId":"demo","projectId":"demo"}}`, 403,
			"a form that bqgate does not know"},
		"cut short":             {nil, (head + row(cell))[:120], 503, "Try again"},
		"no JSON":               {nil, `<html>` + secret, 503, "Try again"},
		"a job cut short":       {get, `{"jobReference":{"projectId":"demo"`, 503, "Try again"},
		"a job that is no JSON": {get, `<html>` + secret, 503, "Try again"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, &journal{})
			sent, _ := run(t, s, c.code == 200, request(t, s, c.change), responseHeadersOf("via_upstream", "200"),
				responseBodyOf(c.body, true))
			if leaked(sent) {
				t.Fatalf("a raw value passed: %s", got(sent))
			}
			if c.code == 200 {
				return
			}
			last := sent[len(sent)-1].GetImmediateResponse()
			reason := map[int]string{403: `"accessDenied"`, 503: `"backendError"`}[c.code]
			if int(last.GetStatus().GetCode()) != c.code || !strings.Contains(string(last.GetBody()), c.words) ||
				!strings.Contains(string(last.GetBody()), reason) {
				t.Errorf("the client gets %d %s", last.GetStatus().GetCode(), last.GetBody())
			}
		})
	}
}

// Rows without a schema do not show that they are others than planned. So an answer that showed it
// ends the readability of its job, also where that was found to be in order before; one that only
// lacks a schema does not.
func TestAStrangeAnswerBreaksItsJob(t *testing.T) {
	const head = `{"jobReference":{"projectId":"demo","jobId":"j1","location":"US"},"jobComplete":true,"totalRows":"1",`
	metadata := masking.Plan{Metadata: true, Columns: []masking.Column{{Name: "table_name", Type: "STRING", Mask: masking.Clear}}}
	const rows = `"rows":[{"f":[{"v":"` + secret + `"}]}]}`
	for name, c := range map[string]struct {
		plan   *masking.Plan
		body   string
		broken bool
	}{
		"another schema":  {nil, head + `"schema":{"fields":[{"name":"id","type":"STRING"}]},` + rows, true},
		"another row":     {nil, head + `"rows":[{"f":[]}]}`, true},
		"as planned":      {nil, head + rows, false},
		"cut short":       {nil, head, false},
		"without columns": {&metadata, head + rows, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, &journal{})
			s.Jobs = jobs.NewStore(redisClient(t), s.Keys)
			var record jobs.Record
			first := request(t, s, func(f *verdict.Forward) {
				if c.plan != nil {
					f.Plan = *c.plan
				}
				record = f.Record
			})
			if err := s.Jobs.Create(t.Context(), record); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Jobs.Verify(t.Context(), record, jobs.Verification{}); err != nil {
				t.Fatal(err)
			}
			sent, _ := run(t, s, false, first, responseHeadersOf("via_upstream", "200"), responseBodyOf(c.body, true))
			if leaked(sent) {
				t.Fatalf("a raw value passed: %s", got(sent))
			}
			_, v, err := s.Jobs.Get(t.Context(), "o", "demo", "j1")
			if err != nil || v == nil || (v.Broken != "") != c.broken || strings.Contains(fmt.Sprint(v), secret) {
				t.Errorf("%+v, %v", v, err)
			}
		})
	}
}

// What BigQuery calls the columns, where it had to make names unique, is kept for the answers that
// do not say it, before a row leaves.
func TestHowAnAnswerCallsItsColumnsIsKept(t *testing.T) {
	plan := masking.Plan{Sensitive: true, Columns: []masking.Column{
		{Name: "ssn", Type: "STRING", Mask: masking.AlwaysNull, Ambiguous: true},
		{Name: "ssn", Type: "STRING", Mask: masking.Clear, Ambiguous: true},
	}}
	pieces := []string{
		`{"jobReference":{"projectId":"demo","jobId":"j1","location":"US"},"jobComplete":true,"totalRows":"1",`,
		`"schema":{"fields":[{"name":"ssn","type":"STRING"},{"name":"ssn_1","type":"STRING"}]},`,
		`"rows":[{"f":[{"v":"` + secret + `"},{"v":"open"}]}]}`,
	}
	s := newService(t, &journal{})
	s.Jobs = jobs.NewStore(redisClient(t), s.Keys)
	var record jobs.Record
	messages := []*procv3.ProcessingRequest{request(t, s, func(f *verdict.Forward) { f.Plan = plan; record = f.Record }),
		responseHeadersOf("via_upstream", "200")}
	for i, p := range pieces {
		messages = append(messages, responseBodyOf(p, i == len(pieces)-1))
	}
	sent, err := run(t, s, true, messages...)
	if err != nil || leaked(sent) || !strings.Contains(got(sent), `"ssn_1"`) || !strings.Contains(got(sent), `"open"`) {
		t.Fatalf("%v: %s", err, got(sent))
	}
	shown, err := s.Jobs.Shown(t.Context(), record, plan)
	if err != nil || shown.Columns[1].Name != "ssn_1" || shown.Columns[0].Mask != masking.AlwaysNull {
		t.Errorf("%+v, %v", shown, err)
	}
	other := record
	other.Owner = "somebody else"
	if shown, err = s.Jobs.Shown(t.Context(), other, plan); err != nil || shown.Columns[1].Name != "ssn" {
		t.Errorf("of another's job: %+v, %v", shown, err)
	}
}

func redisClient(t *testing.T) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: redistest.Start(t)})
	t.Cleanup(func() { _ = client.Close() })
	return client
}
