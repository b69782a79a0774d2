package fakegoogle

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"time"
)

// insert is jobs.insert.
func (s *Server) insert(project string) handler {
	return func(c *call) (object, *apiError) { return s.insertJob(c, project, c.body) }
}

// uploadInsert is jobs.insert on the upload path: the job is the first part of a multipart body.
// What it holds is run, as at Google.
func (s *Server) uploadInsert(project string) handler {
	return func(c *call) (object, *apiError) {
		mediaType, params, err := mime.ParseMediaType(c.Header.Get("Content-Type"))
		if err != nil || !strings.HasPrefix(mediaType, "multipart/") {
			return s.insertJob(c, project, c.body)
		}
		part, err := multipart.NewReader(bytes.NewReader(c.body), params["boundary"]).NextPart()
		if err != nil {
			return nil, errInvalid("the multipart body has no first part")
		}
		body, err := io.ReadAll(part)
		if err != nil {
			return nil, errInvalid("the first part could not be read")
		}
		return s.insertJob(c, project, body)
	}
}

func (s *Server) insertJob(c *call, project string, body []byte) (object, *apiError) {
	var b struct {
		JobReference *struct {
			ProjectID string `json:"projectId"`
			JobID     string `json:"jobId"`
			Location  string `json:"location"`
		} `json:"jobReference"`
		Configuration struct {
			DryRun bool              `json:"dryRun"`
			Labels map[string]string `json:"labels"`
			Query  *queryBody        `json:"query"`
			Copy   *struct {
				SourceTable      *tableRefBody `json:"sourceTable"`
				DestinationTable *tableRefBody `json:"destinationTable"`
				WriteDisposition string        `json:"writeDisposition"`
			} `json:"copy"`
		} `json:"configuration"`
	}
	tree, apiErr := decodeBody(body, &b)
	if apiErr != nil {
		return nil, apiErr
	}
	var q queryBody
	switch cfg := b.Configuration; {
	case cfg.Query != nil:
		q = *cfg.Query
	case cfg.Copy != nil && cfg.Copy.SourceTable != nil && cfg.Copy.DestinationTable != nil:
		src := cfg.Copy.SourceTable
		no := false
		q = queryBody{
			Query:        "SELECT * FROM `" + src.project(project) + "`.`" + src.DatasetID + "`.`" + src.TableID + "`",
			UseLegacySQL: &no, DestinationTable: cfg.Copy.DestinationTable, WriteDisposition: cfg.Copy.WriteDisposition,
		}
	default:
		return nil, &apiError{Code: 501, Reason: "notImplemented", Message: "Only query and copy jobs run here."}
	}
	q.Labels = b.Configuration.Labels
	sql, d, apiErr := q.prepare()
	if apiErr != nil {
		return nil, apiErr
	}
	config, _ := fromJSON(tree["configuration"]).(object)
	if b.Configuration.DryRun {
		return s.dryInsert(c, project, q, sql, config)
	}
	if !c.may.CreateJobs {
		return nil, errDenied("Access Denied: Project " + project + ": User does not have bigquery.jobs.create permission in project " +
			project + ".")
	}
	id := newJobID()
	if r := b.JobReference; r != nil {
		if r.JobID != "" {
			id = r.JobID
		}
		if r.ProjectID != "" {
			project = r.ProjectID
		}
		if r.Location != "" && !strings.EqualFold(r.Location, s.Location()) {
			return nil, errNotFound("Not found: the data of the query was not found in location " + r.Location)
		}
	}
	if r, err := s.engine.Dry(c.Context(), q.statement(project, sql)); err == nil {
		q.statementType = r.StatementType
	}
	j, apiErr := s.newJob(c.account, project, id, q, sql, config, d)
	if apiErr != nil {
		return nil, apiErr
	}
	return j.resource(), nil
}

// dryInsert is a dry run by jobs.insert: no job is made, the statistics tell what would happen.
func (s *Server) dryInsert(c *call, project string, b queryBody, sql string, config object) (object, *apiError) {
	est, apiErr := s.dry(c, project, b, sql)
	if apiErr != nil {
		return nil, apiErr
	}
	now := millis(time.Now())
	query := object{
		{"totalBytesProcessed", int64Text(est.processed)}, {"totalBytesProcessedAccuracy", est.accuracy}, {"totalBytesBilled", "0"},
		{"cacheHit", false}, {"statementType", est.StatementType},
	}
	if len(est.Tables) > 0 {
		query = append(query, member{"referencedTables", references(est.Tables)})
	}
	if len(est.Views) > 0 {
		query = append(query, member{"referencedLogicalViews", references(est.Views)})
	}
	if len(est.Routines) > 0 {
		query = append(query, member{"referencedRoutines", routineReferences(est.Routines)})
	}
	if len(est.Targets) == 1 && est.StatementType != "SELECT" {
		query = append(query, member{"ddlTargetTable", tableReference(est.Targets[0])}, member{"ddlOperationPerformed", "CREATE"})
	}
	if est.StatementType == "SELECT" {
		query = append(query, member{"schema", schemaJSON(est.Schema)})
	}
	return object{
		{"kind", "bigquery#job"}, {"etag", etag(sql)}, {"id", project + ":" + s.Location() + "."},
		{"user_email", c.account}, {"configuration", config},
		{"jobReference", object{{"projectId", project}, {"location", s.Location()}}},
		{"statistics", object{{"creationTime", now}, {"totalBytesProcessed", int64Text(est.processed)}, {"query", query}}},
		{"status", object{{"state", "DONE"}}},
	}, nil
}

// dryQuery is a dry run by jobs.query, which tells less.
func (s *Server) dryQuery(c *call, project string, b queryBody, sql string) (object, *apiError) {
	est, apiErr := s.dry(c, project, b, sql)
	if apiErr != nil {
		return nil, apiErr
	}
	return object{
		{"kind", "bigquery#queryResponse"}, {"schema", schemaJSON(est.Schema)},
		{"jobReference", object{{"projectId", project}, {"location", s.Location()}}},
		{"totalBytesProcessed", int64Text(est.processed)}, {"jobComplete", true}, {"cacheHit", false},
	}, nil
}

func (s *Server) dry(c *call, project string, b queryBody, sql string) (estimate, *apiError) {
	if !c.may.DryRun && !c.may.CreateJobs {
		return estimate{}, errDenied("Access Denied: Project " + project + ": User does not have bigquery.jobs.create permission in " +
			"project " + project + ".")
	}
	est, err := s.estimate(c.Context(), b.statement(project, sql))
	if err != nil {
		return estimate{}, queryFailure(err)
	}
	return est, nil
}
