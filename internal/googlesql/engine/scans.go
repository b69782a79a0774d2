package engine

import (
	"regexp"
	"strings"

	gsql "github.com/goccy/go-googlesql"

	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// column is the value of a column that some scan has made.
func (w *walk) column(c *gsql.ResolvedColumn) *value {
	v, ok := w.columns[must(c.ColumnId())]
	if !ok {
		refuse(-1, "the origin of the column %s is not known to bqgate", must(c.Name()))
	}
	return v
}

func (w *walk) define(c *gsql.ResolvedColumn, v *value) { w.columns[must(c.ColumnId())] = v }

func (w *walk) columnsOf(columns []*gsql.ResolvedColumn) []*value {
	values := make([]*value, len(columns))
	for i, c := range columns {
		values[i] = w.column(c)
	}
	return values
}

type scanColumns interface {
	ColumnList() ([]*gsql.ResolvedColumn, error)
}

func listed(s gsql.ResolvedScanNode) []*gsql.ResolvedColumn {
	c, ok := s.(scanColumns)
	if !ok {
		refuse(-1, "a part of this statement is not known to bqgate")
	}
	return must(c.ColumnList())
}

// scan walks one relational operator after what it reads, and defines the columns that it makes.
func (w *walk) scan(s gsql.ResolvedScanNode) {
	switch n := s.(type) {
	case *gsql.ResolvedTableScan:
		w.tableScan(n)
	case *gsql.ResolvedSingleRowScan:
	case *gsql.ResolvedProjectScan:
		w.project(n)
	case *gsql.ResolvedFilterScan:
		w.scan(must(n.InputScan()))
		w.steer(googlesql.UseFilter, must(n.FilterExpr()))
	case *gsql.ResolvedJoinScan:
		w.scan(must(n.LeftScan()))
		w.correlated(must(n.ParameterList()))
		w.scan(must(n.RightScan()))
		w.optional(googlesql.UseJoin, must(n.JoinExpr()))
		must(n.JoinType())
		must(n.HasUsing())
		must(n.IsLateral())
	case *gsql.ResolvedArrayScan:
		w.arrayScan(n)
	case *gsql.ResolvedAggregateScan:
		w.aggregateScan(n)
	case *gsql.ResolvedAnalyticScan:
		before := len(w.open)
		w.scan(must(n.InputScan()))
		for _, g := range must(n.FunctionGroupList()) {
			w.windows(g, before)
		}
	case *gsql.ResolvedOrderByScan:
		w.scan(must(n.InputScan()))
		w.ordering(googlesql.UseOrder, must(n.OrderByItemList()))
	case *gsql.ResolvedLimitOffsetScan:
		w.scan(must(n.InputScan()))
		w.optional(googlesql.UseOther, must(n.Limit()))
		w.optional(googlesql.UseOther, must(n.Offset()))
	case *gsql.ResolvedSetOperationScan:
		w.setOperation(n)
	case *gsql.ResolvedWithScan:
		w.with(n)
	case *gsql.ResolvedWithRefScan:
		name := must(n.WithQueryName())
		w.alias(n, w.withs[name], name)
		w.open = append(w.open, w.within[name].open...)
		w.rows = append(w.rows, w.within[name].rows...)
	case *gsql.ResolvedRecursiveScan:
		w.recursion(n)
	case *gsql.ResolvedRecursiveRefScan:
		w.alias(n, w.recursive, "a recursive query")
	case *gsql.ResolvedPivotScan:
		w.pivot(n)
	case *gsql.ResolvedUnpivotScan:
		w.unpivot(n)
	case *gsql.ResolvedBarrierScan:
		w.scan(must(n.InputScan()))
	case *gsql.ResolvedTVFScan:
		w.tableFunction(n)
	case *gsql.ResolvedSampleScan:
		w.sample(n)
	case *gsql.ResolvedAssertScan:
		// Whether the query fails, and with which words.
		w.scan(must(n.InputScan()))
		w.steer(googlesql.UseExpression, must(n.Condition()))
		message := must(n.Message())
		w.madeUp = location(message) // the engine puts the message together by calls that the author did not write
		w.steer(googlesql.UseExpression, message)
		w.madeUp = -1
	case nil:
		refuse(-1, "a part of this statement is not known to bqgate")
	default:
		kind := must(s.NodeKindString())
		sentence, ok := refusedScans[kind]
		if !ok {
			sentence = strings.TrimSuffix(kind, "Scan") + " is not analysed"
		}
		refuse(near(append([]gsql.ResolvedNode{s}, must(s.GetChildNodes())...)...), "%s", sentence)
	}
	hints(s)
}

var refusedScans = map[string]string{
	"MatchRecognizeScan":                "MATCH_RECOGNIZE is not analysed",
	"GraphTableScan":                    "property graphs are not analysed; read the tables themselves",
	"AnonymizedAggregateScan":           "WITH ANONYMIZATION is not analysed",
	"DifferentialPrivacyAggregateScan":  "WITH DIFFERENTIAL_PRIVACY is not analysed",
	"AggregationThresholdAggregateScan": "WITH AGGREGATION_THRESHOLD is not analysed",
	"PipeExportDataScan":                "|> EXPORT DATA is not allowed inside a query",
	"PipeCreateTableScan":               "|> CREATE TABLE is not allowed inside a query",
	"PipeInsertScan":                    "|> INSERT is not allowed inside a query",
}

type hinted interface{ HintListSize() (int32, error) }

func hints(s gsql.ResolvedScanNode) {
	if h, ok := s.(hinted); !ok || must(h.HintListSize()) > 0 {
		refuse(location(s), "hints are not analysed; leave them out")
	}
}

// location is a node's byte offset in the text, -1 where unknown.
func location(n gsql.ResolvedNode) int {
	r := must(n.GetParseLocationRangeOrNULL())
	if r == nil {
		return -1
	}
	return int(must(must(r.Start()).GetByteOffset()))
}

func (w *walk) tableScan(n *gsql.ResolvedTableScan) {
	name := must(must(n.Table()).FullName())
	w.optional(googlesql.UseOther, must(n.ForSystemTimeExpr()))
	if must(n.ReadAsRowType()) || must(n.LockMode()) != nil {
		refuse(location(n), "this way of reading a table is not analysed")
	}
	must(n.Alias())
	if !w.repeat {
		w.scans = append(w.scans, wire.Scan{Table: name, Start: nameOf(w.text, location(n))})
	}
	indexes, columns := must(n.ColumnIndexList()), must(n.ColumnList())
	known := w.lookup.tables[name]
	if known == nil || len(indexes) != len(columns) {
		refuse(location(n), "the columns of %s are not known to bqgate", name)
	}
	marked := w.behind(name, columns, location(n))
	for i, c := range columns {
		if int(indexes[i]) >= len(known.columns) {
			refuse(location(n), "the columns of %s are not known to bqgate", name)
		}
		column := &known.columns[indexes[i]] // the engine has it from there, as it has its type
		w.define(c, marked(int(indexes[i]), w.base(name+"."+column.Name, &column.Type)))
	}
}

// nameOf is where a table's name stands in a reference that starts at an offset: the engine's place
// of FROM t as a query of its own includes the word FROM, and parentheses around them. A name
// cannot begin with that word unless it is back-quoted.
func nameOf(text string, at int) int {
	if at < 0 || at >= len(text) {
		return at
	}
	found := fromWord.FindString(text[at:])
	return at + len(found)
}

// fromWord is FROM with the parentheses before it, and white space and comments.
var fromWord = regexp.MustCompile(`^(?:\(` + space + `)*(?i:FROM)\b` + space)

const space = `(?:\s+|/\*(?s:.*?)\*/|(?:--|#)[^\r\n]*(?:[\r\n]|$))*`

// project computes columns. Those that a FULL JOIN makes of USING are one side's or the other's, as
// they are.
func (w *walk) project(n *gsql.ResolvedProjectScan) {
	input := must(n.InputScan())
	w.scan(input)
	join, joined := input.(*gsql.ResolvedJoinScan)
	joined = joined && must(join.HasUsing()) && must(join.JoinType()) == gsql.ResolvedJoinScanEnums_JoinTypeFull
	for _, c := range must(n.ExprList()) {
		if joined && w.coalesced(c) {
			continue
		}
		w.computed(c)
	}
}

// coalesced defines a column of USING in a FULL JOIN; false for one that the author wrote. What the
// engine makes up refers to columns that stand nowhere in the text.
func (w *walk) coalesced(c *gsql.ResolvedComputedColumn) bool {
	call, ok := must(c.Expr()).(*gsql.ResolvedFunctionCall)
	if !ok || must(must(call.Function()).FullName(false)) != "coalesce" {
		return false
	}
	arguments := must(call.ArgumentList())
	for _, a := range arguments {
		if _, ok := a.(*gsql.ResolvedColumnRef); !ok || location(a) >= 0 {
			return false
		}
	}
	must(call.Signature())
	must(call.ErrorMode())
	values := make([]*value, len(arguments))
	for i, a := range arguments {
		values[i] = w.expression(a)
	}
	w.define(must(c.Column()), merge(values...))
	return true
}

// sample keeps some of the rows. Which ones depends on how the table is stored, and so on what it
// was sorted by: every column that is read from it counts.
func (w *walk) sample(n *gsql.ResolvedSampleScan) {
	input := must(n.InputScan())
	w.scan(input)
	must(n.Method())
	must(n.Unit())
	if must(n.RepeatableArgument()) != nil || must(n.WeightColumn()) != nil || must(n.PartitionByListSize()) > 0 {
		refuse(location(input), "this TABLESAMPLE is not analysed; write TABLESAMPLE SYSTEM (n PERCENT)")
	}
	w.optional(googlesql.UseOther, must(n.Size()))
	for _, c := range listed(n) {
		w.use(googlesql.UseOther, w.column(c), location(input))
	}
}

// base is the value of a base column: each leaf carries itself.
func (w *walk) base(name string, kind *wire.Type) *value {
	if kind.Element != nil {
		return &value{element: w.base(name, kind.Element)}
	}
	if len(kind.Fields) > 0 {
		v := &value{names: make([]string, len(kind.Fields)), fields: make([]*value, len(kind.Fields))}
		for i := range kind.Fields {
			f := &kind.Fields[i]
			v.names[i], v.fields[i] = f.Name, w.base(name+"."+f.Name, &f.Type)
		}
		return v
	}
	o, ok := w.origins[name]
	if !ok {
		o = &origin{name: name}
		w.origins[name] = o
	}
	return &value{own: []source{{origin: o}}}
}

func (w *walk) arrayScan(n *gsql.ResolvedArrayScan) {
	if input := must(n.InputScan()); input != nil {
		w.scan(input)
	}
	arrays, elements := must(n.ArrayExprList()), must(n.ElementColumnList())
	if len(arrays) != len(elements) {
		refuse(location(n), "this UNNEST is not analysed")
	}
	for i, c := range elements {
		v := w.expression(arrays[i])
		w.define(c, w.elements(must(c.ColumnId()), v, location(arrays[i])))
	}
	if offset := must(n.ArrayOffsetColumn()); offset != nil {
		w.define(must(offset.Column()), constant)
	}
	w.optional(googlesql.UseOther, must(n.ArrayZipMode()))
	w.optional(googlesql.UseJoin, must(n.JoinExpr()))
	must(n.IsOuter())
}

func (w *walk) aggregateScan(n *gsql.ResolvedAggregateScan) {
	before := len(w.open)
	w.scan(must(n.InputScan()))
	for _, c := range must(n.GroupByList()) {
		w.use(googlesql.UseGroup, w.computed(c), place(c))
	}
	for _, c := range must(n.AggregateList()) {
		if !w.computed(c).sourced() {
			w.counted(before)
		}
	}
	for _, set := range must(n.GroupingSetList()) {
		switch x := set.(type) {
		case *gsql.ResolvedGroupingSet:
			w.correlated(must(x.GroupByColumnList()))
		case *gsql.ResolvedRollup:
			for _, c := range must(x.RollupColumnList()) {
				w.correlated(must(c.ColumnList()))
			}
		case *gsql.ResolvedCube:
			for _, c := range must(x.CubeColumnList()) {
				w.correlated(must(c.ColumnList()))
			}
		default:
			refuse(location(n), "these grouping sets are not analysed")
		}
	}
	w.correlated(must(n.RollupColumnList()))
	for _, g := range must(n.GroupingCallList()) {
		w.functions["GROUPING"] = true
		w.define(must(g.OutputColumn()), derive(w.expression(must(g.GroupByColumn()))))
	}
	if must(n.CollationListSize()) > 0 {
		refuse(location(n), "collations are not analysed")
	}
}

func (w *walk) pivot(n *gsql.ResolvedPivotScan) {
	before := len(w.open)
	w.scan(must(n.InputScan()))
	for _, c := range must(n.GroupByList()) {
		w.use(googlesql.UseGroup, w.computed(c), place(c))
	}
	w.steer(googlesql.UseGroup, must(n.ForExpr()))
	for _, v := range must(n.PivotValueList()) {
		w.steer(googlesql.UseGroup, v)
	}
	var aggregates []*value
	for _, e := range must(n.PivotExprList()) {
		v := w.expression(e)
		if !v.sourced() {
			w.counted(before)
		}
		aggregates = append(aggregates, v)
	}
	for _, c := range must(n.PivotColumnList()) {
		must(c.PivotValueIndex())
		index := int(must(c.PivotExprIndex()))
		if index < 0 || index >= len(aggregates) {
			refuse(location(n), "this PIVOT is not analysed")
		}
		w.define(must(c.Column()), aggregates[index])
	}
}

func (w *walk) unpivot(n *gsql.ResolvedUnpivotScan) {
	w.scan(must(n.InputScan()))
	for _, c := range must(n.ProjectedInputColumnList()) {
		w.computed(c)
	}
	values := must(n.ValueColumnList())
	parts := make([][]*value, len(values))
	for _, argument := range must(n.UnpivotArgList()) {
		columns := must(argument.ColumnList())
		if len(columns) != len(values) {
			refuse(location(n), "this UNPIVOT is not analysed")
		}
		for i, c := range columns {
			parts[i] = append(parts[i], w.expression(c))
		}
	}
	dropsNulls := !must(n.IncludeNulls())
	for i, c := range values {
		v := merge(parts[i]...)
		w.define(c, v)
		if dropsNulls {
			w.use(googlesql.UseFilter, v, location(n)) // whether a row is there tells whether its value is NULL
		}
	}
	for _, l := range must(n.LabelList()) {
		w.expression(l)
	}
	w.define(must(n.LabelColumn()), constant)
}
