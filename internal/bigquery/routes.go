package bigquery

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Route is one REST method of the discovery document and what bqgate does with it.
type Route struct {
	Method Method // "jobs.query"
	Verb   string // "POST"
	Path   string // template below /bigquery/v2/, "projects/{project}/queries"
	// Refusal says why the method is not served and what to do instead. It is empty for a governed
	// method only.
	Refusal string
}

// Governed says whether requests of this route are decoded and decided on. The zero Route is not
// governed.
func (r Route) Governed() bool { return r.Method != "" && r.Refusal == "" }

// Params holds the values of a route's placeholders by name: project, job, dataset, table, model,
// routine, policy.
type Params map[string]string

// Root is where the API begins; every other prefix is refused.
const Root = "/bigquery/v2/"

const (
	noWrites = "bqgate serves reads only; run a SELECT with jobs.query or jobs.insert"
	noIAM    = "access is decided by the policies of bqgate, not by IAM policies; ask an operator to change them"
	noCode   = "it would show SQL or code that may hold values; ask an operator"
)

// routes is every method of the discovery document. A method that is not here does not exist.
var routes = []Route{
	{"jobs.query", "POST", "projects/{project}/queries", ""},
	{"jobs.insert", "POST", "projects/{project}/jobs", ""},
	{"jobs.getQueryResults", "GET", "projects/{project}/queries/{job}", ""},
	{"jobs.get", "GET", "projects/{project}/jobs/{job}", ""},
	{"jobs.cancel", "POST", "projects/{project}/jobs/{job}/cancel", ""},
	{"jobs.list", "GET", "projects/{project}/jobs", ""},
	{"jobs.delete", "DELETE", "projects/{project}/jobs/{job}/delete",
		"job metadata is kept for the audit; it goes by itself when BigQuery forgets the job"},

	{"tabledata.list", "GET", "projects/{project}/datasets/{dataset}/tables/{table}/data", ""},
	{"tabledata.insertAll", "POST", "projects/{project}/datasets/{dataset}/tables/{table}/insertAll", noWrites},

	{"tables.get", "GET", "projects/{project}/datasets/{dataset}/tables/{table}", ""},
	{"tables.list", "GET", "projects/{project}/datasets/{dataset}/tables", ""},
	{"tables.insert", "POST", "projects/{project}/datasets/{dataset}/tables", noWrites},
	{"tables.patch", "PATCH", "projects/{project}/datasets/{dataset}/tables/{table}", noWrites},
	{"tables.update", "PUT", "projects/{project}/datasets/{dataset}/tables/{table}", noWrites},
	{"tables.delete", "DELETE", "projects/{project}/datasets/{dataset}/tables/{table}", noWrites},
	{"tables.getIamPolicy", "POST", "projects/{project}/datasets/{dataset}/tables/{table}:getIamPolicy", noIAM},
	{"tables.setIamPolicy", "POST", "projects/{project}/datasets/{dataset}/tables/{table}:setIamPolicy", noIAM},
	{"tables.testIamPermissions", "POST", "projects/{project}/datasets/{dataset}/tables/{table}:testIamPermissions", noIAM},

	{"datasets.get", "GET", "projects/{project}/datasets/{dataset}", ""},
	{"datasets.list", "GET", "projects/{project}/datasets", ""},
	{"datasets.insert", "POST", "projects/{project}/datasets", noWrites},
	{"datasets.patch", "PATCH", "projects/{project}/datasets/{dataset}", noWrites},
	{"datasets.update", "PUT", "projects/{project}/datasets/{dataset}", noWrites},
	{"datasets.delete", "DELETE", "projects/{project}/datasets/{dataset}", noWrites},
	{"datasets.undelete", "POST", "projects/{project}/datasets/{dataset}:undelete", noWrites},

	{"models.get", "GET", "projects/{project}/datasets/{dataset}/models/{model}",
		"a model's metadata holds its training SQL and values from the data; ask an operator"},
	{"models.list", "GET", "projects/{project}/datasets/{dataset}/models",
		"models hold values of the data they were trained on; ask an operator"},
	{"models.patch", "PATCH", "projects/{project}/datasets/{dataset}/models/{model}", noWrites},
	{"models.delete", "DELETE", "projects/{project}/datasets/{dataset}/models/{model}", noWrites},

	{"routines.get", "GET", "projects/{project}/datasets/{dataset}/routines/{routine}", noCode},
	{"routines.list", "GET", "projects/{project}/datasets/{dataset}/routines", noCode},
	{"routines.insert", "POST", "projects/{project}/datasets/{dataset}/routines", noWrites},
	{"routines.update", "PUT", "projects/{project}/datasets/{dataset}/routines/{routine}", noWrites},
	{"routines.delete", "DELETE", "projects/{project}/datasets/{dataset}/routines/{routine}", noWrites},
	{"routines.getIamPolicy", "POST", "projects/{project}/datasets/{dataset}/routines/{routine}:getIamPolicy", noIAM},
	{"routines.setIamPolicy", "POST", "projects/{project}/datasets/{dataset}/routines/{routine}:setIamPolicy", noIAM},
	{"routines.testIamPermissions", "POST", "projects/{project}/datasets/{dataset}/routines/{routine}:testIamPermissions", noIAM},

	{"rowAccessPolicies.get", "GET", "projects/{project}/datasets/{dataset}/tables/{table}/rowAccessPolicies/{policy}", noCode},
	{"rowAccessPolicies.list", "GET", "projects/{project}/datasets/{dataset}/tables/{table}/rowAccessPolicies", noCode},
	{"rowAccessPolicies.insert", "POST", "projects/{project}/datasets/{dataset}/tables/{table}/rowAccessPolicies", noWrites},
	{"rowAccessPolicies.update", "PUT", "projects/{project}/datasets/{dataset}/tables/{table}/rowAccessPolicies/{policy}", noWrites},
	{"rowAccessPolicies.delete", "DELETE", "projects/{project}/datasets/{dataset}/tables/{table}/rowAccessPolicies/{policy}", noWrites},
	{"rowAccessPolicies.batchDelete", "POST", "projects/{project}/datasets/{dataset}/tables/{table}/rowAccessPolicies:batchDelete",
		noWrites},
	{"rowAccessPolicies.getIamPolicy", "POST",
		"projects/{project}/datasets/{dataset}/tables/{table}/rowAccessPolicies/{policy}:getIamPolicy", noIAM},
	{"rowAccessPolicies.testIamPermissions", "POST",
		"projects/{project}/datasets/{dataset}/tables/{table}/rowAccessPolicies/{policy}:testIamPermissions", noIAM},

	{"projects.list", "GET", "projects", ""},
	{"projects.getServiceAccount", "GET", "projects/{project}/serviceAccount", "service accounts are the gateway's own matter"},
}

// Routes returns the whole table, in the order of this file.
func Routes() []Route { return append([]Route(nil), routes...) }

// Ids as BigQuery defines them, narrowed where a wider form would be a second name for the same
// thing: project numbers and domain-scoped projects, and table decorators ("t$20260101",
// "t@-3600000").
var (
	projectID  = pattern{regexp.MustCompile(`^[a-z][a-z0-9-]*$`), 63}
	jobID      = pattern{regexp.MustCompile(`^[A-Za-z0-9_-]+$`), 1024}
	datasetID  = pattern{regexp.MustCompile(`^[A-Za-z0-9_]+$`), 1024}
	routineID  = pattern{regexp.MustCompile(`^[A-Za-z0-9_]+$`), 256}
	resourceID = pattern{regexp.MustCompile(`^[A-Za-z0-9_-]+$`), 1024}
	pathBytes  = regexp.MustCompile(`^[A-Za-z0-9_/:.$@-]+$`)
)

// IsProject says whether a text is the id of a project, as the paths that are served spell it.
func IsProject(id string) bool { return projectID.MatchString(id) }

// pattern is a regular expression with a longest length in bytes.
type pattern struct {
	*regexp.Regexp
	max int
}

// MatchString says whether s is short enough and matches.
func (p pattern) MatchString(s string) bool { return len(s) <= p.max && p.Regexp.MatchString(s) }

// Match finds the route of a request. The path comes without its query and is taken literally, byte
// for byte: there is no normalisation that BigQuery could do differently. The error is a
// *RequestError.
func Match(verb, path string) (Route, Params, error) {
	if verb == "GET" && slices.Contains(discoveryPaths, path) {
		return Route{Method: MethodDiscovery, Verb: verb, Path: path}, Params{}, nil
	}
	if err := plainPath(path); err != nil {
		return Route{}, nil, err
	}
	segments := strings.Split(strings.TrimPrefix(path, Root), "/")
	for _, r := range routes {
		if r.Verb != verb {
			continue
		}
		params, ok := r.bind(segments)
		if !ok {
			continue
		}
		for _, name := range []string{"project", "dataset", "table", "job", "model", "routine", "policy"} {
			if value, has := params[name]; has {
				if name == "job" {
					value = params.splitJob(value)
				}
				if err := checkID(r.Method, name, value); err != nil {
					return Route{}, nil, err
				}
			}
		}
		return r, params, nil
	}
	return Route{}, nil, refuse("",
		"%s on this path is not a method of the BigQuery API that bqgate serves; queries go to POST %sprojects/PROJECT/queries", verb, Root)
}

// plainPath refuses every path that two parsers could read differently, and the doors beside the
// API.
func plainPath(path string) error {
	switch {
	case strings.HasPrefix(path, "/upload/"), strings.HasPrefix(path, "/resumable/"):
		return refuse("", "uploads are not served: %s", noWrites)
	case strings.HasPrefix(path, "/batch"):
		return refuse("", "batch requests are not served: send each request by itself")
	case !pathBytes.MatchString(path):
		return malformed("", "the path holds a character that no BigQuery path needs: use letters, digits, '_' and '-' in ids, unescaped")
	case strings.Contains(path, "//"), strings.HasSuffix(path, "/"):
		return malformed("", "the path has an empty segment")
	}
	for _, s := range strings.Split(path, "/") {
		if s == "." || s == ".." {
			return malformed("", "the path has a dot segment")
		}
	}
	if !strings.HasPrefix(path, Root) {
		return refuse("", "only paths below %s are served", Root)
	}
	return nil
}

// bind compares a path with the template. Values are bound as they stand; checkID judges them.
func (r Route) bind(segments []string) (Params, bool) {
	template := strings.Split(r.Path, "/")
	if len(template) != len(segments) {
		return nil, false
	}
	params := Params{}
	for i, t := range template {
		if !strings.HasPrefix(t, "{") {
			if t != segments[i] {
				return nil, false
			}
			continue
		}
		name, custom, _ := strings.Cut(t[1:], "}")
		value, found := strings.CutSuffix(segments[i], custom)
		colon := strings.Contains(value, ":") && !(name == "job" && strings.HasPrefix(value, params["project"]+":"))
		if !found || value == "" || custom == "" && i == len(template)-1 && colon {
			return nil, false
		}
		params[name] = value
	}
	return params, true
}

// qualifiedJob is a job's id as Job.id has it: PROJECT:LOCATION.ID, or PROJECT:ID of jobs without a
// location. Tools that copy it into a path are understood by BigQuery.
var qualifiedJob = regexp.MustCompile(`^([a-z][a-z0-9-]*):(?:([A-Za-z][A-Za-z0-9-]*)\.)?([A-Za-z0-9_-]+)$`)

// splitJob takes a qualified id of the path's own project apart, into the job and its location, and
// returns the job's plain id. Any other id is left as it stands.
func (p Params) splitJob(id string) string {
	parts := qualifiedJob.FindStringSubmatch(id)
	if parts == nil || parts[1] != p["project"] || !location.MatchString(parts[2]) && parts[2] != "" {
		return id
	}
	p["job"] = parts[3]
	if parts[2] != "" {
		p["location"] = CanonicalLocation(parts[2])
	}
	return parts[3]
}

// CanonicalLocation is a location as BigQuery spells it in answers: multi-regions in capital
// letters, regions in small ones. BigQuery itself takes any case.
func CanonicalLocation(l string) string {
	if strings.EqualFold(l, "us") || strings.EqualFold(l, "eu") {
		return strings.ToUpper(l)
	}
	return strings.ToLower(l)
}

func checkID(m Method, name, value string) error {
	switch name {
	case "project":
		return checkProject(m, value)
	case "job":
		if !jobID.MatchString(value) {
			return malformed(m, "the job id must be 1 to 1024 letters, digits, '_' and '-'")
		}
	case "dataset":
		if !datasetID.MatchString(value) {
			return malformed(m, "the dataset id must be 1 to 1024 letters, digits and '_'")
		}
	default:
		if strings.ContainsAny(value, "$@") {
			return malformed(m, "table decorators ($ and @) are not served: filter on the partition in a query")
		}
		if !resourceID.MatchString(value) {
			return malformed(m, "the %s id must be 1 to 1024 letters, digits, '_' and '-'", name)
		}
	}
	return nil
}

func checkProject(m Method, value string) error {
	if strings.Contains(value, ":") {
		return malformed(m, "domain-scoped project ids are not served")
	}
	if !projectID.MatchString(value) {
		return malformed(m, "the project must be named by its id (lower case letters, digits and '-', beginning with a letter)")
	}
	return nil
}

// RequestError is a request that is refused before anything is decided about it. Message is written
// for the client, without a prefix and without a full stop.
type RequestError struct {
	Status  int    // 400 malformed, 403 understood and not served, 413 too large, 415 in a form that is not read
	Reason  string // BigQuery's reason: invalid, accessDenied
	Message string
	Method  Method // "" where the path did not say one
}

func (e *RequestError) Error() string { return e.Message }

// refuse is a request that was understood and is not served.
func refuse(m Method, format string, args ...any) *RequestError {
	return &RequestError{Status: 403, Reason: "accessDenied", Message: fmt.Sprintf(format, args...), Method: m}
}

// malformed is a request that was not understood.
func malformed(m Method, format string, args ...any) *RequestError {
	return &RequestError{Status: 400, Reason: "invalid", Message: fmt.Sprintf(format, args...), Method: m}
}
