package bigquery

import (
	"net/http"
	"strings"
)

// CallError is a call of the Client that failed: what was asked, of what, as whom. Its text is that
// of its cause alone; what it knows besides is for operators (internal/cause).
type CallError struct {
	Method  string // "tables.get"
	On      string // "project:dataset.table", "project:dataset" or "project"; of a job its project
	Account string // whom Google knows the caller as; "" where the token was somebody else's
	Err     error
}

func (e *CallError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *CallError) Unwrap() error { return e.Err }

// asked names the method and the resource of a path below Root.
func asked(verb, path string) (method, on string) {
	parts := strings.Split(path, "/") // projects/P/datasets/D/tables/T/rowAccessPolicies
	at := func(i int) string {
		if i < len(parts) {
			return parts[i]
		}
		return ""
	}
	on = at(1)
	if at(2) == "jobs" {
		switch {
		case verb == http.MethodGet:
			return "jobs.get", on
		case at(4) == "cancel":
			return "jobs.cancel", on
		}
		return "jobs.insert", on
	}
	method = "datasets.list"
	if at(3) != "" {
		method, on = "datasets.get", on+":"+at(3)
	}
	switch kind := at(4); {
	case kind != "" && at(5) == "":
		method = kind + ".list"
	case kind != "":
		method, on = kind+".get", on+"."+at(5)
	}
	if at(6) != "" {
		method = at(6) + ".list"
	}
	return method, on
}
