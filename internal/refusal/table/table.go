// Package table says which error is which refusal: the one place where an error of any room becomes
// what somebody reads.
//
// The same error may mean different things at different doors: a request for approval that is not
// there is a job that one does not have to an agent, and a page that one may not see to a reviewer.
// So a row has a column for each door. What a column does not know is a fault there (503), and
// never an allowance: every caller gets nil then, and has to say so.
//
// A new error is a new row, in agents.go or reviewers.go by whom it is about.
package table

import (
	"errors"

	"github.com/bqgate/bqgate/internal/refusal"
)

// row is one error, and what it is at each door. A nil column: this door has no words for it.
type row struct {
	name string // of its test
	// find returns the error of this row in a chain, nil where it is not there.
	find     func(error) error
	request  words // on the data path, where a request is decided on
	answer   words // on the data path, where an answer of BigQuery's is checked
	endpoint words // at the approval endpoint; What alone is written
	page     words // on the console's pages; Status and What alone are shown
}

// words makes the refusal of an error: whole as it came, found as the row found it. Nil is a fault.
type words func(whole, found error) *refusal.Refusal

func rows() [][]row { return [][]row{ownRows, agentRows, reviewerRows} }

// ownRows are the errors that say themselves what they are: those that a service makes where it
// refuses.
var ownRows = []row{{
	name: "a refusal", find: as[*refusal.Refusal],
	request: itself, answer: itself, endpoint: itself,
}}

var itself = with(func(_ error, r *refusal.Refusal) *refusal.Refusal { return r })

// ForRequest is what an error is to a client of the data path whose request was not let through;
// nil for a fault.
func ForRequest(err error) *refusal.Refusal {
	return lookUp(err, func(r row) words { return r.request })
}

// ForAnswer is what an error is to a client of the data path from whom an answer was withheld; nil
// for a fault.
func ForAnswer(err error) *refusal.Refusal {
	return lookUp(err, func(r row) words { return r.answer })
}

// ForEndpoint is what an error is to a caller of the approval endpoint; nil for a fault. Its Reason
// is a word of docs/reviewers.md.
func ForEndpoint(err error) *refusal.Refusal {
	return lookUp(err, func(r row) words { return r.endpoint })
}

// ForPage is what an error is to a person at the console's pages; nil for a fault.
func ForPage(err error) *refusal.Refusal {
	return lookUp(err, func(r row) words { return r.page })
}

func lookUp(err error, column func(row) words) *refusal.Refusal {
	for _, some := range rows() {
		for _, r := range some {
			says := column(r)
			if says == nil {
				continue
			}
			if found := r.find(err); found != nil {
				return says(err, found)
			}
		}
	}
	return nil
}

// is finds one of a room's sentinel errors.
func is(target error) func(error) error {
	return func(err error) error {
		if errors.Is(err, target) {
			return target
		}
		return nil
	}
}

// as finds an error of a type.
func as[T error](err error) error {
	var found T
	if errors.As(err, &found) {
		return found
	}
	return nil
}

// with makes the words of an error of a type.
func with[T error](says func(whole error, found T) *refusal.Refusal) words {
	return func(whole, found error) *refusal.Refusal {
		var e T
		if !errors.As(found, &e) {
			return nil
		}
		return says(whole, e)
	}
}

// fixed is always the same refusal.
func fixed(r refusal.Refusal) words {
	return func(whole, _ error) *refusal.Refusal { r := r; r.Err = whole; return &r }
}

// its says what the row's error itself says, and nothing of what was put around it.
func its(r refusal.Refusal) words {
	return func(whole, found error) *refusal.Refusal { r := r; r.What, r.Err = found.Error(), whole; return &r }
}

// all says what the error says, with everything that is around it: for errors whose words are
// written for the reader.
func all(r refusal.Refusal) words {
	return func(whole, _ error) *refusal.Refusal { r := r; r.What, r.Err = r.What+whole.Error(), whole; return &r }
}
