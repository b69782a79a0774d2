// Package cause says in the words of operators why something could not be done: who may not do
// what on which resource and what to grant, whose certificate is wrong, which address does not
// answer, which disk is full.
//
// The words are for the log and the record, and never for a client: they name accounts, hosts and
// folders. They hold no value of the data and no text of a foreign answer.
package cause

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/credentials"
	"github.com/bqgate/bqgate/internal/identity"
)

// Text is the whole cause for a record: the words, where the error is one that has some, and what
// the error itself says.
func Text(err error) string {
	words := Words(err)
	if words == "" {
		return err.Error()
	}
	return words + " (" + err.Error() + ")"
}

// Words are what an operator needs to know of an error, and to do; "" where the error alone has to
// do.
func Words(err error) string {
	var (
		keys  *identity.KeysError
		call  *bigquery.CallError
		mint  *credentials.Error
		redis *RedisError
		other *identity.Mismatch
	)
	switch {
	case err == nil:
		return ""
	// A token that could not be minted is why a call of BigQuery was not made.
	case errors.As(err, &mint):
		return minting(mint)
	case errors.As(err, &call):
		return calling(call)
	case errors.As(err, &keys) && errors.As(err, &other):
		return naming(keys.Issuer, other)
	case errors.As(err, &keys):
		return fmt.Sprintf("JWKS of issuer %s at %s: %s", keys.Issuer, keys.URL, reaching(keys.Err, "it could not be read"))
	case errors.As(err, &redis):
		return fmt.Sprintf("Redis at %s: %s", redis.Addr, reaching(redis.Err, "it does not answer"))
	}
	return disk(err)
}

// naming is an issuer that has another name than the configuration.
func naming(name string, e *identity.Mismatch) string {
	if e.Published == "" {
		return fmt.Sprintf("what answers at %s is not issuer %s by its own discovery document: look at its url", e.Configured, name)
	}
	return fmt.Sprintf("issuer %s: iss is %s but the configuration has %s; write the first as its url", name, e.Published, e.Configured)
}

// grants are the permission that a method needs, and a role that has it.
// https://cloud.google.com/bigquery/docs/access-control
var grants = map[string]struct{ permission, role string }{
	"tables.get":             {"bigquery.tables.get", "roles/bigquery.metadataViewer"},
	"tables.list":            {"bigquery.tables.list", "roles/bigquery.metadataViewer"},
	"routines.get":           {"bigquery.routines.get", "roles/bigquery.metadataViewer"},
	"datasets.get":           {"bigquery.datasets.get", "roles/bigquery.metadataViewer"},
	"datasets.list":          {"bigquery.datasets.get", "roles/bigquery.metadataViewer"},
	"rowAccessPolicies.list": {"bigquery.rowAccessPolicies.list", "roles/bigquery.dataOwner"},
	"jobs.insert":            {"bigquery.jobs.create", "roles/bigquery.jobUser"},
	"jobs.get":               {"bigquery.jobs.get", "roles/bigquery.resourceViewer"},
	"jobs.cancel":            {"bigquery.jobs.update", "roles/bigquery.jobUser"},
}

// calling is a call of BigQuery.
func calling(e *bigquery.CallError) string {
	who := "the account that runs the query"
	if e.Account != "" {
		who = "the account " + e.Account
	}
	var api *bigquery.APIError
	if !errors.As(e.Err, &api) {
		return fmt.Sprintf("BigQuery, asked for %s of %s: %s", e.Method, e.On, reaching(e.Err, "its answer could not be read"))
	}
	said := fmt.Sprintf("BigQuery answered %s of %s with %d %s", e.Method, e.On, api.Status, api.Reason)
	grant, known := grants[e.Method]
	switch {
	case api.Status == 403 && api.Reason == "accessDenied" && known:
		return fmt.Sprintf("%s may not %s on %s: grant it %s there", who, grant.permission, e.On, grant.role)
	case api.Status == 403 && api.Reason == "billingNotEnabled":
		return fmt.Sprintf("%s: enable billing of the project", said)
	case api.Reason == "quotaExceeded" || api.Reason == "rateLimitExceeded" || api.Reason == "jobRateLimitExceeded" || api.Status == 429:
		return fmt.Sprintf("%s: a quota of Google's is used up, for %s or the project", said, who)
	case api.Status == 401:
		return fmt.Sprintf("%s: it does not accept the token of %s; see that the account is not disabled", said, who)
	case api.Status == 404:
		return fmt.Sprintf("%s: it is not there, or not in that location", said)
	case api.Status >= 500:
		return fmt.Sprintf("%s: the fault is BigQuery's own (https://status.cloud.google.com)", said)
	}
	return said
}

// minting is a token that IAM Credentials did not give.
func minting(e *credentials.Error) string {
	account := e.Account
	if e.Principal != "" {
		account = e.Principal
	}
	at := fmt.Sprintf("token of account %s at %s", account, e.Endpoint)
	switch e.Code {
	case codes.PermissionDenied:
		return fmt.Sprintf("the gateway may not iam.serviceAccounts.getAccessToken on %s: grant its own identity "+
			"roles/iam.serviceAccountTokenCreator there", account)
	case codes.NotFound:
		return at + ": there is no such service account"
	case codes.Unauthenticated:
		return at + ": Google does not accept the gateway's own credential"
	case codes.FailedPrecondition:
		return at + ": Google does not take the sealed key any more: it was deleted or disabled, or the clock of this machine is wrong; " +
			"`bqgate credentials check` tells"
	case codes.ResourceExhausted:
		return at + ": a quota of Google's is used up"
	case codes.Unavailable:
		return at + ": it does not answer"
	}
	return fmt.Sprintf("%s: %s", at, reaching(e, "no token came"))
}

// RedisError is a command that Redis did not answer. Watch makes them.
type RedisError struct {
	Addr string
	Err  error
}

// Error is the cause alone.
func (e *RedisError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *RedisError) Unwrap() error { return e.Err }

// reaching is why an address could not be reached; otherwise is what else to say.
func reaching(err error, otherwise string) string {
	var (
		expired  x509.CertificateInvalidError
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		dns      *net.DNSError
		op       *net.OpError
		timeout  interface{ Timeout() bool }
	)
	to := ""
	if errors.As(err, &op) && op.Addr != nil {
		to = " (" + op.Addr.String() + ")"
	}
	switch {
	case errors.As(err, &expired) && expired.Reason == x509.Expired && expired.Cert != nil:
		if now := time.Now(); now.Before(expired.Cert.NotBefore) {
			return "its certificate is not valid before " + expired.Cert.NotBefore.UTC().Format(time.RFC3339) + "; look at the clocks"
		}
		return "its certificate has expired, on " + expired.Cert.NotAfter.UTC().Format(time.RFC3339)
	case errors.As(err, &expired):
		return "its certificate is not good for this"
	case errors.As(err, &unknown):
		return "its certificate is of an authority that is not known here; name its file in ca_file"
	case errors.As(err, &hostname):
		return "its certificate is for other names than " + hostname.Host
	case errors.As(err, &dns) && dns.IsNotFound:
		return "the name " + dns.Name + " has no address"
	case errors.As(err, &dns):
		return "the name " + dns.Name + " could not be looked up"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there" + to
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "it broke the connection off" + to
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no way to it in the network" + to
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "it does not answer in time" + to
	case errors.Is(err, context.Canceled):
		return "the request ended before it answered"
	}
	var at *url.Error
	if errors.As(err, &at) {
		return "it does not answer as it should"
	}
	return otherwise
}

// disk is a file that cannot be written or read: of what the gateway keeps, the audit journal.
func disk(err error) string {
	var path *fs.PathError
	where := "a file of the gateway's"
	if errors.As(err, &path) {
		where = path.Path
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return where + ": no space left on its disk; nothing is decided until there is"
	case errors.Is(err, syscall.EROFS):
		return where + ": its file system is read-only"
	case errors.Is(err, syscall.EIO):
		return where + ": its disk fails"
	case errors.Is(err, fs.ErrPermission) && path != nil:
		return where + ": the gateway may not use it"
	}
	return ""
}
