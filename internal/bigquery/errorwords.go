package bigquery

import (
	"fmt"
	"strings"

	"github.com/bqgate/bqgate/internal/coarse"
)

// CapOf says whose limit a BytesCap is.
type CapOf string

// Whose limits there are.
const (
	CapRequest  CapOf = "request"  // maximumBytesBilled of the client's own
	CapPolicy   CapOf = "policy"   // max_bytes of a rule
	CapBudget   CapOf = "budget"   // what was left of a budget
	CapEstimate CapOf = "estimate" // of the dry run that was decided on, with room for BigQuery's rounding
	CapApproval CapOf = "approval" // what the reviewers were shown
)

// BytesCap is the maximumBytesBilled that a query runs under. Its Bytes are no more exact than what
// every client is told of sizes. The zero BytesCap is no limit.
type BytesCap struct {
	Bytes int64 `json:"bytes,omitempty"`
	Of    CapOf `json:"of,omitempty"`
}

// SensitiveErrorText stands for the errors of a query that touches a sensitive column which a value
// may have caused, or whose reason says nothing.
const SensitiveErrorText = "bqgate: BigQuery could not run the query. Its own words are not shown, because the query touches sensitive " +
	"columns and they could carry values"

// reasonWords stand for BigQuery's own where these are not shown: for the reasons that are about
// the job, its account or its project and not about a value of the data. It is a closed list of
// fixed texts: which one it is says no more than the reason. What each reason means:
// https://cloud.google.com/bigquery/docs/error-messages
var reasonWords = map[string]string{
	"accessDenied": "BigQuery does not let the gateway's account do this: it lacks a permission on the project, a table, a " +
		"function or a connection. Ask an operator",
	"authError":         "BigQuery did not accept the gateway's credential. Ask an operator",
	"billingNotEnabled": "the project has no billing account. Ask an operator",
	"billingTierLimitExceeded": "the query needs more computing than its billing tier allows. What would pass: a query that reads or " +
		"joins less",
	"blocked":         "BigQuery has blocked the project or the account for a while. Try again later, or ask an operator",
	"policyViolation": "BigQuery refuses this by a policy of the organization. Ask an operator",
	"duplicate":       "there is a job of this id already. What would pass: the same query under a new job id",
	"notFound": "BigQuery did not find the job, or something that the query names, in the location of the job. What would " +
		"pass: a query of what is there, or its right location",
	"resourceInUse":    "something that the query needs is in use. Try again later",
	"tableUnavailable": "a table of the query cannot be read at the moment. Try again later",
	"quotaExceeded": "a quota of BigQuery's is used up: of the project, of the account or of a table. Try again later, or ask an " +
		"operator",
	"rateLimitExceeded":    "Exceeded rate limits: BigQuery gets too many requests at once. Try again in a few seconds",
	"jobRateLimitExceeded": "BigQuery gets too many jobs at once. Try again in a few seconds",
	"resourcesExceeded": "the query needs more memory or computing than BigQuery gives one query. What would pass: a query that " +
		"sorts, groups or joins less at once, or reads fewer rows",
	"responseTooLarge": "the result is larger than BigQuery returns. What would pass: fewer rows or columns",
	"stopped":          "the job was cancelled, or ran longer than its jobTimeoutMs",
	"timeout":          "the job ran longer than it may. What would pass: a query that reads or joins less",
	"notImplemented":   "BigQuery does not support what the query asks for",
	"backendError":     "BigQuery failed at this. Try again",
	"badGateway":       "BigQuery failed at this. Try again",
	"internalError":    "BigQuery failed at this. Try again",
	"jobBackendError":  "BigQuery failed at this. Try again",
	"jobInternalError": "BigQuery failed at this. Try again",
}

const hiddenWords = ". BigQuery's own words are not shown, because the query touches sensitive columns and they could carry values"

// shownWords is the text that a client reads for an error of this reason. message is BigQuery's
// own.
func shownWords(reason, message string, v ErrorView) string {
	switch {
	case reason == overLimit, !v.Sensitive && tellsBytes(message):
		return v.Cap.words()
	case !v.Sensitive:
		return message
	}
	if words, ok := reasonWords[reason]; ok {
		return "bqgate: " + words + hiddenWords
	}
	return SensitiveErrorText
}

// Words say what an error of BigQuery's is about, where its reason is not about a value: a part of
// a sentence, "" where nothing may be said. Nothing of BigQuery's own text is in them.
func (e *APIError) Words() string { return reasonWords[e.Reason] }

const overLimit = "bytesBilledLimitExceeded"

// tellsBytes says whether an error's text tells how many bytes a query reads.
func tellsBytes(message string) bool {
	return strings.Contains(strings.ToLower(message), "bytes billed")
}

// words stand for BigQuery's "Query exceeded limit for bytes billed: 1000. 10485760 or higher
// required.", which says how much a query reads to the MiB.
func (c BytesCap) words() string {
	const less = "a query that reads less: fewer columns, or a condition on the partition. A dry run says how much it reads, rounded up " +
		"to 10 MiB"
	if c.Bytes <= 0 {
		return "bqgate: the query would bill more than its maximumBytesBilled allows. What would pass: a higher limit, or " + less
	}
	size := coarse.Text(c.Bytes)
	switch c.Of {
	case CapRequest:
		return fmt.Sprintf("bqgate: the query would bill more than %s, the maximumBytesBilled of the request. What would pass: a higher "+
			"maximumBytesBilled, or %s", size, less)
	case CapPolicy:
		return fmt.Sprintf("bqgate: the query would bill more than %s, the max_bytes of the policy. What would pass: %s", size, less)
	case CapBudget:
		return fmt.Sprintf("bqgate: the query would bill more than %s, which is what was left of its budget when it was sent. What would "+
			"pass: %s, or the same query once the budget is free again", size, less)
	case CapApproval:
		return fmt.Sprintf("bqgate: the query would bill more than %s, which is what was approved. What would pass: the same query "+
			"again, which asks for approval of what it reads now, or %s", size, less)
	case CapEstimate:
		return fmt.Sprintf("bqgate: the query would bill more than %s, which is the estimate that was decided on with room for rounding: "+
			"its tables have grown. What would pass: the same query again, "+
			"which is estimated anew after a minute", size)
	}
	return fmt.Sprintf("bqgate: the query would bill more than %s. What would pass: %s", size, less)
}
