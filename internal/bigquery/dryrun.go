package bigquery

import "github.com/bqgate/bqgate/internal/coarse"

// DryRunAnswer is what a client is told of a query that it did not run.
type DryRunAnswer struct {
	Job    JobReference // project and location; there is no job, so it has no id
	SQL    string
	Labels map[string]string
	Bytes  int64 // as BigQuery estimated; shown rounded
	// Unknown says that BigQuery could not tell: it is said as BigQuery says it, "0" of the
	// accuracy UNKNOWN.
	Unknown bool
	Tables  []TableID
	Schema  Schema // of the masked result
	Waits   bool   // the run would wait for a person: said by a label of the answer of jobs.insert, since BigQuery has no other word for it
}

// WaitsLabel is on the answer of a dry run whose run would wait for a person.
const WaitsLabel = LabelPrefix + "_waits"

type dryRunJob struct {
	Kind          string           `json:"kind"`
	ID            string           `json:"id"`
	JobReference  dryRunReference  `json:"jobReference"`
	Configuration answeredConfig   `json:"configuration"`
	Statistics    dryRunStatistics `json:"statistics"`
	Status        answeredJobState `json:"status"`
}

type dryRunReference struct {
	ProjectID string `json:"projectId"`
	Location  string `json:"location,omitempty"`
}

func (d DryRunAnswer) reference() dryRunReference {
	return dryRunReference{d.Job.ProjectID, d.Job.Location}
}

type dryRunStatistics struct {
	CreationTime        int64       `json:"creationTime,string"`
	TotalBytesProcessed int64       `json:"totalBytesProcessed,string"`
	Query               dryRunQuery `json:"query"`
}

type dryRunQuery struct {
	StatementType       string       `json:"statementType"`
	TotalBytesProcessed int64        `json:"totalBytesProcessed,string"`
	Accuracy            string       `json:"totalBytesProcessedAccuracy"`
	TotalBytesBilled    int64        `json:"totalBytesBilled,string"`
	CacheHit            bool         `json:"cacheHit"`
	ReferencedTables    []TableID    `json:"referencedTables,omitempty"`
	Schema              *shownSchema `json:"schema"`
}

type dryRunResponse struct {
	Kind                string          `json:"kind"`
	Schema              *shownSchema    `json:"schema"`
	JobReference        dryRunReference `json:"jobReference"`
	TotalBytesProcessed int64           `json:"totalBytesProcessed,string"`
	JobComplete         bool            `json:"jobComplete"`
	CacheHit            bool            `json:"cacheHit"`
}

// DryRunJob answers a dry run by jobs.insert. created is in milliseconds since the epoch.
func DryRunJob(d DryRunAnswer, created int64) []byte {
	bytes, accuracy := coarse.Bytes(d.Bytes), "UPPER_BOUND"
	if d.Unknown {
		bytes, accuracy = 0, "UNKNOWN"
	}
	config := answer(d.Job, d.SQL, d.Labels, "").Configuration
	config.DryRun = true
	if d.Waits {
		config.Labels[WaitsLabel] = "for_approval"
	}
	return written(dryRunJob{
		Kind: "bigquery#job", ID: d.Job.ProjectID + ":" + d.Job.Location + ".", JobReference: d.reference(), Configuration: config,
		Statistics: dryRunStatistics{CreationTime: created, TotalBytesProcessed: bytes, Query: dryRunQuery{
			StatementType: "SELECT", TotalBytesProcessed: bytes, Accuracy: accuracy, ReferencedTables: d.Tables, Schema: shown(d.Schema),
		}},
		Status: answeredJobState{State: "DONE"},
	})
}

// DryRunQuery answers a dry run by jobs.query.
func DryRunQuery(d DryRunAnswer) []byte {
	return written(dryRunResponse{
		Kind: "bigquery#queryResponse", Schema: shown(d.Schema), JobReference: d.reference(), TotalBytesProcessed: coarse.Bytes(d.Bytes),
		JobComplete: true,
	})
}
