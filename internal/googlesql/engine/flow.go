package engine

import (
	"strings"

	gsql "github.com/goccy/go-googlesql"

	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// flow takes in a statement that moves data and returns no rows. Where each column goes is not followed: every column that the statement
// names anywhere counts as used. The engine lists exactly those in its table scans, since unused columns are pruned.
func (w *walk) flow(s gsql.ResolvedStatementNode) {
	switch x := s.(type) {
	case *gsql.ResolvedCreateMaterializedViewStmt:
		if must(x.ReplicaSource()) != nil {
			refuse(-1, "AS REPLICA OF is not analysed")
		}
	case *gsql.ResolvedInsertStmt, *gsql.ResolvedUpdateStmt, *gsql.ResolvedDeleteStmt, *gsql.ResolvedMergeStmt,
		*gsql.ResolvedCreateTableAsSelectStmt, *gsql.ResolvedCreateViewStmt,
		*gsql.ResolvedExportDataStmt, *gsql.ResolvedAssertStmt:
	default:
		refuse(-1, "%s is not analysed", strings.TrimSuffix(must(s.NodeKindString()), "Stmt"))
	}
	w.descend(s)
	if strings.Count(must(s.DebugString()), "TableScan(") != len(w.scans) {
		refuse(-1, "a part of this statement is not known to bqgate")
	}
}

func (w *walk) descend(n gsql.ResolvedNode) {
	switch x := n.(type) {
	case *gsql.ResolvedTVFScan:
		refuse(location(x), "table functions are not analysed in this statement; read the tables themselves")
	case *gsql.ResolvedTableScan:
		table := must(x.Table())
		name := must(table.FullName())
		at := location(x)
		w.scans = append(w.scans, wire.Scan{Table: name, Start: at})
		indexes, columns := must(x.ColumnIndexList()), must(x.ColumnList())
		if len(indexes) != len(columns) {
			refuse(at, "the columns of %s are not known to bqgate", name)
		}
		for i, c := range columns {
			column := must(must(table.GetColumn(indexes[i])).Name())
			w.use(googlesql.UseOther, w.base(name+"."+column, must(c.Type())), at)
		}
	case *gsql.ResolvedFunctionCall:
		if r := w.routine(must(x.Function())); r != nil {
			w.use(googlesql.UseOther, w.origin(r.sources), location(x))
		} else {
			w.function(must(x.Function()))
		}
	case *gsql.ResolvedAggregateFunctionCall:
		w.function(must(x.Function()))
	case *gsql.ResolvedAnalyticFunctionCall:
		w.function(must(x.Function()))
	}
	for _, child := range must(n.GetChildNodes()) {
		w.descend(child)
	}
}
