//go:build demo

package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/alicebob/miniredis/v2"
	"github.com/goccy/go-yaml"

	"github.com/bqgate/bqgate/e2e/fakegoogle"
	"github.com/bqgate/bqgate/e2e/fakegoogle/oidcissuer"
	"github.com/bqgate/bqgate/envoy"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/credentials"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/notify"
)

const (
	issuerName       = "demo"
	consoleClient    = "bqgate-console-login" // as the console is registered at the issuer
	providerAudience = "https:" + fakegoogle.DefaultProvider
)

// ports are the addresses that Envoy, the console and operations listen on.
type ports struct{ rest, restTLS, grpc, grpcTLS, token, tokenTLS, console, operations string }

// choosePorts finds free ports for all that were not given. They are held while they are chosen, so
// that no two are the same.
func (d *demo) choosePorts() error {
	var held []net.Listener
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	for _, c := range []struct {
		to   *string
		port int
	}{
		{&d.ports.rest, d.RESTPort}, {&d.ports.restTLS, 0}, {&d.ports.grpc, 0}, {&d.ports.grpcTLS, 0}, {&d.ports.token, 0},
		{&d.ports.tokenTLS, 0}, {&d.ports.console, d.ConsolePort}, {&d.ports.operations, 0},
	} {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)))
		if err != nil {
			return fmt.Errorf("find a port: %w", err)
		}
		held = append(held, l)
		*c.to = l.Addr().String()
	}
	return nil
}

// startEngine starts the SQL engine behind the stand-in for BigQuery.
func (d *demo) startEngine(ctx context.Context) (fakegoogle.Engine, error) {
	log := d.log.With("part", "engine")
	switch d.Engine {
	case "", "sqlengine":
		return d.sqlEngine(ctx, log)
	case "remembering":
		engine, err := d.sqlEngine(ctx, log)
		if err != nil {
			return nil, err
		}
		return fakegoogle.Remember(engine), nil
	case "emulator":
		binary, err := sibling("bigquery-emulator")
		if err != nil {
			return nil, err
		}
		analyst, err := d.sqlEngine(ctx, log)
		if err != nil {
			return nil, err
		}
		return fakegoogle.NewEmulator(ctx, binary, d.Project, analyst, log)
	default:
		return nil, fmt.Errorf("--engine %q: want sqlengine, remembering or emulator", d.Engine)
	}
}

func (d *demo) sqlEngine(ctx context.Context, log *slog.Logger) (fakegoogle.Engine, error) {
	binary, err := sibling("sqlengine")
	if err != nil {
		return nil, err
	}
	return fakegoogle.NewSQLEngine(ctx, binary, log)
}

// startRedis starts the Redis protocol in this process, which tests do not kill, or takes the one
// that was given.
func (d *demo) startRedis() (func(), error) {
	if d.Redis != "" {
		d.redis = d.Redis
		return func() {}, nil
	}
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	if err := m.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start Redis protocol: %w", err)
	}
	d.redis = "redis://" + m.Addr()
	return m.Close, nil
}

// configure writes what `bqgate serve` and Envoy read.
func (d *demo) configure() error {
	if err := d.choosePorts(); err != nil {
		return err
	}
	if err := d.keys(); err != nil {
		return err
	}
	cert, key, err := d.ca.issue("envoy", "bigquery.googleapis.com", "bigquerystorage.googleapis.com")
	if err != nil {
		return err
	}
	tls := &envoy.ServerTLS{CertFile: cert, KeyFile: key}
	sockets := d.path("run")
	upstream := func(host string) envoy.Upstream {
		return envoy.Upstream{Address: d.google.BigQueryAddr(), Host: host, CAFile: d.google.CAFile()}
	}
	policyFiles, err := d.policyFiles()
	if err != nil {
		return err
	}
	d.config = config.Config{
		Version: config.Version, Sockets: config.Sockets{Dir: sockets},
		Console:        config.Console{Address: d.ports.console, Process: config.ProcessSeparate, ClientID: consoleClient},
		Operations:     config.Operations{Address: d.ports.operations},
		Identity:       identity.Config{Issuers: []identity.Issuer{{Name: issuerName, URL: d.issuer.URL(), EmailsVerified: true}}},
		Redis:          config.Redis{URL: d.redis, Embedded: d.Options.Redis == ""},
		SealingKeyFile: d.path("sealing.key"),
		Upstream: config.Upstream{URL: "https://bigquery.googleapis.com", Address: d.google.BigQueryAddr(),
			CAFile: d.google.CAFile()},
		Credentials: credentials.Config{
			Source:      credentials.Source{CredentialsFile: d.path("gateway.json"), CAFile: d.google.CAFile()},
			IAMEndpoint: &credentials.Endpoint{Address: d.google.IAMAddr(), CAFile: d.google.CAFile()},
			STSEndpoint: &credentials.Endpoint{Address: d.google.STSAddr(), CAFile: d.google.CAFile(), ServerName: "sts.googleapis.com"},
			Issuer:      d.federation(),
			Accounts:    d.accounts(),
			Inspection:  "inspection",
		},
		Audit: config.Audit{Dir: d.path("audit"), KeyFile: d.path("audit.key")}, Policies: policyFiles,
		Envoy: envoy.Config{
			REST:     []envoy.Listener{{Address: d.ports.rest}, {Address: d.ports.restTLS, TLS: tls}},
			GRPC:     []envoy.Listener{{Address: d.ports.grpc}, {Address: d.ports.grpcTLS, TLS: tls}},
			Token:    []envoy.Listener{{Address: d.ports.token}, {Address: d.ports.tokenTLS, TLS: tls}},
			ExtAuthz: envoy.Service{Socket: sockets + "/ext_authz.sock"}, ExtProc: envoy.Service{Socket: sockets + "/ext_proc.sock"},
			TokenEndpoint: envoy.Service{Socket: sockets + "/token.sock"},
			BigQuery:      upstream(envoy.BigQueryHost), StorageRead: upstream(envoy.StorageReadHost),
			Admin: d.path("envoy-admin.sock"), AccessLog: d.path("access.log"), Limits: envoy.Within(envoy.Limits{}),
		},
	}
	if err := d.overlay(); err != nil {
		return err
	}
	d.issuer.SetClient(oidcissuer.Client{ID: consoleClient, RedirectURI: "http://" + d.ports.console + "/login/callback",
		People: d.loginPeople()})
	d.info = info{
		REST: "http://" + d.ports.rest, RESTTLS: "https://" + d.ports.restTLS, CAFile: d.ca.caFile(), GRPC: d.ports.grpc,
		GRPCTLS: d.ports.grpcTLS, Console: "http://" + d.ports.console, Ops: "http://" + d.ports.operations,
		TokenURL: "http://" + d.ports.token + "/v1/token", TokenURLTLS: "https://" + d.ports.tokenTLS + "/v1/token", Issuer: d.issuer.URL(),
		AuditDir:     d.path("audit"),
		AuditKeyFile: d.path("audit.key"), Fake: d.google.ControlURL(), Sockets: sockets,
	}
	return d.write()
}

// overlay takes over what --gateway says. What makes the demo a demo cannot be changed by it.
func (d *demo) overlay() error {
	if d.Gateway == "" {
		return nil
	}
	text, err := os.ReadFile(d.Gateway)
	if err != nil {
		return fmt.Errorf("read --gateway: %w", err)
	}
	var given struct {
		Approvals     config.Approvals `yaml:"approvals"`
		Notifications notify.Config    `yaml:"notifications"`
	}
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&given); err != nil {
		return fmt.Errorf("--gateway takes the sections approvals and notifications: %s: %s", d.Gateway, yaml.FormatError(err, false, true))
	}
	for _, path := range given.Notifications.Files() {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(filepath.Dir(d.Gateway), *path)
		}
	}
	if _, err := notify.Load(given.Notifications); err != nil {
		return fmt.Errorf("--gateway: %w", err)
	}
	d.config.Approvals, d.config.Notifications = given.Approvals, given.Notifications
	return nil
}

func (d *demo) accounts() map[string]credentials.Account {
	reader := credentials.Account{ServiceAccount: readerAccount, Project: d.Project}
	all := map[string]credentials.Account{"default": reader}
	for _, name := range d.credentials {
		all[name] = reader
	}
	all["federated"] = credentials.Account{Federated: &credentials.Federated{Audience: requestersProvider}, Project: d.Project}
	all["inspection"] = credentials.Account{ServiceAccount: inspectAccount}
	return all
}

func (d *demo) write() error {
	text, err := yaml.Marshal(d.config)
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := os.WriteFile(d.path("bqgate.yaml"), text, 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	bootstrap, err := envoy.Render(d.config.Envoy)
	if err != nil {
		return fmt.Errorf("render Envoy's bootstrap: %w", err)
	}
	if err := os.WriteFile(d.path("envoy.yaml"), bootstrap, 0o600); err != nil {
		return fmt.Errorf("write Envoy's bootstrap: %w", err)
	}
	// As `gcloud iam workload-identity-pools create-cred-config` writes it.
	adc, err := json.MarshalIndent(map[string]any{
		"type": "external_account", "audience": fakegoogle.DefaultProvider, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
		"token_url": d.google.TokenURL(), "credential_source": map[string]string{"file": d.path("gateway.jwt")},
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("write the gateway's credentials file: %w", err)
	}
	return os.WriteFile(d.path("gateway.json"), adc, 0o600)
}
