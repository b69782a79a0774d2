package bigquery

import "time"

// HeldJob is a job that exists in the gateway only: it waits for a person, or did and will not run.
// It is shown as BigQuery shows a job, because the stock clients wait for one of those.
type HeldJob struct {
	Job       JobReference // whole: Python asks with the location it was given
	SQL       string       // the client's own text
	Labels    map[string]string
	Priority  string
	UserEmail string // left out if empty
	Created   time.Time
	Ended     time.Time // zero while it waits
}

// pendingResults is an answer of jobs.query or jobs.getQueryResults before there are rows. It
// always has a jobReference: the Go client panics without. It never has `errors`: the Java client
// throws on any.
type pendingResults struct {
	Kind         string       `json:"kind"`
	JobReference JobReference `json:"jobReference"`
	JobComplete  bool         `json:"jobComplete"`
}

// PendingQuery answers jobs.query and jobs.getQueryResults of a held job: `jobComplete: false`,
// upon which every client asks again.
func PendingQuery(h HeldJob, method Method) []byte {
	kind := "bigquery#getQueryResultsResponse"
	if method == MethodQuery {
		kind = "bigquery#queryResponse"
	}
	return written(pendingResults{Kind: kind, JobReference: h.Job})
}

// PendingJob answers jobs.insert and jobs.get of a held job: `state: PENDING`.
func PendingJob(h HeldJob) []byte { return written(h.answer("PENDING")) }

// FailedJob answers jobs.get of a held job that will not run: DONE with an error. Clients then ask
// for results, and get the error as an HTTP error.
func FailedJob(h HeldJob, reason, message string) []byte {
	a := h.answer("DONE")
	a.fail(JobError{Reason: reason, Message: message})
	return written(a)
}

// CancelledJob answers jobs.cancel of a held job.
func CancelledJob(h HeldJob) []byte {
	return h.cancelled("bqgate: the request was cancelled while it waited for approval")
}

// StoppedJob answers jobs.cancel of a job of which nothing may be shown.
func StoppedJob(h HeldJob) []byte { return h.cancelled("bqgate: the job was cancelled") }

func (h HeldJob) cancelled(message string) []byte {
	a := h.answer("DONE")
	a.fail(JobError{Reason: "stopped", Message: message})
	return written(cancelAnswer{Kind: "bigquery#jobCancelResponse", Job: a})
}

func (h HeldJob) answer(state string) jobAnswer {
	a := answer(h.Job, h.SQL, h.Labels, h.Priority)
	a.UserEmail = h.UserEmail
	a.Statistics.CreationTime = h.Created.UnixMilli()
	if state == "DONE" {
		ended := h.Ended
		if ended.IsZero() {
			ended = h.Created
		}
		a.Statistics.StartTime, a.Statistics.EndTime = h.Created.UnixMilli(), ended.UnixMilli()
	}
	a.Status.State = state
	return a
}

// written is the JSON of one of the answers above. They hold strings, numbers and booleans only,
// which always can be written.
func written(v any) []byte {
	out, err := compactJSON(v)
	if err != nil {
		return ErrorBody(503, "backendError", "bqgate: the answer could not be written")
	}
	return out
}
