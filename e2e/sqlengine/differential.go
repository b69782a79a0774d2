package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	googlesql "github.com/goccy/go-googlesql"
)

// rows runs one statement without analysing it first: half the time of "run", for who asks the same
// query hundreds of times. What it creates is not known to "dry", "nodes" and "run".
func (e *engine) rows(ctx context.Context, req request) response {
	m := e.mend(req)
	if m.err != nil {
		return response{Error: &failure{Reason: "notImplemented", Message: m.err.Error()}}
	}
	req.SQL = m.sql
	columns, rows, _, err := e.query(ctx, req)
	if err != nil {
		return response{Error: runFailure(err), Mended: m.times}
	}
	return response{Columns: columns, Rows: rows, Mended: m.times}
}

// nodes names the kinds of nodes in a statement's resolved tree, before any rewrite: what the
// author of the SQL wrote.
func (e *engine) nodes(req request) response {
	kinds, err := e.analyzer.nodes(req.SQL, req.Project, req.Dataset)
	if err != nil {
		return response{Error: &failure{Reason: "invalidQuery", Message: err.Error()}}
	}
	return response{Nodes: kinds}
}

func (an *analyzer) nodes(sql, project, dataset string) ([]string, error) {
	out, err := an.resolve(sql, project, dataset)
	if err != nil {
		return nil, err
	}
	defer freeAnalyzerOutput(out)
	stmt, err := out.ResolvedStatement()
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var walk func(googlesql.ResolvedNode) error
	walk = func(n googlesql.ResolvedNode) error {
		kind, err := n.NodeKindString()
		if err != nil {
			return fmt.Errorf("read a node's kind: %w", err)
		}
		seen[kind] = true
		children, err := n.GetChildNodes()
		if err != nil {
			return fmt.Errorf("read the children of a %s: %w", kind, err)
		}
		for _, c := range children {
			if err := walk(c); err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk(stmt); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(seen)), nil
}

// resolve resolves a statement without any rewrite. Whoever asks frees the output.
func (an *analyzer) resolve(sql, project, dataset string) (*googlesql.AnalyzerOutput, error) {
	return an.resolveBy(&finder{an: an, project: project, dataset: dataset}, sql)
}

func (an *analyzer) resolveBy(f *finder, sql string) (*googlesql.AnalyzerOutput, error) {
	if err := an.refresh(); err != nil {
		return nil, err
	}
	handle, err := googlesql.NewCatalogFromImpl(f)
	if err != nil {
		return nil, err
	}
	multi, err := googlesql.NewMultiCatalogCreate("all", []googlesql.CatalogNode{an.builtins, handle})
	if err != nil {
		return nil, err
	}
	if an.plain == nil {
		if an.plain, err = plainOptions(); err != nil {
			return nil, err
		}
	}
	return googlesql.AnalyzeStatement(sql, an.plain, multi, an.types)
}

// plainOptions are analyzer options without any rewrite.
func plainOptions() (*googlesql.AnalyzerOptions, error) {
	options, err := googlesql.NewAnalyzerOptions2()
	if err != nil {
		return nil, fmt.Errorf("make analyzer options: %w", err)
	}
	lang, err := newLanguage()
	if err != nil {
		return nil, err
	}
	if err := options.SetLanguage(lang); err != nil {
		return nil, fmt.Errorf("set the language: %w", err)
	}
	for rewrite := googlesql.ResolvedASTRewrite(1); rewrite < 64; rewrite++ {
		_ = options.EnableRewrite(rewrite, false) // a number without a rewrite is an error that says nothing
	}
	return options, nil
}
