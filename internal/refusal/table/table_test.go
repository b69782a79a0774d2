package table

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/refusal"
)

// What is decided is never a fault: a client would repeat it, and get the same. What could be
// otherwise the next time is one, and so is whatever the table does not know.
func TestWhatIsARefusalAndWhatAFault(t *testing.T) {
	const fault = 0
	for name, c := range map[string]struct {
		err                       error
		request, answer, endpoint int // status
	}{
		"a refusal of a step": {&refusal.Refusal{What: "no"}, 403, 403, 403},
		"no credential":       {&identity.Error{Status: 401, Reason: "required", Code: identity.CodeMissing}, 401, fault, fault},
		"a malformed request": {&bigquery.RequestError{Status: 400, Reason: "invalid"}, 400, fault, fault},
		"an answer of another form": {
			fmt.Errorf("read table: %w", bigquery.ErrNotUnderstood), 403, fault, fault},
		"a snapshot of nothing": {func() error {
			_, err := (&bigquery.Table{Type: "SNAPSHOT"}).Base()
			return fmt.Errorf("get table: %w", err)
		}(), 403, fault, fault},
		"a dataset linked to nothing": {
			func() error { _, err := (&bigquery.ListedDataset{Type: "LINKED"}).Source(); return err }(), 403, fault, fault},
		"more than is listed":            {fmt.Errorf("list tables: %w", bigquery.ErrTooMany), 403, fault, fault},
		"SQL that is not understood":     {&googlesql.Error{Code: googlesql.ErrorUnsupported}, 403, fault, fault},
		"SQL that waits for its owner's": {&googlesql.Error{Code: googlesql.ErrorCrowded}, 403, fault, fault},
		"a catalog that does not tell":   {&googlesql.Error{Code: googlesql.ErrorUnavailable}, fault, fault, fault},
		"another job under its name":     {fmt.Errorf("look: %w: its SQL differs", jobs.ErrOtherwise), 403, fault, fault},
		"a job that differs":             {fmt.Errorf("check: %w", jobs.ErrMismatch), fault, 403, fault},
		"a job of another version":       {fmt.Errorf("read record of the job: %w", jobs.ErrVersion), 403, 403, fault},
		"beyond the cap":                 {fmt.Errorf("more than 10 rows: %w", masking.ErrCap), fault, 403, fault},
		"columns that nobody knows":      {masking.ErrUntold, fault, 403, fault},
		"approvals that are closed":      {fmt.Errorf("hold: %w", approvals.ErrRolledBack), 403, fault, 503},
		"a job id that is taken":         {approvals.ErrExists, 409, fault, fault},
		"a request not there":            {approvals.ErrNotFound, 403, fault, 404},
		"a request that was altered":     {approvals.ErrTampered, 403, fault, 404},
		"a request that is changed":      {approvals.ErrBusy, fault, fault, fault},
		"one's own request":              {approvals.ErrOwn, fault, fault, 403},
		"an old login":                   {approvals.ErrStale, fault, fault, 401},
		"decided before":                 {approvals.ErrDecided, fault, fault, 409},
		"terms":                          {approvals.ErrTerms, fault, fault, 400},
		"a connection that broke":        {errors.New("connection reset"), fault, fault, fault},
		"BigQuery's own 503":             {&bigquery.APIError{Status: 503}, fault, fault, fault},
		"BigQuery's own 403":             {&bigquery.APIError{Status: 403}, fault, fault, fault},
		"nothing":                        {nil, fault, fault, fault},
	} {
		t.Run(name, func(t *testing.T) {
			for door, d := range map[string]struct {
				r    *refusal.Refusal
				want int
			}{
				"request": {ForRequest(c.err), c.request}, "answer": {ForAnswer(c.err), c.answer},
				"endpoint": {ForEndpoint(c.err), c.endpoint},
			} {
				if got := statusOf(d.r); got != d.want {
					t.Errorf("%s: %d (%+v), want %d", door, got, d.r, d.want)
				}
			}
		})
	}
}

func statusOf(r *refusal.Refusal) int {
	if r == nil {
		return 0
	}
	return r.Code()
}

// Every row has a name of its own, words for the doors that know it, and keeps the cause for the
// log.
func TestRows(t *testing.T) {
	var names []string
	for _, some := range rows() {
		for _, r := range some {
			names = append(names, r.name)
			t.Run(r.name, func(t *testing.T) {
				if r.request == nil && r.answer == nil && r.endpoint == nil && r.page == nil {
					t.Error("no door knows it")
				}
				err := sample(r)
				if err == nil { // of a type, of which TestWhatIsARefusalAndWhatAFault has one
					return
				}
				whole := fmt.Errorf("at 10.0.0.7: %w", err)
				for door, says := range map[string]words{"request": r.request, "answer": r.answer, "endpoint": r.endpoint, "page": r.page} {
					if says == nil {
						continue
					}
					e := says(whole, r.find(whole))
					if e == nil || e.What == "" || !errors.Is(e, err) {
						t.Fatalf("%s: %+v", door, e)
					}
					if door != "endpoint" && e.Faulty() {
						t.Errorf("%s: a fault: %+v", door, e)
					}
					if (door == "request" || door == "answer") && strings.Contains(e.Text("d-1"), "10.0.0.7") {
						t.Errorf("%s: the agent reads the cause: %s", door, e.Text("d-1"))
					}
				}
			})
		}
	}
	slices.Sort(names)
	for i, name := range names[1:] {
		if name == names[i] && name != "approvals that are closed" {
			t.Errorf("two rows are called %q", name)
		}
	}
}

// sample is the sentinel error of a row, nil for one of a type.
func sample(r row) error {
	for _, err := range []error{
		bigquery.ErrNotUnderstood, bigquery.ErrTooMany, jobs.ErrOtherwise, jobs.ErrMismatch, jobs.ErrVersion, masking.ErrCap,
		masking.ErrUntold,
		approvals.ErrRolledBack, approvals.ErrTooMany, approvals.ErrTooLarge, approvals.ErrExists, approvals.ErrNotFound,
		approvals.ErrReleasing, approvals.ErrUsed, approvals.ErrExpired, approvals.ErrNotApproved, approvals.ErrRevoked,
		approvals.ErrOwn, approvals.ErrNoPerson, approvals.ErrStale, approvals.ErrDecided, approvals.ErrReason, approvals.ErrTerms,
	} {
		if found := r.find(err); found != nil && errors.Is(err, found) {
			return err
		}
	}
	return nil
}
