// Package verdict is the one thing that ext_authz tells ext_proc: a Forward, sealed into Envoy's
// dynamic metadata.
//
// ext_proc trusts nothing else about a request: no header, no path, no response. A Forward says
// which bytes may go upstream, how the answer is masked, and which job the answer must belong to.
// It is bound to one decision and one request, and is good for a minute (attack A1).
package verdict

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/policies"
)

const (
	// Namespace is where Envoy puts the dynamic metadata of an ext_authz answer.
	Namespace = "envoy.filters.http.ext_authz"
	// Key is the member of Namespace that holds the sealed Forward.
	Key = "bqgate"
	// Lifetime is how long after the decision ext_proc may begin with a Forward.
	Lifetime = 60 * time.Second

	// DecisionHeader carries the decision's id beside the answer to a fault: Envoy counts that as
	// an error, and ext_proc words it anew.
	DecisionHeader = "x-bqgate-decision"

	purpose = "envoy/dynamic_metadata/forward"
)

// ErrExpired is returned for a Forward that is older than Lifetime.
var ErrExpired = errors.New("verdict has expired")

// Forward is a request that may go upstream.
type Forward struct {
	Decision string          `json:"decision"`
	Expires  time.Time       `json:"expires"`
	Method   bigquery.Method `json:"method"`
	// Subject is who asked. While the answer is on its way it is decided again whether they still
	// may.
	Subject identity.Subject `json:"subject"`

	Verb string `json:"verb"` // the request's method
	Path string `json:"path"` // path without query, as decided
	// Query holds the query parameters that are forwarded, encoded and sorted; ext_proc writes them
	// in the place of the client's.
	Query string `json:"query"`

	RequestDigest string `json:"request_digest,omitempty"` // hex SHA-256 of the client's body as it came, "" for none
	RequestCoding string `json:"request_coding,omitempty"` // Content-Encoding of the client's body: "" or "gzip"
	BodyDigest    string `json:"body_digest,omitempty"`    // hex SHA-256 of the body that goes upstream

	Fields          string `json:"fields,omitempty"` // the client's `fields=`, applied to the answer
	TimestampFormat string `json:"timestamp_format,omitempty"`
	MaxRows         int64  `json:"max_rows,omitempty"` // rows that the whole result may have, 0 for no limit
	// bytes of the job's result that may leave in all answers together, 0 for no limit
	MaxResultBytes int64 `json:"max_result_bytes,omitempty"`

	// Budgets are those that the rows of the answer count against. Beyond says that somebody has
	// let the query go beyond those that hold.
	Budgets []policies.Budget `json:"budgets,omitempty"`
	Beyond  bool              `json:"beyond,omitempty"`
	// Reserves are the budgets from which what the query may bill is reserved, where it is.
	Reserves []policies.Budget `json:"reserves,omitempty"`

	// Record is the job's record: a draft where the request creates the job (Creates), the stored
	// one otherwise.
	Record  jobs.Record `json:"record"`
	Creates bool        `json:"creates,omitempty"`
	// Verified is true when the finished job has already been found to have read what the analysis
	// named.
	Verified bool `json:"verified,omitempty"`
	// Bare is true where a job is cancelled for a caller who may see nothing of it.
	Bare bool `json:"bare,omitempty"`
	// Plan masks this answer: the record's, or a stricter one under today's policy.
	Plan masking.Plan `json:"plan"`

	witness durable.Decided
}

// Digest is the hex SHA-256 of a body, "" for an empty one.
func Digest(body []byte) string {
	if len(body) == 0 {
		return ""
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// Witness says that the decision of a Forward that was opened is durable. It is nil for any other.
func (f *Forward) Witness() durable.Decided { return f.witness }

// Seal makes the text that goes into the metadata, with the witness that the decision is durable
// (invariant I1).
func Seal(keys *sealed.Keyring, d durable.Decided, f Forward) (string, error) {
	if f.Decision == "" || f.Decision != d.Decision() {
		return "", fmt.Errorf("seal the verdict of decision %q: decision %s is the one that is recorded", f.Decision, d.Decision())
	}
	return durable.Seal(keys, purpose, d, f)
}

// Open reverses Seal and checks the expiry against now.
func Open(keys *sealed.Keyring, text string, now time.Time) (*Forward, error) {
	f, d, err := durable.Open[Forward](keys, purpose, text)
	if err != nil {
		return nil, err
	}
	if f.Decision == "" || f.Decision != d.Decision() || !now.Before(f.Expires) {
		return nil, fmt.Errorf("decision %s: %w", f.Decision, ErrExpired)
	}
	f.witness = d
	return &f, nil
}
