package engine

import (
	"strings"

	gsql "github.com/goccy/go-googlesql"

	"github.com/bqgate/bqgate/internal/googlesql"
)

// statement walks a whole statement. What a statement writes are its output columns, as if its
// query had been asked; what decides which rows it touches are uses. In UPDATE, MERGE and VALUES,
// where expressions go straight into columns of the target, what they read is a use.
func (w *walk) statement(s gsql.ResolvedStatementNode) {
	switch n := s.(type) {
	case *gsql.ResolvedQueryStmt:
		w.scan(must(n.Query()))
		w.outputs(must(n.OutputColumnList()), must(n.IsValueTable()))
	case *gsql.ResolvedExportDataStmt:
		w.scan(must(n.Query()))
		w.outputs(must(n.OutputColumnList()), must(n.IsValueTable()))
		w.settings(must(n.OptionList()))
	case *gsql.ResolvedCreateTableAsSelectStmt:
		w.created(n)
		w.scan(must(n.Query()))
		w.outputs(must(n.OutputColumnList()), must(n.IsValueTable()))
		w.definitions(must(n.ColumnDefinitionList()), must(n.OutputColumnList()))
		w.layout(must(n.PartitionByList()), must(n.ClusterByList()))
	case *gsql.ResolvedCreateMaterializedViewStmt:
		if must(n.ReplicaSource()) != nil {
			refuse(-1, "AS REPLICA OF is not analysed")
		}
		w.created(n)
		w.viewed(n)
		w.definitions(must(n.ColumnDefinitionList()), must(n.OutputColumnList()))
		w.layout(must(n.PartitionByList()), must(n.ClusterByList()))
	case *gsql.ResolvedCreateViewStmt:
		w.created(n)
		w.viewed(n)
		w.definitions(must(n.ColumnDefinitionList()), must(n.OutputColumnList()))
	case *gsql.ResolvedInsertStmt:
		w.insert(n)
	case *gsql.ResolvedUpdateStmt:
		w.update(n)
	case *gsql.ResolvedDeleteStmt:
		w.tableScan(must(n.TableScan()))
		w.steer(googlesql.UseFilter, must(n.WhereExpr()))
		must(n.ColumnAccessList())
	case *gsql.ResolvedMergeStmt:
		w.merge(n)
	case *gsql.ResolvedAssertStmt:
		w.steer(googlesql.UseExpression, must(n.Expression()))
		must(n.Description())
	default:
		refuse(-1, "%s is not analysed", strings.TrimSuffix(must(s.NodeKindString()), "Stmt"))
	}
}

// outputs are the columns of a query's result. BigQuery makes one column of each field of SELECT AS
// STRUCT and SELECT AS VALUE.
func (w *walk) outputs(columns []*gsql.ResolvedOutputColumn, valueTable bool) {
	if valueTable {
		if len(columns) != 1 {
			refuse(-1, "a value table with %d columns is not analysed", len(columns))
		}
		w.valueTable(columns[0])
		return
	}
	for _, c := range columns {
		column := must(c.Column())
		w.emit(must(c.Name()), must(column.Type()), w.column(column))
	}
}

// creating is what the statements that create something have in common.
type creating interface {
	NamePath() ([]string, error)
	CreateMode() (gsql.ResolvedCreateStatementEnums_CreateMode, error)
	CreateScope() (gsql.ResolvedCreateStatementEnums_CreateScope, error)
	OptionList() ([]*gsql.ResolvedOption, error)
}

func (w *walk) created(n creating) {
	must(n.NamePath())
	must(n.CreateMode())
	must(n.CreateScope())
	w.settings(must(n.OptionList()))
}

type viewing interface {
	Query() (gsql.ResolvedScanNode, error)
	OutputColumnList() ([]*gsql.ResolvedOutputColumn, error)
	IsValueTable() (bool, error)
	HasExplicitColumns() (bool, error)
	Sql() (string, error)
}

func (w *walk) viewed(n viewing) {
	w.scan(must(n.Query()))
	w.outputs(must(n.OutputColumnList()), must(n.IsValueTable()))
	must(n.HasExplicitColumns())
	must(n.Sql())
}

// settings are OPTIONS. A value is computed before the statement runs, so a column in it steers
// whatever the option does.
func (w *walk) settings(options []*gsql.ResolvedOption) {
	for _, o := range options {
		must(o.Qualifier())
		must(o.Name())
		must(o.AssignmentOp())
		w.optional(googlesql.UseOther, must(o.Value()))
	}
}

// definitions gives the columns of a new table the values of the query's.
func (w *walk) definitions(definitions []*gsql.ResolvedColumnDefinition, outputs []*gsql.ResolvedOutputColumn) {
	if len(definitions) != len(outputs) {
		refuse(-1, "the columns of the new table are not known to bqgate")
	}
	for i, d := range definitions {
		must(d.Name())
		must(d.Type())
		w.define(must(d.Column()), w.column(must(outputs[i].Column())))
		if a := must(d.Annotations()); a != nil {
			must(a.NotNull())
			w.settings(must(a.OptionList()))
		}
	}
}

// layout is how a new table is stored: that shows in what a reader pays and, with PARTITION BY, in
// the names of partitions.
func (w *walk) layout(lists ...[]gsql.ResolvedExprNode) {
	for _, list := range lists {
		for _, e := range list {
			w.steer(googlesql.UseOther, e)
		}
	}
}

func (w *walk) insert(n *gsql.ResolvedInsertStmt) {
	w.tableScan(must(n.TableScan()))
	must(n.InsertMode())
	must(n.ColumnAccessList())
	w.correlated(must(n.QueryParameterList()))
	columns := must(n.InsertColumnList())
	if query := must(n.Query()); query != nil {
		w.scan(query)
		values := w.columnsOf(must(n.QueryOutputColumnList()))
		if len(values) != len(columns) {
			refuse(-1, "this INSERT is not analysed")
		}
		for i, c := range columns {
			w.emit(must(c.Name()), must(c.Type()), values[i])
		}
	}
	for _, row := range must(n.RowList()) {
		w.row(row)
	}
}

func (w *walk) row(row *gsql.ResolvedInsertRow) {
	for _, v := range must(row.ValueList()) {
		w.assigned(v)
	}
}

func (w *walk) assigned(v *gsql.ResolvedDMLValue) {
	value := must(v.Value())
	if _, ok := value.(*gsql.ResolvedDMLDefault); ok {
		return
	}
	w.steer(googlesql.UseOther, value)
}

func (w *walk) update(n *gsql.ResolvedUpdateStmt) {
	w.tableScan(must(n.TableScan()))
	must(n.ColumnAccessList())
	if from := must(n.FromScan()); from != nil {
		w.scan(from)
	}
	w.steer(googlesql.UseFilter, must(n.WhereExpr()))
	w.items(must(n.UpdateItemList()))
}

func (w *walk) items(items []*gsql.ResolvedUpdateItem) {
	for _, item := range items {
		w.expression(must(item.Target())) // what is written is not read
		value := must(item.SetValue())
		if value == nil || must(item.ElementColumn()) != nil {
			refuse(location(item), "changing parts of an array is not analysed")
		}
		w.assigned(value)
	}
}

func (w *walk) merge(n *gsql.ResolvedMergeStmt) {
	w.tableScan(must(n.TableScan()))
	must(n.ColumnAccessList())
	w.scan(must(n.FromScan()))
	w.steer(googlesql.UseJoin, must(n.MergeExpr()))
	for _, when := range must(n.WhenClauseList()) {
		must(when.MatchType())
		must(when.ActionType())
		w.optional(googlesql.UseFilter, must(when.MatchExpr()))
		w.items(must(when.UpdateItemList()))
		must(when.InsertColumnList())
		if row := must(when.InsertRow()); row != nil {
			w.row(row)
		}
	}
}
