package bigquery

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Job is what the gateway reads of a Job resource: enough to say whose it is, what it ran, what it
// read and how it ended.
type Job struct {
	Reference JobReference
	Labels    map[string]string
	SQL       string // configuration.query.query
	Priority  string
	State     string // PENDING, RUNNING or DONE
	Error     *JobError
	DryRun    bool

	Configuration jsontext.Value // whole, as BigQuery tells it: see Configured
	UserEmail     string         // who ran it, where that has an e-mail address
	Principal     string         // principal_subject: the same for identities of every kind

	StatementType      string
	ReferencedTables   []TableID
	ReferencedViews    []TableID // the views whose tables these are
	ReferencedRoutines []RoutineID
	ReferencedGraphs   int // how many property graphs it read
	// MaterializedViews are those that BigQuery chose to answer from, whether the query names them
	// or not. In INFORMATION_SCHEMA.JOBS they are in a column of their own beside
	// referenced_tables.
	MaterializedViews   []TableID
	DestinationTable    TableID // the anonymous result table; zero before there is one
	CacheHit            bool
	TotalBytesProcessed *int64 // nil where BigQuery does not say, as for tables with row access policies
	TotalBytesBilled    *int64 // nil where BigQuery does not say, as while it runs
	Accuracy            string // dry run: PRECISE, LOWER_BOUND, UPPER_BOUND, UNKNOWN or ""
	Schema              Schema // dry run only
	Created             int64  // milliseconds since the epoch, as the next two; 0 where unknown
	Started             int64
	Ended               int64
}

// MaxReferencedTables is how many tables ReferencedTables is known to be complete for: "Queries
// that reference more than 50 tables will not have a complete list"
// (JobStatistics2.referencedTables, https://cloud.google.com/bigquery/docs/reference/rest/v2/Job).
const MaxReferencedTables = 50

// JobError is ErrorProto. It implements error.
type JobError struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

func (e *JobError) Error() string { return e.Reason + ": " + e.Message }

// int64Text is an int64 as Google writes them: a string, or a number.
type int64Text int64

// UnmarshalJSON implements json.Unmarshaler.
func (n *int64Text) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		return nil
	}
	s := string(text)
	if jsontext.Value(text).Kind() == '"' {
		s = unquote(text)
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return errors.New("not an int64")
	}
	*n = int64Text(v)
	return nil
}

// jobResource is the part of Job that is read. Other members may come and are not looked at; these
// have the types that discovery gives them.
type jobResource struct {
	Kind          string         `json:"kind"`
	Reference     JobReference   `json:"jobReference"`
	UserEmail     string         `json:"user_email"`
	Principal     string         `json:"principal_subject"`
	Configuration jsontext.Value `json:"configuration"`
	Status        struct {
		State       string    `json:"state"`
		ErrorResult *JobError `json:"errorResult"`
	} `json:"status"`
	Statistics struct {
		CreationTime        int64Text  `json:"creationTime"`
		StartTime           int64Text  `json:"startTime"`
		EndTime             int64Text  `json:"endTime"`
		TotalBytesProcessed *int64Text `json:"totalBytesProcessed"`
		Query               struct {
			StatementType       string           `json:"statementType"`
			TotalBytesProcessed *int64Text       `json:"totalBytesProcessed"`
			TotalBytesBilled    *int64Text       `json:"totalBytesBilled"`
			Accuracy            string           `json:"totalBytesProcessedAccuracy"`
			CacheHit            bool             `json:"cacheHit"`
			ReferencedTables    []TableID        `json:"referencedTables"`
			ReferencedViews     []TableID        `json:"referencedLogicalViews"`
			ReferencedRoutines  []RoutineID      `json:"referencedRoutines"`
			ReferencedGraphs    []jsontext.Value `json:"referencedPropertyGraphs"`
			Materialized        struct {
				Views []struct {
					Table  TableID `json:"tableReference"`
					Chosen bool    `json:"chosen"`
				} `json:"materializedView"`
			} `json:"materializedViewStatistics"`
			Schema Schema `json:"schema"`
		} `json:"query"`
	} `json:"statistics"`
}

// jobResourceConfiguration is the part of JobConfiguration that is read.
type jobResourceConfiguration struct {
	JobType string            `json:"jobType"`
	Labels  map[string]string `json:"labels"`
	DryRun  bool              `json:"dryRun"`
	Query   *struct {
		Query            string  `json:"query"`
		UseLegacySQL     *bool   `json:"useLegacySql"`
		Priority         string  `json:"priority"`
		DestinationTable TableID `json:"destinationTable"`
	} `json:"query"`
}

// ParseJob reads a Job, or with wrapped the answer of jobs.cancel (`{"kind": …, "job": {…}}`).
// Anything but a query job with a known state and a complete reference is an error.
func ParseJob(body []byte, wrapped bool) (Job, error) {
	text, err := oneValue(body)
	if err != nil {
		return Job{}, fmt.Errorf("read job: %w", err)
	}
	if wrapped {
		var w struct {
			Job jsontext.Value `json:"job"`
		}
		if err := json.Unmarshal(text, &w); err != nil {
			return Job{}, fmt.Errorf("read cancelled job: %w", err)
		}
		text = w.Job
	}
	var r jobResource
	if err := json.Unmarshal(text, &r); err != nil {
		return Job{}, fmt.Errorf("read job: %w", err)
	}
	return r.job()
}

func (r jobResource) job() (Job, error) {
	var c jobResourceConfiguration
	if len(r.Configuration) > 0 {
		if err := json.Unmarshal(r.Configuration, &c); err != nil {
			return Job{}, fmt.Errorf("read job: %w", err)
		}
	}
	st := r.Statistics
	switch {
	case r.Kind != "" && r.Kind != "bigquery#job":
		return Job{}, errors.New("read job: it is not of kind bigquery#job")
	case c.Query == nil:
		return Job{}, errors.New("read job: it is not a query job")
	case c.Query.UseLegacySQL != nil && *c.Query.UseLegacySQL:
		return Job{}, errors.New("read job: it is legacy SQL")
	case checkProject("", r.Reference.ProjectID) != nil:
		return Job{}, errors.New("read job: its project is not an id")
	case !jobID.MatchString(r.Reference.JobID) && (r.Reference.JobID != "" || !c.DryRun): // a dry run may have none
		return Job{}, errors.New("read job: it has no job id")
	case r.Reference.Location != "" && !location.MatchString(r.Reference.Location):
		return Job{}, errors.New("read job: its location is not one")
	}
	switch r.Status.State {
	case "PENDING", "RUNNING", "DONE":
	default:
		return Job{}, errors.New("read job: it is in no known state")
	}
	j := Job{
		Reference: r.Reference, Labels: c.Labels, SQL: c.Query.Query, Priority: c.Query.Priority, State: r.Status.State,
		Error: r.Status.ErrorResult, DryRun: c.DryRun,
		Configuration: r.Configuration, UserEmail: r.UserEmail, Principal: r.Principal,
		StatementType: st.Query.StatementType, ReferencedTables: st.Query.ReferencedTables, ReferencedViews: st.Query.ReferencedViews,
		ReferencedRoutines: st.Query.ReferencedRoutines, ReferencedGraphs: len(st.Query.ReferencedGraphs),
		DestinationTable: c.Query.DestinationTable, CacheHit: st.Query.CacheHit, Accuracy: st.Query.Accuracy, Schema: st.Query.Schema,
		Created: int64(st.CreationTime), Started: int64(st.StartTime), Ended: int64(st.EndTime),
	}
	for _, v := range st.Query.Materialized.Views {
		if v.Chosen {
			j.MaterializedViews = append(j.MaterializedViews, v.Table)
		}
	}
	if n := st.Query.TotalBytesBilled; n != nil {
		v := int64(*n)
		j.TotalBytesBilled = &v
	}
	for _, n := range []*int64Text{st.Query.TotalBytesProcessed, st.TotalBytesProcessed} {
		if n != nil && j.TotalBytesProcessed == nil {
			v := int64(*n)
			j.TotalBytesProcessed = &v
		}
	}
	return j, nil
}
