package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/durable/durabletest"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/masking"
)

// everything is all that an operator can accept.
var everything = []jobs.Construct{
	jobs.CachedResult, jobs.MissingTables, jobs.ManyTables, jobs.Metadata, jobs.Materialized, jobs.RowAccessLookup,
}

// What BigQuery tells of a finished job, where that is not the list of what was named. A
// disagreement breaks the job for good, whatever an operator accepts. What cannot be compared is
// refused, can be read once an operator accepts it, and never where the query reads a table with
// sensitive columns or with row access policies.
func TestWhatCannotBeCompared(t *testing.T) {
	plain := map[string]string{"p.d.t": "TABLE"}
	two := map[string]string{"p.d.t": "TABLE", "p.d.u": "TABLE"}
	view := map[string]string{"p.d.v": "VIEW", "p.d.t": "TABLE"}
	metadata := map[string]string{"p.d.INFORMATION_SCHEMA.TABLES": "INFORMATION_SCHEMA", "p.d.t": "TABLE"}
	many := map[string]string{}
	var manyNames []string
	for i := range 51 {
		name := fmt.Sprintf("p.d.m%d", i)
		many[name], manyNames = "TABLE", append(manyNames, name)
	}
	wildcard := map[string]string{"p.d.app_*": "TABLE", "p.d.t": "TABLE"}
	const agrees, broken = "agrees", "broken"
	for name, c := range map[string]struct {
		tables       map[string]string
		told, chosen string
		cached       bool
		want         string // agrees, broken, or the construct
	}{
		"a cached result without a list":   {tables: plain, cached: true, want: "cached_results"},
		"a cached result with its list":    {tables: plain, told: "p.d.t", cached: true, want: agrees},
		"a cached result of another table": {tables: plain, told: "p.d.u", cached: true, want: broken},
		"a cached result of a wildcard": {tables: map[string]string{"p.d.app_*": "TABLE"}, cached: true,
			want: "cached_results"},
		"a cached result of no table":            {cached: true, want: agrees},
		"a cached result of views":               {tables: view, cached: true, want: "cached_results"},
		"no list":                                {tables: plain, want: "missing_tables"},
		"a list that lacks a table":              {tables: two, told: "p.d.t", want: "missing_tables"},
		"a list that lacks one and has another":  {tables: two, told: "p.d.t p.d.x", want: broken},
		"more tables than BigQuery lists":        {tables: many, told: strings.Join(manyNames[:50], " "), want: "many_tables"},
		"more tables than it lists, and another": {tables: many, told: strings.Join(manyNames[:49], " ") + " p.hr.x", want: broken},
		"INFORMATION_SCHEMA without its dataset": {tables: metadata, told: "p.d.t p.INFORMATION_SCHEMA.TABLES",
			want: "information_schema"},
		"INFORMATION_SCHEMA of a region": {tables: metadata, told: "p.d.t p.region-us.INFORMATION_SCHEMA.TABLES",
			want: "information_schema"},
		"INFORMATION_SCHEMA of another dataset":      {tables: metadata, told: "p.d.t p.hr.INFORMATION_SCHEMA.TABLES", want: broken},
		"another view of INFORMATION_SCHEMA":         {tables: metadata, told: "p.d.t p.INFORMATION_SCHEMA.JOBS", want: broken},
		"INFORMATION_SCHEMA that was not named":      {tables: plain, told: "p.d.t p.INFORMATION_SCHEMA.TABLES", want: broken},
		"the table of another time":                  {tables: plain, told: "p.d.t@1764547200000", want: agrees},
		"the table as it was before":                 {tables: plain, told: "p.d.t@-3600000", want: agrees},
		"a partition of the table":                   {tables: plain, told: "p.d.t$20261130", want: agrees},
		"another table of another time":              {tables: plain, told: "p.d.u@1764547200000", want: broken},
		"a wildcard by itself":                       {tables: wildcard, told: "p.d.t p.d.app_*", want: agrees},
		"a wildcard that is not listed":              {tables: wildcard, told: "p.d.t", want: agrees},
		"a materialized view chosen beside":          {tables: plain, told: "p.d.t", chosen: "p.d.mv", want: agrees},
		"a materialized view chosen in its place":    {tables: plain, told: "p.d.mv", chosen: "p.d.mv", want: agrees},
		"a materialized view, and its table too":     {tables: plain, told: "p.d.t p.d.mv", chosen: "p.d.mv", want: agrees},
		"a materialized view that only stands so":    {tables: plain, told: "p.d.t p.d.mv", want: agrees},
		"chosen, and no list at all":                 {tables: plain, chosen: "p.d.mv", want: agrees},
		"chosen, of one of two":                      {tables: two, told: "p.d.mv p.d.u", chosen: "p.d.mv", want: agrees},
		"chosen, of one of two, the other not told":  {tables: two, told: "p.d.mv", chosen: "p.d.mv", want: "missing_tables"},
		"chosen, of two tables":                      {tables: two, told: "p.d.joined", chosen: "p.d.joined", want: agrees},
		"chosen, and reads another table too":        {tables: plain, told: "p.d.joined", chosen: "p.d.joined", want: "materialized_views"},
		"not chosen, and reads another table too":    {tables: plain, told: "p.d.t p.d.joined", want: broken},
		"chosen, and nobody can read it":             {tables: plain, told: "p.d.hidden", chosen: "p.d.hidden", want: "materialized_views"},
		"chosen beside, and nobody can read it":      {tables: plain, chosen: "p.d.hidden", want: "materialized_views"},
		"not chosen, and nobody can read it":         {tables: plain, told: "p.d.t p.d.hidden", want: broken},
		"said to be chosen, and a table":             {tables: plain, told: "p.d.u", chosen: "p.d.u", want: "materialized_views"},
		"a materialized view of nothing":             {tables: plain, told: "p.d.t p.d.void", want: broken},
		"a materialized view and a table more":       {tables: plain, told: "p.d.mv p.hr.reviews", chosen: "p.d.mv", want: broken},
		"a materialized view that reads what it may": {tables: plain, told: "p.d.mv p.d.mv2", chosen: "p.d.mv p.d.mv2", want: agrees},
	} {
		behind := map[string][]string{"p.d.mv": {"p.d.t"}, "p.d.mv2": {"p.d.t"}, "p.d.joined": {"p.d.t", "p.d.u"}, "p.d.void": nil}
		for _, guarded := range []string{"", "sensitive", "row access policies"} {
			for _, accept := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/%t", name, guarded, accept), func(t *testing.T) {
					w, ctx := newWorld(t), t.Context()
					w.Checks.Behind = func(_ context.Context, _ durable.Ask, name string) ([]string, error) {
						tables, ok := behind[name]
						switch {
						case ok:
							return tables, nil
						case name == "p.d.u":
							return nil, jobs.ErrNotMaterialized
						}
						return nil, fmt.Errorf("x: %w", bigquery.ErrNotFound)
					}
					if accept {
						w.Checks.Accept = everything
					}
					a := analysed(c.tables)
					names := a.Statements[0].Tables
					r := record(func(r *jobs.Record) {
						r.Tables, r.Reads, r.RowAccess = names, jobs.ReadsOf(a), noPolicies(names)
						r.Plan = masking.Plan{Sensitive: guarded == "sensitive"}
						if guarded == "row access policies" {
							r.RowAccess = nil // a rule names them
						}
					})
					j := job(func(j *bigquery.Job) {
						j.ReferencedTables, j.MaterializedViews, j.CacheHit = tableIDs(c.told), tableIDs(c.chosen), c.cached
					})
					v, err := w.Finish(ctx, durabletest.Decided(t, "d-1"), r, j, nil)
					_, standing, _ := w.Get(ctx, r.Owner, r.Job.ProjectID, r.Job.JobID)
					want := c.want
					var u *jobs.Uncertain
					switch {
					case want == broken && guarded == "row access policies":
						// A policy may look into that table: refused, and not for good, until its
						// name is said.
						if v.Broken == "" && !errors.As(err, &u) || err == nil && v.Broken == "" {
							t.Errorf("%+v, %v", v, err)
						}
					case want == broken:
						if err != nil || v.Broken == "" {
							t.Errorf("%+v, %v; want a broken job", v, err)
						}
					case want == agrees || accept && guarded == "":
						if err != nil || v.Broken != "" {
							t.Errorf("%+v, %v; want a job that can be read", v, err)
						}
					default:
						if !errors.As(err, &u) || string(u.Construct) != want || errors.Is(err, jobs.ErrMismatch) || standing != nil {
							t.Errorf("%+v, %v, written %+v; want %s and nothing written", v, err, standing, want)
						}
						if u != nil && (u.Why() == "" || strings.Contains(u.Why(), "p.d.") || u.Liftable(r) != (guarded == "")) {
							t.Errorf("%q, liftable %t", u.Why(), u.Liftable(r))
						}
					}
				})
			}
		}
	}
}

// What cannot be compared is not written down: the same job can be read once its operator accepts
// it, and is broken for good if what it rested on has changed.
func TestWhatIsAcceptedLaterCanBeRead(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	r := record(func(r *jobs.Record) { r.Plan = masking.Plan{} })
	if err := w.Create(ctx, r); err != nil {
		t.Fatal(err)
	}
	cached := job(func(j *bigquery.Job) { j.ReferencedTables, j.CacheHit = nil, true })
	var u *jobs.Uncertain
	for range 2 {
		if v, err := w.Finish(ctx, durabletest.Decided(t, "d-1"), r, cached, nil); !errors.As(err, &u) {
			t.Fatalf("%+v, %v", v, err)
		}
	}
	w.Checks.Accept = []jobs.Construct{jobs.MissingTables, jobs.Materialized}
	if v, err := w.Finish(ctx, durabletest.Decided(t, "d-1"), r, cached, nil); !errors.As(err, &u) {
		t.Fatalf("something else was accepted: %+v, %v", v, err)
	}
	w.Checks.Accept = []jobs.Construct{jobs.CachedResult}
	if v, err := w.Finish(ctx, durabletest.Decided(t, "d-1"), r, cached, nil); err != nil || v.Broken != "" {
		t.Fatalf("accepted: %+v, %v", v, err)
	}
	_, standing, err := w.Get(ctx, r.Owner, r.Job.ProjectID, r.Job.JobID)
	if err != nil || standing == nil || standing.Broken != "" {
		t.Errorf("%+v, %v", standing, err)
	}

	other := newWorld(t)
	if v, err := other.Finish(ctx, durabletest.Decided(t, "d-1"), r, cached, []string{"demo.crm.contacts"}); err != nil || v.Broken == "" {
		t.Errorf("a view changed, and the list is missing: %+v, %v; want a broken job", v, err)
	}
}

// A row access policy looks into tables of its own. Their names, said one by one, are expected
// where the query reads a table with such policies, and nowhere else.
func TestTablesThatRowAccessPoliciesLookInto(t *testing.T) {
	for name, c := range map[string]struct {
		told     string
		lookups  []string
		policies bool
		want     string
	}{
		"said":                        {"p.d.t p.d.regions", []string{"p.d.regions"}, true, "agrees"},
		"said, and not read":          {"p.d.t", []string{"p.d.regions"}, true, "agrees"},
		"not said":                    {"p.d.t p.d.regions", nil, true, "row_access_lookups"},
		"another said":                {"p.d.t p.d.regions", []string{"p.d.staff"}, true, "row_access_lookups"},
		"said, and one more":          {"p.d.t p.d.regions p.hr.x", []string{"p.d.regions"}, true, "row_access_lookups"},
		"said, and no such policy":    {"p.d.t p.d.regions", []string{"p.d.regions"}, false, "broken"},
		"said, in place of the table": {"p.d.regions", []string{"p.d.regions"}, true, "missing_tables"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Checks = jobs.Checks{Accept: everything, Lookups: slices.Clone(c.lookups)}
			r := record(func(r *jobs.Record) {
				r.Tables, r.Reads = []string{"p.d.t"}, jobs.Reads{}
				r.RowAccess, r.Plan = noPolicies(r.Tables), masking.Plan{}
				if c.policies {
					r.RowAccess = map[string]bigquery.RowAccess{"p.d.t": bigquery.RowAccessPolicies}
				}
			})
			v, err := w.Finish(t.Context(), durabletest.Decided(t, "d-1"), r,
				job(func(j *bigquery.Job) { j.ReferencedTables = tableIDs(c.told) }), nil)
			got := "agrees"
			var u *jobs.Uncertain
			switch {
			case errors.As(err, &u):
				got = string(u.Construct)
			case err != nil:
				got = err.Error()
			case v.Broken != "":
				got = "broken"
			}
			if got != c.want {
				t.Errorf("%s, want %s: %+v, %v", got, c.want, v, err)
			}
		})
	}
}

// A catalog that does not answer decides nothing: the same read asks again.
func TestAFaultBehindAMaterializedViewWritesNothing(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.Checks.Accept = everything
	w.Checks.Behind = func(context.Context, durable.Ask, string) ([]string, error) { return nil, errors.New("down") }
	r := record(func(r *jobs.Record) { r.Plan = masking.Plan{} })
	for _, chosen := range []string{"", "demo.crm.mv"} {
		v, err := w.Finish(ctx, durabletest.Decided(t, "d-1"), r, job(func(j *bigquery.Job) {
			j.ReferencedTables, j.MaterializedViews = tableIDs("demo.crm.customers demo.crm.mv"), tableIDs(chosen)
		}), nil)
		var u *jobs.Uncertain
		if err == nil || errors.As(err, &u) || errors.Is(err, jobs.ErrMismatch) || v.Broken != "" {
			t.Errorf("%+v, %v; want a fault", v, err)
		}
	}
	if _, standing, _ := w.Get(ctx, r.Owner, r.Job.ProjectID, r.Job.JobID); standing != nil {
		t.Errorf("written: %+v", standing)
	}
}
