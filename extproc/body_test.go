package extproc

import (
	"testing"

	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/verdict"
)

// A1: what leaves is what was decided on. The bytes that arrive must be those that ext_authz saw,
// and what is made of them those that it sealed.
func TestTheBodyIsTheOneThatWasDecidedOn(t *testing.T) {
	const path = "/bigquery/v2/projects/demo/queries"
	const asked = `{"query":"SELECT 1","useLegacySql":false}`
	mutation := bigquery.Mutation{Decision: "d-1", RequestID: "r", MaximumBytesBilled: 1000}
	op, err := bigquery.Decode(bigquery.Request{
		Verb: "POST", Path: path, Body: []byte(asked), Header: map[string][]string{"content-type": {"application/json"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	forwarded, err := bigquery.Encode(op, mutation)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		body   string
		change func(*verdict.Forward)
		passes bool
	}{
		"as decided":              {body: asked, passes: true},
		"other SQL":               {body: `{"query":"SELECT 2","useLegacySql":false}`},
		"the same, spaced":        {body: `{"query":"SELECT 1", "useLegacySql":false}`},
		"one more member":         {body: `{"query":"SELECT 1","useLegacySql":false,"maxResults":1}`},
		"nothing":                 {body: ``},
		"another label":           {body: asked, change: func(f *verdict.Forward) { f.Record.Mutation.Decision = "d-2" }},
		"another request id":      {body: asked, change: func(f *verdict.Forward) { f.Record.Mutation.RequestID = "s" }},
		"no limit":                {body: asked, change: func(f *verdict.Forward) { f.Record.Mutation.MaximumBytesBilled = 0 }},
		"other SQL in its place":  {body: asked, change: func(f *verdict.Forward) { f.Record.Mutation.SQL = "SELECT 2" }},
		"sealed without a digest": {body: asked, change: func(f *verdict.Forward) { f.BodyDigest = "" }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, &journal{})
			first := request(t, s, func(f *verdict.Forward) {
				f.Method, f.Verb, f.Path, f.Creates = bigquery.MethodQuery, "POST", path, true
				f.Record.Mutation, f.RequestDigest, f.BodyDigest = mutation, verdict.Digest([]byte(asked)), verdict.Digest(forwarded)
				if c.change != nil {
					c.change(f)
				}
			})
			first.GetRequestHeaders().Headers, first.GetRequestHeaders().EndOfStream = headers(":method", "POST", ":path", path), false
			sent, _ := run(t, s, true, first, &procv3.ProcessingRequest{Request: &procv3.ProcessingRequest_RequestBody{
				RequestBody: &procv3.HttpBody{Body: []byte(c.body), EndOfStream: true},
			}})
			left := ""
			for _, r := range sent {
				left += string(r.GetRequestBody().GetResponse().GetBodyMutation().GetBody())
			}
			if want := map[bool]string{true: string(forwarded)}[c.passes]; left != want {
				t.Errorf("%q leaves for BigQuery, want %q", left, want)
			}
			if last := sent[len(sent)-1]; !c.passes && last.GetImmediateResponse() == nil {
				t.Errorf("the answer is %v, want a refusal", last)
			}
		})
	}
}
