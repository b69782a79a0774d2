package extauthz

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/cause"
	"github.com/bqgate/bqgate/internal/credentials"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/jobs"
)

// Why something could not be done is in the log and in the record, opened again, in the words that
// an operator needs. The client reads none of it.
func TestCausesAreForOperators(t *testing.T) {
	const inspector = "inspector@p.iam.gserviceaccount.com"
	called := func(method, on string, err error) error {
		return &bigquery.CallError{Method: method, On: on, Account: inspector, Err: err}
	}
	refused := &url.Error{Op: "Get", URL: "https://bigquery.corp/x", Err: &net.OpError{Op: "dial",
		Addr: &net.TCPAddr{IP: net.IPv4(10, 9, 8, 7), Port: 443}, Err: syscall.ECONNREFUSED}}
	catalog := func(p *parts, err error) {
		p.analyze = func(context.Context) (*googlesql.Analysis, error) {
			return &googlesql.Analysis{Error: &googlesql.Error{Code: googlesql.ErrorUnavailable, Message: "try again", Err: err}}, nil
		}
	}
	keys := func(err error) error {
		return &identity.Error{Status: 403, Reason: "accessDenied", Code: identity.CodeUnavailable, Message: "try again in a moment",
			Err: &identity.KeysError{Issuer: "okta", URL: "https://okta.corp/keys", Err: err}}
	}
	for name, c := range map[string]struct {
		damage func(p *parts)
		policy string
		path   string
		status int
		words  string
		hidden []string // what no answer has
	}{
		"a table that may not be read": {
			damage: func(p *parts) {
				catalog(p, called("tables.get", "p:finance.payroll", &bigquery.APIError{Status: 403, Reason: "accessDenied"}))
			}, status: 503,
			words: "the account " + inspector + " may not bigquery.tables.get on p:finance.payroll: grant it roles/bigquery.metadataViewer",
		},
		"a dry run that may not be made": {
			damage: func(p *parts) {
				p.noEstimate = called("jobs.insert", "p", &bigquery.APIError{Status: 403, Reason: "accessDenied"})
			}, policy: boundPolicy, status: 403,
			words: "the account " + inspector + " may not bigquery.jobs.create on p: grant it roles/bigquery.jobUser",
		},
		"BigQuery that refuses connections": {
			damage: func(p *parts) { catalog(p, called("tables.get", "p:finance.payroll", refused)) }, status: 503,
			words:  "BigQuery, asked for tables.get of p:finance.payroll: nothing listens there (10.9.8.7:443)",
			hidden: []string{"10.9.8.7"},
		},
		"BigQuery that is slow": {
			damage: func(p *parts) {
				catalog(p, called("datasets.get", "p:finance", &url.Error{Op: "Get", URL: "https://bigquery.corp/x",
					Err: context.DeadlineExceeded}))
			}, status: 503,
			words: "BigQuery, asked for datasets.get of p:finance: it does not answer in time",
		},
		"a token that may not be minted": {
			damage: func(p *parts) {
				p.mint = &credentials.Error{Account: "reader", Principal: "reader@p.iam", Endpoint: "iam.corp:443",
					Code: codes.PermissionDenied}
			}, status: 503,
			words:  "the gateway may not iam.serviceAccounts.getAccessToken on reader@p.iam: grant its own identity",
			hidden: []string{"reader@p.iam", "iam.corp"},
		},
		"an issuer's certificate": {
			damage: func(p *parts) {
				p.identity = keys(&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired,
					Cert: &x509.Certificate{NotAfter: time.Unix(0, 0)}}})
			}, status: 403,
			words: "JWKS of issuer okta at https://okta.corp/keys: its certificate has expired, on 1970-01-01T00:00:00Z",
		},
		"an issuer's name": {
			damage: func(p *parts) { p.identity = keys(&net.DNSError{Name: "okta.corp", IsNotFound: true}) }, status: 403,
			words: "JWKS of issuer okta at https://okta.corp/keys: the name okta.corp has no address",
		},
		"sessions in a Redis that is gone": {
			damage: func(p *parts) {
				p.identity = &identity.Error{Status: 403, Reason: "accessDenied", Code: identity.CodeUnavailable, Message: "try again",
					Err: &cause.RedisError{Addr: "redis.corp:6379", Err: refused.Err}}
			}, status: 403,
			words: "Redis at redis.corp:6379: nothing listens there", hidden: []string{"redis.corp", "10.9.8.7"},
		},
		"jobs in a Redis that is gone": {
			damage: func(p *parts) {
				client := deadRedis(p.t)
				cause.Watch(client, "redis.corp:6379")
				p.s.Jobs = jobs.NewStore(client, p.s.Keys)
			}, path: queriesPath + "/j", status: 503, words: "Redis at redis.corp:6379: nothing listens there",
		},
		"policies of rows that may not be listed": {
			damage: func(p *parts) {
				p.denied = called("rowAccessPolicies.list", "p:finance.payroll", &bigquery.APIError{Status: 500, Reason: "internalError"})
			}, status: 503, policy: boundPolicy,
			words: "BigQuery answered rowAccessPolicies.list of p:finance.payroll with 500 internalError: the fault is BigQuery's own",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, log := newParts(t), &bytes.Buffer{}
			dir, keyFile := t.TempDir(), filepath.Join(t.TempDir(), "key")
			key, err := audit.GenerateKey(keyFile)
			if err != nil {
				t.Fatal(err)
			}
			journal, err := audit.Open(dir, key, audit.Options{})
			if err != nil {
				t.Fatal(err)
			}
			p.s.Journal, p.s.Log, p.s.singles = journal, slog.New(slog.NewTextHandler(log, nil)), rate.NewLimiter(1, 1)
			if c.policy != "" {
				p.policy(c.policy)
			}
			c.damage(p)
			verb, path, body := "POST", queriesPath, plainQuery
			if c.path != "" {
				verb, path, body = "GET", c.path, ""
			}
			out := p.check(t.Context(), verb, path, body, bearer)
			status, text := int(out.GetDeniedResponse().GetStatus().GetCode()), out.GetDeniedResponse().GetBody()
			if e := out.GetErrorResponse(); e != nil {
				status, text = int(e.GetStatus().GetCode()), e.GetBody()
			}
			if status != c.status {
				t.Errorf("answered %d %s\n%s", status, text, log)
			}
			for _, secret := range append(c.hidden, inspector, "roles/", "okta.corp", "bigquery.corp", c.words) {
				if strings.Contains(text, secret) {
					t.Errorf("the client reads %q: %s", secret, text)
				}
			}
			if !strings.Contains(strings.ReplaceAll(log.String(), `\"`, `"`), c.words) {
				t.Errorf("the log lacks %q:\n%s", c.words, log)
			}
			if err := journal.Close(); err != nil {
				t.Fatal(err)
			}
			listing, err := audit.List(dir, key)
			if err != nil || listing.Err() != nil {
				t.Fatal(err, listing.Err())
			}
			recorded := ""
			for _, e := range listing.Entries {
				recorded += e.Cause + e.Reason + "\n"
			}
			if !strings.Contains(recorded, c.words) {
				t.Errorf("the record lacks %q: %s", c.words, recorded)
			}
		})
	}
}

// A dead journal cannot hold why; the log does.
func TestTheCauseOfADeadJournal(t *testing.T) {
	p, log := newParts(t), &bytes.Buffer{}
	p.s.Log = slog.New(slog.NewTextHandler(log, nil))
	p.journal = &fsFull{}
	out := p.check(t.Context(), "POST", queriesPath, plainQuery, bearer)
	if body := out.GetErrorResponse().GetBody(); body == "" || strings.Contains(body, "space") || strings.Contains(body, "/audit") {
		t.Errorf("answered %v", out)
	}
	if want := "no space left on its disk"; !strings.Contains(log.String(), want) {
		t.Errorf("the log lacks %q:\n%s", want, log)
	}
}

// fsFull is a write to a full disk.
type fsFull struct{}

func (*fsFull) Error() string { return "write /audit/a.journal: no space left on device" }
func (*fsFull) Unwrap() error { return syscall.ENOSPC }
