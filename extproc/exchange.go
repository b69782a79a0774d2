package extproc

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/limits"
	"github.com/bqgate/bqgate/internal/refusal"
	"github.com/bqgate/bqgate/internal/timing"
	"github.com/bqgate/bqgate/internal/verdict"
)

// exchange is the state of one stream. Its zero value lets nothing pass.
type exchange struct {
	service *Service
	forward *verdict.Forward // nil until request headers brought a valid verdict
	sent    bool             // the request's body, where it has one, went out as decided

	answer   answer                     // who makes the body that goes back; nil until response headers
	held     *procv3.ProcessingResponse // the answer to response headers, withheld until the body may follow
	pending  []byte                     // of the answer: may leave, once it is recorded
	stopped  bool                       // the job was cancelled, for want of a record
	released bool                       // a byte of the response went to Envoy: from here on only breaking off is left
	finished bool                       // the response is complete, or was replaced
	status   int                        // of the upstream answer
	recorded audit.Recording            // of the answer's body: so much of it may be let out
	clock    timing.Clock
	pace     *pace    // of the reader
	begun    bool     // a piece of the upstream's body has come
	leave    func()   // counts the exchange no longer among its owner's
	kept     []func() // each counts one MiB no longer as kept
}

// answer turns what arrives into what may leave.
type answer interface {
	// write takes a piece of the body and returns what may be released now.
	write(ctx context.Context, p []byte) ([]byte, error)
	// close takes the end of the body and returns the rest. What the last write returned stays
	// valid, unless close fails.
	close(ctx context.Context) ([]byte, error)
	// rows is how many result rows went through.
	rows() uint64
	// job is the job that the answer is about, as far as it is known.
	job() bigquery.JobReference
}

// handle takes one message of Envoy and returns the replies to it, none for a piece that is
// withheld.
func (x *exchange) handle(ctx context.Context, r *procv3.ProcessingRequest) ([]*procv3.ProcessingResponse, error) {
	if x.finished {
		return nil, errors.New("a message after the end of the exchange")
	}
	switch m := r.GetRequest().(type) {
	case *procv3.ProcessingRequest_RequestHeaders:
		return x.requestHeaders(ctx, r, m.RequestHeaders)
	case *procv3.ProcessingRequest_RequestBody:
		return x.requestBody(m.RequestBody)
	case *procv3.ProcessingRequest_ResponseHeaders:
		return x.responseHeaders(ctx, r, m.ResponseHeaders)
	case *procv3.ProcessingRequest_ResponseBody:
		return x.responseBody(ctx, m.ResponseBody)
	case *procv3.ProcessingRequest_ResponseTrailers:
		return x.responseTrailers(ctx, m.ResponseTrailers)
	default:
		return nil, fmt.Errorf("unexpected message %T", m)
	}
}

func (x *exchange) requestHeaders(ctx context.Context, r *procv3.ProcessingRequest, h *procv3.HttpHeaders) (
	[]*procv3.ProcessingResponse, error,
) {
	if x.forward != nil || x.answer != nil {
		return nil, errors.New("request headers arrived twice or late")
	}
	f, err := verdict.Open(x.service.Keys, sealedVerdict(r), time.Now())
	if err != nil {
		return nil, fmt.Errorf("open verdict: %w", err)
	}
	path, _, _ := strings.Cut(header(h, ":path"), "?")
	if header(h, ":method") != f.Verb || path != f.Path {
		return nil, errors.New("the request is not the one that was decided on")
	}
	if h.GetEndOfStream() != (f.RequestDigest == "") {
		return nil, errors.New("the request has a body where none was decided on, or lost it")
	}
	x.forward = f
	x.recorded = x.service.pages.Begin(f.Decision, questionOf(f))
	if k, counted := limits.Of(string(f.Method)); counted {
		x.leave = x.service.Limits.Take(f.Subject.Budget, k, f.Decision)
	}
	if err := x.service.begin(ctx, f); err != nil {
		return nil, err
	}
	x.sent = h.GetEndOfStream()
	x.clock.Done("verdict")
	return one(requestHeaders(f)), nil
}

// requestBody replaces the client's bytes by the re-serialised request. Both must have the digests
// that ext_authz decided on, so the two services cannot disagree about what is asked.
func (x *exchange) requestBody(b *procv3.HttpBody) ([]*procv3.ProcessingResponse, error) {
	f := x.forward
	if f == nil || x.sent || !b.GetEndOfStream() {
		return nil, errors.New("request body out of order")
	}
	if verdict.Digest(b.GetBody()) != f.RequestDigest {
		return nil, errors.New("the request's body is not the one that was decided on")
	}
	h := map[string][]string{"content-type": {"application/json"}}
	if f.RequestCoding != "" {
		h["content-encoding"] = []string{f.RequestCoding}
	}
	op, err := bigquery.Decode(bigquery.Request{Verb: f.Verb, Path: f.Path, Body: b.GetBody(), Header: h})
	if err != nil {
		return nil, fmt.Errorf("decode request again: %w", err)
	}
	body, err := bigquery.Encode(op, f.Record.Mutation)
	if err != nil {
		return nil, fmt.Errorf("encode request again: %w", err)
	}
	if verdict.Digest(body) != f.BodyDigest {
		return nil, errors.New("the request to forward is not the one that was decided on")
	}
	x.sent = true
	x.clock.Done("rewrite")
	return one(replaceRequestBody(body)), nil
}

// Envoy's response.code_details for the two answers that this service lets pass; every other answer
// is replaced.
// https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_conn_man/response_code_details
const (
	viaUpstream    = "via_upstream"
	extAuthzDenied = "ext_authz_denied"
	extAuthzError  = "ext_authz_error" // a fault of the gateway: replaced too, but for the decision's id
)

// decisionID is the id of a decision: "d-" and a ULID.
var decisionID = regexp.MustCompile(`^d-[0-9A-HJKMNP-TV-Z]{26}$`)

func (x *exchange) responseHeaders(ctx context.Context, r *procv3.ProcessingRequest, h *procv3.HttpHeaders) ([]*procv3.ProcessingResponse,
	error) {
	if x.answer != nil {
		return nil, errors.New("response headers arrived twice")
	}
	code, err := strconv.Atoi(header(h, ":status"))
	if err != nil {
		return nil, fmt.Errorf("response status %q: %w", header(h, ":status"), err)
	}
	switch details := attribute(r, "response.code_details"); details {
	case viaUpstream:
		if x.forward == nil || !x.sent {
			return nil, errors.New("an upstream answer to a request that was not decided on")
		}
	case extAuthzDenied:
		x.answer, x.released = own{}, true // ext_authz's own words: recorded with the decision
		if h.GetEndOfStream() {
			x.finished = true
		}
		return one(responseHeaders(nil)), nil
	case extAuthzError:
		if id := header(h, verdict.DecisionHeader); decisionID.MatchString(id) {
			x.finished = true
			return one(immediate(refusal.Undecided(nil).BigQuery(id))), nil
		}
		fallthrough // it did not answer, or not in time
	default:
		if x.forward != nil && neverLeft(details) {
			x.service.neverRan(x.forward)
		}
		x.finished = true
		status, body := x.service.envoyError(code, details)
		return one(immediate(status, body)), nil
	}
	if code >= 400 { // of any type: Google's front ends answer in HTML, and what is no error of BigQuery's is not shown
		x.status = code
		x.answer = &failure{service: x.service, forward: x.forward, code: code, readable: notJSON(h) == nil}
		if h.GetEndOfStream() {
			return x.finish(ctx, nil, true)
		}
		return nil, nil
	}
	if code >= 300 || code < 200 {
		return nil, fmt.Errorf("the answer has status %d, which is not BigQuery's", code)
	}
	unreadable := notJSON(h)
	if unreadable != nil && x.forward.Method != bigquery.MethodCancel { // which may have no body, nor its type
		return nil, unreadable
	}
	x.status, x.answer = code, x.newAnswer(code, unreadable)
	if x.forward.Method == bigquery.MethodCancel {
		x.status = 200 // also where it was 204: what is sent has a body
	}
	x.held = responseHeaders(headersBut(h, bigquery.ResponseHeaders))
	if h.GetEndOfStream() {
		return x.finish(ctx, nil, true)
	}
	return nil, nil
}

func (x *exchange) newAnswer(code int, unreadable error) answer {
	f := x.forward
	rows := f.Method == bigquery.MethodQuery || f.Method == bigquery.MethodGetQueryResults || f.Method == bigquery.MethodListTableData
	if rows && code == 200 {
		return newResults(x.service, f, &x.clock, x.keep)
	}
	return &document{service: x.service, forward: f, clock: &x.clock, unreadable: unreadable}
}

// keep counts one more MiB of the answer that is kept until it is whole. It is so until the
// exchange has ended: what may leave then takes its time too.
func (x *exchange) keep() error {
	end, err := x.service.Limits.Begin(x.forward.Subject.Budget, limits.Withheld)
	if err == nil {
		x.kept = append(x.kept, end)
	}
	return err
}

// notJSON says why an answer cannot be read as JSON.
func notJSON(h *procv3.HttpHeaders) error {
	if enc := header(h, "content-encoding"); enc != "" && enc != "identity" {
		return fmt.Errorf("the answer has content-encoding %q, which cannot be read", enc)
	}
	if kind := header(h, "content-type"); !strings.HasPrefix(kind, "application/json") {
		return fmt.Errorf("the answer has content-type %q, want application/json", kind)
	}
	return nil
}

func (x *exchange) responseBody(ctx context.Context, b *procv3.HttpBody) ([]*procv3.ProcessingResponse, error) {
	if x.answer == nil {
		return nil, errors.New("response body before response headers")
	}
	x.pace.came(len(b.GetBody()))
	x.begun = x.forward != nil && len(b.GetBody()) > 0 || x.begun
	out, err := x.answer.write(ctx, b.GetBody())
	if err != nil {
		return nil, err
	}
	if b.GetEndOfStream() {
		return x.finish(ctx, out, true)
	}
	x.clock.Done("mask")
	x.pending = append(x.pending, out...)
	if len(x.pending) < frameSize {
		return nil, nil
	}
	return x.flush(ctx)
}

func (x *exchange) responseTrailers(ctx context.Context, t *procv3.HttpTrailers) ([]*procv3.ProcessingResponse, error) {
	if x.answer == nil {
		return nil, errors.New("trailers before response headers")
	}
	var names []string
	for _, h := range t.GetTrailers().GetHeaders() {
		names = append(names, h.GetKey())
	}
	replies, err := x.finish(ctx, nil, false)
	if err != nil || x.replaced() {
		return replies, err
	}
	return append(replies, responseTrailers(names)), nil
}

func (x *exchange) decision() string {
	if x.forward == nil {
		return ""
	}
	return x.forward.Decision
}

// own passes what ext_authz itself answered.
type own struct{}

func (own) write(_ context.Context, p []byte) ([]byte, error) { return p, nil }
func (own) close(context.Context) ([]byte, error)             { return nil, nil }
func (own) rows() uint64                                      { return 0 }
func (own) job() bigquery.JobReference                        { return bigquery.JobReference{} }

func one(r *procv3.ProcessingResponse) []*procv3.ProcessingResponse {
	return []*procv3.ProcessingResponse{r}
}
