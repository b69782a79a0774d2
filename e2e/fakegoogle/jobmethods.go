package fakegoogle

import (
	"maps"
	"slices"
	"time"
)

func (s *Server) getJob(project, id string) handler {
	return func(c *call) (object, *apiError) {
		j, apiErr := s.findJob(c, project, id)
		if apiErr != nil {
			return nil, apiErr
		}
		return j.resource(), nil
	}
}

func (s *Server) cancel(project, id string) handler {
	return func(c *call) (object, *apiError) {
		j, apiErr := s.findJob(c, project, id)
		if apiErr != nil {
			return nil, apiErr
		}
		if j.account != c.account || !c.may.CreateJobs {
			return nil, errDenied("Access Denied: Job " + id + ": Permission bigquery.jobs.update denied (or it may not exist).")
		}
		j.stopNow()
		j.wait(c.Context(), 100*time.Millisecond)
		return object{{"kind", "bigquery#jobCancelResponse"}, {"job", j.resource()}}, nil
	}
}

func (s *Server) deleteJob(project, id string) handler {
	return func(c *call) (object, *apiError) {
		j, apiErr := s.findJob(c, project, id)
		if apiErr != nil {
			return nil, apiErr
		}
		if j.account != c.account || !c.may.CreateJobs {
			return nil, errDenied("Access Denied: Job " + id + ": Permission bigquery.jobs.delete denied (or it may not exist).")
		}
		s.mu.Lock()
		delete(s.jobs, jobKey(project, id))
		s.mu.Unlock()
		return object{}, nil
	}
}

// listed are the members of a job in a list of jobs.
var listed = []string{"id", "kind", "jobReference", "state", "statistics", "configuration", "status", "user_email", "principal_subject",
	"errorResult"}

// listJobs is jobs.list. projection is "minimal" where it is not given: "Does not include the job
// configuration".
func (s *Server) listJobs(project string) handler {
	return func(c *call) (object, *apiError) {
		all := c.query.Get("allUsers") == "true"
		if all && !c.may.Metadata {
			return nil, errDenied("Access Denied: Project " + project + ": User does not have bigquery.jobs.listAll permission in " +
				"project " + project + ".")
		}
		s.mu.Lock()
		jobs := slices.Collect(maps.Values(s.jobs))
		s.mu.Unlock()
		slices.SortFunc(jobs, func(a, b *job) int { return b.created.Compare(a.created) })
		list := []any{}
		for _, j := range jobs {
			if j.project != project || !all && j.account != c.account {
				continue
			}
			whole := j.resource()
			status, _ := whole.get("status").(object)
			whole = append(whole, member{"state", j.state()})
			if failed := status.get("errorResult"); failed != nil {
				whole = append(whole, member{"errorResult", failed})
			}
			list = append(list, slices.DeleteFunc(whole, func(m member) bool {
				return !slices.Contains(listed, m.key) || m.key == "configuration" && c.query.Get("projection") != "full"
			}))
		}
		list, next, apiErr := c.cut(s, "jobs of "+project, list)
		if apiErr != nil {
			return nil, apiErr
		}
		return append(object{{"kind", "bigquery#jobList"}, {"etag", etag("jobs")}, {"jobs", list}}, next...), nil
	}
}
