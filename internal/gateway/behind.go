package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/jobs"
)

// analyzes is what is used of googlesql.Analyzer.
type analyzes interface {
	Analyze(ctx context.Context, r googlesql.Query) (*googlesql.Analysis, error)
}

// jobChecks are what the configuration says of jobs that cannot be compared.
func jobChecks(c config.ReferencedTables, catalog func(durable.Ask) googlesql.Catalog, sql analyzes) jobs.Checks {
	checks := jobs.Checks{Lookups: c.RowAccessLookups, Behind: tablesBehind(catalog, sql)}
	for construct, answer := range c.Answers() {
		if answer == config.Accept {
			checks.Accept = append(checks.Accept, jobs.Construct(construct))
		}
	}
	return checks
}

// tablesBehind reads what is behind a materialized view, under the inspection identity: the gateway
// asks for itself, so that no subject's reach bounds it, and nobody is told.
func tablesBehind(
	catalogFor func(durable.Ask) googlesql.Catalog, sql analyzes,
) func(context.Context, durable.Ask, string) ([]string, error) {
	return func(ctx context.Context, ask durable.Ask, name string) ([]string, error) {
		catalog := catalogFor(ask)
		project, _, ok := strings.Cut(name, ".")
		if !ok || strings.Count(name, ".") < 2 || strings.ContainsAny(name, "`\\\n") {
			return nil, jobs.ErrNotMaterialized
		}
		t, err := googlesql.ReadTable(ctx, catalog, name)
		var refused *googlesql.Error
		switch {
		case errors.As(err, &refused) && !refused.Passes():
			return nil, fmt.Errorf("%s: %w", name, jobs.ErrNotMaterialized)
		case errors.Is(err, googlesql.ErrNotFound):
			return nil, fmt.Errorf("%s: %w", name, bigquery.ErrNotFound)
		case err != nil:
			return nil, err
		case t.Type != "MATERIALIZED_VIEW" && t.MaterializedView == nil:
			return nil, fmt.Errorf("%s: %w", name, jobs.ErrNotMaterialized)
		}
		a, err := sql.Analyze(ctx, googlesql.Query{
			SQL: "SELECT * FROM `" + name + "`", Project: project, Catalog: catalog, Caller: "job checks",
		})
		switch {
		case err != nil:
			return nil, err
		case a.Error != nil && a.Error.Passes():
			return nil, a.Error
		case a.Error != nil || len(a.Statements) != 1:
			return nil, nil // its SQL is not understood: it stands for no table
		}
		var tables []string
		for _, table := range a.Statements[0].Tables {
			if known := a.Tables[table]; known != nil && known.Type != "VIEW" && known.Type != "MATERIALIZED_VIEW" {
				tables = append(tables, table)
			}
		}
		return tables, nil
	}
}
