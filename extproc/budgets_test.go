package extproc

import (
	"context"
	"errors"
	"slices"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/budgets"
	"github.com/bqgate/bqgate/internal/verdict"
	"github.com/bqgate/bqgate/policies"
)

// spending notes what it is told.
type spending struct {
	closed error // what Begin says
	told   []string
}

func (s *spending) Spend(context.Context, budgets.Wanted) error { return nil }
func (s *spending) Begin(_ context.Context, w budgets.Wanted) error {
	if s.closed == nil && len(w.Budgets) == 1 && w.Most == 50 {
		s.told = append(s.told, "began "+w.Decision+" by "+w.By)
	}
	return s.closed
}
func (s *spending) Saw(context.Context, string, bigquery.Job) {}
func (s *spending) NeverRan(reserved, decision string) {
	s.told = append(s.told, "never ran "+reserved+" by "+decision)
}

// What was reserved is spent from the moment in which the request may leave, and is given back
// where it is sure that it did not.
func TestWhatIsReservedAndNeverLeaves(t *testing.T) {
	const began, never = "began d-0 by d-1", "never ran d-0 by d-1"
	body := func(text string) *procv3.ProcessingRequest {
		return &procv3.ProcessingRequest{Request: &procv3.ProcessingRequest_RequestBody{
			RequestBody: &procv3.HttpBody{Body: []byte(text), EndOfStream: true},
		}}
	}
	const query = `{"query":"SELECT 1","useLegacySql":false}`
	answered := func(details, status string) []*procv3.ProcessingRequest { // what Envoy says of the answer
		return []*procv3.ProcessingRequest{body(query), responseHeadersOf(details, status)}
	}
	refused := func(status string) []*procv3.ProcessingRequest {
		return append(answered("via_upstream", status), responseBodyOf("{}", true))
	}
	for name, c := range map[string]struct {
		closed   error
		messages []*procv3.ProcessingRequest
		told     []string
		status   int // of what is answered, 0 for nothing
	}{
		"its client hangs up before the body": {nil, nil, []string{began, never}, 0},
		"its body is another":                 {nil, []*procv3.ProcessingRequest{body("{}")}, []string{began, never}, 503},
		"its client hangs up behind the body": {nil, []*procv3.ProcessingRequest{body(query)}, []string{began}, 0},
		"nothing can be counted":              {budgets.ErrClosed, nil, []string{never}, 403},
		"what counts does not say":            {errors.New("redis is away"), nil, []string{never}, 503},
		"Envoy finds no BigQuery":             {nil, answered("no_healthy_upstream", "503"), []string{began, never}, 503},
		"Envoy gets no connection":            {nil, answered(reset+"remote_connection_failure|111}", "503"), []string{began, never}, 503},
		"Envoy has too many requests":         {nil, answered(reset+"overflow}", "503"), []string{began, never}, 503},
		"the connection ends":                 {nil, answered(reset+"connection_termination}", "503"), []string{began}, 503},
		"BigQuery resets it":                  {nil, answered(reset+"remote_reset}", "503"), []string{began}, 503},
		"BigQuery takes too long":             {nil, answered("response_timeout", "504"), []string{began}, 503},
		"BigQuery refuses it":                 {nil, refused("403"), []string{began, never}, 403},
		"BigQuery has a fault":                {nil, refused("500"), []string{began}, 500},
		"a job of its id is there":            {nil, refused("409"), []string{began}, 409},
	} {
		t.Run(name, func(t *testing.T) {
			s, spent := newService(t, &journal{}), &spending{closed: c.closed}
			s.Budgets = spent
			first := request(t, s, func(f *verdict.Forward) {
				f.Method, f.Verb, f.Path, f.Creates = bigquery.MethodQuery, "POST", "/bigquery/v2/projects/demo/queries", true
				f.Record.Job, f.Record.Reserved, f.Record.Mutation = bigquery.JobReference{ProjectID: "demo"}, "d-0", bigquery.Mutation{
					Decision: "d-0", RequestID: "r", MaximumBytesBilled: 50,
				}
				f.Reserves = []policies.Budget{{Unit: policies.UnitBytes}}
				f.RequestDigest = verdict.Digest([]byte(query))
				op, err := bigquery.Decode(bigquery.Request{Verb: f.Verb, Path: f.Path, Body: []byte(query),
					Header: map[string][]string{"content-type": {"application/json"}}})
				if err != nil {
					t.Fatal(err)
				}
				sent, err := bigquery.Encode(op, f.Record.Mutation)
				if err != nil {
					t.Fatal(err)
				}
				f.BodyDigest = verdict.Digest(sent)
			})
			first.GetRequestHeaders().EndOfStream = false
			first.GetRequestHeaders().Headers = &corev3.HeaderMap{Headers: headers(":method", "POST", ":path",
				"/bigquery/v2/projects/demo/queries").GetHeaders()}
			sent, _ := run(t, s, true, append([]*procv3.ProcessingRequest{first}, c.messages...)...)
			status := 0
			for _, m := range sent {
				if code := m.GetImmediateResponse().GetStatus().GetCode(); code != 0 {
					status = int(code)
				}
			}
			if slices.Sort(spent.told); !slices.Equal(slices.Compact(spent.told), c.told) || status != c.status {
				t.Errorf("%q, answered %d; want %q and %d", spent.told, status, c.told, c.status)
			}
		})
	}
}

const reset = "upstream_reset_before_response_started{"
