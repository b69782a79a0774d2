package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/policies"
)

const namesPolicy = `version: bqgate/v1
groups: {g: {issuer: demo, when: 'true'}}
columns:
  - {match: demo.crm.customers.ssn, mask: ALWAYS_NULL}
  - {match: demo.crm.custmers.email, mask: ALWAYS_NULL}
  - {match: demo.crm.Customers.card, mask: ALWAYS_NULL}
  - {match: demo.*.gone.ssn, mask: ALWAYS_NULL}
  - {match: demo.nowhere.customers.ssn, mask: ALWAYS_NULL}
  - {match: demo.locked.customers.ssn, mask: ALWAYS_NULL}
tables:
  - {match: demo.crm.ordrs, unlisted: clear}
  - {match: demo.crm.ord*, unlisted: clear}
rules:
  - {name: r, groups: [g], read: [demo.crm.*, demo.crm.fn], clear: [demo.crm.cusomers.ssn], row_access_policies: [demo.crm.reginal]}
`

type namesLister struct{}

func (namesLister) ListTables(_ context.Context, _ durable.Facts, ref bigquery.DatasetReference) ([]bigquery.ListedTable, error) {
	switch ref.DatasetID {
	case "crm":
		var all []bigquery.ListedTable
		for _, name := range []string{"customers", "orders", "regional"} {
			all = append(all, bigquery.ListedTable{
				Reference: bigquery.TableID{Project: ref.ProjectID, Dataset: ref.DatasetID, Table: name},
			})
		}
		return all, nil
	case "locked":
		return nil, errors.New("403")
	default:
		return nil, fmt.Errorf("%w: %s", bigquery.ErrNotFound, ref.DatasetID)
	}
}

// Each entry that names a table which is not there is told with its place and what was perhaps
// meant.
func TestNamesThatAreNotThere(t *testing.T) {
	set, err := policies.LoadBytes("p.yaml", []byte(namesPolicy), policies.Options{Issuers: []string{"demo"}})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	logAbsentTables(t.Context(), set, namesLister{}, slog.New(slog.NewTextHandler(&out, nil)))
	for _, want := range []string{
		"line=5 cause=\"columns entry demo.crm.custmers.email: there is no table custmers in demo.crm (did you mean customers?)\"",
		"line=8 cause=\"columns entry demo.nowhere.customers.ssn: there is no table customers in demo.nowhere\"",
		"line=11 cause=\"tables entry demo.crm.ordrs: there is no table ordrs in demo.crm (did you mean orders?)\"",
		"line=14 cause=\"rule r clears demo.crm.cusomers.ssn: there is no table cusomers in demo.crm (did you mean customers?)\"",
		"line=14 cause=\"rule r names demo.crm.reginal under row_access_policies: there is no table reginal in demo.crm (did you mean " +
			"regional?)\"",
		"it is not known whether the tables that the policy names are there\" dataset=demo.locked error=403",
	} {
		t.Run(want, func(t *testing.T) {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the log does not say %s", want)
			}
		})
	}
	if got := strings.Count(out.String(), "\n"); got != 6 {
		t.Errorf("%d lines, want 6:\n%s", got, out.String())
	}
}
