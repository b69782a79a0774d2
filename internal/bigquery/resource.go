package bigquery

// TableID is a table's full name. Case is kept: BigQuery table names are case-sensitive. A wildcard
// table's Table ends in "*"; a view of INFORMATION_SCHEMA is Table "INFORMATION_SCHEMA.TABLES" in a
// dataset, and Dataset "INFORMATION_SCHEMA" where it belongs to the project.
type TableID struct {
	Project string `json:"projectId"`
	Dataset string `json:"datasetId"`
	Table   string `json:"tableId"`
}

// String is the dotted form "project.dataset.table", as policies and audit records spell it.
func (t TableID) String() string { return t.Project + "." + t.Dataset + "." + t.Table }

// RoutineID is the full name of a function or procedure of a dataset.
type RoutineID struct {
	Project string `json:"projectId"`
	Dataset string `json:"datasetId"`
	Routine string `json:"routineId"`
}

// String is the dotted form "project.dataset.routine".
func (r RoutineID) String() string { return r.Project + "." + r.Dataset + "." + r.Routine }

// Field is TableFieldSchema: one column, or one leaf of a RECORD, of a table or of a result.
type Field struct {
	Name string `json:"name"`
	// API spelling: STRING, INTEGER, FLOAT, BOOLEAN, RECORD, …; INT64 and STRUCT are accepted too
	Type        string  `json:"type"`
	Mode        string  `json:"mode,omitempty"` // NULLABLE, REQUIRED, REPEATED; empty means NULLABLE
	Fields      []Field `json:"fields,omitempty"`
	Description string  `json:"description,omitempty"`

	RangeElementType *FieldElementType `json:"rangeElementType,omitempty"` // of a RANGE
}

// FieldElementType is the type of the bounds of a RANGE: DATE, DATETIME or TIMESTAMP.
type FieldElementType struct {
	Type string `json:"type"`
}

// Schema is TableSchema.
type Schema struct {
	Fields []Field `json:"fields"`
}

// Table is the part of a Table resource that analysis needs (tables.get, `bq show --format=json`).
type Table struct {
	TableReference TableID `json:"tableReference"`
	Type           string  `json:"type"` // TABLE (clones too), VIEW, MATERIALIZED_VIEW, EXTERNAL, SNAPSHOT
	Location       string  `json:"location,omitempty"`
	Etag           string  `json:"etag,omitempty"`
	CreationTime   string  `json:"creationTime,omitempty"` // milliseconds since the epoch
	// milliseconds since the epoch; of a view, when its query changed
	LastModifiedTime string            `json:"lastModifiedTime,omitempty"`
	Schema           Schema            `json:"schema"`
	View             *View             `json:"view,omitempty"`
	MaterializedView *MaterializedView `json:"materializedView,omitempty"`
	TimePartitioning *TimePartitioning `json:"timePartitioning,omitempty"`

	SnapshotDefinition *Snapshot `json:"snapshotDefinition,omitempty"`
	CloneDefinition    *Clone    `json:"cloneDefinition,omitempty"`

	// What no resource of BigQuery has is put together for one analysis:

	// Members are the tables behind a wildcard table, sorted.
	Members []string `json:"-"`
	// Others are the schemas of members that are not as Schema, the newest member's. BigQuery could
	// go by any of them.
	Others []Schema `json:"-"`
	// Origins are the tables whose rows this one shows: a policy that speaks of them speaks of it.
	Origins []Origin `json:"-"`

	// Unknown are members of the definitions above that are not known (ReadTable), sorted: what the
	// table reads is not known.
	Unknown []string `json:"-"`
}

// View is ViewDefinition.
type View struct {
	Query        string `json:"query"`
	UseLegacySQL *bool  `json:"useLegacySql,omitempty"`
	// UseExplicitColumnNames is set where the statement that made the view names its columns, as in
	// CREATE VIEW v(a, b) AS …: their names are then those of the table's schema, by position,
	// whatever the query calls them.
	UseExplicitColumnNames bool `json:"useExplicitColumnNames,omitempty"`
}

// MaterializedView is MaterializedViewDefinition. Its query is always GoogleSQL.
type MaterializedView struct {
	Query string `json:"query"`
}

// TimePartitioning says how a table is partitioned by time. Without a Field the time of arrival
// counts, which is in the pseudo column _PARTITIONTIME.
type TimePartitioning struct {
	Type  string `json:"type"` // DAY, HOUR, MONTH or YEAR
	Field string `json:"field,omitempty"`
}

// Routine is the part of a Routine resource that analysis needs (routines.get,
// `bq show --routine --format=json`).
type Routine struct {
	RoutineReference RoutineID             `json:"routineReference"`
	RoutineType      string                `json:"routineType"` // SCALAR_FUNCTION, TABLE_VALUED_FUNCTION, PROCEDURE or AGGREGATE_FUNCTION
	Language         string                `json:"language"`    // SQL, JAVASCRIPT, PYTHON, JAVA or SCALA; empty means SQL
	Etag             string                `json:"etag,omitempty"`
	LastModifiedTime string                `json:"lastModifiedTime,omitempty"`
	Arguments        []RoutineArgument     `json:"arguments,omitempty"`
	ReturnType       *StandardSQLDataType  `json:"returnType,omitempty"`      // absent where the body says it
	ReturnTableType  *StandardSQLTableType `json:"returnTableType,omitempty"` // absent where the query says it
	DefinitionBody   string                `json:"definitionBody"`

	RemoteFunctionOptions *struct{} `json:"remoteFunctionOptions,omitempty"` // present: the body runs elsewhere

	Unknown []string `json:"-"` // members that are not known (ReadRoutine), sorted: what the routine does is not known
}

// RoutineArgument is Argument of a Routine.
type RoutineArgument struct {
	Name         string               `json:"name"`
	ArgumentKind string               `json:"argumentKind,omitempty"` // FIXED_TYPE or ANY_TYPE; empty means FIXED_TYPE
	Mode         string               `json:"mode,omitempty"`         // IN, OUT, INOUT; of procedures
	IsAggregate  *bool                `json:"isAggregate,omitempty"`
	DataType     *StandardSQLDataType `json:"dataType,omitempty"`
}

// StandardSQLDataType is a type as routines spell it.
type StandardSQLDataType struct {
	TypeKind         string                 `json:"typeKind"`
	ArrayElementType *StandardSQLDataType   `json:"arrayElementType,omitempty"`
	StructType       *StandardSQLStructType `json:"structType,omitempty"`
	RangeElementType *StandardSQLDataType   `json:"rangeElementType,omitempty"`
}

// StandardSQLStructType is the fields of a STRUCT.
type StandardSQLStructType struct {
	Fields []StandardSQLField `json:"fields"`
}

// StandardSQLField is a field of a STRUCT, or a column of a table function's result.
type StandardSQLField struct {
	Name string               `json:"name"`
	Type *StandardSQLDataType `json:"type,omitempty"`
}

// StandardSQLTableType is the columns of a table function's result.
type StandardSQLTableType struct {
	Columns []StandardSQLField `json:"columns"`
}
