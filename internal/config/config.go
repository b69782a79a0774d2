// Package config reads the one file that `bqgate serve` takes: listeners, issuers, Redis, upstream,
// credentials, audit, policies and the Envoy it stands behind.
//
// The file is strict: an unknown key, a missing value or a wrong type is an error with the line and
// an excerpt.
package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bqgate/bqgate/envoy"
	"github.com/bqgate/bqgate/internal/credentials"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/limits"
	"github.com/bqgate/bqgate/internal/notify"
	"github.com/bqgate/bqgate/internal/wrapping"
	"github.com/bqgate/bqgate/policies"
)

// Version is the only value of `version`.
const Version = "bqgate/v1"

// Config is the file. Relative paths are taken from the file's own folder.
type Config struct {
	Version        string          `yaml:"version"`
	Sockets        Sockets         `yaml:"sockets"`
	Console        Console         `yaml:"console"`
	Operations     Operations      `yaml:"operations,omitempty"`
	Identity       identity.Config `yaml:"identity"`
	Redis          Redis           `yaml:"redis"`
	SealingKeyFile string          `yaml:"sealing_key_file"` // 32 bytes in base64, the same on all replicas: openssl rand -base64 32
	// KeyWrapping is what opens sealing_key_file and audit.key_file, which are then files of
	// `bqgate keys wrap`.
	KeyWrapping *wrapping.Config   `yaml:"key_wrapping,omitempty"`
	Upstream    Upstream           `yaml:"upstream"`
	Credentials credentials.Config `yaml:"credentials"`
	Audit       Audit              `yaml:"audit"`
	Policies    []string           `yaml:"policies"`
	SQL         SQL                `yaml:"sql"`
	Approvals   Approvals          `yaml:"approvals"`
	Limits      limits.Config      `yaml:"limits,omitempty"`
	Reading     Reading            `yaml:"reading,omitempty"`
	Checks      Checks             `yaml:"checks,omitempty"`
	// Budgets count for everybody, beside those of the policy's rules.
	Budgets       []policies.BudgetEntry `yaml:"budgets,omitempty"`
	Notifications notify.Config          `yaml:"notifications,omitempty"`
	Envoy         envoy.Config           `yaml:"envoy"` // what `bqgate envoy render` prints

	Path string `yaml:"-"` // of the file
}

// Sockets says where Envoy finds the inner services: DIR/ext_authz.sock, DIR/ext_proc.sock and
// DIR/token.sock.
type Sockets struct {
	Dir      string `yaml:"dir"`                 // made with mode 0700
	EnvoyUID []int  `yaml:"envoy_uid,omitempty"` // further user ids that may connect, where Envoy does not run as bqgate's own user
}

// Console is the reviewers' pages and the approval HTTP endpoint. It must never be reachable
// through the agents' listener.
//
// People log in with OpenID Connect where client_id is set: register a client at the issuer with
// the redirect URI URL/login/callback. Without it there is only the endpoint.
type Console struct {
	Address string `yaml:"address"` // host:port
	// Process is "serve" (default) or "separate": it is then run by `bqgate console`.
	Process string `yaml:"process,omitempty"`
	// MaxConnections is how many may be open at once (default 1000), MaxPerAddress of one client
	// address (default 500). Beyond them the one that is silent longest makes room.
	MaxConnections int `yaml:"max_connections,omitempty"`
	MaxPerAddress  int `yaml:"max_connections_per_address,omitempty"`

	URL string `yaml:"url,omitempty"` // how people reach it: https, or http on loopback; default http://ADDRESS

	// name of the issuer of people; may be left out if there is only one
	Issuer           string `yaml:"issuer,omitempty"`
	ClientID         string `yaml:"client_id,omitempty"`          // as registered there; not the audience of agents' tokens
	ClientSecretFile string `yaml:"client_secret_file,omitempty"` // none for a public client: PKCE is always used
	// default openid, email, profile; add what makes the issuer send groups
	Scopes  []string      `yaml:"scopes,omitempty"`
	Session time.Duration `yaml:"session,omitempty"` // how long a login lasts; default 4h, at most 24h
}

// Redis holds approvals, sessions and job records.
type Redis struct {
	URL          string `yaml:"url"` // redis://[user@]host:port/db, rediss:// for TLS, unix:///path
	PasswordFile string `yaml:"password_file,omitempty"`
	// AcknowledgeEpoch says that an operator knows what Redis has lost, and opens approvals again:
	// the number that the log names where it says that they are closed.
	AcknowledgeEpoch int64 `yaml:"acknowledge_epoch,omitempty"`
	// Embedded tolerates a server that does not answer CONFIG: the demo's own. Never set it for a
	// real Redis.
	Embedded bool `yaml:"embedded,omitempty"`
}

// Upstream is BigQuery as the gateway itself reaches it; Envoy's own way is in Envoy.
type Upstream struct {
	URL      string `yaml:"url,omitempty"`      // default https://bigquery.googleapis.com
	Address  string `yaml:"address,omitempty"`  // host:port to connect to, where it is not the URL's own
	CAFile   string `yaml:"ca_file,omitempty"`  // default: the system's
	Location string `yaml:"location,omitempty"` // for jobs whose tables do not say; default US
}

// Audit is the journal.
type Audit struct {
	Dir     string `yaml:"dir"`
	KeyFile string `yaml:"key_file"` // made by `bqgate audit keygen`
	// Reserve is what must be free on the disk before anything begins: room for what is under way.
	// Default: audit.DefaultReserve.
	Reserve limits.Size `yaml:"reserve,omitempty"`
}

// SQL bounds the analysis of statements.
type SQL struct {
	Workers  int           `yaml:"workers,omitempty"`  // default: one a core; one process more stands ready
	Deadline time.Duration `yaml:"deadline,omitempty"` // for one statement; default 2s
	// FirstDeadline is what a statement may take of a processor before it goes to the slow workers,
	// where it has Deadline; default 300ms.
	FirstDeadline time.Duration `yaml:"first_deadline,omitempty"`
	Slow          int           `yaml:"slow_workers,omitempty"` // for those; default: half as many as workers, at least one
}

// Reading is the least that a client must take of an answer while something waits for it: Bytes in
// each Within. Who takes less is broken off. Default 64 KiB in 10 s.
type Reading struct {
	Bytes  int64         `yaml:"bytes,omitempty"`
	Within time.Duration `yaml:"within,omitempty"`
}

func (r Reading) check() error {
	if r != (Reading{}) && (r.Bytes < 1 || r.Bytes > 64<<20 || r.Within < time.Second || r.Within > 10*time.Minute) {
		return errors.New("reading: bytes (1 to 67108864) and within (1s to 10m) belong together")
	}
	return nil
}

// Approvals tunes the waiting.
type Approvals struct {
	LongPoll    time.Duration `yaml:"long_poll,omitempty"`     // default 10s
	PricePerTiB float64       `yaml:"price_per_tib,omitempty"` // in US dollars, shown to reviewers; default 6.25

	// PriceByLocation is where the price is another: {europe-west2: 7.82}.
	PriceByLocation map[string]float64 `yaml:"price_per_tib_by_location,omitempty"`
	MaxWaiting      int                `yaml:"max_waiting,omitempty"` // polls that wait at once; above it they are answered at once

	// What may wait in Redis. A client is whose budget counts: a repository, or a person. Bytes are
	// those that are stored, sealed, some 1.4 times those of the query and its parameters.
	MaxPerClient      int   `yaml:"max_per_client,omitempty"`       // held queries of a client at once; default 100
	MaxPerClientHour  int   `yaml:"max_per_client_hour,omitempty"`  // and in an hour of the clock; default 600
	MaxBytesPerClient int64 `yaml:"max_bytes_per_client,omitempty"` // default 4194304
	MaxBytes          int64 `yaml:"max_bytes,omitempty"`            // of all clients; default 1073741824
	MaxRequestBytes   int   `yaml:"max_request_bytes,omitempty"`    // of one held query; default 2097152
}

// Load reads, checks and completes a file. The error says everything that is wrong with it.
func Load(path string) (*Config, error) {
	c, err := Read(path)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Read is Load for who wants to know more: beside an error it returns what could be read all the
// same, nil where that is nothing. What it returns beside an error must not be served.
func Read(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c := Config{Path: path}
	wrong := decode(path, text, &c)
	c.complete(filepath.Dir(path))
	if err := c.check(); err != nil {
		wrong = append(wrong, err)
	}
	return &c, errors.Join(wrong...)
}

func (c *Config) complete(dir string) {
	abs := func(p *string) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	for _, p := range []*string{
		&c.Sockets.Dir, &c.SealingKeyFile, &c.Audit.Dir, &c.Audit.KeyFile, &c.Upstream.CAFile, &c.Redis.PasswordFile,
		&c.Console.ClientSecretFile,
	} {
		abs(p)
	}
	for _, p := range []*string{&c.Credentials.Source.CredentialsFile, &c.Credentials.Source.CAFile} {
		abs(p)
	}
	for _, e := range []*credentials.Endpoint{c.Credentials.IAMEndpoint, c.Credentials.STSEndpoint, c.Credentials.KeyEndpoint} {
		if e != nil {
			abs(&e.CAFile)
		}
	}
	for _, key := range c.Credentials.Keys() {
		abs(&key.File)
		key.Wrap = key.Wrap.In(dir)
	}
	if issuer := c.Credentials.Issuer; issuer != nil {
		for i := range issuer.Keys {
			abs(&issuer.Keys[i])
		}
		issuer.Wrap = issuer.Wrap.In(dir)
	}
	if c.KeyWrapping != nil {
		*c.KeyWrapping = c.KeyWrapping.In(dir)
	}
	for i := range c.Identity.Issuers {
		abs(&c.Identity.Issuers[i].CAFile)
	}
	for _, p := range c.Notifications.Files() {
		abs(p)
	}
	for i := range c.Policies {
		abs(&c.Policies[i])
	}
	set := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	set(&c.Upstream.URL, "https://bigquery.googleapis.com")
	set(&c.Upstream.Location, "US")
	set(&c.Console.URL, "http://"+c.Console.Address)
	c.Console.URL = strings.TrimSuffix(c.Console.URL, "/")
	if c.Console.Session == 0 {
		c.Console.Session = 4 * time.Hour
	}
	if c.Operations.TLS != nil {
		for _, p := range []*string{&c.Operations.TLS.CertFile, &c.Operations.TLS.KeyFile, &c.Operations.TLS.ClientCAFile} {
			abs(p)
		}
	}
	set(&c.Console.Process, ProcessServe)
	if c.Console.MaxConnections == 0 {
		c.Console.MaxConnections = consoleConnections
	}
	if c.Console.MaxPerAddress == 0 {
		c.Console.MaxPerAddress = min(consolePerAddress, c.Console.MaxConnections)
	}
	c.Console.Issuer = c.loginIssuer()
	c.Identity.LoginAudience = c.Console.ClientID
	if c.Approvals.PricePerTiB == 0 {
		c.Approvals.PricePerTiB = 6.25
	}
}

func (c *Config) check() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	need(c.Version == Version, "version is %q, want %q", c.Version, Version)
	need(c.Sockets.Dir != "", "sockets.dir is missing: the folder for the sockets that Envoy connects to")
	need(c.Console.Address != "", "console.address is missing: host:port of the approval endpoint")
	need(c.Redis.URL != "", "redis.url is missing")
	need(c.SealingKeyFile != "", "sealing_key_file is missing: make one with `openssl rand -base64 32`")
	need(c.Audit.Dir != "", "audit.dir is missing: without an audit journal nothing is answered")
	need(c.Audit.KeyFile != "", "audit.key_file is missing: make one with `bqgate audit keygen`")
	need(
		c.Audit.Reserve == 0 || c.Audit.Reserve >= 1<<20,
		"audit.reserve is less than 1MiB: answers that are under way could not be recorded",
	)
	need(len(c.Policies) > 0, "policies is empty: without a policy everything is refused; name at least one file")
	need(min(c.SQL.Workers, c.SQL.Slow) >= 0 && min(c.SQL.Deadline, c.SQL.FirstDeadline) >= 0,
		"sql: workers, slow_workers, deadline and first_deadline are not below 0")
	errs = append(errs, c.Limits.Check())
	errs = append(errs, c.Approvals.check()...)
	need(c.Reading.check() == nil, "%w", c.Reading.check())
	errs = append(errs, c.Checks.check()...)
	errs = append(errs, c.checkLogin()...)
	errs = append(errs, c.checkOperations()...)
	return errors.Join(errs...)
}

// EnvoyConfig is what Envoy needs, with the inner services at the sockets of this configuration
// where it names no others.
func (c *Config) EnvoyConfig() envoy.Config {
	e := c.Envoy
	for _, s := range []struct {
		service *envoy.Service
		name    string
	}{{&e.ExtAuthz, "ext_authz.sock"}, {&e.ExtProc, "ext_proc.sock"}, {&e.TokenEndpoint, "token.sock"}} {
		if *s.service == (envoy.Service{}) {
			s.service.Socket = filepath.Join(c.Sockets.Dir, s.name)
		}
	}
	return e
}

func (a Approvals) check() (errs []error) {
	if a.MaxWaiting < 0 || a.MaxPerClient < 0 || a.MaxPerClientHour < 0 || a.MaxBytesPerClient < 0 || a.MaxBytes < 0 ||
		a.MaxRequestBytes < 0 {
		errs = append(errs, errors.New("approvals: no bound is below 0; leave one out for its default"))
	}
	if a.MaxRequestBytes > 8<<20 {
		errs = append(errs, fmt.Errorf("approvals.max_request_bytes is %d, at most %d", a.MaxRequestBytes, 8<<20))
	}
	if a.MaxBytes > 0 && a.MaxBytesPerClient > a.MaxBytes {
		errs = append(errs, errors.New("approvals.max_bytes_per_client is above max_bytes: one client could keep all others out"))
	}
	return errs
}
