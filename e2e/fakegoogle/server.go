package fakegoogle

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bqgate/bqgate/e2e/fakegoogle/outage"
)

// Server is a running stand-in for Google. Make it with Start.
type Server struct {
	opts        Options
	log         *slog.Logger
	engine      Engine
	tokens      *tokens
	sts         *securityTokenService
	rec         *recorder
	faults      faults
	outages     map[string]*outage.Switch // by service: "bigquery", "sts", "iam", and Options.Outages
	secret      []byte                    // signs page tokens
	noise       atomic.Bool
	gzip        atomic.Bool
	delay       atomic.Int64 // JobDelay in ns
	tokenPrefix atomic.Pointer[string]
	window      atomic.Int64 // requestIDWindow in ns

	location    atomic.Value // a string
	cacheAlways atomic.Bool
	ignoreIDs   atomic.Bool // SetRequestIDsIgnored

	version atomic.Int64 // of the data: grows with every statement that may have changed it

	mu       sync.Mutex
	jobs     map[string]*job      // by jobKey
	started  []*job               // all jobs there ever were, in order
	requests map[string]requested // by requestKey and plantedKey
	cache    map[string]*result   // results by account, SQL and version of the data
	anon     map[string]*result   // results by their anonymous destination table
	bytes    map[string]int64     // sizes by table, from seed comments
	linked   map[string]string    // datasets that show another one, "project.dataset", from seed comments
	sizes    map[string]tableSize // measured sizes by table and version
	seeds    []string

	rowAccess map[string][]rowAccessPolicy // by table
	withheld  bool                         // nobody may list row access policies any more

	caFile    string
	ownDir    string
	addresses [4]net.Addr // BigQuery, STS, IAM, control
	servers   []*http.Server
	running   sync.WaitGroup
}

const (
	atBigQuery = iota
	atSTS
	atIAM
	atControl
)

// Start listens, seeds and serves until Close. ctx bounds the start only.
func Start(ctx context.Context, opts Options) (*Server, error) {
	if opts.Engine == nil {
		return nil, errors.New("start fakegoogle: Options.Engine is not set")
	}
	if opts.Project == "" {
		opts.Project = "demo"
	}
	if opts.Location == "" {
		opts.Location = "US"
	}
	if opts.Provider == "" {
		opts.Provider = DefaultProvider
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	s := &Server{
		opts: opts, log: opts.Log, engine: opts.Engine, tokens: newTokens(), rec: &recorder{}, secret: []byte(rand.Text()),
		jobs: map[string]*job{}, requests: map[string]requested{}, cache: map[string]*result{}, anon: map[string]*result{},
		bytes: map[string]int64{}, linked: map[string]string{}, sizes: map[string]tableSize{}, rowAccess: map[string][]rowAccessPolicy{},
	}
	s.outages = map[string]*outage.Switch{"bigquery": {}, "sts": {}, "iam": {}}
	maps.Copy(s.outages, opts.Outages)
	sts, err := newSTS(opts, s.tokens)
	if err != nil {
		return nil, err
	}
	s.sts = sts
	s.noise.Store(opts.Noise)
	s.gzip.Store(opts.ForceGzip)
	s.delay.Store(int64(opts.JobDelay))
	s.window.Store(int64(requestIDWindow))
	s.location.Store(opts.Location)
	if err := s.listen(); err != nil {
		s.Close()
		return nil, err
	}
	for _, text := range opts.Seeds {
		if err := s.Seed(ctx, text); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

func (s *Server) listen() error {
	dir := s.opts.Dir
	if dir == "" {
		made, err := os.MkdirTemp("", "fakegoogle")
		if err != nil {
			return fmt.Errorf("make a folder for the certificates: %w", err)
		}
		dir, s.ownDir = made, made
	}
	certs, err := s.certificates(dir)
	if err != nil {
		return err
	}
	for i, l := range []struct {
		addr    string
		handler http.Handler
		service string
		host    string
	}{
		{s.opts.BigQueryAddr, s.bigQuery(), "bigquery", "bigquery.googleapis.com"},
		{s.opts.STSAddr, s.rec.wrap("sts", s.sts), "sts", "sts.googleapis.com"},
		{s.opts.IAMAddr, s.iam(), "iam", "iamcredentials.googleapis.com"},
		{s.opts.ControlAddr, s.control(), "", ""},
	} {
		addr := l.addr
		if addr == "" {
			addr = "127.0.0.1:0"
		}
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			return fmt.Errorf("listen on %s: %w", addr, err)
		}
		if !ln.Addr().(*net.TCPAddr).IP.IsLoopback() {
			ln.Close()
			return fmt.Errorf("listen on %s: a stand-in for Google serves loopback only", addr)
		}
		s.addresses[i] = ln.Addr()
		handler := l.handler
		if broken := s.outages[l.service]; broken != nil {
			ln, handler = broken.Listener(ln), broken.Handler(handler)
		}
		srv := &http.Server{
			Handler: handler, ReadHeaderTimeout: 30 * time.Second, MaxHeaderBytes: 1 << 20,
			ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
			HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 2000, MaxReceiveBufferPerConnection: 8 << 20,
				MaxReceiveBufferPerStream: 4 << 20},
		}
		s.servers = append(s.servers, srv)
		s.running.Add(1)
		go func() {
			defer s.running.Done()
			var err error
			if l.host == "" {
				err = srv.Serve(ln)
			} else {
				srv.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certs[l.host]}}
				err = srv.ServeTLS(ln, "", "")
			}
			if !errors.Is(err, http.ErrServerClosed) {
				s.log.Error("serve", "host", l.host, "error", err)
			}
		}()
	}
	return nil
}

// Close ends the listeners, the jobs and the engine.
func (s *Server) Close() error {
	for _, srv := range s.servers {
		srv.Close()
	}
	s.running.Wait()
	err := s.engine.Close()
	if s.ownDir != "" {
		err = errors.Join(err, os.RemoveAll(s.ownDir))
	}
	return err
}

// BigQueryURL is the root of the BigQuery front, "https://127.0.0.1:port"; its certificate is also
// for bigquery.googleapis.com.
func (s *Server) BigQueryURL() string { return "https://" + s.addresses[atBigQuery].String() }

// BigQueryAddr is "127.0.0.1:port" of the BigQuery front.
func (s *Server) BigQueryAddr() string { return s.addresses[atBigQuery].String() }

// TokenURL is the token endpoint of STS, for an external_account credentials file's token_url.
func (s *Server) TokenURL() string { return "https://" + s.addresses[atSTS].String() + "/v1/token" }

// STSAddr is "127.0.0.1:port" of it.
func (s *Server) STSAddr() string { return s.addresses[atSTS].String() }

// IAMAddr is "127.0.0.1:port" of the IAM Credentials API, gRPC and REST on one port.
func (s *Server) IAMAddr() string { return s.addresses[atIAM].String() }

// ControlURL is the plain HTTP root of the recorder and the switches (see control.go).
func (s *Server) ControlURL() string { return "http://" + s.addresses[atControl].String() }

// CAFile is the PEM file of the CA that signed the listeners' certificates.
func (s *Server) CAFile() string { return s.caFile }

// EnginePID is the process id of the SQL engine's child; 0 while it is being started again.
func (s *Server) EnginePID() int { return s.engine.PID() }

// SetNoise changes Options.Noise from now on, SetForceGzip and SetJobDelay their like.
func (s *Server) SetNoise(on bool) { s.noise.Store(on) }

// SetForceGzip compresses every answer, asked or not.
func (s *Server) SetForceGzip(on bool) { s.gzip.Store(on) }

// SetCacheAlways answers from the cache where it can, also for a query with useQueryCache false.
func (s *Server) SetCacheAlways(on bool) { s.cacheAlways.Store(on) }

// SetJobDelay sets how long a job takes.
func (s *Server) SetJobDelay(d time.Duration) { s.delay.Store(int64(d)) }

// Break breaks the connections of a service, "bigquery", "sts", "iam" or one of Options.Outages, or
// makes them well.
func (s *Server) Break(service string, m outage.Mode) error {
	broken := s.outages[service]
	if broken == nil {
		return fmt.Errorf("no service %q: want one of %q", service, slices.Sorted(maps.Keys(s.outages)))
	}
	return broken.Set(m)
}

// account tells what a service account (by its e-mail) or a federated principal may do; unknown
// ones may do nothing. A principal has the attributes of its newest token.
func (s *Server) account(name string) Permissions {
	m := s.tokens.newest(name)
	if m.subject == "" {
		return s.opts.ServiceAccounts[name]
	}
	var may Permissions
	for member, given := range s.opts.Principals {
		if m.is(member) {
			may = may.and(given)
		}
	}
	return may
}

func loopbackNames(host string) []string {
	return strings.Fields(host + " localhost")
}
