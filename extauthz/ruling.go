package extauthz

import (
	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/verdict"
	"github.com/bqgate/bqgate/policies"
)

// judged is what was found out about a request, and what the policy says of it.
type judged struct {
	decision  policies.Decision
	analysis  *googlesql.Analysis // nil for a request without SQL
	estimate  *policies.Estimate  // nil where nobody asked for one
	rowAccess map[string]bigquery.RowAccess

	// Where transforms are made in the query's text:
	transformed    *policies.Transformed
	forwarded      string // the text for BigQuery; "" where it is the client's own
	forwardedShown string // the same for people, without the salt of its masks

	// What the request is about, for the record:
	sql      string
	account  string // that the run or the read uses
	job      bigquery.JobReference
	approval string   // id of the request for approval, where one plays a part
	tables   []string // that a request without SQL names

	labels []audit.Label // of the job that is asked for
}

// ruling is what the questions say: what was found, and what is to become of the request. An error
// beside it refuses the request; so does a ruling without a conclusion.
type ruling struct {
	judged
	then   conclusion
	remark string // for the record of a request that is allowed
}

// conclusion is what is to become of a request that is not refused: one of the types below, each of
// which conclude carries out.
type conclusion interface{ concludes() }

type (
	// forwards sends the request on to BigQuery, as it was begun where it creates a job.
	forwards struct {
		forward verdict.Forward
		begun   jobs.Begun
	}
	// answers is an answer of the gateway's own, of status 200. It is recorded, unless it is the
	// same for everybody.
	answers struct {
		body []byte
		same bool
	}
	// holds makes a pending job of a query that needs a person.
	holds struct{ held approvals.Held }
	// heldJob is a job that waits, or waited, for a person.
	heldJob struct {
		request approvals.Request
		held    approvals.Held
	}
	// waits tells a poll that the job still waits.
	waits heldJob
	// releases runs an approved query, and reads its job.
	releases heldJob
	// withdraws ends a held job for its own client.
	withdraws heldJob
	// ends tells that a held job will not run.
	ends heldJob
)

func (forwards) concludes()  {}
func (answers) concludes()   {}
func (holds) concludes()     {}
func (waits) concludes()     {}
func (releases) concludes()  {}
func (withdraws) concludes() {}
func (ends) concludes()      {}
