package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/goccy/googlesqlite"
)

// engine is one in-memory database, its catalog, and the analyzer beside it.
type engine struct {
	db       *sql.DB
	conn     *sql.Conn
	analyzer *analyzer
	catalog  *catalog
	mended   map[string]mended // by text and what else it depends on; emptied when it is full
}

func openEngine(ctx context.Context) (*engine, error) {
	db, err := sql.Open("googlesqlite", ":memory:")
	if err != nil {
		return nil, fmt.Errorf("open googlesqlite: %w", err)
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to googlesqlite: %w", err)
	}
	cat := newCatalog()
	an, err := newAnalyzer(cat)
	if err != nil {
		return nil, err
	}
	return &engine{db: db, conn: conn, analyzer: an, catalog: cat}, nil
}

// handle answers one request; a panic of the engine is an answer too, since the next request may be
// fine.
func (e *engine) handle(req request) (resp response) {
	defer func() {
		if r := recover(); r != nil {
			resp = response{Error: &failure{Reason: "internalError", Message: fmt.Sprintf("the SQL engine panicked: %v", r)}}
		}
		resp.ID = req.ID
	}()
	limit := maxStatementTime
	if req.TimeoutMs > 0 {
		limit = time.Duration(req.TimeoutMs) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var err error
	if req.SQL, err = e.asOf(ctx, req); err != nil {
		return response{Error: runFailure(err)}
	}
	if req.Op == "run" || req.Op == "dry" {
		text, reads, err := e.information(ctx, req)
		if err != nil {
			return response{Error: asFailure(err)}
		}
		req.SQL = text
		defer func() { resp.Metadata = reads }()
	}
	switch req.Op {
	case "ping":
		return response{}
	case "catalog":
		return response{Datasets: e.catalog.datasetNames(), Catalog: e.catalog.tableRows(), RoutineRows: e.catalog.routineRows()}
	case "dry":
		return e.dry(req)
	case "run":
		return e.run(ctx, req)
	case "rows":
		return e.rows(ctx, req)
	case "nodes":
		return e.nodes(req)
	}
	return response{Error: &failure{Reason: "internalError", Message: fmt.Sprintf("op %q is not known", req.Op)}}
}

// dry analyses without running anything.
func (e *engine) dry(req request) response {
	req, _, err := e.listed(req)
	if err != nil {
		return response{Error: asFailure(err), StatementType: "CREATE_VIEW"}
	}
	a, fail := e.analyzer.analyze(req.SQL, req.Project, req.Dataset)
	if a.kind == "SCRIPT" {
		return response{StatementType: a.kind} // as at BigQuery, a dry run of a script tells little
	}
	if fail != nil {
		return response{Error: fail, StatementType: a.kind}
	}
	return a.response()
}

// run executes whatever it is given, as BigQuery would for an account that may do everything:
// queries, DML, DDL, scripts.
func (e *engine) run(ctx context.Context, req request) response {
	out := e.runOne(ctx, req)
	if len(out.Targets) > 0 && !dml[out.StatementType] {
		e.renew(ctx, out.Targets)
	}
	return out
}

// runOne is run without what follows from a change for the views over what was changed.
func (e *engine) runOne(ctx context.Context, req request) response {
	for _, special := range []func(context.Context, request) (bool, response){e.clone, e.altered} {
		if done, out := special(ctx, req); done {
			return out
		}
	}
	req, text, err := e.listed(req)
	if err != nil {
		return response{Error: asFailure(err), StatementType: "CREATE_VIEW"}
	}
	a, analysisFail := e.analyzer.analyze(req.SQL, req.Project, req.Dataset)
	if analysisFail != nil && analysisFail.fatal {
		return response{Error: analysisFail, StatementType: a.kind}
	}
	if fail := e.catalog.check(a); fail != nil {
		return response{Error: fail, StatementType: a.kind}
	}
	if done, fail := e.schemaDDL(ctx, a, req); done {
		return response{Error: fail, StatementType: a.kind, Targets: a.targets, Analysed: true}
	}
	if done, err := e.replaceExisting(ctx, a, req); done {
		e.kept(req, a.targets, text)
		out := a.response()
		if err != nil {
			out.Error = runFailure(err)
		}
		return out
	}
	expanded, err := e.analyzer.expand(req)
	if err != nil {
		return response{Error: &failure{Reason: "notImplemented", Message: err.Error()}, StatementType: a.kind}
	}
	req.SQL = expanded
	m := e.mend(req)
	if m.err != nil {
		return response{Error: &failure{Reason: "notImplemented", Message: m.err.Error()}, StatementType: a.kind}
	}
	req.SQL = m.sql
	if makesFunctions(a.kind, req.SQL) {
		keepAll()
	}
	if dml[a.kind] {
		n, err := e.exec(ctx, req)
		if err != nil {
			return response{Error: runFailure(err), StatementType: a.kind, Tables: a.tables, Analysed: analysisFail == nil}
		}
		out := a.response()
		out.Affected, out.Analysed = n, analysisFail == nil
		return out
	}
	columns, rows, changed, err := e.query(ctx, req)
	if err != nil {
		if analysisFail != nil && a.kind != "SCRIPT" {
			return response{Error: analysisFail, StatementType: a.kind}
		}
		return response{Error: runFailure(err), StatementType: a.kind, Tables: a.tables, Views: a.views, Analysed: true}
	}
	if a.kind == "SELECT" {
		if fail := e.scalars(ctx, req); fail != nil {
			return response{Error: fail, StatementType: a.kind, Tables: a.tables, Views: a.views, Analysed: true}
		}
	}
	e.catalog.apply(changed, a)
	e.catalog.applyRoutine(a)
	e.kept(req, a.targets, text)
	out := a.response()
	out.Analysed = analysisFail == nil
	out.Columns, out.Rows, out.Mended = columns, rows, m.times
	return out
}

var dml = map[string]bool{"INSERT": true, "UPDATE": true, "DELETE": true, "MERGE": true, "TRUNCATE_TABLE": true}

// exec runs a DML statement and tells how many rows it changed.
func (e *engine) exec(ctx context.Context, req request) (_ int64, err error) {
	defer gaveUp(&err)
	if err := e.setNames(req.Project, req.Dataset); err != nil {
		return 0, err
	}
	result, err := e.conn.ExecContext(ctx, req.SQL)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// query sends the text to the driver and reads everything that comes.
func (e *engine) query(ctx context.Context, req request) (_ []field, _ [][]any, _ *googlesqlite.ChangedCatalog, err error) {
	if err := e.setNames(req.Project, req.Dataset); err != nil {
		return nil, nil, nil, err
	}
	defer gaveUp(&err)
	rows, err := e.conn.QueryContext(ctx, req.SQL)
	if err != nil {
		return nil, nil, nil, err
	}
	defer rows.Close()
	changed, err := googlesqlite.ChangedCatalogFromRows(rows)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read what changed: %w", err)
	}
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read the column types: %w", err)
	}
	columns := make([]field, 0, len(types))
	for _, t := range types {
		dt, err := googlesqlite.UnmarshalDatabaseTypeName(t.DatabaseTypeName())
		if err != nil {
			return nil, nil, nil, fmt.Errorf("read the type of column %q: %w", t.Name(), err)
		}
		f, err := fieldOf(t.Name(), dt)
		if err != nil {
			return nil, nil, nil, err
		}
		columns = append(columns, f)
	}
	out := [][]any{}
	for rows.Next() {
		values := make([]any, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, nil, nil, err
		}
		for i := range values {
			if values[i], err = cellOf(values[i], columns[i]); err != nil {
				return nil, nil, nil, err
			}
		}
		out = append(out, values)
	}
	return columns, out, changed, rows.Err()
}

// setNames tells the driver how to complete names: BigQuery's default project and dataset.
func (e *engine) setNames(project, dataset string) error {
	path := []string{project}
	if dataset != "" {
		path = append(path, dataset)
		if p, d, ok := strings.Cut(dataset, "."); ok {
			path = []string{p, d}
		}
	}
	return e.conn.Raw(func(c any) error {
		conn, ok := c.(*googlesqlite.Conn)
		if !ok {
			return fmt.Errorf("the connection is a %T", c)
		}
		conn.SetMaxNamePath(3)
		return conn.SetNamePath(path)
	})
}
