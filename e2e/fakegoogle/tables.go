package fakegoogle

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
)

func hexDigest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// pageParameters reads maxResults and timeoutMs (default 10 s, at most 200 s).
func (c *call) pageParameters() (*uint32, time.Duration, *apiError) {
	var maxResults *uint32
	if v := c.query.Get("maxResults"); v != "" {
		n, err := strconv.ParseUint(v, 10, 32)
		if err != nil {
			return nil, 0, errInvalid("Invalid value for: maxResults")
		}
		m := uint32(n)
		maxResults = &m
	}
	timeout := 10 * time.Second
	if v := c.query.Get("timeoutMs"); v != "" {
		n, err := strconv.ParseUint(v, 10, 32)
		if err != nil {
			return nil, 0, errInvalid("Invalid value for: timeoutMs")
		}
		timeout = min(time.Duration(n)*time.Millisecond, 200*time.Second)
	}
	return maxResults, timeout, nil
}

// start is where a page begins: pageToken, else startIndex, else the first row.
func (c *call) start(s *Server, of string) (int64, *apiError) {
	if token := c.query.Get("pageToken"); token != "" {
		return s.openPageToken(of, token)
	}
	if v := c.query.Get("startIndex"); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 0 {
			return 0, errInvalid("Invalid value for: startIndex")
		}
		return n, nil
	}
	return 0, nil
}

func (s *Server) listProjects(c *call) (object, *apiError) {
	p := s.opts.Project
	return object{
		{"kind", "bigquery#projectList"}, {"etag", etag("projects")},
		{"projects", []any{object{{"kind", "bigquery#project"}, {"id", p}, {"numericId", "481516234200"},
			{"projectReference", object{{"projectId", p}}}, {"friendlyName", p}}}},
		{"totalItems", number(1)},
	}, nil
}

// catalog is the engine's, for a caller who may read metadata.
func (s *Server) catalog(c *call, what string) (*Catalog, *apiError) {
	if !c.may.Metadata && !c.may.ReadRows {
		return nil, errDenied("Access Denied: " + what + ": Permission bigquery.tables.get denied on " + what + " (or it may not exist).")
	}
	cat, err := s.engine.Catalog(c.Context())
	if err != nil {
		return nil, queryFailure(err)
	}
	return cat, nil
}

func (s *Server) listTables(project, dataset string) handler {
	return func(c *call) (object, *apiError) {
		cat, apiErr := s.catalog(c, "Dataset "+project+":"+dataset)
		if apiErr != nil {
			return nil, apiErr
		}
		if !slices.Contains(cat.Datasets, project+"."+dataset) {
			return nil, errNotFound("Not found: Dataset " + project + ":" + dataset)
		}
		list := []any{}
		for _, t := range cat.Tables {
			if t.ID.Project == project && t.ID.Dataset == dataset {
				list = append(list, object{{"kind", "bigquery#table"}, {"id", tableText(t.ID)}, {"tableReference", tableReference(t.ID)},
					{"type", tableType(t)}, {"creationTime", creationTime(t)}})
			}
		}
		total := int64(len(list))
		list, next, apiErr := c.cut(s, "tables of "+project+"."+dataset, list)
		if apiErr != nil {
			return nil, apiErr
		}
		return append(object{{"kind", "bigquery#tableList"}, {"etag", etag("tables")}, {"tables", list}, {"totalItems", number(total)}},
			next...), nil
	}
}

// cut gives one page of a listing, of 50 entries where the client says nothing, and the member that
// leads to the next.
func (c *call) cut(s *Server, of string, list []any) ([]any, object, *apiError) {
	size, _, apiErr := c.pageParameters()
	if apiErr != nil {
		return nil, nil, apiErr
	}
	from := int64(0)
	if token := c.query.Get("pageToken"); token != "" {
		if from, apiErr = s.openListToken(of, token); apiErr != nil {
			return nil, nil, apiErr
		}
	}
	limit := int64(50)
	if size != nil && *size > 0 {
		limit = int64(*size)
	}
	from = min(from, int64(len(list)))
	to := min(from+limit, int64(len(list)))
	if to == int64(len(list)) {
		return list[from:], nil, nil
	}
	return list[from:to], object{{"nextPageToken", s.listToken(of, to)}}, nil
}

// creationTime is made up, in the order in which the tables were made.
func creationTime(t CatalogTable) string { return strconv.FormatInt(1700000000000+t.Made, 10) }

func tableType(t CatalogTable) string {
	switch {
	case t.View:
		return "VIEW"
	case t.Snapshot:
		return "SNAPSHOT"
	}
	return "TABLE" // a clone too
}

// getTable is tables.get, for catalog tables and for anonymous result tables.
func (s *Server) getTable(project, dataset, table string) handler {
	return func(c *call) (object, *apiError) {
		id := bigquery.TableID{Project: project, Dataset: dataset, Table: table}
		if res := s.anonymous(id); res != nil {
			if res.account != c.account {
				return nil, errDenied("Access Denied: Table " + tableText(id) + ": User does not have permission to access the anonymous " +
					"table.")
			}
			return s.tableResource(CatalogTable{ID: id, Schema: res.Schema}, res.total(), res.bytes), nil
		}
		cat, apiErr := s.catalog(c, "Table "+tableText(id))
		if apiErr != nil {
			return nil, apiErr
		}
		t, apiErr := findTable(cat, id)
		if apiErr != nil {
			return nil, apiErr
		}
		var size tableSize
		if !t.View {
			var err error
			if size, err = s.size(c.Context(), t); err != nil {
				return nil, queryFailure(err)
			}
		}
		return s.tableResource(t, size.rows, size.bytes), nil
	}
}

func findTable(cat *Catalog, id bigquery.TableID) (CatalogTable, *apiError) {
	for _, t := range cat.Tables {
		if t.ID == id {
			return t, nil
		}
	}
	return CatalogTable{}, errNotFound("Not found: Table " + tableText(id))
}

func (s *Server) anonymous(id bigquery.TableID) *result {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.anon[id.String()]
}

func (s *Server) tableResource(t CatalogTable, rows, bytes int64) object {
	out := object{
		{"kind", "bigquery#table"}, {"etag", etag(fmt.Sprint(t))}, {"id", tableText(t.ID)},
		{"selfLink", "https://bigquery.googleapis.com/bigquery/v2/projects/" + t.ID.Project + "/datasets/" + t.ID.Dataset + "/tables/" +
			t.ID.Table},
		{"tableReference", tableReference(t.ID)}, {"schema", schemaJSON(t.Schema)}, {"type", tableType(t)}, {"location", s.Location()},
		{"creationTime", creationTime(t)}, {"lastModifiedTime", creationTime(t)},
	}
	if t.View {
		view := object{{"query", t.Query}, {"useLegacySql", false}}
		if t.Listed {
			view = append(view, member{"useExplicitColumnNames", true})
		}
		return append(out, member{"view", view})
	}
	// "Output only. Information about the snapshot", "about the clone"
	// (https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#resource:-table).
	switch {
	case t.Snapshot:
		out = append(out, member{"snapshotDefinition",
			object{{"baseTableReference", tableReference(*t.Base)}, {"snapshotTime", "2026-01-01T00:00:00Z"}}})
	case t.Base != nil:
		out = append(out, member{"cloneDefinition",
			object{{"baseTableReference", tableReference(*t.Base)}, {"cloneTime", "2026-01-01T00:00:00Z"}}})
	}
	return append(out, member{"numRows", int64Text(rows)}, member{"numBytes", int64Text(bytes)})
}

// deleteTable is tables.delete: it deletes.
func (s *Server) deleteTable(project, dataset, table string) handler {
	return func(c *call) (object, *apiError) {
		id := bigquery.TableID{Project: project, Dataset: dataset, Table: table}
		if !c.may.CreateJobs || !c.may.ReadRows {
			return nil, errDenied("Access Denied: Table " + tableText(id) + ": Permission bigquery.tables.delete denied on table " +
				tableText(id) + " (or it may not exist).")
		}
		cat, apiErr := s.catalog(c, "Table "+tableText(id))
		if apiErr != nil {
			return nil, apiErr
		}
		t, apiErr := findTable(cat, id)
		if apiErr != nil {
			return nil, apiErr
		}
		sql := fmt.Sprintf("DROP %s `%s`.`%s`.`%s`", tableType(t), project, dataset, table)
		if _, err := s.engine.Run(c.Context(), Statement{SQL: sql, Project: project}); err != nil {
			return nil, queryFailure(err)
		}
		s.version.Add(1)
		return object{}, nil
	}
}
