package rewrite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/bqgate/bqgate/e2e/fakegoogle"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/googlesql/enginetest"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/masking/jsonmask"
	"github.com/bqgate/bqgate/policies"
)

// salt keys RANDOM_HASH of every query of these tests, so that a masked copy of a table can be made
// with it.
var salt = []byte("0123456789abcdef0123456789abcdef")

var sharedPool = sync.OnceValues(func() (*googlesql.Pool, error) {
	return googlesql.NewPool(context.Background(), googlesql.PoolOptions{Command: workerCommand})
})

var workerCommand []string

// gate walks the gateway's steps from the SQL to what the client sees.
type gate struct {
	analyzer *googlesql.Analyzer
	set      *policies.Set
	catalog  googlesql.Catalog
	project  string
	dataset  *bigquery.DatasetReference
}

func newGate(t testing.TB, policy, catalog string) *gate {
	t.Helper()
	workerCommand = enginetest.Worker(t)
	pool, err := sharedPool()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(policy)
	if err != nil {
		t.Fatal(err)
	}
	set, err := policies.LoadBytes("policy.yaml", text,
		policies.Options{Issuers: []string{"demo"}, Projects: map[string]string{"default": "demo"}})
	if err != nil {
		t.Fatal(err)
	}
	return &gate{analyzer: googlesql.New(pool, googlesql.Limits{}), set: set, catalog: googlesql.Files{Folder: catalog}, project: "demo"}
}

// outcome is what the gateway makes of a query.
type outcome struct {
	decision policies.Decision
	sql      string // for BigQuery
	masked   bool   // the text is a rewritten one
	fickle   bool   // it answers otherwise each time
}

func (g *gate) judge(ctx context.Context, sql string) (outcome, error) {
	query := googlesql.Query{SQL: sql, Project: g.project, DefaultDataset: g.dataset, Catalog: g.catalog, Caller: "test"}
	analysis, err := g.analyzer.Analyze(ctx, query)
	if err != nil {
		return outcome{}, err
	}
	v := outcome{sql: sql}
	for _, st := range analysis.Statements {
		v.fickle = v.fickle || slices.ContainsFunc(st.Functions, func(f string) bool { return f == "RAND" || f == "GENERATE_UUID" })
	}
	ask := policies.Input{
		Subject: identity.Subject{
			Issuer: "i", Name: "demo", Sub: "agent", Owner: "o", Mapped: true, People: []string{"p"},
			Claims: map[string]any{"groups": []any{"agents"}},
		},
		Method: "jobs.query", Project: g.project, SQL: sql, Analysis: analysis, Tables: analysis.Tables,
	}
	rowAccess := func(ctx context.Context, tables []*bigquery.Table) (map[string]bigquery.RowAccess, error) {
		return googlesql.RowAccess(ctx, g.catalog, tables)
	}
	v.decision, _, err = g.set.Decide(ctx, ask,
		policies.Facts{RowAccess: rowAccess, Salt: salt,
			Rewrite: func(ctx context.Context, transforms []googlesql.Transform) (*googlesql.Rewritten, error) {
				made, err := g.analyzer.Rewrite(ctx, query, analysis, transforms)
				if err == nil {
					v.sql, v.masked = made.SQL, true
				}
				return made, err
			}})
	return v, err
}

// sees is every bit of what a client learns of a query on a database: the refusal, the error as the
// gateway words it, or the masked rows in their order.
func (g *gate) sees(ctx context.Context, v outcome, d *database) (string, error) {
	if v.decision.Effect != policies.Allow {
		return "refused: " + v.decision.Message, nil
	}
	r, err := d.runIn(ctx, g, v.sql)
	var failed *fakegoogle.QueryError
	switch {
	case errors.As(err, &failed):
		body := bigquery.ErrorBody(400, failed.Reason, failed.Message)
		_, shown := bigquery.FilterError(400, body, bigquery.ErrorView{Sensitive: v.decision.Mask.Sensitive})
		return "error: " + string(shown), nil
	case err != nil:
		return "", err
	}
	doc := answer(r.Rows, r.Schema)
	m := jsonmask.NewResults(v.decision.Mask, jsonmask.Options{Salt: salt})
	out, err := m.Write([]byte(doc))
	shown := string(out)
	if err == nil {
		err = m.Close()
	}
	if err != nil {
		return "", fmt.Errorf("mask %s: %w", doc, err)
	}
	return shown, nil
}

func (d *database) runIn(ctx context.Context, g *gate, sql string) (*fakegoogle.Result, error) {
	s := fakegoogle.Statement{SQL: sql, Project: g.project}
	if g.dataset != nil {
		s.Dataset = g.dataset.ProjectID + "." + g.dataset.DatasetID
	}
	r, err := d.engine.Run(ctx, s)
	if err != nil {
		return nil, err
	}
	return r, fakegoogle.NameColumns(r)
}
