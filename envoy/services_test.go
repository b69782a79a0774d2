package envoy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
)

const echoSocketVariable = "BQGATE_TEST_ECHO_SOCKET"

type authorization struct {
	authv3.UnimplementedAuthorizationServer
	check func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error)
}

func (a authorization) Check(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return a.check(ctx, in)
}

const mintedToken = "Bearer ya29.minted-for-this-run"

// allow swaps the credential, as bqgate does, removes every other header, and leaves a sealed
// verdict.
func allow(_ context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	var remove []string
	for _, h := range in.GetAttributes().GetRequest().GetHttp().GetHeaderMap().GetHeaders() {
		switch name := h.GetKey(); {
		case name[0] == ':', name == "host", name == "authorization", name == "content-type", name == "te", name == "x-kept":
		default:
			remove = append(remove, name)
		}
	}
	return &authv3.CheckResponse{
		Status: &status.Status{Code: int32(codes.OK)},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers:         []*corev3.HeaderValueOption{headerValue("authorization", mintedToken)},
			HeadersToRemove: remove,
		}},
		DynamicMetadata: &structpb.Struct{Fields: map[string]*structpb.Value{"bqgate": structpb.NewStringValue("sealed")}},
	}, nil
}

// deny replies with a body of its own.
func deny(code int, body string) func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
		return &authv3.CheckResponse{
			Status: &status.Status{Code: int32(codes.PermissionDenied)},
			HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
				Status:  &typev3.HttpStatus{Code: typev3.StatusCode(code)},
				Headers: []*corev3.HeaderValueOption{headerValue("content-type", jsonContentType)},
				Body:    body,
			}},
		}, nil
	}
}

type processor struct {
	procv3.UnimplementedExternalProcessorServer
	process func(procv3.ExternalProcessor_ProcessServer) error
}

func (p processor) Process(s procv3.ExternalProcessor_ProcessServer) error { return p.process(s) }

// echo lets everything through but request trailers.
func echo(s procv3.ExternalProcessor_ProcessServer) error {
	return each(s, pass)
}

// each answers every message of a stream with what f makes of it.
func each(s procv3.ExternalProcessor_ProcessServer, f func(*procv3.ProcessingRequest) (*procv3.ProcessingResponse, error)) error {
	for {
		in, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		out, err := f(in)
		if err != nil {
			return err
		}
		for _, part := range cut(out) {
			if err := s.Send(part); err != nil {
				return err
			}
		}
	}
}

// cut splits a response body into chunks that Envoy takes.
func cut(out *procv3.ProcessingResponse) []*procv3.ProcessingResponse {
	const limit = 60_000
	stream := out.GetResponseBody().GetResponse().GetBodyMutation().GetStreamedResponse()
	body := stream.GetBody()
	if len(body) <= limit {
		return []*procv3.ProcessingResponse{out}
	}
	var parts []*procv3.ProcessingResponse
	for len(body) > limit {
		parts, body = append(parts, streamed(body[:limit], false)), body[limit:]
	}
	return append(parts, streamed(body, stream.GetEndOfStream()))
}

func pass(in *procv3.ProcessingRequest) (*procv3.ProcessingResponse, error) {
	headers := &procv3.HeadersResponse{Response: &procv3.CommonResponse{}}
	switch m := in.GetRequest().(type) {
	case *procv3.ProcessingRequest_RequestHeaders:
		return &procv3.ProcessingResponse{Response: &procv3.ProcessingResponse_RequestHeaders{RequestHeaders: headers}}, nil
	case *procv3.ProcessingRequest_RequestBody:
		return &procv3.ProcessingResponse{
			Response: &procv3.ProcessingResponse_RequestBody{RequestBody: &procv3.BodyResponse{Response: &procv3.CommonResponse{}}},
		}, nil
	case *procv3.ProcessingRequest_ResponseHeaders:
		return &procv3.ProcessingResponse{Response: &procv3.ProcessingResponse_ResponseHeaders{ResponseHeaders: headers}}, nil
	case *procv3.ProcessingRequest_ResponseBody:
		return streamed(m.ResponseBody.GetBody(), m.ResponseBody.GetEndOfStream()), nil
	case *procv3.ProcessingRequest_ResponseTrailers:
		return &procv3.ProcessingResponse{
			Response: &procv3.ProcessingResponse_ResponseTrailers{ResponseTrailers: &procv3.TrailersResponse{}},
		}, nil
	default:
		return nil, grpcstatus.Errorf(codes.InvalidArgument, "refused: %T", m)
	}
}

func streamed(body []byte, end bool) *procv3.ProcessingResponse {
	return &procv3.ProcessingResponse{Response: &procv3.ProcessingResponse_ResponseBody{ResponseBody: &procv3.BodyResponse{
		Response: &procv3.CommonResponse{BodyMutation: &procv3.BodyMutation{Mutation: &procv3.BodyMutation_StreamedResponse{
			StreamedResponse: &procv3.StreamedBodyResponse{Body: body, EndOfStream: end},
		}}},
	}}}
}

// serveEcho is the whole life of a child process that echoes.
func serveEcho(socket string) error {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", socket, err)
	}
	s := newGRPCServer()
	procv3.RegisterExternalProcessorServer(s, processor{process: echo})
	return s.Serve(l)
}

// goOnOrRefuse is the early look of a bqgate that knows one credential.
func goOnOrRefuse(in *authv3.CheckRequest) *authv3.CheckResponse {
	for _, h := range in.GetAttributes().GetRequest().GetHttp().GetHeaderMap().GetHeaders() {
		if h.GetKey() == "authorization" && string(h.GetRawValue()) == "Bearer good" {
			return &authv3.CheckResponse{
				Status:       &status.Status{Code: int32(codes.OK)},
				HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}},
			}
		}
	}
	out, _ := deny(401, `{"error":{}}`)(context.Background(), in)
	return out
}
