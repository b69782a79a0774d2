package bigquery

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/coarse"
)

// JobView says how a job looks to its owner: as the request that it made, not as the job that the
// gateway ran for it.
type JobView struct {
	SQL       string            // the client's own text
	Labels    map[string]string // the client's own labels
	UserEmail string            // shown as user_email, left out if empty; BigQuery's is the account of the gateway
	Sensitive bool              // as ErrorView.Sensitive
	Cap       BytesCap          // as ErrorView.Cap
	Wrapped   bool              // the answer of jobs.cancel, which carries the job in a member
}

// jobAnswer is Job as a client sees it. What is not here is not shown: the query plan, the
// timeline, what was referenced, who ran it.
type jobAnswer struct {
	Kind          string           `json:"kind"`
	ID            string           `json:"id"`
	SelfLink      string           `json:"selfLink"`
	UserEmail     string           `json:"user_email,omitempty"`
	JobReference  JobReference     `json:"jobReference"`
	Configuration answeredConfig   `json:"configuration"`
	Statistics    answeredTimes    `json:"statistics"`
	Status        answeredJobState `json:"status"`
}

type answeredConfig struct {
	JobType string            `json:"jobType"`
	DryRun  bool              `json:"dryRun,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	Query   answeredQuery     `json:"query"`
}

type answeredQuery struct {
	Query            string   `json:"query"`
	UseLegacySQL     bool     `json:"useLegacySql"`
	Priority         string   `json:"priority"`
	DestinationTable *TableID `json:"destinationTable,omitempty"`
}

type answeredTimes struct {
	CreationTime        int64          `json:"creationTime,string"`
	StartTime           int64          `json:"startTime,omitempty,string"`
	EndTime             int64          `json:"endTime,omitempty,string"`
	TotalBytesProcessed *int64         `json:"totalBytesProcessed,omitempty,string"`
	Query               *answeredStats `json:"query,omitempty"`
}

type answeredStats struct {
	StatementType       string `json:"statementType,omitempty"`
	TotalBytesProcessed *int64 `json:"totalBytesProcessed,omitempty,string"`
	CacheHit            bool   `json:"cacheHit"`
}

type answeredJobState struct {
	State       string     `json:"state"`
	ErrorResult *JobError  `json:"errorResult,omitempty"`
	Errors      []JobError `json:"errors,omitempty"`
}

type cancelAnswer struct {
	Kind string    `json:"kind"`
	Job  jobAnswer `json:"job"`
}

// statementTypes are the words that a job may be shown with; nothing else is ever allowed to run.
var statementTypes = []string{"SELECT"}

// ShowJob writes a job that ParseJob has read, by allow-list: as the answer of jobs.get and
// jobs.insert, or of jobs.cancel, which carries it in a member. What is not understood is an error,
// and nothing of it may be shown.
func ShowJob(j Job, v JobView) ([]byte, error) {
	a := answer(j.Reference, v.SQL, v.Labels, j.Priority)
	a.UserEmail = v.UserEmail
	a.Configuration.DryRun = j.DryRun
	if t := j.DestinationTable; t != (TableID{}) {
		if !projectID.MatchString(t.Project) || !datasetID.MatchString(t.Dataset) || !resourceID.MatchString(t.Table) {
			return nil, fmt.Errorf("filter job: its destination table has a name that BigQuery does not give")
		}
		a.Configuration.Query.DestinationTable = &t
	}
	var processed *int64 // rounded, as everywhere
	if j.TotalBytesProcessed != nil {
		n := coarse.Bytes(*j.TotalBytesProcessed)
		processed = &n
	}
	a.Statistics = answeredTimes{CreationTime: j.Created, StartTime: j.Started, EndTime: j.Ended, TotalBytesProcessed: processed}
	if j.StatementType != "" || processed != nil {
		stats := &answeredStats{TotalBytesProcessed: processed, CacheHit: j.CacheHit}
		if slices.Contains(statementTypes, j.StatementType) {
			stats.StatementType = j.StatementType
		}
		a.Statistics.Query = stats
	}
	a.Status.State = j.State
	if j.Error != nil {
		shown := JobError{Reason: jobReason(j.Error.Reason), Message: boundText(j.Error.Message)}
		shown.Message = shownWords(shown.Reason, shown.Message, ErrorView{Sensitive: v.Sensitive, Cap: v.Cap})
		a.fail(shown)
	}
	if v.Wrapped {
		return compactJSON(cancelAnswer{Kind: "bigquery#jobCancelResponse", Job: a})
	}
	return compactJSON(a)
}

// answer is what every Job has: its names, rebuilt from the reference, and the query it was asked
// for.
func answer(ref JobReference, sql string, labels map[string]string, priority string) jobAnswer {
	id := ref.ProjectID + ":" + ref.JobID
	link := "https://bigquery.googleapis.com" + Root + "projects/" + ref.ProjectID + "/jobs/" + ref.JobID
	if ref.Location != "" {
		id = ref.ProjectID + ":" + ref.Location + "." + ref.JobID
		link += "?location=" + url.QueryEscape(ref.Location)
	}
	if priority != "BATCH" {
		priority = "INTERACTIVE"
	}
	own := map[string]string{}
	for key, value := range labels {
		if !strings.HasPrefix(key, LabelPrefix) {
			own[key] = value
		}
	}
	return jobAnswer{
		Kind: "bigquery#job", ID: id, SelfLink: link, JobReference: ref,
		Configuration: answeredConfig{JobType: "QUERY", Labels: own, Query: answeredQuery{Query: sql, Priority: priority}},
	}
}

func (a *jobAnswer) fail(e JobError) {
	a.Status.ErrorResult = &e
	a.Status.Errors = []JobError{e}
}
