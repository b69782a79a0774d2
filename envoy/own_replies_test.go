package envoy

import (
	"context"
	"sync/atomic"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"
)

func TestExtProcIsAskedUnlessExtAuthzReplies(t *testing.T) {
	says := func(v *structpb.Value) *structpb.Struct {
		return &structpb.Struct{Fields: map[string]*structpb.Value{ReplyMetadata: v}}
	}
	yes := says(structpb.NewBoolValue(true))
	for _, tt := range []struct {
		name     string
		check    func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error)
		metadata *structpb.Struct
		code     int
		asked    int64
	}{
		{"a denial that says so", deny(403, `{"x":1}`), yes, 403, 0},
		{"a denial that does not", deny(403, `{"x":1}`), nil, 403, 1},
		{"a denial that says no", deny(403, `{"x":1}`), says(structpb.NewBoolValue(false)), 403, 1},
		{"a denial that says something", deny(403, `{"x":1}`), says(structpb.NewStringValue("true")), 403, 1},
		{"an error that says so", func(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
			out, err := deny(503, `{"x":1}`)(ctx, in)
			return &authv3.CheckResponse{Status: &status.Status{Code: int32(codes.Unavailable)},
				HttpResponse: &authv3.CheckResponse_ErrorResponse{ErrorResponse: out.GetDeniedResponse()}}, err
		}, yes, 503, 1},
		{"what goes on", allow, nil, 200, 1},
		{"what goes on and says so", allow, yes, 200, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked atomic.Int64
			w := start(t, &world{
				check: func(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
					out, err := tt.check(ctx, in)
					if tt.metadata != nil {
						out.DynamicMetadata = tt.metadata
					}
					return out, err
				},
				process: func(s procv3.ExternalProcessor_ProcessServer) error {
					asked.Add(1)
					return echo(s)
				},
			})
			if code, _, body := get(t, "http://"+w.rest+queries+"/x"); code != tt.code || body == "" {
				t.Errorf("%d %q, want %d", code, body, tt.code)
			}
			if n := asked.Load(); n != tt.asked {
				t.Errorf("ext_proc was asked %d times, want %d", n, tt.asked)
			}
		})
	}
}
