package fakegoogle

import "time"

// JobRecord is what a test may want to know of a job, whoever may read the job itself.
type JobRecord struct {
	Project   string            `json:"project"`
	ID        string            `json:"id"`
	Account   string            `json:"account"`
	SQL       string            `json:"sql"`
	RequestID string            `json:"request_id,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Created   time.Time         `json:"created"`
	State     string            `json:"state"` // "PENDING", "RUNNING" or "DONE"
	Reason    string            `json:"reason,omitempty"`
	// Billed is the number of bytes that the job costs: 0 while it runs, where it failed and where
	// it hit the cache.
	Billed int64 `json:"billed"`
}

// Jobs is every job that was ever started, deleted ones too, in the order in which they were. Dry
// runs are none.
func (s *Server) Jobs() []JobRecord {
	s.mu.Lock()
	jobs := s.started[:len(s.started):len(s.started)]
	s.mu.Unlock()
	out := make([]JobRecord, len(jobs))
	for i, j := range jobs {
		out[i] = JobRecord{
			Project: j.project, ID: j.id, Account: j.account, SQL: j.body.Query, RequestID: j.body.RequestID, Labels: j.body.Labels,
			Created: j.created, State: j.state(),
		}
		res, hit, fail := j.outcome()
		if fail != nil {
			out[i].Reason = fail.Reason
		} else if res != nil && !hit {
			out[i].Billed = res.billed
		}
	}
	return out
}
