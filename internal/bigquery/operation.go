package bigquery

import "encoding/json"

// Method is the id of a BigQuery REST method, as the v2 discovery document spells it
// ("jobs.query").
type Method string

// The methods this version governs. Every other method of the route table is refused.
const (
	MethodQuery           Method = "jobs.query"
	MethodInsert          Method = "jobs.insert"
	MethodGetQueryResults Method = "jobs.getQueryResults"
	MethodGetJob          Method = "jobs.get"
	MethodCancel          Method = "jobs.cancel"
	MethodListJobs        Method = "jobs.list"
	MethodListTableData   Method = "tabledata.list"
	MethodListProjects    Method = "projects.list"
	MethodListDatasets    Method = "datasets.list"
	MethodGetDataset      Method = "datasets.get"
	MethodListTables      Method = "tables.list"
	MethodGetTable        Method = "tables.get"
)

// Operation is what a request asks of BigQuery, decoded once, strictly, at the edge. Nothing behind
// it sees HTTP. It cannot express what bqgate does not understand: legacy SQL, destination tables,
// sessions, external tables, connection properties, foreign encodings.
//
// Exactly one of Query, Read, List and Metadata is set for a method that works; the zero Operation
// asks for nothing and is refused.
type Operation struct {
	Method Method
	// Project set but for projects.list; JobID and Location as the client gave them, may be empty
	// for jobs.query and jobs.insert
	Job      JobReference
	Query    *QueryRequest
	Read     *ReadRequest
	List     *JobsRequest
	Metadata *MetadataRequest
	Fields   *FieldMask // the client's `fields=`, applied to the answer by the gateway and never forwarded; nil means everything
	Pretty   bool       // prettyPrint, default true as at Google
}

// JobReference names a job. Location is as BigQuery spells it ("US", "europe-west3"); empty where
// unknown.
type JobReference struct {
	ProjectID string `json:"projectId"`
	JobID     string `json:"jobId"`
	Location  string `json:"location,omitempty"`
}

// QueryRequest is the SQL job that jobs.query or jobs.insert asks for: the fields of QueryRequest
// and of JobConfigurationQuery that are allowed, under one shape.
type QueryRequest struct {
	SQL                string
	ParameterMode      string            // "", "NAMED" or "POSITIONAL"
	Parameters         json.RawMessage   // queryParameters, canonical JSON; nil if none
	DefaultDataset     *DatasetReference // nil if none
	MaximumBytesBilled int64             // 0 if the client set none
	UseQueryCache      *bool
	DryRun             bool
	JobTimeoutMs       int64  // 0 if none
	Priority           string // "", "INTERACTIVE" or "BATCH" (jobs.insert only)
	Labels             map[string]string
	NoWait             bool          // label bqgate_wait=no: rather refused at once than held for approval; not forwarded
	RequestID          string        // jobs.query only
	JobCreationMode    string        // jobs.query only; forwarded as JOB_CREATION_REQUIRED always
	MaxResults         *uint32       // jobs.query only
	TimeoutMs          *int64        // jobs.query only
	Format             FormatOptions // jobs.query only
}

// DatasetReference names a dataset; ProjectID is filled from the request's project where the client
// left it out.
type DatasetReference struct {
	ProjectID string `json:"projectId"`
	DatasetID string `json:"datasetId"`
}

// String is the dotted form "project.dataset".
func (d DatasetReference) String() string { return d.ProjectID + "." + d.DatasetID }

// FormatOptions is DataFormatOptions: how TIMESTAMP cells are written. Only allowed members exist.
type FormatOptions struct {
	UseInt64Timestamp     bool
	TimestampOutputFormat string // "", "FLOAT64", "INT64" or "ISO8601_STRING"
}

// ReadRequest holds what jobs.getQueryResults, jobs.get, jobs.cancel and tabledata.list ask.
type ReadRequest struct {
	Table      *TableID // tabledata.list only: the table whose rows are asked for
	MaxResults *uint32
	StartIndex *uint64
	PageToken  string
	TimeoutMs  *int64
	Format     FormatOptions
	Projection string // jobs.get: "", "full" or "minimal"; ignored by BigQuery, accepted because clients send it
}

// JobsRequest holds the query parameters of jobs.list. Only the caller's own jobs can be asked for.
type JobsRequest struct {
	States     []string // PENDING, RUNNING and DONE; none for all
	After      *int64   // minCreationTime, milliseconds since the epoch, inclusive; nil for any
	Before     *int64   // maxCreationTime, likewise
	MaxResults *uint32
	PageToken  string
}

// MetadataRequest holds what projects.list, datasets.list, datasets.get, tables.list and tables.get
// ask. They are answered by the gateway and never forwarded.
type MetadataRequest struct {
	Dataset    string // "" for projects.list and datasets.list
	Table      string // tables.get only
	MaxResults *uint32
	PageToken  string
}
