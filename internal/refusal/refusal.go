// Package refusal is what is said to whoever is not served: one value, and the forms in which it is
// written.
//
// A Refusal says what was refused, by which rule, and what would pass. A fault is a Refusal of
// status 503 (Fault): something that the gateway could not do. Its cause is for operators, who find
// it in the log and the journal, and is in no form.
//
// The forms are those of the doors (forms.go): the error JSON of BigQuery's API, that of the
// approval endpoint, that of OAuth at the token endpoint, and gRPC's status. Which error is which
// refusal is internal/refusal/table's to say.
package refusal

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Refusal is a request that is not served, in the words that whoever asked reads. It is an error,
// so that a step can end with it. The zero Refusal is a 403 accessDenied without words.
type Refusal struct {
	Status int    // of HTTP; 0 means 403
	Reason string // for programs, a word of the door's own vocabulary; "" means accessDenied
	What   string // what was refused, and why
	Rule   Rule   // which says so; zero where none does
	Remedy string // what would pass; "" where that is not known
	// Bare lets What stand as it is, after "bqgate: ": for what is BigQuery's way to say it, and no
	// refusal by a rule.
	Bare bool
	// Challenge is the value of WWW-Authenticate; "" for none.
	Challenge string
	// Allow is the method that the path takes, for status 405.
	Allow string
	// Wait is how long a client does well to wait before it comes again; 0 where that is not known.
	Wait time.Duration
	// Lasting is set for a fault that another try changes nothing about.
	Lasting bool
	// Err is the cause, for the log and the record; nil where What says it all. No form has it.
	Err error
}

// Rule names a rule of a policy file. It converts to and from policies.RuleRef.
type Rule struct {
	Policy string // the file's base name without extension
	Name   string
	File   string
	Line   int
}

// ID is "policy/rule", or "" for the zero Rule.
func (r Rule) ID() string {
	if r.Name == "" {
		return ""
	}
	return r.Policy + "/" + r.Name
}

// Error is for operators: the cause where there is one, What otherwise.
func (r *Refusal) Error() string {
	if r.Err != nil {
		return r.Err.Error()
	}
	return r.What
}

// Unwrap is the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// Passes says that the same request may be served after a while, as things are.
func (r *Refusal) Passes() bool {
	return r.Reason == "rateLimitExceeded" || r.Reason == "quotaExceeded"
}

// Fault is the answer for something that the gateway could not do: 503, which clients repeat. what
// is a whole sentence, without its stop, that tells nothing of the cause.
func Fault(what string, cause error) *Refusal {
	return &Refusal{Status: http.StatusServiceUnavailable, Reason: "backendError", What: what, Bare: true, Err: cause}
}

// Undecided is the fault of a request about which nothing could be decided or recorded.
func Undecided(cause error) *Refusal {
	return Fault("the gateway could not decide about the request or could not record its decision; nothing was sent to BigQuery", cause)
}

// Withheld is the fault of an answer that could not be checked or recorded.
func Withheld(cause error) *Refusal {
	return Fault("the answer could not be checked and was withheld", cause)
}

// Code is the HTTP status.
func (r *Refusal) Code() int { return cmp.Or(r.Status, http.StatusForbidden) }

// Word is the reason, for programs.
func (r *Refusal) Word() string { return cmp.Or(r.Reason, "accessDenied") }

// Faulty says that it is a fault of the gateway's, and no decision.
func (r *Refusal) Faulty() bool { return r.Code() == http.StatusServiceUnavailable }

// RateWords begin what is said of a rate, as BigQuery says it. Python, Go and Node repeat a request
// for the reason rateLimitExceeded; Java for these words alone, and only jobs.insert, jobs.query
// and jobs.getQueryResults (java-bigquery, BigQueryErrorMessages.RATE_LIMIT_EXCEEDED_MSG). What is
// beyond a quota must not have them.
const RateWords = "Exceeded rate limits: "

// Text is what a client of the data path reads: what was refused, by which rule, what would pass,
// and the decision's id, where there is one.
func (r *Refusal) Text(decision string) string {
	var b strings.Builder
	b.WriteString("bqgate: ")
	if !r.Bare {
		b.WriteString("refused: ")
	}
	if r.Reason == "rateLimitExceeded" {
		b.WriteString(RateWords)
	}
	b.WriteString(strings.TrimSuffix(r.What, "."))
	b.WriteString(".")
	if r.Faulty() && decision != "" {
		fmt.Fprintf(&b, " Try again; if it stays, give this id to the operator: decision %s.", decision)
		return b.String()
	}
	if id := r.Rule.ID(); id != "" {
		fmt.Fprintf(&b, "\nRule %s (%s:%d).", id, r.Rule.File, r.Rule.Line)
	}
	if r.Remedy != "" {
		fmt.Fprintf(&b, "\nWhat would pass: %s.", strings.TrimSuffix(r.Remedy, "."))
	}
	if decision != "" {
		fmt.Fprintf(&b, "\nDecision %s.", decision)
	}
	return b.String()
}
