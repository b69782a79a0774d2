package extauthz

import (
	"cmp"
	"fmt"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/credentials"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/refusal"
	"github.com/bqgate/bqgate/internal/verdict"
)

// outcome is the verdict of one request: a forward with its token, or a reply that Envoy sends
// itself. The zero outcome is a refusal.
type outcome struct {
	forward *verdict.Forward
	token   credentials.Token
	decided durable.Decided // of a forward: that its decision is durable
	witness durable.Answer  // of a reply: that its record is durable, or that it needs none (durable.Waiting)
	status  int
	reason  string // of a refusal, BigQuery's word
	held    bool
	body    []byte
	fault   bool // no decision could be made or recorded
	summed  bool // it is counted, and has neither a record nor a line in the log of its own
	looked  bool // by the early look, which found nothing against the request

	decision, rule string // for the log, and for the words of a fault
}

func (o outcome) String() string {
	switch {
	case o.forward != nil:
		return "forward"
	case o.fault:
		return "fault"
	default:
		return fmt.Sprintf("reply %d", o.status)
	}
}

// respond is the only place that makes CheckResponses of outcomes.
func (s *Service) respond(a asked, o outcome) (*authv3.CheckResponse, error) {
	switch {
	case o.forward != nil:
		text, err := verdict.Seal(s.Keys, o.decided, *o.forward)
		if err != nil {
			s.Log.Error("verdict not sealed", "decision", a.id, "error", err)
			return unavailable(cmp.Or(o.decision, a.id)), nil
		}
		return ok(a, o, text), nil
	case o.fault || o.status == 0:
		return unavailable(cmp.Or(o.decision, a.id)), nil
	default:
		return reply(o.witness, o.status, o.body), nil
	}
}

// ok lets the request through: all headers but an allow-list go, and the caller's credential is
// overwritten by the minted one. The query that was decided on is written by ext_proc.
func ok(a asked, o outcome, sealed string) *authv3.CheckResponse {
	return &authv3.CheckResponse{
		Status: &status.Status{Code: int32(code.Code_OK)},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers: []*corev3.HeaderValueOption{{
				// `value`, not raw_value: Envoy takes raw_value here as empty.
				Header:       &corev3.HeaderValue{Key: "authorization", Value: "Bearer " + o.token.Bearer()},
				AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
			}},
			HeadersToRemove: headersToRemove(a.request.names),
		}},
		DynamicMetadata: &structpb.Struct{Fields: map[string]*structpb.Value{verdict.Key: structpb.NewStringValue(sealed)}},
	}
}

func headersToRemove(names []string) []string {
	var remove []string
	for _, n := range names {
		if n != "authorization" && n != "host" && !slices.Contains(bigquery.ForwardHeaders, n) {
			remove = append(remove, n)
		}
	}
	return remove
}

// reply is sent by Envoy itself; the upstream never hears of the request. A pending job is a reply
// with status 200.
func reply(w durable.Answer, code int, body []byte) *authv3.CheckResponse {
	durable.Because(w)
	return &authv3.CheckResponse{
		Status: &status.Status{Code: 7 /* PERMISSION_DENIED */},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status: &typev3.HttpStatus{Code: typev3.StatusCode(code)}, //nolint:gosec // G115: a status of HTTP
			Headers: []*corev3.HeaderValueOption{
				header("content-type", "application/json; charset=UTF-8"),
				header("cache-control", "no-store"),
			},
			Body: string(body),
		}},
		DynamicMetadata: replied,
	}
}

// ReplyMetadata says to Envoy, in the metadata of a reply, that the answer is the gateway's own and
// in the record: ext_proc is not asked about it. It is never beside a verdict. The package envoy
// has the same name for it, and internal/gateway a test that it is the same.
const ReplyMetadata = "bqgate_reply"

var replied = &structpb.Struct{Fields: map[string]*structpb.Value{ReplyMetadata: structpb.NewBoolValue(true)}}

// unavailable is an answer for faults of the gateway itself, which Envoy counts as an error: a 503
// that clients retry.
func unavailable(decision string) *authv3.CheckResponse {
	_, body := refusal.Undecided(nil).BigQuery(decision)
	return &authv3.CheckResponse{
		Status: &status.Status{Code: int32(code.Code_UNAVAILABLE)},
		HttpResponse: &authv3.CheckResponse_ErrorResponse{ErrorResponse: &authv3.DeniedHttpResponse{
			Status: &typev3.HttpStatus{Code: typev3.StatusCode_ServiceUnavailable},
			Headers: []*corev3.HeaderValueOption{
				header("content-type", "application/json; charset=UTF-8"), header(verdict.DecisionHeader, decision),
			},
			Body: string(body),
		}},
	}
}

func header(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: name, Value: value},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}
