package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/connections"
	"github.com/bqgate/bqgate/internal/operations"
	"github.com/bqgate/bqgate/internal/unixsocket"
)

// listeners are the places where a gateway is reached: the folder of the sockets that Envoy
// connects to, the console's address, and that of operations. The sockets are made when there is
// something behind them.
type listeners struct {
	sockets    *unixsocket.Folder
	console    *connections.Listener // nil where the console is a process of its own
	operations *connections.Listener // nil without an address
	made       map[string]os.FileInfo
}

// openListeners takes all, or none.
func openListeners(c *config.Config, log *slog.Logger) (l *listeners, err error) {
	l = &listeners{made: map[string]os.FileInfo{}}
	if l.sockets, err = unixsocket.Open(c.Sockets.Dir, c.Sockets.EnvoyUID, log); err != nil {
		return nil, err
	}
	if c.Console.Process != config.ProcessSeparate {
		if l.console, err = openConsole(c); err != nil {
			l.close()
			return nil, err
		}
	}
	if l.operations, err = openOperations(c.Operations); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *listeners) close() {
	if l.operations != nil {
		l.operations.Close()
	}
	if l.console != nil {
		l.console.Close()
	}
	l.sockets.Close()
}

// The sockets of a gateway, by what is behind them.
const (
	authzSocket      = "ext_authz.sock"
	procSocket       = "ext_proc.sock"
	tokenSocket      = "token.sock"
	operationsSocket = "operations.sock"
)

// serveOperations serves what those who run the gateway ask, also while it is being built.
func (l *listeners) serveOperations(ctx context.Context, group *errgroup.Group, g *gateway) error {
	asked := operations.Handler(g.parts, g.counted, g.status)
	local, err := connections.Open(operationsLimits, func() (net.Listener, error) { return l.sockets.Listen(operationsSocket) })
	if err != nil {
		return err
	}
	g.keepServing(ctx, group, "operations-socket", local, asked)
	if l.operations != nil {
		g.keepServing(ctx, group, "operations", l.operations, asked)
	}
	return nil
}

// serve makes the sockets, and serves them and the console.
func (l *listeners) serve(ctx context.Context, group *errgroup.Group, g *gateway) error {
	opened := map[string]net.Listener{}
	for _, name := range []string{authzSocket, procSocket, tokenSocket} {
		socket, err := l.sockets.Listen(name)
		if err != nil {
			for _, other := range opened {
				other.Close()
			}
			return err
		}
		opened[name] = socket
		if l.made[name], err = os.Lstat(l.sockets.Path(name)); err != nil {
			return err
		}
	}
	authz, proc := authv3.Authorization_ServiceDesc.ServiceName, procv3.ExternalProcessor_ServiceDesc.ServiceName
	serveGRPC(ctx, group, opened[authzSocket], func(s *grpc.Server) {
		authv3.RegisterAuthorizationServer(s, g.authz)
		healthpb.RegisterHealthServer(s, operations.GRPCHealth(g.parts, authz))
	})
	serveGRPC(ctx, group, opened[procSocket], func(s *grpc.Server) {
		procv3.RegisterExternalProcessorServer(s, g.proc)
		healthpb.RegisterHealthServer(s, operations.GRPCHealth(g.parts, proc, "sql"))
	})
	serveHTTP(ctx, group, opened[tokenSocket], g.who.tokens)
	if l.console != nil {
		g.keepServing(ctx, group, "console", l.console, g.console)
	}
	return nil
}

// missing names a socket that is not any more what this process made: Envoy cannot connect.
func (l *listeners) missing() string {
	for _, name := range []string{authzSocket, procSocket, tokenSocket} {
		if now, err := os.Lstat(l.sockets.Path(name)); err != nil || !os.SameFile(now, l.made[name]) {
			return name
		}
	}
	return ""
}

func serveGRPC(ctx context.Context, g *errgroup.Group, l net.Listener, register func(*grpc.Server)) {
	s := grpc.NewServer(grpcOptions()...)
	register(s)
	g.Go(func() error { return s.Serve(l) })
	g.Go(func() error { <-ctx.Done(); stop(s); return nil })
}

func httpServer(ctx context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 60 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
}

func serveHTTP(ctx context.Context, g *errgroup.Group, l net.Listener, h http.Handler) {
	s := httpServer(ctx, h)
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

// Flow-control windows towards Envoy, in bytes. All streams of a connection together may hold half
// of its window, so that streams whose bodies stand still leave room to the others (A37). Envoy
// makes another connection long before this many streams (envoy/windows.go).
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
