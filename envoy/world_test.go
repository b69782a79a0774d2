package envoy

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	grpchealth "google.golang.org/grpc/health"
	"google.golang.org/grpc/keepalive"
)

// world is a real Envoy between test services: what a test does not set says yes and echoes.
type world struct {
	health   map[string]*grpchealth.Server // what the services say of themselves
	check    func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error)
	process  func(procv3.ExternalProcessor_ProcessServer) error
	upstream http.HandlerFunc
	token    http.HandlerFunc
	config   func(*Config) // last changes

	noExtAuthz, noExtProc bool   // leave the socket without a service
	upstreamName          string // name in the upstream's certificate, default bigquery.googleapis.com

	dir, rest, restTLS, grpc, tokenAddr string
	ca                                  *authority
	log                                 *lockedBuffer
	accessLog                           string

	mu       sync.Mutex
	arrived  []*http.Request // at the upstream, bodies read
	bodies   []string
	trailers []http.Header
}

func start(t *testing.T, w *world) *world {
	t.Helper()
	binary, err := Find(t.Context(), "../build/bin")
	if err != nil {
		t.Fatal(err)
	}
	// Sockets must have short paths, which t.TempDir does not promise.
	if w.dir, err = os.MkdirTemp("", "envoy"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(w.dir) })
	w.ca = newAuthority(t)
	if w.upstreamName == "" {
		w.upstreamName = BigQueryHost
	}
	w.accessLog = w.path("access.log")

	if !w.noExtAuthz {
		if w.check == nil {
			w.check = allow
		}
		w.serveGRPC(t, "ext_authz.sock", func(s *grpc.Server) {
			authv3.RegisterAuthorizationServer(s, authorization{check: w.check})
			w.registerHealth(s, extAuthzService)
		})
	}
	if !w.noExtProc {
		if w.process == nil {
			w.process = echo
		}
		w.serveGRPC(t, "ext_proc.sock", func(s *grpc.Server) {
			procv3.RegisterExternalProcessorServer(s, processor{process: w.process})
			w.registerHealth(s, extProcService)
		})
	}
	if w.token != nil {
		l, err := net.Listen("unix", w.path("token.sock"))
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: w.token}
		go s.Serve(l)
		t.Cleanup(func() { s.Close() })
	}
	up := httptest.NewUnstartedServer(http.HandlerFunc(w.serveUpstream))
	up.TLS = &tls.Config{Certificates: []tls.Certificate{w.ca.issue(t, w.upstreamName)}, MinVersion: tls.VersionTLS12}
	up.EnableHTTP2 = true
	up.Config.ErrorLog = nil
	up.StartTLS()
	t.Cleanup(up.Close)

	w.rest, w.restTLS, w.grpc, w.tokenAddr = freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t)
	cert, key := w.ca.write(t, w.dir, "localhost")
	config := Config{
		REST:          []Listener{{Address: w.rest}, {Address: w.restTLS, TLS: &ServerTLS{CertFile: cert, KeyFile: key}}},
		GRPC:          []Listener{{Address: w.grpc}},
		Token:         []Listener{{Address: w.tokenAddr}},
		ExtAuthz:      Service{Socket: w.path("ext_authz.sock")},
		ExtProc:       Service{Socket: w.path("ext_proc.sock")},
		TokenEndpoint: Service{Socket: w.path("token.sock")},
		BigQuery:      Upstream{Address: up.Listener.Addr().String(), CAFile: w.path("ca.pem")},
		StorageRead:   Upstream{Address: up.Listener.Addr().String(), CAFile: w.path("ca.pem")},
		Admin:         w.path("admin.sock"),
		AccessLog:     w.accessLog,
	}
	if w.config != nil {
		w.config(&config)
	}
	text, err := Render(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path("envoy.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	w.run(t, binary)
	return w
}

func (w *world) run(t *testing.T, binary string) {
	t.Helper()
	w.log = &lockedBuffer{}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := Command(ctx, Process{Binary: binary, Bootstrap: w.path("envoy.yaml"), Concurrency: 1, Stdout: w.log, Stderr: w.log})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cancel()
		<-ended
		if t.Failed() {
			t.Logf("Envoy's log:\n%s", w.log)
			if lines, err := os.ReadFile(w.accessLog); err == nil {
				t.Logf("access log:\n%s", lines)
			}
		}
	})
	ready, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	if err := Ready(ready, w.path("admin.sock")); err != nil {
		t.Fatal(err)
	}
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// serveGRPC serves on a socket in w.dir until the test ends, with the keepalive policy that Envoy's
// pings need.
func (w *world) serveGRPC(t *testing.T, socket string, register func(*grpc.Server)) {
	t.Helper()
	l, err := net.Listen("unix", w.path(socket))
	if err != nil {
		t.Fatal(err)
	}
	s := newGRPCServer()
	register(s)
	go s.Serve(l)
	t.Cleanup(s.Stop)
}

func newGRPCServer() *grpc.Server {
	return grpc.NewServer(
		grpc.MaxRecvMsgSize(16<<20),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 200 * time.Millisecond, PermitWithoutStream: true}),
	)
}

func (w *world) serveUpstream(out http.ResponseWriter, in *http.Request) {
	body, err := io.ReadAll(in.Body)
	if err != nil {
		return
	}
	w.mu.Lock()
	w.arrived, w.bodies, w.trailers = append(w.arrived, in), append(w.bodies, string(body)), append(w.trailers, in.Trailer)
	w.mu.Unlock()
	if w.upstream != nil {
		w.upstream(out, in)
		return
	}
	out.Header().Set("content-type", "application/json; charset=UTF-8")
	io.WriteString(out, `{"kind":"bigquery#queryResponse"}`)
}

// requests says what arrived at the upstream so far.
func (w *world) requests() []*http.Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]*http.Request(nil), w.arrived...)
}

// given are the addresses that freeAddress has given out: the kernel may offer a port again as soon
// as it is closed.
var given sync.Map

// freeAddress is a loopback address that was free a moment ago and that no other caller was given.
func freeAddress(t *testing.T) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		l.Close()
		if _, taken := given.LoadOrStore(address, true); !taken {
			return address
		}
	}
}

// authority issues certificates for one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

func (a *authority) issue(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// write puts ca.pem and a certificate for name into dir.
func (a *authority) write(t *testing.T, dir, name string) (certFile, keyFile string) {
	t.Helper()
	pair := a.issue(t, name)
	keyDER, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	for path, block := range map[string]*pem.Block{
		filepath.Join(dir, "ca.pem"): {Type: "CERTIFICATE", Bytes: a.cert.Raw},
		certFile:                     {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
		keyFile:                      {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
