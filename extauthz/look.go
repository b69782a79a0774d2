package extauthz

import (
	"cmp"
	"context"
	"math"
	"net/http"
	"strconv"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/metadata"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/limits"
)

// Envoy keeps the body of a request until it is whole, and what is kept for nobody keeps others out
// (A38). So before a large body comes, Envoy asks with the headers alone, and here the credential
// alone is looked at. Who has none that is good is refused as by the whole check, and in the same
// words. Who has one is asked about everything once the body is there: the look opens nothing,
// mints nothing and leaves nothing behind but the owner's place for a body.

// What the two sides of the early look agree on: the metadata by which Envoy's call says that it is
// one, and from how many bytes on a body is large. They are those of the package envoy, which knows
// no other room; internal/gateway has a test that they are the same.
const (
	LookMetadata = "bqgate-look"
	LookEarly    = "early"
	SmallBody    = 16_000
)

// isLook says whether Envoy asks for the early look: by metadata of its own call, which no client
// can set.
func isLook(ctx context.Context) bool {
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get(LookMetadata)
	return len(values) == 1 && values[0] == LookEarly
}

// look says whether the body of a request may come. Its outcome is a refusal, or lets the request
// go on to the whole check.
func (s *Service) look(ctx context.Context, a asked) (asked, outcome) {
	a.op = bigquery.Meant(a.request.http) // for the record of a refusal
	subject, err := s.Identity.Authenticate(ctx, a.request.authorization)
	a.done(stepIdentity)
	if err == nil {
		a.subject = subject
		// Envoy 1.40 may leave a body that came too fast, and is too large, until the request times
		// out: what says of itself that it is too large never comes.
		if length(a.request.http) > s.maxBody() {
			return a, s.conclude(ctx, a, ruling{judged: judged{job: a.op.Job}}, s.tooLarge(a.op))
		}
		err = s.Limits.Lend(subject.Budget, bodyKind(a.request.http), a.requestID(), bodyWithin)
	}
	if err != nil {
		return a, s.conclude(ctx, a, ruling{judged: judged{job: a.op.Job}}, err)
	}
	return a, outcome{looked: true}
}

// bodyWithin is how long a body counts at the longest. Envoy gives a request 30 s to arrive, and
// does not say when its client has gone away before.
const bodyWithin = 30 * time.Second

// bodyKind is as what a body counts that is on its way. HTTP/2 does not say of requests that should
// have none that none comes, and small ones need no kind of their own: they are requests.
func bodyKind(r bigquery.Request) limits.Kind {
	n := length(r)
	bodiless := n == unsaid && (r.Verb == http.MethodGet || r.Verb == http.MethodDelete)
	if 0 <= n && n < SmallBody || bodiless {
		return limits.Requests
	}
	return limits.Bodies
}

// unsaid is the length of a body of which nothing is said.
const unsaid = -1

// length is how long a body says that it is. One that says it in no number is as long as can be.
func length(r bigquery.Request) int64 {
	lengths := r.Header["content-length"]
	if len(lengths) == 0 {
		return unsaid
	}
	n, err := strconv.ParseInt(lengths[0], 10, 64)
	if err != nil || n < 0 || len(lengths) > 1 {
		return math.MaxInt64
	}
	return n
}

// maxBodyOfBigQuery is what BigQuery takes of a request
// (https://cloud.google.com/bigquery/quotas: jobs.query).
const maxBodyOfBigQuery = 10 << 20

// maxBody is how long a body may be, in bytes.
func (s *Service) maxBody() int64 { return cmp.Or(s.MaxBody, maxBodyOfBigQuery) }

// goOn lets a request go on to the whole check. It has no headers and no metadata: there is nothing
// that the check could be told.
func goOn() *authv3.CheckResponse {
	return &authv3.CheckResponse{
		Status:       &status.Status{Code: int32(code.Code_OK)},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}},
	}
}
