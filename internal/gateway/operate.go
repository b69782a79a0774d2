package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/connections"
	"github.com/bqgate/bqgate/internal/operations"
)

// operationsLimits are of who asks /readyz and /metrics: a few probes and scrapers.
var operationsLimits = connections.Limits{Total: 64, PerAddress: 64}

// openOperations listens on the operations address; nil where there is none.
func openOperations(o config.Operations) (*connections.Listener, error) {
	if o.Address == "" {
		return nil, nil
	}
	secure, err := operationsTLS(o.TLS)
	if err != nil {
		return nil, err
	}
	l, err := connections.Open(operationsLimits, connections.TCP(o.Address))
	if err != nil {
		return nil, fmt.Errorf("operations.address: %w", err)
	}
	l.TLS = secure
	return l, nil
}

// operationsTLS is nil where the listener is plain.
func operationsTLS(t *config.OperationsTLS) (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	own, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("operations.tls: %w", err)
	}
	pem, err := os.ReadFile(t.ClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("operations.tls.client_ca_file: %w", err)
	}
	clients := x509.NewCertPool()
	if !clients.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("operations.tls.client_ca_file %s holds no certificate", t.ClientCAFile)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
		NextProtos: []string{"http/1.1"},
	}, nil
}

// keepServing serves what decides about no request. A listener that breaks is opened again.
func (g *gateway) keepServing(ctx context.Context, group *errgroup.Group, name string, l *connections.Listener, h http.Handler) {
	g.keep(ctx, group, name, func(ctx context.Context) error { return serveBounded(ctx, l, h) })
}

// serveBounded serves until ctx ends, or the listener breaks.
func serveBounded(ctx context.Context, l *connections.Listener, h http.Handler) error {
	s := httpServer(ctx, l.Handler(h))
	s.ConnContext = l.Context
	served := make(chan error, 1)
	go func() { served <- s.Serve(l.Secured()) }()
	select {
	case err := <-served:
		_ = s.Close()
		return errors.Join(err, l.Reopen())
	case <-ctx.Done():
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		err := s.Shutdown(end)
		if err != nil {
			err = s.Close() // it ends what did not end in time
		}
		if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
			err = errors.Join(err, ended)
		}
		return err
	}
}

// status is what /readyz?verbose says beside the parts.
func (g *gateway) status() operations.Status {
	s := operations.Status{Process: os.Getpid(), Started: g.started.UTC(), Version: build().version, Refused: g.refused.Load()}
	if now := g.current.Load(); now != nil { // else it is being built
		s.Policy, s.Loaded = now.policies.Digest(), now.since.UTC()
	}
	return s
}

// built is what is known of this binary.
type built struct{ version, commit, goVersion string }

func build() built {
	b := built{version: "unknown", commit: "unknown"}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.version, b.goVersion = info.Main.Version, info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.commit = s.Value
			}
		}
	}
	return b
}
