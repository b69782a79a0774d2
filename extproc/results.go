package extproc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/budgets"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/masking/jsonmask"
	"github.com/bqgate/bqgate/internal/timing"
	"github.com/bqgate/bqgate/internal/verdict"
)

// withheldLimit bounds what is masked but not yet cleared: BigQuery caps a response at about 10 MB,
// and names the job before the rows.
const withheldLimit = 32 << 20

// results masks an answer of jobs.query, jobs.getQueryResults or tabledata.list. Masked bytes are
// withheld until the job that the answer names is cleared: recorded, when this request created it,
// and found to have read what the analysis named, when there are rows.
type results struct {
	service  *Service
	forward  *verdict.Forward
	masker   *jsonmask.Results
	withheld []byte
	keep     func() error // asked before each MiB of withheld but the first
	kept     int          // MiB that it was asked for
	cleared  bool
	clock    *timing.Clock
	record   jobs.Record // of the job, once the answer is cleared
}

func newResults(s *Service, f *verdict.Forward, clock *timing.Clock, keep func() error) *results {
	salt := f.Record.Salt
	if len(salt) == 0 { // a record of before jobs had one
		sum := s.Keys.Name("random_hash", f.Record.Decision)
		salt = sum[:]
	}
	// Both caps are of the whole result, so that no answer alone may exceed them either.
	r := &results{service: s, forward: f, clock: clock, keep: keep}
	o := jsonmask.Options{Salt: salt, TimestampFormat: f.TimestampFormat, MaxRows: uint64(max(0, f.MaxRows)),
		MaxBytes: uint64(max(0, f.MaxResultBytes))}
	whole := func(_ string, value []byte) ([]byte, error) { return value, nil }
	projected := whole
	if f.Fields != "" {
		fields, err := bigquery.ParseFieldMask(f.Fields)
		if err != nil {
			o.Keep = func(string) bool { return false } // not reached: ext_authz has parsed it; a mask that cannot be read keeps nothing
		} else {
			o.Keep, projected = fields.KeepsKey, project(fields)
		}
	}
	o.Rewrite = func(member string, value []byte) ([]byte, error) {
		if member == "pageToken" {
			return r.pageToken()
		}
		return projected(member, value)
	}
	r.masker = jsonmask.NewResults(f.Plan, o)
	return r
}

// pageToken is what stands in the place of BigQuery's own: the same, sealed for this reader, job
// and method. It names its job, which an answer that creates one must have named before.
func (r *results) pageToken() ([]byte, error) {
	token := r.masker.Head().PageToken
	if token == "" {
		return nil, nil
	}
	record := r.forward.Record
	if r.forward.Creates {
		record.Job = r.job()
	}
	if record.Job.JobID == "" {
		return nil, fmt.Errorf("%w: it has its page token before its job", masking.ErrUnplanned)
	}
	sealed, err := record.SealPageToken(r.service.Keys, r.forward.Method, token)
	if err != nil {
		return nil, err
	}
	return json.Marshal(sealed)
}

// project applies the part of `fields=` that concerns one member of the answer.
func project(fields *bigquery.FieldMask) func(string, []byte) ([]byte, error) {
	return func(member string, value []byte) ([]byte, error) {
		whole, err := json.Marshal(map[string]json.RawMessage{member: value})
		if err != nil {
			return nil, fmt.Errorf("project %s: %w", member, err)
		}
		kept, err := fields.Apply(whole)
		if err != nil {
			return nil, fmt.Errorf("project %s: %w", member, err)
		}
		var out map[string]json.RawMessage
		if err := json.Unmarshal(kept, &out); err != nil {
			return nil, fmt.Errorf("project %s: %w", member, err)
		}
		return out[member], nil
	}
}

func (r *results) job() bigquery.JobReference {
	if r.unnamed() {
		return r.forward.Record.Job
	}
	return bigquery.JobReference(r.masker.Head().JobReference)
}

// unnamed says that the answer names no job: a result table was asked for, which belongs to the job
// of the record.
func (r *results) unnamed() bool { return r.forward.Method == bigquery.MethodListTableData }

func (r *results) rows() uint64 { return r.masker.RowsSeen() }

func (r *results) write(ctx context.Context, p []byte) ([]byte, error) {
	out, err := r.masker.Write(p)
	if err != nil {
		return nil, r.unmasked(ctx, err)
	}
	if err := r.consistent(); err != nil {
		return nil, err
	}
	if r.cleared {
		return r.spend(ctx, out)
	}
	if err := r.withhold(out); err != nil {
		return nil, err
	}
	if len(r.withheld) > withheldLimit && r.forward.MaxResultBytes > 0 {
		return nil, fmt.Errorf("an answer of more than %d bytes: %w", withheldLimit, masking.ErrCap)
	}
	if len(r.withheld) > withheldLimit {
		return nil, r.unmasked(ctx, fmt.Errorf("%w: it names no job, or no column, within its first 32 MiB", masking.ErrUnplanned))
	}
	head := r.masker.Head()
	switch {
	case r.job().JobID == "", head.JobComplete == nil && r.masker.RowsSeen() == 0 && !r.unnamed():
		return nil, nil
	case r.unfinished():
		return nil, nil // such an answer is short, and has no rows: that must be seen before it leaves
	case r.forward.Plan.Open() && !head.HasSchema && !r.unnamed():
		return nil, nil // what the columns are called is kept before their rows leave
	case r.forward.MaxRows > 0 && head.TotalRows == nil:
		return nil, nil // how many rows there are decides whether one may leave
	case r.forward.MaxResultBytes > 0, len(r.forward.Budgets) > 0:
		return nil, nil // whole or not at all: a client that is refused in the middle reads no reason, and tries again
	}
	return r.clear(ctx)
}

// withhold keeps what may not leave yet, as far as its owner may have that much kept at once.
func (r *results) withhold(out []byte) error {
	for ; r.kept < (len(r.withheld)+len(out))>>20; r.kept++ {
		if err := r.keep(); err != nil {
			return err
		}
	}
	r.withheld = append(r.withheld, out...)
	return nil
}

func (r *results) close(ctx context.Context) ([]byte, error) {
	if err := r.masker.Close(); err != nil {
		return nil, r.unmasked(ctx, err)
	}
	if err := r.consistent(); err != nil {
		return nil, err
	}
	if r.cleared {
		return nil, nil
	}
	return r.clear(ctx)
}

// unfinished says that the job has not ended, by the answer's own word.
func (r *results) unfinished() bool {
	complete := r.masker.Head().JobComplete
	return !r.unnamed() && complete != nil && !*complete
}

// consistent refuses rows of a job that has not ended: nothing could say yet what it read. BigQuery
// sends none: "Whether the query has completed or not. If rows or totalRows are present, this will
// always be true." https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/getQueryResults
func (r *results) consistent() error {
	if r.unfinished() && (r.masker.RowsSeen() > 0 || r.masker.Head().TotalRows != nil) {
		return &mismatch{errors.New("the answer has rows of a job that it says is not complete")}
	}
	return nil
}

// clear decides whether the withheld bytes may leave, once.
func (r *results) clear(ctx context.Context) ([]byte, error) {
	head := r.masker.Head()
	if r.job().JobID == "" {
		return nil, r.unmasked(ctx, fmt.Errorf("%w: it names no job", masking.ErrUnplanned))
	}
	complete := r.unnamed() || r.masker.RowsSeen() > 0 || head.JobComplete != nil && *head.JobComplete
	r.clock.Done("mask")
	record, err := clearJob(ctx, r.service, r.forward, r.job(), complete)
	r.clock.Done("job check")
	if err != nil {
		return nil, err
	}
	if limit := r.forward.MaxRows; limit > 0 && complete && (head.TotalRows == nil || *head.TotalRows > uint64(limit)) {
		return nil, fmt.Errorf("more than %d rows: %w", limit, masking.ErrCap)
	}
	if head.HasSchema && r.forward.Plan.Open() {
		if err := r.service.Jobs.NoteColumns(ctx, record, head.Columns); err != nil {
			return nil, fmt.Errorf("keep how the answer calls its columns: %w", err)
		}
	}
	r.cleared, r.record = true, record
	out := r.withheld
	r.withheld = nil
	if err := r.spendRows(ctx, out); err != nil {
		return nil, err
	}
	return r.spend(ctx, out)
}

// unmasked is what comes of an answer that could not be masked. Where it is not the one that was
// planned, nothing about its job is readable any more: another answer, without a schema, would not
// show it. A job that this request made has no record yet, and gets none.
func (r *results) unmasked(ctx context.Context, err error) error {
	err = fmt.Errorf("mask the answer: %w", err)
	if !errors.Is(err, masking.ErrUnplanned) || errors.Is(err, masking.ErrCap) {
		return err
	}
	f := r.forward
	if !f.Creates && f.Record.Job.JobID != "" && r.service.Jobs != nil {
		if broken := r.service.Jobs.Break(ctx, f.Record, err.Error()); broken != nil {
			return errors.Join(err, broken)
		}
	}
	if len(f.Record.Reads.Metadata) > 0 {
		return strange(err, aboutMetadata)
	}
	return strange(err, aboutRows)
}

// spendRows counts the rows of a whole answer, which is about to leave, against their budgets. A
// page that is read again counts again: whoever copies does so.
func (r *results) spendRows(ctx context.Context, whole []byte) error {
	f := r.forward
	if len(f.Budgets) == 0 {
		return nil
	}
	rows, err := countedRows(whole)
	if err != nil {
		return err
	}
	rows = max(rows, r.rows())
	return r.service.Budgets.Spend(ctx, budgets.Wanted{
		Decision: f.Decision, Budgets: f.Budgets, Most: int64(rows), Beyond: f.Beyond, //nolint:gosec // G115: rows of one answer
	})
}

// spend counts what is about to leave against the cap of the job's result.
func (r *results) spend(ctx context.Context, out []byte) ([]byte, error) {
	limit := r.forward.MaxResultBytes
	if limit == 0 || len(out) == 0 {
		return out, nil
	}
	spent, err := r.service.Jobs.Spend(ctx, r.record, len(out))
	if err != nil {
		return nil, err
	}
	if spent > limit {
		return nil, fmt.Errorf("more than %d bytes of one result: %w", limit, masking.ErrCap)
	}
	return out, nil
}

// clearJob makes sure that the job an answer names is the one decided on, that its record is
// durable, and, before rows, that it read what the analysis named.
func clearJob(ctx context.Context, s *Service, f *verdict.Forward, ref bigquery.JobReference, complete bool) (jobs.Record, error) {
	record := f.Record
	if ref.ProjectID != record.Job.ProjectID || record.Job.JobID != "" && ref.JobID != record.Job.JobID || ref.JobID == "" {
		return record, fmt.Errorf("%w: the answer is about another job", jobs.ErrMismatch)
	}
	if !f.Creates && (!complete || f.Verified) {
		return record, nil
	}
	if f.Creates {
		record.Job = ref
	}
	var changed func() ([]string, error)
	if complete { // the job is done: what it rested on can be read while jobs.get is under way
		changed = recheck(ctx, s, f.Witness(), record)
	}
	job, err := readJob(ctx, s, f, record.Job)
	if err != nil {
		return record, fmt.Errorf("check job %s: %w", ref.JobID, err)
	}
	if f.Creates {
		if record, err = s.Jobs.Adopt(ctx, record, job); err != nil {
			if f.Record.Job.JobID == "" && f.Record.Query.RequestID == "" && !errors.Is(err, jobs.ErrMismatch) {
				err = fmt.Errorf("%w: %w", jobs.ErrLost, err) // asked again, it would run again
			}
			return record, err
		}
	}
	s.saw(ctx, record, job)
	if !complete {
		return record, nil
	}
	return record, finish(ctx, s, f, record, job, changed)
}

// jobReadTime bounds the gateway's own jobs.get for an answer, all its tries together: Envoy waits
// so long for what becomes of the answer's headers (20 s), and the client is told while it does.
const jobReadTime = 12 * time.Second

// readJob is the gateway's own jobs.get of the job that an answer names.
func readJob(ctx context.Context, s *Service, f *verdict.Forward, ref bigquery.JobReference) (bigquery.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, jobReadTime)
	defer cancel()
	if f.Creates {
		return jobs.Created(ctx, f.Witness(), s.Upstream, ref)
	}
	return s.Upstream.GetJob(ctx, f.Witness(), ref)
}

// recheck begins to read again what the decision about a job rested on: schemas, views, functions
// and wildcard members (A8). It must not begin before the job is done.
func recheck(ctx context.Context, s *Service, w durable.Facts, record jobs.Record) func() ([]string, error) {
	type answer struct {
		changed []string
		err     error
	}
	done := make(chan answer, 1)
	go func() {
		if s.Changed == nil || len(record.Reads.Digests) == 0 && len(record.Tables) > 0 {
			done <- answer{err: errors.New("what the decision rested on cannot be read again")}
			return
		}
		changed, err := s.Changed(ctx, w, record.Reads.Digests)
		done <- answer{changed, err}
	}()
	return func() ([]string, error) {
		a := <-done
		return a.changed, a.err
	}
}

// finish compares a finished job with its record, before anything of its result may be read.
func finish(
	ctx context.Context, s *Service, f *verdict.Forward, record jobs.Record, job bigquery.Job, rechecked func() ([]string, error),
) error {
	changed, err := rechecked()
	if err != nil {
		return fmt.Errorf("check job %s: %w", record.Job.JobID, err)
	}
	// What is sensitive today is, for what an operator may lift.
	record.Plan.Sensitive = record.Plan.Sensitive || f.Plan.Sensitive
	v, err := s.Jobs.Finish(ctx, f.Witness(), record, job, changed)
	var uncertain *jobs.Uncertain
	if errors.As(err, &uncertain) {
		return unproven(uncertain, uncertain.Liftable(record), record.Job.JobID)
	}
	if err != nil {
		return err
	}
	if v.Broken != "" {
		return &mismatch{errors.New(v.Broken)}
	}
	return nil
}
