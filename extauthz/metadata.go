package extauthz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/policies"
)

// MetadataSource lists what there is, under the inspection identity.
type MetadataSource interface {
	GetDataset(ctx context.Context, w durable.Facts, ref bigquery.DatasetReference) (bigquery.ListedDataset, error)
	ListDatasets(ctx context.Context, w durable.Facts, project string) ([]bigquery.ListedDataset, error)
	ListTables(ctx context.Context, w durable.Facts, ref bigquery.DatasetReference) ([]bigquery.ListedTable, error)
}

// metadata answers projects.list, datasets.list, datasets.get, tables.list and tables.get itself: what the subject may read, rebuilt by allow-list. What is outside of that
// is not told apart from what is not there.
func (s *Service) metadata(ctx context.Context, w *walk) outcome {
	reach := s.reach(w)
	if err := s.mayAsk(w, reach); err != nil {
		return s.refuse(ctx, w, err)
	}
	if w.op.Method == bigquery.MethodDiscovery {
		return s.discovery(ctx, w)
	}
	body, err := s.describe(ctx, w, reach)
	if err != nil {
		return s.refuse(ctx, w, err)
	}
	return s.answer(ctx, w, body)
}

// mayAsk refuses subjects that no rule is for, and those that ask too fast: each answer costs BigQuery calls of the gateway, and enough of them tell things
// that one does not.
func (s *Service) mayAsk(w *walk, reach policies.Reach) error {
	if reach.Nothing() {
		return &refusal{message: "no policy lets you read anything"}
	}
	if s.knows(w, reach) {
		return nil
	}
	rate := s.Asks.orDefault()
	if wait := s.asked.take(w.subject.Owner, time.Now(), rate); wait > 0 {
		return &refusal{
			reason: "rateLimitExceeded",
			message: fmt.Sprintf("too many dry runs and reads of metadata: %d at once and %g a second are served, and one is free again in %s",
				rate.AtOnce, rate.PerSecond, wait.Round(10*time.Millisecond)),
			remedy: "the same request a little later",
		}
	}
	return nil
}

// discovery answers with the discovery document, which is the same for everybody: the decision is recorded, the text is not.
func (s *Service) discovery(ctx context.Context, w *walk) outcome {
	body, err := bigquery.Discovery(w.request.scheme, w.request.host)
	if err != nil {
		return s.refuse(ctx, w, err)
	}
	decided, err := s.record(ctx, w, audit.EffectAllow, "", said{status: 200})
	if err != nil {
		return s.unrecorded(w, err)
	}
	return outcome{status: 200, body: body, witness: decided}
}

// knows says that a table is asked for whose schema the gateway has in memory, or that nothing is asked of Google at all.
// Of a closed table it says nothing: what is in memory, others have read, and a free answer would tell that it is there.
func (s *Service) knows(w *walk, reach policies.Reach) bool {
	switch w.op.Method {
	case bigquery.MethodListProjects, bigquery.MethodDiscovery:
		return true
	case bigquery.MethodGetTable:
		id := bigquery.TableID{Project: w.op.Job.ProjectID, Dataset: w.op.Metadata.Dataset, Table: w.op.Metadata.Table}
		if _, open := reach.Table(id); !open {
			return false
		}
		catalog, ok := s.Catalog(w.ask).(interface{ Knows(bigquery.TableID) bool })
		return ok && catalog.Knows(id)
	default:
		return false
	}
}

func (s *Service) describe(ctx context.Context, w *walk, reach policies.Reach) ([]byte, error) {
	project, m := w.op.Job.ProjectID, w.op.Metadata
	set := bigquery.DatasetReference{ProjectID: project, DatasetID: m.Dataset}
	switch w.op.Method {
	case bigquery.MethodListProjects:
		ids, next, err := page(s, w, "", reach.Projects(), func(id string) string { return id })
		return bigquery.ProjectList(ids, next), err
	case bigquery.MethodListDatasets:
		return s.listDatasets(ctx, w, reach, project)
	case bigquery.MethodGetDataset:
		return s.getDataset(ctx, w, reach, set)
	case bigquery.MethodListTables:
		return s.listTables(ctx, w, reach, set)
	case bigquery.MethodGetTable:
		return s.getTable(ctx, w, reach, bigquery.TableID{Project: project, Dataset: m.Dataset, Table: m.Table})
	default:
		return nil, fmt.Errorf("%s is no method of metadata", w.op.Method)
	}
}

func (s *Service) listTables(ctx context.Context, w *walk, reach policies.Reach, ref bigquery.DatasetReference) ([]byte, error) {
	name, err := s.seeDataset(ctx, w, reach, ref)
	if err != nil {
		return nil, err
	}
	all, err := s.tablesOf(ctx, w, ref)
	if err != nil {
		return nil, missing(err, name)
	}
	var open []bigquery.ListedTable
	for _, t := range all {
		if _, ok := reach.Table(t.Reference); ok {
			open = append(open, t)
		}
	}
	shown, next, err := page(s, w, ref.ProjectID+"."+ref.DatasetID, open, func(t bigquery.ListedTable) string { return t.Reference.Table })
	return bigquery.TableList(shown, len(open), next), err
}

func (s *Service) getTable(ctx context.Context, w *walk, reach policies.Reach, id bigquery.TableID) ([]byte, error) {
	w.asked = []string{id.String()}
	name := id.Dataset + "." + id.Table
	record, _, err := s.Jobs.ByDestination(ctx, w.subject.Owner, id)
	switch {
	case err == nil:
		return s.resultTable(ctx, w, record, id)
	case !errors.Is(err, jobs.ErrNotFound):
		return nil, fmt.Errorf("look for a result table: %w", err)
	}
	rule, ok := reach.Table(id)
	if !ok {
		return nil, hidden(name)
	}
	w.decision.Rule = rule
	t, err := s.Catalog(w.ask).Table(ctx, id)
	if err != nil {
		return nil, missing(err, name)
	}
	return bigquery.TableAnswer(t), nil
}

// resultTable describes the table of an own job's result, by the plan: that is what its reader is shown.
func (s *Service) resultTable(ctx context.Context, w *walk, record jobs.Record, id bigquery.TableID) ([]byte, error) {
	w.sql, w.account, w.job = record.Query.SQL, record.Credential, record.Job
	plan, err := s.judgeAgain(ctx, w, record)
	if err != nil {
		return nil, err
	}
	if plan, err = s.Jobs.Shown(ctx, record, plan); err != nil {
		return nil, reshaped(err)
	}
	if plan.Metadata && !plan.Told {
		return nil, &refusal{
			message: "which columns this result has, only an answer with a schema says, and none was read yet",
			remedy:  "the result by jobs.getQueryResults first",
		}
	}
	return bigquery.TableAnswer(&bigquery.Table{TableReference: id, Type: "TABLE", Location: record.Job.Location, Schema: planSchema(plan)}), nil
}

// planSchema is the schema of a masked result. Where two columns have one name, and BigQuery has not said what it makes of them,
// the second is shown as it would be where nothing else is in the way: a_1.
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

// hidden says of something outside the subject's policy what is also said of something that is not there.
func hidden(name string) *refusal {
	return &refusal{message: name + " does not exist or no policy lets you read it"}
}

// missing turns BigQuery's not knowing, or not telling, into the same words.
func missing(err error, name string) error {
	switch {
	case notThere(err):
		return hidden(name)
	case errors.Is(err, bigquery.ErrTooMany):
		return &refusal{message: name + " has more entries than bqgate lists", remedy: "naming the table"}
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

// page cuts a listing behind the entry that the page token names. Tokens are sealed for one subject and one listing: BigQuery's own would name hidden entries.
func page[T any](s *Service, w *walk, of string, all []T, name func(T) string) (shown []T, next string, err error) {
	purpose := "page/" + string(w.op.Method) + "/" + w.subject.Owner + "/" + of
	m := w.op.Metadata
	if m.PageToken != "" {
		var last string
		if err := s.Keys.Open(purpose, m.PageToken, &last); err != nil {
			return nil, "", &refusal{status: 400, reason: "invalid", message: "the pageToken is not one that this listing gave you"}
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

// answer gives an answer of the gateway's own. The decision and the whole answer are durable before (I1).
func (s *Service) answer(ctx context.Context, w *walk, body []byte) outcome {
	body, err := w.op.Fields.Apply(body)
	if err != nil {
		return s.refuse(ctx, w, err)
	}
	decided, err := s.record(ctx, w, audit.EffectAllow, "", said{status: 200})
	if err != nil {
		return s.unrecorded(w, err)
	}
	for _, r := range []audit.Record{
		audit.Frame{Decision: w.id, Bytes: body},
		audit.Outcome{Decision: w.id, State: audit.StateComplete, Status: 200, Bytes: uint64(len(body))},
	} {
		if _, err := s.Journal.Append(ctx, r); err != nil {
			return s.unrecorded(w, err)
		}
	}
	return outcome{status: 200, body: body, witness: decided}
}

// listedFor is how long a listing of BigQuery is believed. It is the same for every subject: each sees what his policy reaches of it.
const listedFor = 15 * time.Second

// listings remembers listings of BigQuery for a moment. The zero value is ready.
type listings struct {
	mu      sync.Mutex
	entries map[any]listing
}

type listing struct {
	value any
	until time.Time
}

const listingsKept = 256

func (l *listings) datasets(project string, read func() ([]bigquery.ListedDataset, error)) ([]bigquery.ListedDataset, error) {
	return remembered(l, project, read)
}

func (l *listings) tables(ref bigquery.DatasetReference, read func() ([]bigquery.ListedTable, error)) ([]bigquery.ListedTable, error) {
	return remembered(l, ref, read)
}

func remembered[T any](l *listings, key any, read func() (T, error)) (T, error) {
	l.mu.Lock()
	e, ok := l.entries[key]
	l.mu.Unlock()
	if ok && time.Now().Before(e.until) {
		return e.value.(T), nil
	}
	until := time.Now().Add(listedFor)
	v, err := read()
	if err != nil {
		return v, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.entries == nil || len(l.entries) >= listingsKept {
		l.entries = map[any]listing{}
	}
	l.entries[key] = listing{v, until}
	return v, nil
}
