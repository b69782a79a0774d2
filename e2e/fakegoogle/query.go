package fakegoogle

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// queryBody is what of QueryRequest and JobConfigurationQuery has an effect here.
type queryBody struct {
	Query                string           `json:"query"`
	UseLegacySQL         *bool            `json:"useLegacySql"`
	DefaultDataset       *tableRefBody    `json:"defaultDataset"`
	DestinationTable     *tableRefBody    `json:"destinationTable"`
	WriteDisposition     string           `json:"writeDisposition"`
	UseQueryCache        *bool            `json:"useQueryCache"`
	MaximumBytesBilled   flexInt          `json:"maximumBytesBilled"`
	ParameterMode        string           `json:"parameterMode"`
	QueryParameters      []queryParameter `json:"queryParameters"`
	ConnectionProperties []struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	} `json:"connectionProperties"`

	statementType string // known before the job runs; empty if it is not

	// jobs.query only
	DryRun          bool              `json:"dryRun"`
	MaxResults      *flexInt          `json:"maxResults"`
	TimeoutMs       *flexInt          `json:"timeoutMs"`
	RequestID       string            `json:"requestId"`
	JobCreationMode string            `json:"jobCreationMode"`
	Labels          map[string]string `json:"labels"`
	Location        string            `json:"location"`
	FormatOptions   struct {
		UseInt64Timestamp     bool   `json:"useInt64Timestamp"`
		TimestampOutputFormat string `json:"timestampOutputFormat"`
	} `json:"formatOptions"`
}

type tableRefBody struct {
	ProjectID string `json:"projectId"`
	DatasetID string `json:"datasetId"`
	TableID   string `json:"tableId"`
}

func (t *tableRefBody) project(def string) string {
	if t.ProjectID != "" {
		return t.ProjectID
	}
	return def
}

// statement is the SQL with its defaults; dataset_project_id and dataset_id of the connection
// properties move them, as at Google.
func (b queryBody) statement(project, sql string) Statement {
	st := Statement{SQL: sql, Project: project}
	if d := b.DefaultDataset; d != nil {
		st.Dataset = d.DatasetID
		if d.ProjectID != "" {
			st.Dataset = d.ProjectID + "." + d.DatasetID
		}
	}
	for _, p := range b.ConnectionProperties {
		switch p.Key {
		case "dataset_project_id":
			st.Project = p.Value
		case "dataset_id":
			st.Dataset = p.Value
		}
	}
	return st
}

var dialect = regexp.MustCompile(`(?i)^\s*#(legacy|standard)SQL\b`)

// prepare checks what Google checks before a job exists, and gives the SQL to run. useLegacySql is
// true where it is absent; a first line
// #standardSQL or #legacySQL overrides it.
func (b queryBody) prepare() (string, directives, *apiError) {
	if strings.TrimSpace(b.Query) == "" {
		return "", directives{}, errInvalid("Required parameter is missing: query")
	}
	if apiErr := checkLabels(b.Labels); apiErr != nil {
		return "", directives{}, apiErr
	}
	legacy := b.UseLegacySQL == nil || *b.UseLegacySQL
	if m := dialect.FindStringSubmatch(b.Query); m != nil {
		legacy = strings.EqualFold(m[1], "legacy")
	}
	if legacy {
		return "", directives{}, &apiError{
			Code: 400, Reason: "invalidQuery", Location: "q", LocationType: "parameter",
			Message: "1.1 - 1.1: Encountered legacy SQL, which is not available here. useLegacySql is true unless it is set to false.",
		}
	}
	d, err := parseDirectives(b.Query)
	if err != nil {
		return "", d, queryFailure(err)
	}
	sql, apiErr := bindParameters(b.Query, b.ParameterMode, b.QueryParameters)
	return sql, d, apiErr
}

// query is jobs.query.
func (s *Server) query(project string) handler {
	return func(c *call) (object, *apiError) {
		var b queryBody
		tree, apiErr := decodeBody(c.body, &b)
		if apiErr != nil {
			return nil, apiErr
		}
		sql, d, apiErr := b.prepare()
		if apiErr != nil {
			return nil, apiErr
		}
		if b.DryRun {
			return s.dryQuery(c, project, b, sql)
		}
		if !c.may.CreateJobs {
			return nil, errDenied("Access Denied: Project " + project + ": User does not have bigquery.jobs.create permission in project " +
				project + ".")
		}
		if b.Location != "" && !strings.EqualFold(b.Location, s.Location()) {
			return nil, errNotFound("Not found: Dataset of the query was not found in location " + b.Location)
		}
		j, apiErr := s.startOrFind(c.account, project, b, sql, tree, d)
		if apiErr != nil {
			return nil, apiErr
		}
		timeout := 10 * time.Second
		if b.TimeoutMs != nil {
			timeout = min(time.Duration(*b.TimeoutMs)*time.Millisecond, 200*time.Second)
		}
		if !j.wait(c.Context(), timeout) {
			return append(object{{"kind", "bigquery#queryResponse"}, {"jobReference", j.reference()}, {"queryId", j.id},
				{"jobComplete", false}}, j.times()...), nil
		}
		res, hit, fail := j.outcome()
		if fail != nil {
			return nil, fail
		}
		format := formatFrom(func(key string) string {
			switch key {
			case "formatOptions.timestampOutputFormat":
				return b.FormatOptions.TimestampOutputFormat
			case "formatOptions.useInt64Timestamp":
				if b.FormatOptions.UseInt64Timestamp {
					return "true"
				}
			}
			return ""
		})
		var maxResults *uint32
		if b.MaxResults != nil {
			n := uint32(*b.MaxResults)
			maxResults = &n
		}
		out := append(object{{"kind", "bigquery#queryResponse"}}, s.resultPage(j, res, hit, 0, maxResults, format)...)
		out = append(append(out, j.times()...), member{"location", j.location}, member{"statementType", res.StatementType},
			member{"totalBytesBilled", int64Text(res.cost(hit))}, member{"totalSlotMs", "42"})
		if b.JobCreationMode == "JOB_CREATION_OPTIONAL" && out.get("pageToken") == nil {
			out = slices.DeleteFunc(out, func(m member) bool { return m.key == "jobReference" })
		} else {
			out = append(out, member{"jobCreationReason", object{{"code", "REQUESTED"}}})
		}
		return append(out, member{"queryId", j.id}), nil
	}
}

// configuration is the JobConfiguration that jobs.get shows for a jobs.query.
func configuration(tree map[string]any, b queryBody) object {
	q := object{}
	for _, k := range []string{"query", "defaultDataset", "useLegacySql", "useQueryCache", "maximumBytesBilled", "queryParameters",
		"parameterMode", "connectionProperties"} {
		if v, ok := tree[k]; ok {
			q = append(q, member{k, fromJSON(v)})
		}
	}
	out := object{{"query", q}}
	if len(b.Labels) > 0 {
		out = append(out, member{"labels", fromJSON(tree["labels"])})
	}
	return append(out, member{"jobType", "QUERY"})
}

// getQueryResults is jobs.getQueryResults.
func (s *Server) getQueryResults(project, id string) handler {
	return func(c *call) (object, *apiError) {
		j, apiErr := s.findJob(c, project, id)
		if apiErr != nil {
			return nil, apiErr
		}
		if j.account != c.account || !c.may.ReadRows {
			return nil, errDenied("Access Denied: Table " + project + ":_anonymous: Permission bigquery.tables.getData denied (or it may " +
				"not exist).")
		}
		maxResults, timeout, apiErr := c.pageParameters()
		if apiErr != nil {
			return nil, apiErr
		}
		start, apiErr := c.start(s, jobKey(project, id))
		if apiErr != nil {
			return nil, apiErr
		}
		if !j.wait(c.Context(), timeout) {
			return object{{"kind", "bigquery#getQueryResultsResponse"}, {"etag", etag(j.id)}, {"jobReference", j.reference()},
				{"jobComplete", false}}, nil
		}
		res, hit, fail := j.outcome()
		if fail != nil {
			return nil, fail
		}
		out := object{{"kind", "bigquery#getQueryResultsResponse"}, {"etag", etag(j.id)}}
		return append(out, s.resultPage(j, res, hit, start, maxResults, formatFrom(c.query.Get))...), nil
	}
}

// schemaJSON is a TableSchema.
func schemaJSON(fields []bigquery.Field) object {
	list := make([]any, len(fields))
	for i, f := range fields {
		list[i] = fieldJSON(f)
	}
	return object{{"fields", list}}
}

func fieldJSON(f bigquery.Field) object {
	mode := f.Mode
	if mode == "" {
		mode = "NULLABLE"
	}
	out := object{{"name", f.Name}, {"type", f.Type}, {"mode", mode}}
	if f.Type == "RECORD" {
		out = append(out, schemaJSON(f.Fields)...)
	}
	if f.Description != "" {
		out = append(out, member{"description", f.Description})
	}
	return out
}

// number is a JSON number.
func number(n int64) json.Number { return json.Number(int64Text(n)) }
