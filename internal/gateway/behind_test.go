package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/durable/durabletest"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/googlesql/enginetest"
	"github.com/bqgate/bqgate/internal/jobs"
)

type tables map[string]*bigquery.Table

func (c tables) Table(_ context.Context, id bigquery.TableID) (*bigquery.Table, error) {
	switch t := c[id.String()]; {
	case id.Table == "down":
		return nil, errors.New("the catalog is down")
	case t == nil:
		return nil, fmt.Errorf("%s: %w", id, googlesql.ErrNotFound)
	default:
		return t, nil
	}
}

// forAll is one catalog for whoever asks.
func forAll(c googlesql.Catalog) func(durable.Ask) googlesql.Catalog {
	return func(durable.Ask) googlesql.Catalog { return c }
}

// What stands behind a name that BigQuery says it read: by the real grammar, over a catalog.
func TestTablesBehindAMaterializedView(t *testing.T) {
	catalog := tables{}
	add := func(name, kind, query string) {
		table := &bigquery.Table{TableReference: bigquery.TableID{Project: "p", Dataset: "d", Table: name}, Type: kind, Location: "US"}
		table.Schema.Fields = []bigquery.Field{{Name: "id", Type: "INTEGER"}}
		switch kind {
		case "VIEW":
			table.View = &bigquery.View{Query: query, UseLegacySQL: new(bool)}
		case "MATERIALIZED_VIEW":
			table.MaterializedView = &bigquery.MaterializedView{Query: query}
		}
		catalog[table.TableReference.String()] = table
	}
	add("t", "TABLE", "")
	add("u", "TABLE", "")
	add("v", "VIEW", "SELECT id FROM p.d.t")
	add("mv", "MATERIALIZED_VIEW", "SELECT id FROM p.d.t GROUP BY id")
	add("joined", "MATERIALIZED_VIEW", "SELECT t.id FROM p.d.t JOIN p.d.u USING (id)")
	add("over-view", "MATERIALIZED_VIEW", "SELECT id FROM p.d.v")
	add("broken", "MATERIALIZED_VIEW", "SELECT FROM")
	add("gone", "MATERIALIZED_VIEW", "SELECT id FROM p.d.nothing")
	add("linked", "EXTERNAL", "")

	pool, err := googlesql.NewPool(t.Context(), googlesql.PoolOptions{Command: enginetest.Worker(t), Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	behind := tablesBehind(forAll(catalog), googlesql.New(pool, googlesql.Limits{}))
	for name, c := range map[string]struct {
		want []string
		err  error
	}{
		"p.d.mv":                        {want: []string{"p.d.t"}},
		"p.d.joined":                    {want: []string{"p.d.t", "p.d.u"}},
		"p.d.over-view":                 {want: []string{"p.d.t"}},
		"p.d.broken":                    {},
		"p.d.gone":                      {},
		"p.d.t":                         {err: jobs.ErrNotMaterialized},
		"p.d.v":                         {err: jobs.ErrNotMaterialized},
		"p.d.linked":                    {err: jobs.ErrNotMaterialized},
		"p.d.nothing":                   {err: bigquery.ErrNotFound},
		"p.INFORMATION_SCHEMA.TABLES":   {err: jobs.ErrNotMaterialized},
		"p.d.INFORMATION_SCHEMA.TABLES": {err: jobs.ErrNotMaterialized},
		"p.d.t`; DROP TABLE p.d.t":      {err: jobs.ErrNotMaterialized},
		"nothing":                       {err: jobs.ErrNotMaterialized},
		"p.d":                           {err: jobs.ErrNotMaterialized},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := behind(t.Context(), durabletest.Decided(t, "d-1"), name)
			slices.Sort(got)
			if !errors.Is(err, c.err) || !slices.Equal(got, c.want) {
				t.Errorf("%v, %v; want %v, %v", got, err, c.want, c.err)
			}
		})
	}
	got, err := behind(t.Context(), durabletest.Decided(t, "d-1"), "p.d.down")
	if err == nil || errors.Is(err, jobs.ErrNotMaterialized) || errors.Is(err, bigquery.ErrNotFound) {
		t.Errorf("a catalog that is down says %v, %v", got, err)
	}
}

func TestJobChecksOfTheConfiguration(t *testing.T) {
	got := jobChecks(config.ReferencedTables{
		CachedResults: config.Accept, MissingTables: config.Refuse, MaterializedViews: config.Accept,
		RowAccessLookups: []string{"p.d.regions"},
	}, forAll(tables{}), nil)
	slices.Sort(got.Accept)
	accepts := slices.Equal(got.Accept, []jobs.Construct{jobs.CachedResult, jobs.Materialized})
	if !accepts || !slices.Equal(got.Lookups, []string{"p.d.regions"}) || got.Behind == nil {
		t.Errorf("%+v", got)
	}
	if none := jobChecks(config.ReferencedTables{}, forAll(tables{}), nil); len(none.Accept)+len(none.Lookups) != 0 {
		t.Errorf("nothing is said, and %+v is accepted", none)
	}
}
