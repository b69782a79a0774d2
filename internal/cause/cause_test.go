package cause_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc/codes"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/cause"
	"github.com/bqgate/bqgate/internal/credentials"
	"github.com/bqgate/bqgate/internal/identity"
)

const inspector = "inspector@p.iam.gserviceaccount.com"

func call(method, on string, err error) error {
	return fmt.Errorf("look: %w", &bigquery.CallError{Method: method, On: on, Account: inspector, Err: err})
}

func api(status int, reason string) error {
	return &bigquery.APIError{Status: status, Reason: reason, Message: "CANARY-4711"}
}

func get(err error) error {
	return &url.Error{Op: "Get", URL: "https://bigquery.googleapis.com/x", Err: err}
}

func dial(err error) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 6379}, Err: err}
}

func keys(err error) error {
	return &identity.Error{Status: 403, Code: identity.CodeUnavailable, Message: "try again", Err: &identity.KeysError{
		Issuer: "okta", URL: "https://okta.example/keys", Err: get(err)}}
}

func certificate(err error) error { return &tls.CertificateVerificationError{Err: err} }

func mint(code codes.Code) error {
	return fmt.Errorf("mint token: %w", &credentials.Error{Account: "reader", Principal: "reader@p.iam", Endpoint: "iamcredentials:443",
		Reason: "…", Code: code})
}

var long = time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)

// Each cause is said in the words that an operator needs: who, what, where, and what to do. None
// has the words of a foreign answer.
func TestWords(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"no permission on a table": {call("tables.get", "p:d.t", api(403, "accessDenied")),
			"the account " + inspector + " may not bigquery.tables.get on p:d.t: grant it roles/bigquery.metadataViewer there"},
		"no permission to list policies": {call("rowAccessPolicies.list", "p:d.t", api(403, "accessDenied")),
			"the account " + inspector + " may not bigquery.rowAccessPolicies.list on p:d.t: grant it roles/bigquery.dataOwner there"},
		"no permission for dry runs": {call("jobs.insert", "p", api(403, "accessDenied")),
			"the account " + inspector + " may not bigquery.jobs.create on p: grant it roles/bigquery.jobUser there"},
		"a run account without permission": {&bigquery.CallError{Method: "jobs.insert", On: "p", Err: api(403, "accessDenied")},
			"the account that runs the query may not bigquery.jobs.create on p: grant it roles/bigquery.jobUser there"},
		"a quota": {call("tables.get", "p:d.t", api(403, "quotaExceeded")),
			"BigQuery answered tables.get of p:d.t with 403 quotaExceeded: a quota of Google's is used up, for the account " + inspector +
				" or the project"},
		"no billing": {call("jobs.insert", "p", api(403, "billingNotEnabled")),
			"BigQuery answered jobs.insert of p with 403 billingNotEnabled: enable billing of the project"},
		"a token that BigQuery does not take": {call("jobs.get", "p", api(401, "authError")),
			"BigQuery answered jobs.get of p with 401 authError: it does not accept the token of the account " + inspector +
				"; see that the account is not disabled"},
		"a fault of BigQuery's": {call("tables.get", "p:d.t", api(503, "backendError")),
			"BigQuery answered tables.get of p:d.t with 503 backendError: the fault is BigQuery's own (https://status.cloud.google.com)"},
		"BigQuery refuses connections": {call("tables.get", "p:d.t", get(dial(syscall.ECONNREFUSED))),
			"BigQuery, asked for tables.get of p:d.t: nothing listens there (10.0.0.7:6379)"},
		"BigQuery is slow": {call("jobs.insert", "p", get(context.DeadlineExceeded)),
			"BigQuery, asked for jobs.insert of p: it does not answer in time"},
		"BigQuery breaks off": {call("jobs.get", "p", get(syscall.ECONNRESET)),
			"BigQuery, asked for jobs.get of p: it broke the connection off"},
		"a name without an address": {call("tables.get", "p:d.t", get(dial(&net.DNSError{Name: "bigquery.corp", IsNotFound: true}))),
			"BigQuery, asked for tables.get of p:d.t: the name bigquery.corp has no address"},
		"an issuer with a slash more": {keys(&identity.Mismatch{Configured: "https://x", Published: "https://x/"}),
			"issuer okta: iss is https://x/ but the configuration has https://x; write the first as its url"},
		"an issuer of another name": {keys(&identity.Mismatch{Configured: "https://x"}),
			"what answers at https://x is not issuer okta by its own discovery document: look at its url"},
		"an unusable answer": {call("tables.get", "p:d.t", errors.New("the answer is not JSON")),
			"BigQuery, asked for tables.get of p:d.t: its answer could not be read"},
		"an expired certificate": {
			keys(certificate(x509.CertificateInvalidError{Reason: x509.Expired, Cert: &x509.Certificate{NotAfter: long}})),
			"JWKS of issuer okta at https://okta.example/keys: its certificate has expired, on 2020-01-02T03:04:05Z"},
		"a certificate of an unknown authority": {keys(certificate(x509.UnknownAuthorityError{})),
			"JWKS of issuer okta at https://okta.example/keys: its certificate is of an authority that is not known here; " +
				"name its file in " +
				"ca_file"},
		"a certificate for another name": {keys(certificate(x509.HostnameError{Host: "okta.example", Certificate: &x509.Certificate{}})),
			"JWKS of issuer okta at https://okta.example/keys: its certificate is for other names than okta.example"},
		"an issuer of no address": {keys(dial(&net.DNSError{Name: "okta.example", IsNotFound: true})),
			"JWKS of issuer okta at https://okta.example/keys: the name okta.example has no address"},
		"an issuer that is slow": {keys(os.ErrDeadlineExceeded),
			"JWKS of issuer okta at https://okta.example/keys: it does not answer in time"},
		"an issuer's error": {keys(errors.New("502 Bad Gateway")),
			"JWKS of issuer okta at https://okta.example/keys: it does not answer as it should"},
		"no permission to mint": {mint(codes.PermissionDenied),
			"the gateway may not iam.serviceAccounts.getAccessToken on reader@p.iam: grant its own identity " +
				"roles/iam.serviceAccountTokenCreator there"},
		"no such account": {mint(codes.NotFound), "token of account reader@p.iam at iamcredentials:443: there is no such service account"},
		"its own credential": {mint(codes.Unauthenticated),
			"token of account reader@p.iam at iamcredentials:443: Google does not accept the gateway's own credential"},
		"an endpoint that is down": {mint(codes.Unavailable),
			"token of account reader@p.iam at iamcredentials:443: it does not answer"},
		"a mint for an inspection": {call("tables.get", "p:d.t", mint(codes.ResourceExhausted)),
			"token of account reader@p.iam at iamcredentials:443: a quota of Google's is used up"},
		"Redis is gone": {&cause.RedisError{Addr: "10.0.0.7:6379", Err: dial(syscall.ECONNREFUSED)},
			"Redis at 10.0.0.7:6379: nothing listens there (10.0.0.7:6379)"},
		"Redis is frozen": {&cause.RedisError{Addr: "10.0.0.7:6379", Err: context.DeadlineExceeded},
			"Redis at 10.0.0.7:6379: it does not answer in time"},
		"Redis answers nonsense": {&cause.RedisError{Addr: "10.0.0.7:6379", Err: errors.New("redis: invalid reply")},
			"Redis at 10.0.0.7:6379: it does not answer"},
		"a full disk": {fmt.Errorf("write: %w", &fs.PathError{Op: "write", Path: "/audit/a.journal", Err: syscall.ENOSPC}),
			"/audit/a.journal: no space left on its disk; nothing is decided until there is"},
		"a failing disk": {&fs.PathError{Op: "sync", Path: "/audit/a.journal", Err: syscall.EIO},
			"/audit/a.journal: its disk fails"},
		"a read-only disk": {&fs.PathError{Op: "open", Path: "/audit/a.journal", Err: syscall.EROFS},
			"/audit/a.journal: its file system is read-only"},
		"a folder of somebody else's": {&fs.PathError{Op: "open", Path: "/audit/a.journal", Err: syscall.EACCES},
			"/audit/a.journal: the gateway may not use it"},
		"something else":               {errors.New("the questions came to no conclusion"), ""},
		"a request that was malformed": {&bigquery.RequestError{Status: 400}, ""},
		"nothing":                      {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			words := cause.Words(c.err)
			if words != c.want {
				t.Errorf("%q\nwant %q", words, c.want)
			}
			if strings.Contains(words, "CANARY") {
				t.Error("the answer's own text is in it")
			}
			if c.err != nil && !strings.Contains(cause.Text(c.err), c.err.Error()) {
				t.Errorf("the error itself is not in the record: %s", cause.Text(c.err))
			}
		})
	}
}

// A command that gets no answer says which Redis gave none; what Redis answers stays as it is.
func TestWatch(t *testing.T) {
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := refused.Addr().String()
	refused.Close()
	client := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, DialerRetries: 1})
	defer client.Close()
	cause.Watch(client, addr)
	for name, do := range map[string]func() error{
		"a command": func() error { return client.Get(t.Context(), "k").Err() },
		"a script":  func() error { return redis.NewScript("return 1").Run(t.Context(), client, nil).Err() },
		"a pipeline": func() error {
			_, err := client.Pipelined(t.Context(), func(p redis.Pipeliner) error { p.Get(t.Context(), "k"); return nil })
			return err
		},
		"a transaction": func() error {
			return client.Watch(t.Context(), func(tx *redis.Tx) error { return tx.Get(t.Context(), "k").Err() }, "k")
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := do()
			if words := cause.Words(err); !strings.HasPrefix(words, "Redis at "+addr+": nothing listens there") {
				t.Errorf("%q of %v", words, err)
			}
			if !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("the cause is hidden: %v", err)
			}
		})
	}
}
