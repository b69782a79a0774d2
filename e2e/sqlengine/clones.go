package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// cloned is CREATE [SNAPSHOT] TABLE … CLONE …, which the driver does not know
// (https://cloud.google.com/bigquery/docs/reference/standard-sql/data-definition-language#create_snapshot_table,
// #create_table_clone).
var cloned = regexp.MustCompile("(?is)^\\s*CREATE\\s+(SNAPSHOT\\s+)?TABLE\\s+(" + pathText + ")\\s+CLONE\\s+(" + pathText + ")\\s*;?\\s*$")

const pathText = "(?:`[^`]*`|[\\w-]+)(?:\\s*\\.\\s*(?:`[^`]*`|[\\w-]+))*"

// clone makes a snapshot or a clone: a table of its own with the rows and columns of another, which
// it remembers. The first result tells whether this was such a statement.
func (e *engine) clone(ctx context.Context, req request) (bool, response) {
	m := cloned.FindStringSubmatch(skipComments(req.SQL))
	if m == nil {
		return false, response{}
	}
	kind := "CREATE_TABLE"
	if m[1] != "" {
		kind = "CREATE_SNAPSHOT_TABLE"
	}
	name := func(text string) tableID {
		var parts []string
		for _, part := range strings.Split(text, ".") {
			parts = append(parts, strings.Trim(strings.TrimSpace(part), "`"))
		}
		return target(parts, req.Project, req.Dataset, false)
	}
	made, base := name(m[2]), name(m[3])
	out := response{StatementType: kind, Targets: []tableID{made}, Tables: []tableID{base}, Analysed: true}
	of := e.catalog.tables[base.String()]
	switch {
	case of == nil || of.view:
		out.Error = &failure{Reason: "notFound", Message: fmt.Sprintf("Not found: Table %s:%s.%s", base.Project, base.Dataset, base.Table)}
		return true, out
	case e.catalog.tables[made.String()] != nil:
		out.Error = &failure{Reason: "duplicate",
			Message: fmt.Sprintf("Already Exists: Table %s:%s.%s", made.Project, made.Dataset, made.Table)}
		return true, out
	}
	req.SQL = "CREATE TABLE " + quotePath(made) + " AS SELECT * FROM " + quotePath(base)
	if err := e.all(ctx, analysis{}, req, req.SQL); err != nil {
		out.Error = runFailure(err)
		return true, out
	}
	entry := e.catalog.tables[made.String()]
	entry.base, entry.snapshot = &base, m[1] != ""
	return true, out
}
