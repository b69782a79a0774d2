package bigquery

import "net/http"

// jobList is the answer of jobs.list.
type jobList struct {
	Kind string      `json:"kind"`
	Jobs []listedJob `json:"jobs,omitempty"`
	Next string      `json:"nextPageToken,omitempty"`
}

// listedJob is a Job as jobs.list has it: with its state once more, beside its status.
type listedJob struct {
	jobAnswer
	State       string    `json:"state"`
	ErrorResult *JobError `json:"errorResult,omitempty"`
}

// JobSummary is one job of a listing.
type JobSummary struct {
	HeldJob
	State string // PENDING, RUNNING or DONE
	// Reason is BigQuery's reason of a job that failed, "" for none. Its words are not in a
	// listing: jobs.get shows them, under the policy of that moment.
	Reason string
}

const listedErrorText = "bqgate: the job failed; jobs.get says why"

// JobList answers jobs.list.
func JobList(jobs []JobSummary, next string) []byte {
	list := jobList{Kind: "bigquery#jobList", Next: next}
	for _, j := range jobs {
		a := j.answer(j.State)
		listed := listedJob{jobAnswer: a, State: j.State}
		if j.Reason != "" {
			e := JobError{Reason: knownReason(j.Reason, http.StatusInternalServerError), Message: listedErrorText}
			listed.fail(e)
			listed.ErrorResult = &e
		}
		list.Jobs = append(list.Jobs, listed)
	}
	return written(list)
}
