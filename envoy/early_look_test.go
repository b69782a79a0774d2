package envoy

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"
)

// TestTheEarlyLookFails has ext_authz fail in the look alone: the whole check behind it would let
// the request pass. It is a 503 before the body has come, and nothing is asked of the whole check.
func TestTheEarlyLookFails(t *testing.T) {
	for name, look := range map[string]func(context.Context) (*authv3.CheckResponse, error){
		"an error": func(context.Context) (*authv3.CheckResponse, error) {
			return nil, grpcstatus.Error(codes.Unavailable, "away")
		},
		"a broken answer": func(context.Context) (*authv3.CheckResponse, error) { return nil, grpcstatus.Error(codes.Internal, "") },
		"no answer in time": func(ctx context.Context) (*authv3.CheckResponse, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			var checks atomic.Int64
			w := start(t, &world{
				config: func(c *Config) { c.Timeouts.Check = time.Second },
				check: func(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
					if md, _ := metadata.FromIncomingContext(ctx); len(md.Get(LookMetadata)) > 0 {
						return look(ctx)
					}
					checks.Add(1)
					return allow(ctx, in)
				},
			})
			for framing, rest := range map[string]string{
				"a length whose bytes do not come": "Content-Length: 16000\r\n\r\n",
				"a body that is whole":             "Content-Length: 16000\r\n\r\n" + fmt.Sprintf("%016000d", 0),
				"chunks":                           "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
			} {
				c := dial(t, w.rest)
				fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n%s", queries, rest)
				c.SetReadDeadline(time.Now().Add(20 * time.Second)) // less than Envoy's request timeout
				res, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil || res.StatusCode != http.StatusServiceUnavailable {
					t.Errorf("%s: %v %v, want a 503", framing, res, err)
				}
			}
			if n := checks.Load(); n != 0 {
				t.Errorf("%d requests came to the whole check", n)
			}
			if n := len(w.requests()); n != 0 {
				t.Errorf("%d requests arrived upstream", n)
			}
			if code, _, body := get(t, "http://"+w.rest+queries+"/x"); code != 200 {
				t.Errorf("a request that takes no look: %d %s", code, body)
			}
		})
	}
}
