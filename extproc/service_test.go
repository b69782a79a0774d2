package extproc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/audit/audittest"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/durable/durabletest"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/sealedtest"
	"github.com/bqgate/bqgate/internal/verdict"
)

const secret = "123-45-6789"

// stream is Envoy's end of a Process call.
type stream struct {
	grpc.ServerStream
	ctx  context.Context
	in   chan *procv3.ProcessingRequest
	mu   sync.Mutex
	sent []*procv3.ProcessingResponse
}

func (s *stream) Context() context.Context { return s.ctx }
func (s *stream) Send(r *procv3.ProcessingResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, proto.CloneOf(r)) // gRPC has encoded it when Send returns
	return nil
}

func (s *stream) Recv() (*procv3.ProcessingRequest, error) {
	select {
	case r, ok := <-s.in:
		if !ok {
			return nil, io.EOF
		}
		return r, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

type journal = audittest.Journal

func isOutcome(r audit.Record) bool { _, is := r.(audit.Outcome); return is }

type upstream struct{ job bigquery.Job }

func (u upstream) GetJob(context.Context, durable.Facts, bigquery.JobReference) (bigquery.Job, error) {
	return u.job, nil
}

func newService(t *testing.T, j *journal) *Service {
	t.Helper()
	return &Service{Parts: Parts{
		Keys: sealedtest.Keyring(t, 'k'), Journal: j, Upstream: upstream{}, Log: slog.New(slog.DiscardHandler),
		IdleTimeout: 200 * time.Millisecond,
	}}
}

// hangsUp is an Envoy that ends the stream as soon as it has the end of the answer.
type hangsUp struct {
	*stream
	end context.CancelFunc
}

func (h *hangsUp) Send(r *procv3.ProcessingResponse) error {
	err := h.stream.Send(r)
	if r.GetResponseBody().GetResponse().GetBodyMutation().GetStreamedResponse().GetEndOfStream() {
		h.end()
	}
	return err
}

// An answer that is whole stays so, whenever Envoy hangs up and whatever it sends afterwards: its
// record has one outcome.
func TestAWholeAnswerHasOneOutcome(t *testing.T) {
	answer := []*procv3.ProcessingRequest{
		responseHeadersOf("via_upstream", "200"),
		responseBodyOf(`{"kind":"bigquery#getQueryResultsResponse","jobReference":{"projectId":"demo","jobId":"j1","location":"US"},`+
			`"jobComplete":true,"totalRows":"1","rows":[{"f":[{"v":"`+secret+`"}]}]}`, true),
	}
	for name, more := range map[string][]*procv3.ProcessingRequest{
		"Envoy hangs up": nil, "a message more": {responseBodyOf("{}", true)},
	} {
		t.Run(name, func(t *testing.T) {
			var logged bytes.Buffer
			j := &journal{}
			s := newService(t, j)
			s.Log = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelWarn}))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			messages := slices.Concat([]*procv3.ProcessingRequest{request(t, s, nil)}, answer, more)
			st := &stream{ctx: ctx, in: make(chan *procv3.ProcessingRequest, len(messages))}
			for _, m := range messages {
				st.in <- m
			}
			var envoy procv3.ExternalProcessor_ProcessServer = st
			if more == nil {
				envoy = &hangsUp{st, cancel}
			}
			_ = s.Process(envoy) // however the stream ends, the answer was whole
			var outcomes []string
			for _, r := range j.Records() {
				if o, is := r.(audit.Outcome); is {
					outcomes = append(outcomes, o.State)
				}
			}
			if !slices.Equal(outcomes, []string{audit.StateComplete}) {
				t.Errorf("outcomes %q, want one that is complete; sent %s", outcomes, got(st.sent))
			}
			if more == nil && logged.Len() > 0 {
				t.Errorf("logged: %s", &logged)
			}
		})
	}
}

// run plays Envoy's messages and returns what the service answered and how it ended.
func run(t *testing.T, s *Service, hangUp bool, messages ...*procv3.ProcessingRequest) ([]*procv3.ProcessingResponse, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	st := &stream{ctx: ctx, in: make(chan *procv3.ProcessingRequest, len(messages))}
	for _, m := range messages {
		st.in <- m
	}
	if hangUp {
		close(st.in)
	}
	err := s.Process(st)
	return st.sent, err
}

func headers(pairs ...string) *corev3.HeaderMap {
	m := &corev3.HeaderMap{}
	for i := 0; i < len(pairs); i += 2 {
		m.Headers = append(m.Headers, &corev3.HeaderValue{Key: pairs[i], RawValue: []byte(pairs[i+1])})
	}
	return m
}

func responseHeadersOf(details, status string) *procv3.ProcessingRequest {
	r := &procv3.ProcessingRequest{Request: &procv3.ProcessingRequest_ResponseHeaders{ResponseHeaders: &procv3.HttpHeaders{
		Headers: headers(":status", status, "content-type", "application/json", "x-secret", secret),
	}}}
	if details != "" {
		r.Attributes = map[string]*structpb.Struct{
			"envoy.filters.http.ext_proc": {Fields: map[string]*structpb.Value{"response.code_details": structpb.NewStringValue(details)}},
		}
	}
	return r
}

func responseBodyOf(text string, end bool) *procv3.ProcessingRequest {
	return &procv3.ProcessingRequest{
		Request: &procv3.ProcessingRequest_ResponseBody{ResponseBody: &procv3.HttpBody{Body: []byte(text), EndOfStream: end}},
	}
}

const rowsBody = `{"jobReference":{"projectId":"demo","jobId":"j1","location":"US"},"jobComplete":true,"totalRows":"1",` +
	`"rows":[{"f":[{"v":"` + secret + `"}]}]}`

// leaked says whether the secret is in anything that was sent.
func leaked(sent []*procv3.ProcessingResponse) bool {
	for _, r := range sent {
		if strings.Contains(r.String(), secret) {
			return true
		}
	}
	return false
}

// request is the first message of an exchange that was decided on.
func request(t *testing.T, s *Service, change func(*verdict.Forward)) *procv3.ProcessingRequest {
	t.Helper()
	f := verdict.Forward{
		Decision: "d-1", Expires: time.Now().Add(time.Minute), Method: bigquery.MethodGetQueryResults, Verb: "GET",
		Path:     "/bigquery/v2/projects/demo/queries/j1",
		Record:   jobs.Record{Job: bigquery.JobReference{ProjectID: "demo", JobID: "j1", Location: "US"}, Owner: "o", Decision: "d-0"},
		Verified: true, Plan: masking.Plan{Sensitive: true,
			Columns: []masking.Column{{Name: "ssn", Type: "STRING", Mask: masking.LastFourCharacters}}},
	}
	if change != nil {
		change(&f)
	}
	text, err := verdict.Seal(s.Keys, durabletest.Decided(t, f.Decision), f)
	if err != nil {
		t.Fatal(err)
	}
	return &procv3.ProcessingRequest{
		MetadataContext: &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{
			verdict.Namespace: {Fields: map[string]*structpb.Value{verdict.Key: structpb.NewStringValue(text)}},
		}},
		Request: &procv3.ProcessingRequest_RequestHeaders{RequestHeaders: &procv3.HttpHeaders{
			EndOfStream: true, Headers: headers(":method", "GET", ":path", "/bigquery/v2/projects/demo/queries/j1"),
		}},
	}
}

func TestAnAnswerIsMaskedRecordedAndReleased(t *testing.T) {
	j := &journal{}
	s := newService(t, j)
	half := len(rowsBody) - 20
	sent, err := run(t, s, true, request(t, s, nil), responseHeadersOf("via_upstream", "200"), responseBodyOf(rowsBody[:half], false),
		responseBodyOf(rowsBody[half:], true))
	if err != nil {
		t.Fatal(err)
	}
	var body strings.Builder
	for _, r := range sent {
		body.Write(r.GetResponseBody().GetResponse().GetBodyMutation().GetStreamedResponse().GetBody())
	}
	if !strings.Contains(body.String(), `"XXXXX6789"`) || leaked(sent) {
		t.Errorf("the client gets %s", body.String())
	}
	var recorded strings.Builder
	complete := false
	for _, r := range j.Records() {
		switch r := r.(type) {
		case audit.Frame:
			recorded.Write(r.Bytes)
		case audit.Outcome:
			complete = r.State == audit.StateComplete && r.Rows == 1
		}
	}
	records := j.Records()
	if last := records[len(records)-1]; !isOutcome(last) {
		t.Errorf("the outcome does not stand behind all that it is about: %T is last", last)
	}
	if recorded.String() != body.String() || !complete {
		t.Errorf("the journal has %s (complete %v), the client %s", recorded.String(), complete, body.String())
	}
}

// A13: a coder writes `if plan == nil { pass }`. Whatever an answer is and whoever made it, without
// a verdict no byte of the upstream's passes.
func TestAnswersWithoutAVerdict(t *testing.T) {
	for _, details := range []string{"via_upstream", "", "direct_response", "ext_authz_error",
		"upstream_reset_before_response_started{connection_termination}", "via_upstream ", "something new"} {
		t.Run(details, func(t *testing.T) {
			s := newService(t, &journal{})
			sent, err := run(t, s, false, responseHeadersOf(details, "200"), responseBodyOf(rowsBody, true))
			if err == nil {
				t.Errorf("%q: Process returned nil: Envoy goes on without it", details)
			}
			if leaked(sent) {
				t.Errorf("%q: the upstream's bytes passed", details)
			}
		})
	}
}

// A fault of ext_authz keeps the id of its decision, and nothing else of what came.
func TestAFaultKeepsItsDecision(t *testing.T) {
	const id = "d-01M8QD5X3M0PMMBQBW9G22VQRC"
	for name, c := range map[string]struct {
		details, id string
		says        bool
	}{
		"of ext_authz":    {"ext_authz_error", id, true},
		"without an id":   {"ext_authz_error", "", false},
		"another text":    {"ext_authz_error", secret, false},
		"more than an id": {"ext_authz_error", id + secret, false},
		"of the upstream": {"upstream_reset", id, false},
	} {
		t.Run(name, func(t *testing.T) {
			head := responseHeadersOf(c.details, "503")
			h := head.GetResponseHeaders().Headers
			h.Headers = append(h.Headers, headers(verdict.DecisionHeader, c.id, "x-other", secret).Headers...)
			sent, _ := run(t, newService(t, &journal{}), false, head, responseBodyOf(rowsBody, true))
			if len(sent) == 0 || leaked(sent) {
				t.Fatalf("%v", sent)
			}
			answer := sent[0].GetImmediateResponse()
			if answer.GetStatus().GetCode() != 503 || strings.Contains(string(answer.GetBody()), id) != c.says {
				t.Errorf("%d %s", answer.GetStatus().GetCode(), answer.GetBody())
			}
		})
	}
}

// Doubts after a valid verdict.
func TestDoubtfulAnswersAreWithheld(t *testing.T) {
	gzip := responseHeadersOf("via_upstream", "200")
	gzip.GetResponseHeaders().Headers.Headers = append(gzip.GetResponseHeaders().Headers.Headers,
		&corev3.HeaderValue{Key: "content-encoding", RawValue: []byte("gzip")})
	proto := responseHeadersOf("via_upstream", "200")
	proto.GetResponseHeaders().Headers.Headers[1].RawValue = []byte("application/x-protobuf")
	for name, c := range map[string]struct {
		change func(*verdict.Forward)
		answer []*procv3.ProcessingRequest
	}{
		"expired verdict": {func(f *verdict.Forward) { f.Expires = time.Now().Add(-time.Second) }, nil},
		"another path":    {func(f *verdict.Forward) { f.Path = "/bigquery/v2/projects/demo/queries/j2" }, nil},
		"a body expected": {func(f *verdict.Forward) { f.RequestDigest = "ab" }, nil},
		"another job":     {func(f *verdict.Forward) { f.Record.Job.JobID = "j9" }, nil},
		"no plan":         {func(f *verdict.Forward) { f.Plan = masking.Plan{} }, nil},
		"two columns":     {func(f *verdict.Forward) { f.Plan.Columns = append(f.Plan.Columns, f.Plan.Columns[0]) }, nil},
		"gzip":            {nil, []*procv3.ProcessingRequest{gzip, responseBodyOf(rowsBody, true)}},
		"protobuf":        {nil, []*procv3.ProcessingRequest{proto, responseBodyOf(rowsBody, true)}},
		"redirect":        {nil, []*procv3.ProcessingRequest{responseHeadersOf("via_upstream", "302"), responseBodyOf(rowsBody, true)}},
		"cut short": {nil,
			[]*procv3.ProcessingRequest{responseHeadersOf("via_upstream", "200"), responseBodyOf(rowsBody[:len(rowsBody)-3], true)}},
		"no job": {nil, []*procv3.ProcessingRequest{responseHeadersOf("via_upstream", "200"),
			responseBodyOf(`{"jobComplete":true,"rows":[{"f":[{"v":"`+secret+`"}]}]}`, true)}},
		"body twice ended": {nil, []*procv3.ProcessingRequest{responseHeadersOf("via_upstream", "200"), responseBodyOf(rowsBody, true),
			responseBodyOf(secret, true)}},
		"headers twice": {nil, []*procv3.ProcessingRequest{responseHeadersOf("via_upstream", "200"),
			responseHeadersOf("ext_authz_denied", "200"), responseBodyOf(secret, true)}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, &journal{})
			answer := c.answer
			if answer == nil {
				answer = []*procv3.ProcessingRequest{responseHeadersOf("via_upstream", "200"), responseBodyOf(rowsBody, true)}
			}
			sent, err := run(t, s, false, append([]*procv3.ProcessingRequest{request(t, s, c.change)}, answer...)...)
			if err == nil {
				t.Errorf("%s: Process returned nil", name)
			}
			if leaked(sent) {
				t.Errorf("%s: a raw value passed", name)
			}
		})
	}
}

// Pieces that have come by the time an earlier one is recorded share a record. What waits for its
// record when a doubt comes up never leaves.
func TestPiecesShareARecordAndWaitForIt(t *testing.T) {
	j := &journal{Refuse: func(context.Context, audit.Record) error { time.Sleep(5 * time.Millisecond); return nil }}
	s := newService(t, j)
	messages := []*procv3.ProcessingRequest{request(t, s, nil), responseHeadersOf("via_upstream", "200")}
	body := strings.Replace(rowsBody, `"rows":[`, `"rows":[`+strings.Repeat(`{"f":[{"v":"123-45-6789"}]},`, 200), 1)
	const piece = 50
	for i := 0; i < len(body); i += piece {
		messages = append(messages, responseBodyOf(body[i:min(i+piece, len(body))], i+piece >= len(body)))
	}
	sent, err := run(t, s, true, messages...)
	if err != nil {
		t.Fatal(err)
	}
	var got, recorded strings.Builder
	for _, r := range sent {
		got.Write(r.GetResponseBody().GetResponse().GetBodyMutation().GetStreamedResponse().GetBody())
	}
	frames := 0
	for _, r := range j.Records() {
		if f, ok := r.(audit.Frame); ok {
			recorded.Write(f.Bytes)
			frames++
		}
	}
	if got.String() != recorded.String() || strings.Count(got.String(), "XXXXX6789") != 201 || leaked(sent) {
		t.Errorf("the client gets %d bytes, the journal %d, %d masked: %s", got.Len(), recorded.Len(),
			strings.Count(got.String(), "XXXXX6789"), got.String()[:300])
	}
	if frames == 0 || frames > len(body)/piece/2 {
		t.Errorf("%d records for %d pieces", frames, len(body)/piece)
	}

	j = &journal{}
	s = newService(t, j)
	messages = []*procv3.ProcessingRequest{request(t, s, nil), responseHeadersOf("via_upstream", "200"),
		responseBodyOf(rowsBody[:len(rowsBody)-20], false), responseBodyOf("\x00broken", false)}
	sent, _ = run(t, s, false, messages...)
	refused := false
	for _, r := range sent {
		if refused && r.GetResponseBody() != nil {
			t.Error("a piece left after the refusal")
		}
		refused = refused || r.GetImmediateResponse() != nil
	}
	if leaked(sent) {
		t.Error("a raw value passed")
	}
}

// I1, A31: when the record cannot be made, nothing is released, not even the masked bytes, and the
// job is stopped.
func TestNoRecordNoAnswer(t *testing.T) {
	j := &journal{}
	s := newService(t, j)
	cancelled := make(chan bigquery.JobReference, 2)
	s.Cancel = func(_ context.Context, _ durable.Stop, r jobs.Record) error { cancelled <- r.Job; return nil }
	first := request(t, s, nil)
	j.Refuse = audittest.Broken(errors.New("disk full"))
	sent, err := run(t, s, false, first, responseHeadersOf("via_upstream", "200"), responseBodyOf(rowsBody, true))
	if err == nil {
		t.Error("Process returned nil")
	}
	for _, r := range sent {
		if r.GetResponseBody() != nil {
			t.Errorf("released without a record: %v", r)
		}
	}
	if len(sent) == 0 || sent[len(sent)-1].GetImmediateResponse().GetStatus().GetCode() != 503 {
		t.Errorf("the client gets %v, want a 503", sent)
	}
	select {
	case got := <-cancelled:
		if want := (bigquery.JobReference{ProjectID: "demo", JobID: "j1", Location: "US"}); got != want {
			t.Errorf("job %v was cancelled, want %v", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Error("the job was not cancelled")
	}
}

// A8: the finished job read another table than the analysis named. Its rows are withheld, from the
// first reader and, although it would agree by then, from every later one; a job that read what it
// should is masked and released.
func TestAJobThatReadSomethingElseIsWithheld(t *testing.T) {
	server := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	t.Cleanup(func() { client.Close() })
	table := func(dataset, name string) bigquery.TableID {
		return bigquery.TableID{Project: "demo", Dataset: dataset, Table: name}
	}
	customers, reviews := table("crm", "customers"), table("hr", "reviews")
	for _, c := range []struct {
		name    string
		read    []bigquery.TableID
		changed []string
		job     string
		status  int // of the refusal; 0 where the rows are released
	}{
		{"another table", []bigquery.TableID{reviews}, nil, "j1", 403},
		{"the same job again, now as it should be", []bigquery.TableID{customers}, nil, "j1", 403},
		{"one table more", []bigquery.TableID{customers, reviews}, nil, "j2", 403},
		{"a view that changed since", []bigquery.TableID{customers}, []string{"demo.crm.customers"}, "j3", 403},
		{"what was decided on", []bigquery.TableID{customers}, nil, "j4", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newService(t, &journal{})
			s.Jobs = jobs.NewStore(client, s.Keys)
			s.Changed = func(context.Context, durable.Facts, map[string]string) ([]string, error) { return c.changed, nil }
			ref := bigquery.JobReference{ProjectID: "demo", JobID: c.job, Location: "US"}
			s.Upstream = upstream{bigquery.Job{
				Reference: ref, Labels: map[string]string{jobs.Label: "d-0"}, State: "DONE", StatementType: "SELECT",
				ReferencedTables: c.read,
			}}
			record := jobs.Record{
				Job: ref, Owner: "o", Decision: "d-0", SQLDigest: jobs.Digest(""), Tables: []string{customers.String()},
				Reads: jobs.Reads{Digests: map[string]string{customers.String(): "x"}}, Created: time.Now(),
				RowAccess: map[string]bigquery.RowAccess{customers.String(): bigquery.RowAccessNone},
			}
			if err := s.Jobs.Create(t.Context(), record); err != nil && !errors.Is(err, jobs.ErrExists) {
				t.Fatal(err)
			}
			first := request(t, s, func(f *verdict.Forward) { f.Verified, f.Record = false, record })
			sent, err := run(t, s, true, first, responseHeadersOf("via_upstream", "200"),
				responseBodyOf(strings.Replace(rowsBody, "j1", c.job, 1), true))
			if leaked(sent) {
				t.Errorf("a raw value passed: %v", sent)
			}
			var body strings.Builder
			var status int32
			for _, r := range sent {
				body.Write(r.GetResponseBody().GetResponse().GetBodyMutation().GetStreamedResponse().GetBody())
				status = max(status, int32(r.GetImmediateResponse().GetStatus().GetCode()))
			}
			switch {
			case c.status != 0 && (int(status) != c.status || body.Len() > 0):
				t.Errorf("status %d, body %q, %v; want %d and nothing of the result", status, body.String(), err, c.status)
			case c.status == 0 && (err != nil || status != 0 || !strings.Contains(body.String(), `"XXXXX6789"`)):
				t.Errorf("status %d, body %q, %v; want the masked row", status, body.String(), err)
			}
		})
	}
}

// A silent Envoy does not keep a stream for ever.
func TestTheWatchdogEndsASilentStream(t *testing.T) {
	s := newService(t, &journal{})
	if _, err := run(t, s, false, request(t, s, nil)); err == nil {
		t.Error("Process returned nil on a silent stream")
	}
}
