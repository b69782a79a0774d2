package system

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/bqgate/bqgate/envoy"
	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/credentials"
	recorded "github.com/bqgate/bqgate/internal/durable"
)

// Echo is an Envoy of the same configuration as the demo's, with services that decide nothing and
// change nothing.
//
// A request with the header RefuseHeader is refused from memory by ext_authz.
type Echo struct {
	URL   string // of the REST listener
	TLS   string // of the one that speaks TLS, with the demo's certificate
	Token string // of the token endpoint
}

// RefuseHeader makes the echo's ext_authz refuse.
const RefuseHeader = "x-echo-refuse"

func startEcho(ctx context.Context, s *System) (*Echo, error) {
	c, err := config.Load(s.Path("demo/bqgate.yaml"))
	if err != nil {
		return nil, err
	}
	broker, err := credentials.New(ctx, c.Credentials)
	if err != nil {
		return nil, err
	}
	s.stopped = append(s.stopped, func() { broker.Close() })
	decided, err := recorded.Decide(ctx, noJournal{}, audit.Decision{ID: "bench"})
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	secured, err := freeAddress()
	if err != nil {
		return nil, err
	}
	token, err := freeAddress()
	if err != nil {
		return nil, err
	}
	e := c.EnvoyConfig()
	rest := []envoy.Listener{{Address: address}}
	if with := slices.IndexFunc(e.REST, func(l envoy.Listener) bool { return l.TLS != nil }); with >= 0 {
		rest = append(rest, envoy.Listener{Address: secured, TLS: e.REST[with].TLS})
	}
	e.REST, e.GRPC, e.Token = rest, nil, []envoy.Listener{{Address: token}}
	e.ExtAuthz, e.ExtProc = envoy.Service{Socket: s.Path("authz.sock")}, envoy.Service{Socket: s.Path("proc.sock")}
	e.TokenEndpoint = envoy.Service{Socket: s.Path("token.sock")}
	e.Admin, e.AccessLog = s.Path("admin.sock"), s.Path("access.log")
	text, err := envoy.Render(e)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.Path("envoy.yaml"), text, 0o600); err != nil {
		return nil, err
	}
	for path, register := range map[string]func(*grpc.Server){
		e.ExtAuthz.Socket: func(g *grpc.Server) {
			authv3.RegisterAuthorizationServer(g, echoAuthz{broker: broker, decided: decided})
		},
		e.ExtProc.Socket: func(g *grpc.Server) { procv3.RegisterExternalProcessorServer(g, echoProc{}) },
	} {
		l, err := net.Listen("unix", path)
		if err != nil {
			return nil, fmt.Errorf("listen for the echo: %w", err)
		}
		g := grpc.NewServer(
			grpc.MaxRecvMsgSize(32<<20), grpc.InitialWindowSize(1<<20), grpc.InitialConnWindowSize(4<<20),
			grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 200 * time.Millisecond, PermitWithoutStream: true}),
		)
		register(g)
		go g.Serve(l)
		s.stopped = append(s.stopped, g.Stop)
	}
	tokens, err := net.Listen("unix", e.TokenEndpoint.Socket)
	if err != nil {
		return nil, fmt.Errorf("listen for the echo: %w", err)
	}
	endpoint := &http.Server{Handler: http.HandlerFunc(echoToken), ReadHeaderTimeout: 5 * time.Second}
	go endpoint.Serve(tokens)
	s.stopped = append(s.stopped, func() { endpoint.Close() })
	binary, err := envoy.Find(ctx, "build/bin")
	if err != nil {
		return nil, err
	}
	log, err := os.Create(s.Path("envoy.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	if _, err := s.spawn(envoy.Command(context.WithoutCancel(ctx),
		envoy.Process{Binary: binary, Bootstrap: s.Path("envoy.yaml"), Stdout: log, Stderr: log})); err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return &Echo{"http://" + address, "https://" + secured, "http://" + token + "/v1/token"}, envoy.Ready(wait, e.Admin)
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// echoToken is a token endpoint that looks at nothing.
func echoToken(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 1<<20))
	w.Header().Set("content-type", "application/json")
	io.WriteString(w, `{"access_token":"echo","issued_token_type":"urn:ietf:params:oauth:token-type:access_token",`+
		`"token_type":"Bearer","expires_in":600}`)
}

// noJournal takes every record and keeps none: the echo is measured without a journal.
type noJournal struct{}

func (noJournal) Append(context.Context, audit.Record) (audit.Position, error) {
	return audit.Position{}, nil
}

// echoAuthz allows everything. It only puts in the token without which the upstream would answer
// with an error.
type echoAuthz struct {
	authv3.UnimplementedAuthorizationServer
	broker  *credentials.Broker
	decided recorded.Decided
}

func (e echoAuthz) Check(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	for _, h := range in.GetAttributes().GetRequest().GetHttp().GetHeaderMap().GetHeaders() {
		if h.GetKey() == RefuseHeader {
			return refused, nil
		}
	}
	token, err := e.broker.Mint(ctx, e.decided, credentials.Run{ // cached
		Account: "default", Owner: "bench", Until: time.Now().Add(time.Hour),
	})
	if err != nil {
		return nil, err
	}
	return &authv3.CheckResponse{Status: &status.Status{},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers: []*corev3.HeaderValueOption{{
				Header:       &corev3.HeaderValue{Key: "authorization", Value: "Bearer " + token.Bearer()},
				AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
			}},
		}}}, nil
}

var refused = &authv3.CheckResponse{
	Status:          &status.Status{Code: int32(codes.PermissionDenied)},
	DynamicMetadata: &structpb.Struct{Fields: map[string]*structpb.Value{envoy.ReplyMetadata: structpb.NewBoolValue(true)}},
	HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
		Status:  &typev3.HttpStatus{Code: typev3.StatusCode_Forbidden},
		Headers: []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: "content-type", Value: "application/json"}}},
		Body:    string(bigquery.ErrorBody(http.StatusForbidden, "accessDenied", "refused from memory")),
	}},
}

// echoProc sends back what comes.
type echoProc struct {
	procv3.UnimplementedExternalProcessorServer
}

func (echoProc) Process(stream procv3.ExternalProcessor_ProcessServer) error {
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, r := range echoed(m) {
			if err := stream.Send(r); err != nil {
				return err
			}
		}
	}
}

// echoChunk is the largest piece that Envoy takes.
const echoChunk = 62_000

func echoed(m *procv3.ProcessingRequest) []*procv3.ProcessingResponse {
	headers := &procv3.HeadersResponse{Response: &procv3.CommonResponse{}}
	switch m := m.GetRequest().(type) {
	case *procv3.ProcessingRequest_RequestHeaders:
		return []*procv3.ProcessingResponse{{Response: &procv3.ProcessingResponse_RequestHeaders{RequestHeaders: headers}}}
	case *procv3.ProcessingRequest_RequestBody:
		return []*procv3.ProcessingResponse{
			{Response: &procv3.ProcessingResponse_RequestBody{RequestBody: &procv3.BodyResponse{Response: &procv3.CommonResponse{}}}},
		}
	case *procv3.ProcessingRequest_ResponseHeaders:
		return []*procv3.ProcessingResponse{{Response: &procv3.ProcessingResponse_ResponseHeaders{ResponseHeaders: headers}}}
	case *procv3.ProcessingRequest_ResponseTrailers:
		return []*procv3.ProcessingResponse{
			{Response: &procv3.ProcessingResponse_ResponseTrailers{ResponseTrailers: &procv3.TrailersResponse{}}},
		}
	case *procv3.ProcessingRequest_ResponseBody:
		var out []*procv3.ProcessingResponse
		body, end := m.ResponseBody.GetBody(), m.ResponseBody.GetEndOfStream()
		for first := true; first || len(body) > 0; first = false {
			n := min(len(body), echoChunk)
			out = append(out, &procv3.ProcessingResponse{
				Response: &procv3.ProcessingResponse_ResponseBody{ResponseBody: &procv3.BodyResponse{
					Response: &procv3.CommonResponse{BodyMutation: &procv3.BodyMutation{Mutation: &procv3.BodyMutation_StreamedResponse{
						StreamedResponse: &procv3.StreamedBodyResponse{Body: body[:n], EndOfStream: end && n == len(body)},
					}}},
				}}})
			body = body[n:]
		}
		return out
	}
	return nil
}
