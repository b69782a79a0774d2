package jobs_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable/durabletest"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/jobs"
)

func tableID(name string) bigquery.TableID {
	p := strings.SplitN(name, ".", 3)
	return bigquery.TableID{Project: p[0], Dataset: p[1], Table: p[2]}
}

func tableIDs(names string) []bigquery.TableID {
	var ids []bigquery.TableID
	for _, name := range strings.Fields(names) {
		ids = append(ids, tableID(name))
	}
	return ids
}

// analysed is the analysis of a statement that names these tables, each with its type, and these
// routines.
func analysed(tables map[string]string, routines ...string) *googlesql.Analysis {
	a := &googlesql.Analysis{Statements: []googlesql.Statement{{Kind: "SELECT", Routines: routines}}, Tables: map[string]*bigquery.Table{},
		Digests: map[string]string{"d.d.d": "x"}}
	for name, kind := range tables {
		table := &bigquery.Table{TableReference: tableID(name), Type: kind}
		if strings.HasSuffix(name, "*") {
			table.Members = []string{"app_1", "app_2"}
		}
		a.Tables[name] = table
		a.Statements[0].Tables = append(a.Statements[0].Tables, name)
	}
	return a
}

func noPolicies(names []string) map[string]bigquery.RowAccess {
	known := map[string]bigquery.RowAccess{}
	for _, name := range names {
		known[name] = bigquery.RowAccessNone
	}
	return known
}

// A8: what BigQuery says it read against what the analysis named, for everything that is not a
// plain table.
func TestTheFinishedJobMustHaveReadWhatViewsWildcardsAndFunctionsStandFor(t *testing.T) {
	type told struct{ tables, views, routines string }
	view := map[string]string{"p.d.v": "VIEW", "p.d.t": "TABLE"}
	wildcard := map[string]string{"p.d.app_*": "TABLE"}
	materialized := map[string]string{"p.d.mv": "MATERIALIZED_VIEW", "p.d.t": "TABLE"}
	metadata := map[string]string{"p.d.INFORMATION_SCHEMA.TABLES": "INFORMATION_SCHEMA", "p.d.t": "TABLE"}
	plain := map[string]string{"p.d.t": "TABLE"}
	for name, test := range map[string]struct {
		analysis *googlesql.Analysis
		told     told
		agrees   bool
	}{
		"a view":                             {analysed(view), told{"p.d.t", "p.d.v", ""}, true},
		"a view, not told of":                {analysed(view), told{"p.d.t", "", ""}, true},
		"a view that leads elsewhere by now": {analysed(view), told{"p.d.t p.hr.reviews", "p.d.v", ""}, false},
		"a view more":                        {analysed(plain), told{"p.d.t", "p.d.other", ""}, false},
		"a wildcard by its members":          {analysed(wildcard), told{"p.d.app_1 p.d.app_2", "", ""}, true},
		"a wildcard by one member":           {analysed(wildcard), told{"p.d.app_2", "", ""}, true},
		"a wildcard by itself":               {analysed(wildcard), told{"p.d.app_*", "", ""}, true},
		"a wildcard without any":             {analysed(wildcard), told{"", "", ""}, true},
		"a member that was not there":        {analysed(wildcard), told{"p.d.app_1 p.d.app_3", "", ""}, false},
		"a materialized view":                {analysed(materialized), told{"p.d.mv", "", ""}, true},
		"a materialized view by its tables":  {analysed(materialized), told{"p.d.t", "", ""}, true},
		"a materialized view of another":     {analysed(materialized), told{"p.d.u", "", ""}, false},
		"INFORMATION_SCHEMA, not told of":    {analysed(metadata), told{"p.d.t", "", ""}, true},
		"INFORMATION_SCHEMA":                 {analysed(metadata), told{"p.d.t p.d.INFORMATION_SCHEMA.TABLES", "", ""}, true},
		"INFORMATION_SCHEMA of another":      {analysed(metadata), told{"p.d.t p.e.INFORMATION_SCHEMA.TABLES", "", ""}, false},
		"a function":                         {analysed(plain, "p.d.f"), told{"p.d.t", "", "p.d.f"}, true},
		"a function, not told of":            {analysed(plain, "p.d.f"), told{"p.d.t", "", ""}, true},
		"a function that reads more by now":  {analysed(plain, "p.d.f"), told{"p.d.t p.d.u", "", "p.d.f"}, false},
		"a function more":                    {analysed(plain), told{"p.d.t", "", "p.d.f"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var names []string
			for _, s := range test.analysis.Statements {
				names = append(names, s.Tables...)
			}
			r := record(func(r *jobs.Record) {
				r.Tables, r.Reads, r.RowAccess = names, jobs.ReadsOf(test.analysis), noPolicies(names)
			})
			var routines []bigquery.RoutineID
			for _, id := range tableIDs(test.told.routines) {
				routines = append(routines, bigquery.RoutineID{Project: id.Project, Dataset: id.Dataset, Routine: id.Table})
			}
			err := jobs.CheckFinished(r, job(func(j *bigquery.Job) {
				j.ReferencedTables, j.ReferencedViews, j.ReferencedRoutines = tableIDs(test.told.tables), tableIDs(test.told.views),
					routines
			}))
			if test.agrees && err != nil || !test.agrees && !errors.Is(err, jobs.ErrMismatch) {
				t.Errorf("%s: %v, want agreement %t", name, err, test.agrees)
			}
		})
	}
	graph := job(func(j *bigquery.Job) { j.ReferencedGraphs = 1 })
	if err := jobs.CheckFinished(record(), graph); !errors.Is(err, jobs.ErrMismatch) {
		t.Errorf("a property graph: %v", err)
	}
}

// A8: a view that was replaced while the query ran.
func TestAChangeBreaksTheJobForGood(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	if err := w.Create(ctx, record()); err != nil {
		t.Fatal(err)
	}
	v, err := w.Finish(ctx, durabletest.Decided(t, "d-1"), record(), job(), []string{"demo.crm.contacts"})
	if err != nil || !strings.Contains(v.Broken, "changed since it was decided on: demo.crm.contacts") {
		t.Fatalf("%+v, %v: want a broken job that names the view", v, err)
	}
	if v, err = w.Finish(ctx, durabletest.Decided(t, "d-1"), record(), job(), nil); err != nil || v.Broken == "" {
		t.Errorf("the view was put back and the job became readable: %+v, %v", v, err)
	}
}

// Members of a wildcard may fill the list that BigQuery cuts off: then what stands behind them is
// not known.
func TestAListThatMembersFillProvesNothing(t *testing.T) {
	for _, n := range []int{49, 50} {
		var members []string
		for i := range n {
			members = append(members, fmt.Sprintf("p.d.e_%d", i))
		}
		r := record(func(r *jobs.Record) {
			r.Tables = []string{"p.d.e_*"}
			r.Reads = jobs.Reads{Members: map[string][]string{"p.d.e_*": members}, Digests: r.Reads.Digests}
		})
		if err := jobs.CheckFinished(r,
			job(func(j *bigquery.Job) { j.ReferencedTables = tableIDs(strings.Join(members, " ")) })); (err == nil) != (n == 49) {
			t.Errorf("%d members listed: %v", n, err)
		}
	}
}

// BigQuery's list may be cut off past 50 tables: then it proves nothing, whatever it shows.
func TestMoreTablesThanBigQueryListsProveNothing(t *testing.T) {
	for _, n := range []int{50, 51} {
		kinds := map[string]string{}
		var names []string
		for i := range n {
			name := fmt.Sprintf("p.d.t%d", i)
			kinds[name], names = "TABLE", append(names, name)
		}
		a := analysed(kinds)
		r := record(func(r *jobs.Record) { r.Tables, r.Reads = names, jobs.ReadsOf(a) })
		if err := jobs.CheckFinished(r,
			job(func(j *bigquery.Job) { j.ReferencedTables = tableIDs(strings.Join(names, " ")) })); (err == nil) != (n == 50) {
			t.Errorf("%d tables, all listed: %v", n, err)
		}
	}
}
