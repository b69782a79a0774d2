package wire

import "strings"

// Hello is the first frame of a worker. A worker whose Version differs from the gateway's own is
// not used.
type Hello struct {
	Version string `json:"version"` // Version of the binary that wrote it
	Engine  string `json:"engine"`  // the GoogleSQL engine's name and revision; part of every cache key

	Confined []string `json:"confined,omitzero"` // what the worker took from itself: "no-new-privileges", "seccomp"
}

// Version changes whenever frames or the meaning of an analysis change.
const Version = "bqgate-sql/7"

// Question is what a worker is asked. Exactly one of Parse and Analyze is set.
type Question struct {
	ID      uint64           `json:"id"`
	Parse   *ParseQuestion   `json:"parse,omitzero"`
	Analyze *AnalyzeQuestion `json:"analyze,omitzero"`
}

// Reply answers the question of the same ID. Error is set when the question was understood and the
// SQL was not.
//
// A question has one reply; a ParseQuestion with Ahead may have two. More in the first one says
// that the second follows, which is that to Ahead: the very reply that an AnalyzeQuestion with the
// tables Given would have had.
type Reply struct {
	ID       uint64    `json:"id"`
	Script   *Script   `json:"script,omitzero"`
	Analysis *Analysis `json:"analysis,omitzero"`
	Error    *Error    `json:"error,omitzero"`
	More     bool      `json:"more,omitzero"`   // another reply to the same question follows
	Given    []string  `json:"given,omitzero"`  // of a reply to Ahead: the tables that the analysis was given, sorted
	Retire   bool      `json:"retire,omitzero"` // the worker asks to be replaced before the next question
}

// Error says what the engine found wrong. Offset is a byte offset in the question's SQL, -1 where
// unknown.
type Error struct {
	Code    string `json:"code"` // a googlesql.ErrorCode
	Message string `json:"message"`
	Offset  int    `json:"offset"`
}

// ParseQuestion asks for the syntax tree's outline. Nothing is resolved.
type ParseQuestion struct {
	SQL           string `json:"sql"`
	MaxDepth      int    `json:"maxDepth"`      // of nested syntax nodes
	MaxNodes      int    `json:"maxNodes"`      // syntax nodes in all
	MaxStatements int    `json:"maxStatements"` // statements, nested ones included

	// Ahead is what the gateway will ask next if the text is what it looks like: one SELECT that
	// names tables of this question and nothing else that is not built in. Then the worker goes on
	// with that question, given the tables that the text names and no others, instead of waiting
	// for it. Its SQL is empty: it is the statement's, normalized. If the text is anything else, or
	// over a limit, nothing comes of it.
	Ahead     *AnalyzeQuestion `json:"ahead,omitzero"`
	MaxTables int              `json:"maxTables,omitzero"` // references to tables, above which Ahead is left alone
}

// Script is the outline of a text: its statements in text order, those inside blocks, loops and
// procedures after the statement that holds them. It is complete only if the reply has no Error.
type Script struct {
	Statements []Statement `json:"statements"`
	Nodes      int         `json:"nodes"`
	Depth      int         `json:"depth"`
}

// Statement outlines one statement.
type Statement struct {
	Kind       string   `json:"kind"` // BigQuery's statementType word
	Start      int      `json:"start"`
	End        int      `json:"end"`
	Nested     bool     `json:"nested,omitzero"` // inside another statement
	Paths      []Path   `json:"paths,omitzero"`
	Queries    []string `json:"queries,omitzero"` // names of WITH queries, lower case
	Rows       []string `json:"rows,omitzero"`    // aliases, written or not: what a path may begin with; lower case
	Parameters int      `json:"parameters,omitzero"`
	Positional bool     `json:"positional,omitzero"` // a parameter among them is a question mark
}

// Path is a name of something in the catalog, as written.
type Path struct {
	Role Role `json:"role"`
	// Parts are what the catalog looks for: an identifier with dots in it is so many parts.
	Parts []string `json:"parts"`
	// Identifiers are what the name consists of in SQL, by which it may be a WITH query's or an
	// array's; nil where they are the parts.
	Identifiers []string `json:"identifiers,omitzero"`
	Start       int      `json:"start"`
	End         int      `json:"end"`
	// Place says what stands around a table's name; set for RoleTable, and only there.
	Place *Place `json:"place,omitzero"`
}

// Place is the part of the text that a table reference takes up, with what may stand around the
// table's name. Spans are half-open byte ranges of the text; a nil one means that the part is not
// there.
type Place struct {
	Form  Form `json:"form"`
	Whole Span `json:"whole"` // all of the reference: the name with everything below; for TABLE t with the word TABLE
	// Alias is the name that the rest of the query knows the table by: the explicit alias, or else
	// the last identifier of the name, which is all of a name that is quoted as a whole. It is not
	// quoted.
	Alias      string `json:"alias,omitzero"`
	AliasSpan  *Span  `json:"aliasSpan,omitzero"`  // of "AS x" or "x" where the alias is written
	Hint       *Span  `json:"hint,omitzero"`       // of "@{…}"
	SystemTime *Span  `json:"systemTime,omitzero"` // of "FOR SYSTEM_TIME AS OF …"
	Sample     *Span  `json:"sample,omitzero"`     // of "TABLESAMPLE …"
	Offset     *Span  `json:"offset,omitzero"`     // of "WITH OFFSET …": the name is an array's
	Pivot      *Span  `json:"pivot,omitzero"`      // of "PIVOT(…) AS x"; it ends the reference, an alias of the table stands before it
	Unpivot    *Span  `json:"unpivot,omitzero"`    // of "UNPIVOT(…) AS x", as with Pivot
	Other      bool   `json:"other,omitzero"`      // there is something else: nothing may be moved
	// Subquery reports whether the text still parses with a parenthesised query in the place of the
	// name (FormFrom: with its hint, FOR SYSTEM_TIME and TABLESAMPLE moved inside and an alias
	// always written) or of Whole (FormTable, FormArgument).
	Subquery bool `json:"subquery,omitzero"`
	Reach
}

// Reach says what else in a statement hangs on which columns a table has. It is looked for where a
// table's columns may not be known for certain (engine/reach.go).
type Reach struct {
	// Row says that the table may be read as a whole, with columns that the text does not name: by
	// a star, by its name as a value, by position.
	Row bool `json:"row,omitzero"`
	// Names begin unqualified names, lower case, in and below a query that reads the table and
	// stands in another query's expression, or in a function: each is a column of the table if that
	// has one, and something of what is around it if not. Names of GROUP BY and the like that are
	// also aliases of SELECT are among them.
	Names []string `json:"names,omitzero"`
}

// PseudoName reports whether a name is kept for the pseudo columns of tables. BigQuery allows no
// column of such a name, but aliases of it
// (https://cloud.google.com/bigquery/docs/schemas#column_names).
func PseudoName(name string) bool {
	upper := strings.ToUpper(name)
	for _, prefix := range []string{"_TABLE_", "_FILE_", "_PARTITION", "_ROW_TIMESTAMP", "__ROOT__", "_COLIDENTIFIER", "_CHANGE_"} {
		if strings.HasPrefix(upper, prefix) {
			return true
		}
	}
	return false
}

// Form is the kind of place in which a table is named.
type Form string

// Forms.
const (
	FormFrom     Form = "from"     // FROM t, JOIN t, USING t of MERGE, and their pipe forms
	FormTable    Form = "table"    // TABLE t as a query
	FormArgument Form = "argument" // TABLE t as an argument of a table-valued function
	FormSource   Form = "source"   // COPY t, CLONE t, LIKE t, AS REPLICA OF t: no query may stand there
)

// Span is a half-open byte range.
type Span struct {
	Start int `json:"start"`
	End   int `json:"end"`
}

// Role says what a Path names.
type Role string

// Roles.
const (
	RoleTable      Role = "table"      // read: FROM, JOIN, LIKE, CLONE …
	RoleTarget     Role = "target"     // what DDL, DML or DCL changes
	RoleBuiltin    Role = "builtin"    // a function of the built-in name spaces, or a temporary one
	RoleFunction   Role = "function"   // a function of a dataset
	RoleTVF        Role = "tvf"        // a table-valued function
	RoleProcedure  Role = "procedure"  // CALL
	RoleModel      Role = "model"      // MODEL clause
	RoleConnection Role = "connection" // WITH CONNECTION
)

// AnalyzeQuestion asks what one statement means, given exactly these tables.
type AnalyzeQuestion struct {
	SQL        string        `json:"sql"`
	Tables     []Table       `json:"tables"`
	Project    string        `json:"project"`          // where two-part names live
	Dataset    string        `json:"dataset,omitzero"` // "project.dataset" of one-part names; empty for none
	Named      []Parameter   `json:"named,omitzero"`
	Positional []Type        `json:"positional,omitzero"`
	Undeclared ParameterMode `json:"undeclared,omitzero"` // parameters that are not declared are accepted too, their types guessed
	MaxColumns int           `json:"maxColumns"`          // output columns, and leaves of all of them together

	Shapes         bool            `json:"shapes,omitzero"`  // Column.Shape is wanted
	Unnests        []Unnest        `json:"unnests,omitzero"` // behind the views and table functions of the question
	Functions      []Function      `json:"functions,omitzero"`
	TableFunctions []TableFunction `json:"tableFunctions,omitzero"`
}

// Function is a scalar SQL function of a dataset, whose body was analysed on its own. Its result is
// derived from its arguments and from Sources.
type Function struct {
	Name      string   `json:"name"`   // project.dataset.function
	Digest    string   `json:"digest"` // identifies name and signature together
	Arguments []Field  `json:"arguments"`
	Result    Type     `json:"result"`
	Sources   []string `json:"sources,omitzero"` // columns of tables that its body reads into the result
}

// TableFunction is a SQL table function of a dataset, whose query was analysed on its own. The walk
// names its columns as those of a table "project.dataset.function()".
type TableFunction struct {
	Name      string  `json:"name"`
	Digest    string  `json:"digest"` // identifies name, signature and columns together
	Arguments []Field `json:"arguments"`
	Columns   []Field `json:"columns"`
}

// ParameterMode says how a text writes its parameters.
type ParameterMode string

// Parameter modes.
const (
	ParametersNamed      ParameterMode = "named"      // @x
	ParametersPositional ParameterMode = "positional" // ?
)

// Parameter is a named query parameter.
type Parameter struct {
	Name string `json:"name"`
	Type Type   `json:"type"`
}

// Table is a table with its columns. Digest identifies name and columns together.
type Table struct {
	Name    string  `json:"name"` // project.dataset.table
	Digest  string  `json:"digest"`
	Columns []Field `json:"columns,omitzero"`
	Known   bool    `json:"known,omitzero"` // this worker has been told the columns of this digest; they are left out
}

// Field is a column, or a field of a STRUCT.
type Field struct {
	Name   string `json:"name"`
	Type   Type   `json:"type"`
	Pseudo bool   `json:"pseudo,omitzero"` // a column that * leaves out, such as _PARTITIONTIME
}

// Type is a GoogleSQL type. For ARRAY Element is set, for STRUCT Fields, otherwise Name is a scalar
// type's name.
type Type struct {
	Name    string  `json:"name"`
	Element *Type   `json:"element,omitzero"`
	Fields  []Field `json:"fields,omitzero"`
}

// Analysis is what one statement means. Offsets are byte offsets in the question's SQL.
type Analysis struct {
	Missing   string   `json:"missing,omitzero"` // a table the statement reads that was not in the question; nothing else is then set
	Scans     []Scan   `json:"scans,omitzero"`
	Functions []string `json:"functions,omitzero"`
	Routines  []string `json:"routines,omitzero"` // functions and table functions of datasets that are called, sorted
	Columns   []Column `json:"columns,omitzero"`
	Uses      []Use    `json:"uses,omitzero"`
	Lengths   []string `json:"lengths,omitzero"` // the arrays' columns among Uses whose lengths are used, sorted
	Unnests   []Unnest `json:"unnests,omitzero"` // whose lengths are no use yet: what becomes of the output columns decides
}

// Unnest is an UNNEST of arrays whose elements are carried to output columns. The statement itself
// tells nothing more by it than these elements; whoever reads the statement's result, where it is
// that of a view or a table function, and leaves the elements out, learns how many there are.
type Unnest struct {
	Of       string    `json:"of,omitzero"` // in a question: the view, or the table function as "project.dataset.function()"
	Arrays   []string  `json:"arrays"`      // leaf columns
	Carriers []Carrier `json:"carriers,omitzero"`
	Rows     bool      `json:"rows,omitzero"` // each element makes a row of the result; else they are in a value of it
}

// Carrier is a place in the output columns.
type Carrier struct {
	Column int   `json:"column"`
	Path   []int `json:"path,omitzero"` // positions of fields; an ARRAY has that of its elements
}

// Scan is one place where a table is read.
type Scan struct {
	Table string `json:"table"`
	Start int    `json:"start"`
}

// Column is an output column.
type Column struct {
	Name    string   `json:"name"`
	Type    string   `json:"type"`
	Shape   *Type    `json:"shape,omitzero"` // Type in parts; where asked for, and of the columns of a routine's body
	Sources []Source `json:"sources,omitzero"`
}

// Source is a source of an output column; see googlesql.Source.
type Source struct {
	Path    string `json:"path,omitzero"`
	Column  string `json:"column,omitzero"`
	Derived bool   `json:"derived,omitzero"`
}

// Use is a column that steers the result; see googlesql.Use.
type Use struct {
	Column string `json:"column"`
	In     string `json:"in"`
	Offset int    `json:"offset"`
	Length bool   `json:"length,omitzero"` // only the length of the array is used
}
