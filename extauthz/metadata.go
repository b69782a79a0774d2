package extauthz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/limits"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/refusal"
	"github.com/bqgate/bqgate/policies"
)

// MetadataSource lists what there is, under the inspection identity.
type MetadataSource interface {
	GetDataset(ctx context.Context, w durable.Facts, ref bigquery.DatasetReference) (bigquery.ListedDataset, error)
	ListDatasets(ctx context.Context, w durable.Facts, project string) ([]bigquery.ListedDataset, error)
	ListTables(ctx context.Context, w durable.Facts, ref bigquery.DatasetReference) ([]bigquery.ListedTable, error)
}

// metadata answers projects.list, datasets.list, datasets.get, tables.list and tables.get itself:
// what the subject may read, rebuilt by allow-list. What is outside of that is not told apart from
// what is not there.
func (s *Service) metadata(ctx context.Context, a asked) (ruling, error) {
	reach := s.reach(a)
	if err := s.mayAsk(a, reach); err != nil {
		return ruling{}, err
	}
	project, m := a.op.Job.ProjectID, a.op.Metadata
	set := bigquery.DatasetReference{ProjectID: project, DatasetID: m.Dataset}
	switch a.op.Method {
	case bigquery.MethodDiscovery:
		body, err := bigquery.Discovery(a.request.scheme, a.request.host)
		return ruling{then: answers{body, true}}, err
	case bigquery.MethodListProjects:
		ids, next, err := page(s, a, "", reach.Projects(), func(id string) string { return id })
		return ruling{then: answers{body: bigquery.ProjectList(ids, next)}}, err
	case bigquery.MethodListDatasets:
		return s.listDatasets(ctx, a, reach, project)
	case bigquery.MethodGetDataset:
		return s.getDataset(ctx, a, reach, set)
	case bigquery.MethodListTables:
		return s.listTables(ctx, a, reach, set)
	case bigquery.MethodGetTable:
		return s.getTable(ctx, a, reach, bigquery.TableID{Project: project, Dataset: m.Dataset, Table: m.Table})
	default:
		return ruling{}, fmt.Errorf("%s is no method of metadata", a.op.Method)
	}
}

// mayAsk refuses subjects that no rule is for, and those that ask too fast: each answer costs
// BigQuery calls of the gateway, and enough of them tell things that one does not.
func (s *Service) mayAsk(a asked, reach policies.Reach) error {
	if reach.Nothing() {
		return &refusal.Refusal{What: "no policy lets you read anything"}
	}
	if s.knows(a, reach) {
		return nil
	}
	return s.Limits.Spend(a.subject.Budget, limits.Lookups, 1)
}

// knows says that a table is asked for whose schema the gateway has in memory, or that nothing is
// asked of Google at all. Of a closed table it says nothing: what is in memory, others have read,
// and a free answer would tell that it is there.
func (s *Service) knows(a asked, reach policies.Reach) bool {
	switch a.op.Method {
	case bigquery.MethodListProjects, bigquery.MethodDiscovery:
		return true
	case bigquery.MethodGetTable:
		id := bigquery.TableID{Project: a.op.Job.ProjectID, Dataset: a.op.Metadata.Dataset, Table: a.op.Metadata.Table}
		if _, open := reach.Table(id); !open {
			return false
		}
		catalog, ok := s.Catalog(a.ask).(interface{ Knows(bigquery.TableID) bool })
		return ok && catalog.Knows(id)
	default:
		return false
	}
}

func (s *Service) listTables(
	ctx context.Context, a asked, reach policies.Reach, ref bigquery.DatasetReference,
) (ruling, error) {
	name, rule, err := s.seeDataset(ctx, a, reach, ref)
	if err != nil {
		return ruling{}, err
	}
	all, err := s.tablesOf(ctx, a, ref)
	if err != nil {
		return under(rule, nil), missing(err, name)
	}
	var open []bigquery.ListedTable
	for _, t := range all {
		if _, ok := reach.Table(t.Reference); ok {
			open = append(open, t)
		}
	}
	shown, next, err := page(s, a, ref.ProjectID+"."+ref.DatasetID, open, func(t bigquery.ListedTable) string { return t.Reference.Table })
	return under(rule, bigquery.TableList(shown, len(open), next)), err
}

func (s *Service) getTable(ctx context.Context, a asked, reach policies.Reach, id bigquery.TableID) (ruling, error) {
	named := ruling{judged: judged{tables: []string{id.String()}}}
	name := id.Dataset + "." + id.Table
	record, _, err := s.Jobs.ByDestination(ctx, a.subject.Owner, id)
	switch {
	case err == nil:
		return s.resultTable(ctx, a, record, id)
	case !errors.Is(err, jobs.ErrNotFound):
		return named, fmt.Errorf("look for a result table: %w", err)
	}
	rule, ok := reach.Table(id)
	if !ok {
		return named, hidden(name)
	}
	named.decision.Rule = rule
	t, err := s.Catalog(a.ask).Table(ctx, id)
	if err != nil {
		return named, missing(err, name)
	}
	named.then = answers{body: bigquery.TableAnswer(t)}
	return named, nil
}

// resultTable describes the table of an own job's result, by the plan: that is what its reader is
// shown.
func (s *Service) resultTable(ctx context.Context, a asked, record jobs.Record, id bigquery.TableID) (ruling, error) {
	j, err := s.judgeAgain(ctx, a, record)
	j.approval = ""
	r := ruling{judged: j}
	if err != nil {
		return r, err
	}
	plan, err := s.Jobs.Shown(ctx, record, j.decision.Mask)
	if err != nil {
		return r, reshaped(err)
	}
	if plan.Metadata && !plan.Told {
		return r, &refusal.Refusal{
			What:   "which columns this result has, only an answer with a schema says, and none was read yet",
			Remedy: "the result by jobs.getQueryResults first",
		}
	}
	r.then = answers{body: bigquery.TableAnswer(&bigquery.Table{
		TableReference: id, Type: "TABLE", Location: record.Job.Location, Schema: planSchema(plan),
	})}
	return r, nil
}

// planSchema is the schema of a masked result. Where two columns have one name, and BigQuery has
// not said what it makes of them, the second is shown as it would be where nothing else is in the
// way: a_1.
func planSchema(p masking.Plan) bigquery.Schema {
	fields, taken := planFields(p.Columns), map[string]bool{}
	for _, f := range fields {
		taken[strings.ToLower(f.Name)] = true
	}
	seen := map[string]bool{}
	for i := range fields {
		name := fields[i].Name
		for n := 1; seen[strings.ToLower(fields[i].Name)] || n > 1 && taken[strings.ToLower(fields[i].Name)]; n++ {
			fields[i].Name = fmt.Sprintf("%s_%d", name, n)
		}
		seen[strings.ToLower(fields[i].Name)] = true
	}
	return bigquery.Schema{Fields: fields}
}

func planFields(columns []masking.Column) []bigquery.Field {
	var out []bigquery.Field
	for _, c := range columns {
		f := bigquery.Field{Name: c.Name, Type: c.Type, Fields: planFields(c.Fields)}
		if c.Repeated {
			f.Mode = "REPEATED"
		}
		out = append(out, f)
	}
	return out
}

// hidden says of something outside the subject's policy what is also said of something that is not
// there.
func hidden(name string) *refusal.Refusal {
	return &refusal.Refusal{What: name + " does not exist or no policy lets you read it"}
}

// missing turns BigQuery's not knowing, or not telling, into the same words.
func missing(err error, name string) error {
	switch {
	case notThere(err):
		r := hidden(name)
		var api *bigquery.APIError
		if errors.As(err, &api) && api.Status == 403 {
			r.Err = err // BigQuery does not tell the gateway: the operator hears of it, and the client reads the same
		}
		return r
	case errors.Is(err, bigquery.ErrTooMany):
		return &refusal.Refusal{What: name + " has more entries than bqgate lists", Remedy: "naming the table"}
	default:
		return err
	}
}

// notThere says that BigQuery does not know something, or does not tell.
func notThere(err error) bool {
	var api *bigquery.APIError
	return errors.Is(err, bigquery.ErrNotFound) || errors.As(err, &api) && api.Status == 403 && !api.Passes()
}

// Pages of listings.
const (
	listDefault = 500
	listMost    = 1000
)

// page cuts a listing behind the entry that the page token names. Tokens are sealed for one subject
// and one listing: BigQuery's own would name hidden entries.
func page[T any](s *Service, a asked, of string, all []T, name func(T) string) (shown []T, next string, err error) {
	purpose := "page/" + string(a.op.Method) + "/" + a.subject.Owner + "/" + of
	m := a.op.Metadata
	if m.PageToken != "" {
		var last string
		if err := s.Keys.Open(purpose, m.PageToken, &last); err != nil {
			return nil, "", &refusal.Refusal{Status: 400, Reason: "invalid", What: "the pageToken is not one that this listing gave you"}
		}
		i := slices.IndexFunc(all, func(v T) bool { return name(v) == last })
		if i < 0 { // gone meanwhile: what comes behind it in order of names, which is BigQuery's
			i = slices.IndexFunc(all, func(v T) bool { return strings.Compare(name(v), last) > 0 }) - 1
			if i < -1 {
				i = len(all) - 1
			}
		}
		all = all[i+1:]
	}
	limit := listDefault
	if m.MaxResults != nil && *m.MaxResults > 0 {
		limit = int(min(*m.MaxResults, listMost))
	}
	if len(all) <= limit {
		return all, "", nil
	}
	shown = all[:limit]
	next, err = s.Keys.Seal(purpose, name(shown[limit-1]))
	return shown, next, err
}
