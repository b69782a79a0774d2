package fakegoogle

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
)

// methodDryRun is the name of a dry run, by jobs.query or by jobs.insert.
const methodDryRun = "dryRun"

// methods are those that are served, by their names in the discovery document without "bigquery.".
var methods = []string{
	"jobs.query", "jobs.insert", "jobs.getQueryResults", "jobs.get", "jobs.cancel", "jobs.delete", "jobs.list",
	"projects.list", "datasets.list", "datasets.get", "datasets.insert",
	"tables.list", "tables.get", "tables.delete", "tabledata.list", "routines.get", "rowAccessPolicies.list",
}

// route finds the method for a path: its name, or methodDryRun, and what carries it out. An unknown
// one has no name and no handler.
func (s *Server) route(c *call) (string, handler) {
	path := c.URL.Path
	upload := false
	for _, prefix := range []string{"/resumable/upload", "/upload"} {
		if rest, ok := strings.CutPrefix(path, prefix); ok {
			path, upload = rest, true
			break
		}
	}
	rest, ok := strings.CutPrefix(path, "/bigquery/v2/")
	if !ok {
		return "", nil
	}
	seg := strings.Split(rest, "/")
	if upload {
		if len(seg) == 3 && seg[0] == "projects" && seg[2] == "jobs" && c.method == http.MethodPost {
			return "jobs.insert", s.uploadInsert(seg[1])
		}
		return "", nil
	}
	if seg[0] != "projects" {
		return "", nil
	}
	if len(seg) == 1 {
		return only(c, "projects.list", http.MethodGet, s.listProjects)
	}
	if len(seg) == 2 {
		return "", nil
	}
	switch seg[2] {
	case "queries", "jobs":
		return s.jobRoute(c, seg[1], seg[2:])
	case "datasets":
		return s.datasetRoute(c, seg[1], seg[3:])
	}
	return "", nil
}

// jobRoute routes what is below projects/PROJECT, with "queries" or "jobs" as its first segment.
func (s *Server) jobRoute(c *call, project string, seg []string) (string, handler) {
	id := ""
	if len(seg) > 1 {
		id = c.jobID(project, seg[1])
	}
	switch {
	case len(seg) == 1 && seg[0] == "queries":
		return only(c, c.orDryRun("jobs.query"), http.MethodPost, s.query(project))
	case len(seg) == 2 && seg[0] == "queries":
		return only(c, "jobs.getQueryResults", http.MethodGet, s.getQueryResults(project, id))
	case len(seg) == 1 && c.method == http.MethodGet:
		return "jobs.list", s.listJobs(project)
	case len(seg) == 1:
		return only(c, c.orDryRun("jobs.insert"), http.MethodPost, s.insert(project))
	case len(seg) == 2:
		return only(c, "jobs.get", http.MethodGet, s.getJob(project, id))
	case len(seg) == 3 && seg[0] == "jobs" && seg[2] == "cancel":
		return only(c, "jobs.cancel", http.MethodPost, s.cancel(project, id))
	case len(seg) == 3 && seg[0] == "jobs" && seg[2] == "delete":
		return only(c, "jobs.delete", http.MethodDelete, s.deleteJob(project, id))
	}
	return "", nil
}

// datasetRoute routes what is below projects/PROJECT/datasets.
func (s *Server) datasetRoute(c *call, project string, seg []string) (string, handler) {
	switch {
	case len(seg) == 0 && c.method == http.MethodGet:
		return "datasets.list", s.listDatasets(project)
	case len(seg) == 0:
		return only(c, "datasets.insert", http.MethodPost, s.insertDataset(project))
	case len(seg) == 1:
		return only(c, "datasets.get", http.MethodGet, s.getDataset(project, seg[0]))
	case len(seg) == 2 && seg[1] == "tables":
		return only(c, "tables.list", http.MethodGet, s.listTables(project, seg[0]))
	case len(seg) == 3 && seg[1] == "tables" && c.method == http.MethodDelete:
		return "tables.delete", s.deleteTable(project, seg[0], seg[2])
	case len(seg) == 3 && seg[1] == "tables":
		return only(c, "tables.get", http.MethodGet, s.getTable(project, seg[0], seg[2]))
	case len(seg) == 3 && seg[1] == "routines":
		return only(c, "routines.get", http.MethodGet, s.getRoutine(project, seg[0], seg[2]))
	case len(seg) == 4 && seg[1] == "tables" && seg[3] == "data":
		return only(c, "tabledata.list", http.MethodGet, s.listTableData(project, seg[0], seg[2]))
	case len(seg) == 4 && seg[1] == "tables" && seg[3] == "rowAccessPolicies":
		return only(c, "rowAccessPolicies.list", http.MethodGet, s.listRowAccessPolicies(project, seg[0], seg[2]))
	}
	return "", nil
}

func only(c *call, name, method string, h handler) (string, handler) {
	if c.method == method {
		return name, h
	}
	return "", nil
}

// orDryRun is methodDryRun where the body asks for a dry run, else the name.
func (c *call) orDryRun(name string) string {
	var b struct {
		DryRun        bool `json:"dryRun"`
		Configuration struct {
			DryRun bool `json:"dryRun"`
		} `json:"configuration"`
	}
	if json.Unmarshal(c.body, &b) == nil && (b.DryRun || b.Configuration.DryRun) {
		return methodDryRun
	}
	return name
}

// qualifiedID is a job's id as Job.id has it, "PROJECT:LOCATION.ID", or "PROJECT:ID", which
// jobs.get, jobs.getQueryResults and jobs.cancel take in place of the plain one.
var qualifiedID = regexp.MustCompile(`^([^:]+):(?:([A-Za-z0-9-]+)\.)?([A-Za-z0-9_-]+)$`)

// jobID is the plain id of a job that a path names; the location in a qualified one counts as the
// parameter does.
func (c *call) jobID(project, text string) string {
	m := qualifiedID.FindStringSubmatch(text)
	if m == nil || m[1] != project {
		return text
	}
	if m[2] != "" && !c.query.Has("location") {
		c.query.Set("location", m[2])
	}
	return m[3]
}
