package approvals

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"unicode/utf8"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/policies"
)

// Held is what the gateway needs to decide again about the query, and to run it, once it is
// approved. It is kept sealed and never leaves the gateway. It holds no credential: tokens are
// minted at the run (attack A10).
type Held struct {
	Operation bigquery.Operation    // what the client asked; its `fields=` is not kept, it belongs to one answer
	Job       bigquery.JobReference // as its client knows it, fixed at the hold; one without an id gets that of its use
	Decision  string                // id of the decision to hold; the job is labelled with it
	Subject   identity.Subject      // numbers in its claims come back as float64, as from any JSON
	Groups    []string              // policy groups of the subject

	// Statement is the digest of what is asked and of what would run: SQL, parameters, default
	// dataset, grant, schemas, lineage, the text that is forwarded, credential, policies. If it
	// differs when the query is released, it is another query, and asks again. Later tries find a
	// grant by it.
	Statement string
	// Digest is of all that reviewers see and that the approval is bound to, Statement included.
	// Hold sets it.
	Digest string

	Tables         []string // "project.dataset.table", sorted
	Sensitive      []string // sensitive columns touched
	Masked         []string // those of them that the answer shows masked
	Estimated      bool     // a dry run was made, and could tell
	EstimatedBytes int64    // by that dry run
	SizeUnknown    bool     // no dry run could tell: the query counts as above every bound
	EstimatedCost  float64  // in US dollars; 0 where no price is known
	MaxBytes       int64    // what maximumBytesBilled will be; 0 for none
	MaxRows        int64    // rows that the result may have; 0 for no limit
	MaxResultBytes int64    // bytes of the result that may be read; 0 for no limit
	Plan           masking.Plan
	Credential     string // name of the configured credential to run with

	// NoWait says that the client was refused and does not wait: no job is held, and the same
	// statement of the same grant key runs at the next try after it was approved.
	NoWait bool

	Approval policies.Approval // who decides, and until when
	Review   Review            // what reviewers see beside it
}

// check says what is missing. A request without an owner, a digest or reviewers could be nobody's,
// for anything, or for ever.
func (h Held) check() error {
	q := h.Operation.Query
	switch {
	case q == nil || q.SQL == "":
		return errors.New("hold: operation has no query")
	case !utf8.ValidString(q.SQL) || !utf8.Valid(q.Parameters):
		return errors.New("hold: query is not valid UTF-8")
	case h.Subject.Owner == "" || h.Subject.Issuer == "" || h.Subject.Sub == "" || h.Subject.Grant == "":
		return errors.New("hold: subject has no issuer, sub, owner or grant")
	case h.Job.ProjectID == "":
		return errors.New("hold: job has no project")
	case h.Statement == "":
		return errors.New("hold: no digest of the statement")
	case h.Credential == "":
		return errors.New("hold: no credential to run with")
	case len(h.Approval.Reviewers) == 0:
		return errors.New("hold: approval names no reviewers")
	case h.Approval.Quorum < 1:
		return fmt.Errorf("hold: approval has quorum %d, want at least 1", h.Approval.Quorum)
	case h.Approval.Expires <= 0:
		return errors.New("hold: approval never expires")
	}
	return nil
}

// sameQuery says whether two requests under one job id or requestId are the same one, sent again.
func (h Held) sameQuery(o Held) bool {
	a, b := h.Operation.Query, o.Operation.Query
	return h.Operation.Method == o.Operation.Method && h.Job.ProjectID == o.Job.ProjectID && a.SQL == b.SQL &&
		a.ParameterMode == b.ParameterMode &&
		bytes.Equal(a.Parameters, b.Parameters) && reflect.DeepEqual(a.DefaultDataset, b.DefaultDataset) &&
		a.MaximumBytesBilled == b.MaximumBytesBilled
}
