package fakegoogle

import (
	"fmt"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// listTableData is tabledata.list: rows without a schema, of a table or of a result's anonymous
// table.
func (s *Server) listTableData(project, dataset, table string) handler {
	return func(c *call) (object, *apiError) {
		id := bigquery.TableID{Project: project, Dataset: dataset, Table: table}
		if !c.may.ReadRows {
			return nil, errDenied("Access Denied: Table " + tableText(id) + ": Permission bigquery.tables.getData denied on table " +
				tableText(id) + " (or it may not exist).")
		}
		maxResults, _, apiErr := c.pageParameters()
		if apiErr != nil {
			return nil, apiErr
		}
		start, apiErr := c.start(s, id.String())
		if apiErr != nil {
			return nil, apiErr
		}
		res := s.anonymous(id)
		if res != nil && res.account != c.account {
			return nil, errDenied("Access Denied: Table " + tableText(id) + ": User does not have permission to access the anonymous " +
				"table.")
		}
		if res == nil {
			cat, apiErr := s.catalog(c, "Table "+tableText(id))
			if apiErr != nil {
				return nil, apiErr
			}
			t, apiErr := findTable(cat, id)
			if apiErr != nil {
				return nil, apiErr
			}
			if t.View {
				return nil, errInvalid("Cannot list a table of type VIEW.")
			}
			ran, err := s.engine.Run(c.Context(),
				Statement{SQL: fmt.Sprintf("SELECT * FROM `%s`.`%s`.`%s`", project, dataset, table), Project: project})
			if err != nil {
				return nil, queryFailure(err)
			}
			res = &result{Result: ran, rows: ran.Rows, directives: directives{rows: -1}}
		}
		res, apiErr = selectFields(res, c.query.Get("selectedFields"))
		if apiErr != nil {
			return nil, apiErr
		}
		p := res.window(start, maxResults, formatFrom(c.query.Get))
		out := object{{"kind", "bigquery#tableDataList"}, {"etag", etag(id.String())}, {"totalRows", int64Text(res.total())}}
		if p.end < res.total() {
			out = append(out, member{"pageToken", s.pageToken(id.String(), p.end)})
		}
		if p.end > p.start {
			out = append(out, member{"rows", p})
		}
		return out, nil
	}
}

// selectFields keeps the named top-level columns, in the table's order; "a.b" keeps a whole.
func selectFields(res *result, selected string) (*result, *apiError) {
	if selected == "" {
		return res, nil
	}
	keep := map[string]bool{}
	for name := range strings.SplitSeq(selected, ",") {
		top, _, _ := strings.Cut(strings.TrimSpace(name), ".")
		keep[strings.ToLower(top)] = true
	}
	var index []int
	out := &result{Result: &Result{StatementType: "SELECT"}, directives: res.directives}
	for i, f := range res.Schema {
		if keep[strings.ToLower(f.Name)] {
			index = append(index, i)
			out.Schema = append(out.Schema, f)
			delete(keep, strings.ToLower(f.Name))
		}
	}
	if len(keep) > 0 {
		return nil, errInvalid("Invalid value for: selectedFields")
	}
	for _, row := range res.rows {
		cells := make([]any, len(index))
		for i, n := range index {
			cells[i] = row[n]
		}
		out.rows = append(out.rows, cells)
	}
	return out, nil
}
