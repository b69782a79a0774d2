package envoy

import "time"

// Config says what Envoy listens on and whom it talks to. Everything that matters for safety is not
// in it: it is the same for everybody and cannot be turned off. Empty limits and timeouts take the
// values of Defaults.
type Config struct {
	// REST are listeners for BigQuery's REST API (HTTP/1.1 and HTTP/2).
	REST []Listener `yaml:"rest"`
	// GRPC are listeners for the Storage Read API (HTTP/2; without TLS: h2c with prior knowledge).
	// They need StorageRead.
	GRPC []Listener `yaml:"grpc"`
	// Token are listeners for POST /v1/token alone (RFC 8693). They need TokenEndpoint.
	Token []Listener `yaml:"token"`
	// Domains are the Host values that REST and GRPC listeners answer to
	// ("bigquery.internal.example", with ":port" where clients send one). Everything else gets a
	// 403. Empty means any.
	Domains []string `yaml:"domains"`

	ExtAuthz      Service `yaml:"ext_authz"`      // gRPC, envoy.service.auth.v3.Authorization
	ExtProc       Service `yaml:"ext_proc"`       // gRPC, envoy.service.ext_proc.v3.ExternalProcessor
	TokenEndpoint Service `yaml:"token_endpoint"` // HTTP/1.1

	BigQuery    Upstream `yaml:"bigquery"`     // bigquery.googleapis.com
	StorageRead Upstream `yaml:"storage_read"` // bigquerystorage.googleapis.com

	// Admin is the path of the socket for Envoy's admin interface (mode 0600). Empty means there is
	// none. It is never a TCP port: whoever reaches it can stop Envoy and read its configuration.
	Admin string `yaml:"admin"`
	// AccessLog is the file that requests are logged to, a JSON object a line; empty means standard
	// output.
	AccessLog string `yaml:"access_log"`
	// TrustedHops is the number of proxies in front of Envoy whose X-Forwarded-For is believed for
	// the client address in the access log.
	TrustedHops uint32 `yaml:"trusted_hops"`

	Limits   Limits   `yaml:"limits"`
	Timeouts Timeouts `yaml:"timeouts"`
}

// Listener is one address that clients connect to.
type Listener struct {
	// Address is IP:PORT.
	Address string `yaml:"address"`
	// TLS is nil for a plain listener, which Validate accepts on loopback addresses only: the
	// bearer tokens of agents pass here.
	TLS *ServerTLS `yaml:"tls"`
}

// ServerTLS is the certificate that a listener shows.
type ServerTLS struct {
	CertFile string `yaml:"cert_file"` // PEM, with intermediates
	KeyFile  string `yaml:"key_file"`  // PEM
}

// Service is a part of bqgate that Envoy calls: on a Unix socket, or at an address with mutual TLS.
// There is no third way. An unauthenticated port of ext_authz would mint Google tokens for whoever
// connects to it.
type Service struct {
	Socket  string     `yaml:"socket"`  // path of a Unix socket
	Address string     `yaml:"address"` // HOST:PORT, with TLS
	TLS     *ClientTLS `yaml:"tls"`
}

// ClientTLS is mutual TLS from Envoy to a Service.
type ClientTLS struct {
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	CAFile   string `yaml:"ca_file"`
	SAN      string `yaml:"san"` // the DNS name that the service's certificate must carry
}

// Upstream is a Google API host. It is always spoken to over TLS 1.2 or newer, with its name
// checked.
type Upstream struct {
	Address string `yaml:"address"` // HOST:PORT to connect to; default Host, port 443
	Host    string `yaml:"host"`    // Host header, SNI, and the DNS name that the certificate must carry
	CAFile  string `yaml:"ca_file"` // PEM of the certificate authorities that are trusted
}

// Limits bound what clients can make Envoy hold.
type Limits struct {
	MaxRequestBytes uint32 `yaml:"max_request_bytes"` // largest request body, bytes; more is a 413
	MaxChecks       uint32 `yaml:"max_checks"`        // Check calls at once, long-polls of held queries included; more is a 503
	MaxStreams      uint32 `yaml:"max_streams"`       // requests at once in ext_proc and upstream
	MaxConnections  uint32 `yaml:"max_connections"`   // client connections at once, over all listeners
	MaxTokenRate    uint32 `yaml:"max_token_rate"`    // token exchanges a second from one address; more is a 429
	MaxHeapBytes    uint64 `yaml:"max_heap_bytes"`    // Envoy's heap; near it, requests are refused
}

// Descriptors is how many file descriptors Envoy may need: one for each connection of a client, one
// for each request where Google's side speaks HTTP/1.1, and what it opens itself. With fewer
// (RLIMIT_NOFILE) it can accept nobody once they are used up.
func (l Limits) Descriptors() uint64 { return uint64(l.MaxConnections) + uint64(l.MaxStreams) + 512 }

// Timeouts bound how long each part may take.
type Timeouts struct {
	Check   time.Duration `yaml:"check"`   // one Check call, which may long-poll a held query
	Process time.Duration `yaml:"process"` // one answer of ext_proc to headers or to the request body
	Idle    time.Duration `yaml:"idle"`    // a data stream on which nothing moves; BigQuery itself may stay silent for 200 s
	Request time.Duration `yaml:"request"` // receiving a whole request
}

// Defaults are the limits and timeouts that an empty Config means.
func Defaults() (Limits, Timeouts) {
	return Limits{
			// BigQuery takes 1 MB of SQL; the rest is room for parameters and labels.
			MaxRequestBytes: 1<<20 + 128<<10,
			MaxChecks:       4096,
			MaxStreams:      4096,
			// More than the 28,232 ports from which one address can connect to one listener.
			MaxConnections: 32768,
			MaxTokenRate:   1000,
			MaxHeapBytes:   2 << 30,
		}, Timeouts{
			Check:   30 * time.Second,
			Process: 20 * time.Second,
			Idle:    240 * time.Second,
			Request: 30 * time.Second,
		}
}

// The hosts of the APIs that bqgate stands in front of.
const (
	BigQueryHost    = "bigquery.googleapis.com"
	StorageReadHost = "bigquerystorage.googleapis.com"
)

// systemCAFile is where Debian, Ubuntu, Alpine and distroless keep the certificate authorities.
const systemCAFile = "/etc/ssl/certs/ca-certificates.crt"

// withDefaults fills what was left out.
func (c Config) withDefaults() Config {
	limits, timeouts := Defaults()
	or(&c.Limits.MaxRequestBytes, limits.MaxRequestBytes)
	or(&c.Limits.MaxChecks, limits.MaxChecks)
	or(&c.Limits.MaxStreams, limits.MaxStreams)
	or(&c.Limits.MaxConnections, limits.MaxConnections)
	or(&c.Limits.MaxTokenRate, limits.MaxTokenRate)
	or(&c.Limits.MaxHeapBytes, limits.MaxHeapBytes)
	or(&c.Timeouts.Check, timeouts.Check)
	or(&c.Timeouts.Process, timeouts.Process)
	or(&c.Timeouts.Idle, timeouts.Idle)
	or(&c.Timeouts.Request, timeouts.Request)
	if len(c.Domains) == 0 {
		c.Domains = []string{"*"}
	}
	c.BigQuery = c.BigQuery.withDefaults(BigQueryHost)
	if len(c.GRPC) > 0 {
		c.StorageRead = c.StorageRead.withDefaults(StorageReadHost)
	}
	return c
}

func (u Upstream) withDefaults(host string) Upstream {
	or(&u.Host, host)
	or(&u.Address, u.Host+":443")
	or(&u.CAFile, systemCAFile)
	return u
}

func or[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
