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

func (s *Server) listJobs(project string) handler {
	return func(c *call) (object, *apiError) {
		all := c.query.Get("allUsers") == "true"
		if all && !c.may.Metadata {
			return nil, errDenied("Access Denied: Project " + project + ": User does not have bigquery.jobs.listAll permission in project " + project + ".")
		}
		s.mu.Lock()
		jobs := slices.Collect(maps.Values(s.jobs))
		s.mu.Unlock()
		slices.SortFunc(jobs, func(a, b *job) int { return b.created.Compare(a.created) })
		list := []any{}
		for _, j := range jobs {
			if j.project == project && (all || j.account == c.account) {
				res := j.resource()
				list = append(list, append(res, member{"state", j.state()}))
			}
		}
		return object{{"kind", "bigquery#jobList"}, {"etag", `"jobs"`}, {"jobs", list}}, nil
	}
}
