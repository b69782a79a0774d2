package fakegoogle

import "strings"

// Location is where the data is and where jobs that start now run: "US" unless Options or
// SetLocation say otherwise.
func (s *Server) Location() string {
	at, _ := s.location.Load().(string)
	return at
}

// SetLocation moves everything but the jobs that have started.
func (s *Server) SetLocation(at string) { s.location.Store(at) }

// isIn says whether a job is found under the location that a request names. The location of
// jobs.get, jobs.cancel and jobs.getQueryResults is that of the job: "You must specify the location
// to run the job for the following scenarios: If the location to run a job is not in the us or the
// eu multi-regional location"
// (https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/get#query-parameters).
func (j *job) isIn(location string) bool {
	if location == "" {
		return j.location == "US" || j.location == "EU"
	}
	return strings.EqualFold(location, j.location)
}
