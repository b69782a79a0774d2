package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/unixsocket"
)

// listeners are the places where a gateway is reached: the folder of the sockets that Envoy
// connects to, and the console's address. The sockets are made when there is something behind them.
type listeners struct {
	sockets *unixsocket.Folder
	console net.Listener
}

// openListeners takes both, or neither.
func openListeners(c *config.Config, log *slog.Logger) (*listeners, error) {
	sockets, err := unixsocket.Open(c.Sockets.Dir, c.Sockets.EnvoyUID, log)
	if err != nil {
		return nil, err
	}
	console, err := net.Listen("tcp", c.Console.Address)
	if err != nil {
		sockets.Close()
		return nil, fmt.Errorf("console.address: %w", err)
	}
	return &listeners{sockets, console}, nil
}

func (l *listeners) close() {
	l.console.Close()
	l.sockets.Close()
}

// serve makes the three sockets, and serves them and the console.
func (l *listeners) serve(
	ctx context.Context, g *errgroup.Group, authz authv3.AuthorizationServer, proc procv3.ExternalProcessorServer, tokens,
	console http.Handler,
) error {
	opened := map[string]net.Listener{}
	for _, name := range []string{"ext_authz.sock", "ext_proc.sock", "token.sock"} {
		socket, err := l.sockets.Listen(name)
		if err != nil {
			for _, other := range opened {
				other.Close()
			}
			return err
		}
		opened[name] = socket
	}
	serveGRPC(ctx, g, opened["ext_authz.sock"], func(s *grpc.Server) { authv3.RegisterAuthorizationServer(s, authz) })
	serveGRPC(ctx, g, opened["ext_proc.sock"], func(s *grpc.Server) { procv3.RegisterExternalProcessorServer(s, proc) })
	serveHTTP(ctx, g, opened["token.sock"], tokens)
	serveHTTP(ctx, g, l.console, console)
	return nil
}

func serveGRPC(ctx context.Context, g *errgroup.Group, l net.Listener, register func(*grpc.Server)) {
	s := grpc.NewServer(grpcOptions()...)
	register(s)
	g.Go(func() error { return s.Serve(l) })
	g.Go(func() error { <-ctx.Done(); stop(s); return nil })
}

func serveHTTP(ctx context.Context, g *errgroup.Group, l net.Listener, h http.Handler) {
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 60 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	g.Go(func() error {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		if err := s.Shutdown(stopCtx); err != nil {
			return s.Close()
		}
		return nil
	})
}

// stop lets running calls end for a moment and then ends them: an abrupt end is an error to Envoy,
// which fails closed.
func stop(s *grpc.Server) {
	timer := time.AfterFunc(3*time.Second, s.Stop)
	defer timer.Stop()
	s.GracefulStop()
}

// Flow-control windows towards Envoy, in bytes. All streams of a connection together may hold half of
// its window, so that streams whose bodies stand still leave room to the others (A37). Envoy makes
// another connection long before this many streams (envoy/windows.go).
const (
	grpcStreams          = 256
	grpcStreamWindow     = 128 << 10
	grpcConnectionWindow = 64 << 20
)

// grpcOptions fit Envoy as a client: it pings every second, so that a frozen service is noticed
// (A15), and sends response chunks of several MiB when they pile up behind a header reply.
func grpcOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(32 << 20),
		// A call is served by a goroutine whose stack has already grown to what Check needs.
		grpc.NumStreamWorkers(64),
		grpc.MaxConcurrentStreams(grpcStreams),
		grpc.InitialWindowSize(grpcStreamWindow),
		grpc.InitialConnWindowSize(grpcConnectionWindow),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 200 * time.Millisecond, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
	}
}
