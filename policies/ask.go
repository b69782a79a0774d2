package policies

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
)

// Analyze says what SQL means: googlesql.Analyzer.Analyze.
type Analyze func(context.Context, googlesql.Query) (*googlesql.Analysis, error)

// WhatIf is what `policy explain` and policy tests ask: what would happen if this subject ran
// this SQL?
type WhatIf struct {
	Subject        SubjectFile
	SQL            string
	Project        string // of names of two parts
	DefaultDataset string // "project.dataset" for names of one part; its project completes names of two
	Catalog        string // folder of project.dataset.table.json files, each a Table resource
	Estimate       *Estimate
	// Left is what is left of each budget that the query counts against, in the order of
	// Decision.Budgets; nil: all.
	Left []int64
}

// ErrNeedsEstimate says that the policy decides by how much the query would read, and the WhatIf
// does not say.
var ErrNeedsEstimate = errors.New("the policy decides by how much the query would read")

// Ask answers as the gateway would. With ErrNeedsEstimate the Decision is what happens
// to a query that reads nothing.
func (s *Set) Ask(ctx context.Context, analyze Analyze, q WhatIf) (Decision, error) {
	now := time.Now()
	subject, err := q.Subject.subject(s, now)
	if err != nil {
		return Decision{}, err
	}
	r := googlesql.Query{SQL: q.SQL, Project: q.Project, Catalog: googlesql.Files{Folder: q.Catalog}, Caller: "explain", Undeclared: true,
		Reach: s.Reach(subject, now).Reads}
	if q.DefaultDataset != "" {
		project, dataset, ok := strings.Cut(q.DefaultDataset, ".")
		if !ok || project == "" || dataset == "" || strings.Contains(dataset, ".") {
			return Decision{}, fmt.Errorf("default dataset %q: want PROJECT.DATASET", q.DefaultDataset)
		}
		r.DefaultDataset = &bigquery.DatasetReference{ProjectID: project, DatasetID: dataset}
		if r.Project == "" {
			r.Project = project
		}
	}
	if r.Project == "" {
		if r.Project, err = onlyProject(q.Catalog); err != nil {
			return Decision{}, err
		}
	}
	s = s.in(r.Project)
	analysis, err := analyze(ctx, r)
	if err != nil {
		return Decision{}, fmt.Errorf("analyse SQL: %w", err)
	}
	if analysis.Error != nil && analysis.Error.Passes() {
		return Decision{}, analysis.Error
	}
	assumed := false
	decision, _, err := s.Decide(ctx, Input{
		Subject: subject, Now: now, Method: string(bigquery.MethodQuery), Project: r.Project, SQL: q.SQL, Analysis: analysis,
		Tables: analysis.Tables, Sized: q.Estimate != nil,
	}, Facts{
		RowAccess: func(ctx context.Context, tables []*bigquery.Table) (map[string]bigquery.RowAccess, error) {
			return googlesql.RowAccess(ctx, r.Catalog, tables)
		},
		Rewrite: func(ctx context.Context, transforms []googlesql.Transform) (*googlesql.Rewritten, error) {
			return googlesql.Rewrite(ctx, analyze, r, analysis, transforms)
		},
		Salt: []byte("explain"), // no query runs: any will do
		Estimate: func(ctx context.Context, unmeasured []*bigquery.Table) (*Estimate, error) {
			access, err := googlesql.RowAccess(ctx, r.Catalog, unmeasured)
			if err != nil {
				return nil, err
			}
			for _, t := range unmeasured {
				if access[t.TableReference.String()] != bigquery.RowAccessNone {
					return &Estimate{Unknown: true}, nil // no dry run is believed
				}
			}
			if assumed = q.Estimate == nil; assumed {
				return &Estimate{}, nil
			}
			return q.Estimate, nil
		},
		Left: saidLeft(q.Left, now),
	})
	if err == nil && assumed {
		err = ErrNeedsEstimate
	}
	return decision, err
}

// ParseEstimate reads what a dry run would say: a size as policies write it, 0, or "unknown".
func ParseEstimate(text string) (*Estimate, error) {
	if text == "unknown" {
		return &Estimate{Unknown: true}, nil
	}
	n, err := ParseSize(text)
	if err != nil {
		return nil, err
	}
	return &Estimate{Bytes: n}, nil
}

// ParseSize reads a size as policies write it: "200GiB", and "0".
func ParseSize(text string) (int64, error) {
	if text == "0" {
		return 0, nil
	}
	return parseSize(text)
}

// catalogTables lists the tables of a catalog folder, in the order of their names.
func catalogTables(folder string) ([]*bigquery.Table, error) {
	names, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("list catalog %s: %w", folder, err)
	}
	if len(names) == 0 {
		if _, err := os.Stat(folder); err != nil {
			return nil, fmt.Errorf("catalog: %w", err)
		}
		return nil, fmt.Errorf("catalog %s holds no tables: want files project.dataset.table.json, as `bq show --format=json` prints them",
			folder)
	}
	var all []*bigquery.Table
	for _, name := range names {
		if !(googlesql.Files{}).IsTable(name) {
			continue
		}
		id, ok := parseTable(strings.TrimSuffix(filepath.Base(name), ".json"))
		if !ok {
			return nil, fmt.Errorf("catalog: %s is not named project.dataset.table.json", name)
		}
		t, err := googlesql.ReadTable(context.Background(), googlesql.Files{Folder: folder}, id.String())
		if err != nil {
			return nil, fmt.Errorf("catalog: %w", err)
		}
		all = append(all, t)
	}
	return all, nil
}

// onlyProject is the project of a catalog's tables.
func onlyProject(folder string) (string, error) {
	tables, err := catalogTables(folder)
	if err != nil {
		return "", err
	}
	project := tables[0].TableReference.Project
	for _, t := range tables {
		if t.TableReference.Project != project {
			return "", fmt.Errorf("the catalog has tables of %s and %s: say the project of the query", project, t.TableReference.Project)
		}
	}
	return project, nil
}
