package fakegoogle

import (
	"encoding/json"
	"maps"
	"time"
)

// requestIDWindow is how long a requestId stands for its first request. The discovery document says
// of QueryRequest.requestId: "a request is considered duplicate of another only if they have the
// same request_id and are actually duplicates. When determining whether a request is a duplicate of
// another request, all parameters in the request that may affect the result are considered. For
// example, query, connection_properties, query_parameters, use_legacy_sql are parameters that
// affect the result and are considered …, but properties like timeout_ms don't affect the result
// and are thus not considered." and "Its lifetime is limited to 15 minutes."
const requestIDWindow = 15 * time.Minute

// noEffect are the members of a QueryRequest that do not affect the result. That labels are among
// them is a guess, and the worse one for who looks for its job by a label: it gets another one's.
var noEffect = []string{
	"requestId", "timeoutMs", "maxResults", "formatOptions", "jobCreationMode", "jobTimeoutMs", "labels", "kind", "preserveNulls",
}

// requested is the job of a requestId's first request.
type requested struct {
	job *job
	at  time.Time
}

// SetRequestIDWindow sets how long a requestId stands for its first request, 15 minutes at Google.
func (s *Server) SetRequestIDWindow(d time.Duration) { s.window.Store(int64(d)) }

// SetRequestIDsIgnored makes each request of a SELECT a job of its own, whatever its requestId is:
// "Read only queries can ignore this token since they are nullipotent by definition", and it is
// duplicates of mutating queries of which the document says what they get. Which of the two
// BigQuery does is not known.
func (s *Server) SetRequestIDsIgnored(on bool) { s.ignoreIDs.Store(on) }

// plantedKey is where a planted job stands: each request with its id is a duplicate, whatever it
// asks for.
func plantedKey(account, requestID string) string { return account + "\x00" + requestID }

// requestKey tells requests apart that are no duplicates.
func requestKey(account, requestID string, tree map[string]any) string {
	counts := maps.Clone(tree)
	for _, name := range noEffect {
		delete(counts, name)
	}
	text, err := json.Marshal(counts) // keys sorted
	if err != nil {
		text = nil
	}
	return plantedKey(account, requestID) + "\x00" + hexDigest(string(text))
}

// startOrFind starts a job, or finds the one that a duplicate of the request started.
func (s *Server) startOrFind(account, project string, b queryBody, sql string, tree map[string]any, d directives) (*job, *apiError) {
	if b.RequestID == "" || s.ignoreIDs.Load() {
		return s.newJob(account, project, newJobID(), b, sql, configuration(tree, b), d)
	}
	key := requestKey(account, b.RequestID, tree)
	if j := s.requestedJob(plantedKey(account, b.RequestID), key); j != nil {
		return j, nil
	}
	j, apiErr := s.newJob(account, project, newJobID(), b, sql, configuration(tree, b), d)
	if apiErr != nil {
		return nil, apiErr
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if first, ok := s.requests[key]; ok && s.lives(first) { // two at once: the first one counts
		j.stopNow()
		return first.job, nil
	}
	s.requests[key] = requested{job: j, at: time.Now()}
	return j, nil
}

// requestedJob is the job of the first of these keys that has one.
func (s *Server) requestedJob(keys ...string) *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		if r, ok := s.requests[key]; ok && s.lives(r) {
			return r.job
		}
	}
	return nil
}

func (s *Server) lives(r requested) bool {
	return time.Since(r.at) < time.Duration(s.window.Load())
}
