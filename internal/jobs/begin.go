package jobs

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/policies"
)

// The answer to a request that makes a job can be lost, and its client then sends the request
// again. BigQuery knows a requestId or a job id again and gives the job that it has. That job
// carries the label of the first decision, so the gateway must know the first one again too: a
// provisional record stands before the request leaves, and what is sent again is the first
// request's bytes.

// Window is how long a requestId of jobs.query is known again. BigQuery keeps one for 15 minutes,
// counted from when the request reached it; a minute of them is for the way there.
// https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/query (requestId)
const Window = 14 * time.Minute

var (
	// ErrOtherwise says that a request was sent to BigQuery before, and that what would be sent now
	// is not the same or is bounded more tightly. Its text says in what.
	ErrOtherwise = errors.New("the request was sent to BigQuery before, under a decision that is not today's")
	// ErrRace is returned by Stand when the same request was begun by somebody else meanwhile.
	ErrRace = errors.New("the same request is being sent by another call")
)

// Begun is what is to be sent for a request that makes a job.
type Begun struct {
	// Record is the draft of the job's record. Its Decision, Mutation and Created are those of the
	// first request of this name, whose bytes are sent again.
	Record Record
	// Plan, MaxRows and MaxResultBytes bound the answer: the stricter of the first decision and
	// today's.
	Plan                    masking.Plan
	MaxRows, MaxResultBytes int64
	// Again is set where the request was sent before.
	Again bool

	name name // by which the request is known again
}

// Begin says what is to be sent for an operation that makes a job, of which r is the draft with
// today's decision. Where the same owner has sent the same request before, that is the first
// request, byte for byte. It returns ErrOtherwise where today's decision would not send that.
//
// r.Mutation holds what is to be changed in the request; Begin adds its requestId and its label.
// Nothing is written: Stand does that, once the decision is durable.
func (s *Store) Begin(ctx context.Context, op bigquery.Operation, r Record) (Begun, error) {
	name, err := nameOf(op, r)
	if err != nil {
		return Begun{}, fmt.Errorf("begin job: %w", err)
	}
	if name.kind != "" {
		first, err := s.provisional(ctx, name.key(s, r))
		switch {
		case err == nil:
			return again(name, first, r)
		case errors.Is(err, sealed.ErrForged): // it may stand in the place of a record of what was sent
			return Begun{}, fmt.Errorf("%w: what was sent then is not known any more", ErrOtherwise)
		case errors.Is(err, ErrVersion):
			return Begun{}, fmt.Errorf("%w: another version of bqgate has sent it", ErrOtherwise)
		case !errors.Is(err, ErrNotFound):
			return Begun{}, err
		}
	}
	return s.first(op, name, r)
}

// Capped is what is to be sent where what a new request may bill was bounded since it was begun: r
// is its draft with the new bound. Nothing is asked of Redis: where the same request was begun by
// somebody else meanwhile, Stand finds that.
func (s *Store) Capped(op bigquery.Operation, b Begun, r Record) (Begun, error) {
	if b.Again {
		return Begun{}, errors.New("cap job: what is sent again stays as it was")
	}
	return s.first(op, b.name, r)
}

// first is what is to be sent for a request that nobody has sent before.
func (s *Store) first(op bigquery.Operation, name name, r Record) (_ Begun, err error) {
	if op.Method == bigquery.MethodQuery && r.Mutation.JobID == "" {
		// For this decision alone: the same value of another subject, or after Window, is another
		// request (A6).
		sum := s.keys.Name("requestId", r.Owner, r.Job.ProjectID, r.Decision)
		r.Mutation.RequestID = hex.EncodeToString(sum[:18]) // BigQuery takes up to 36 characters
	}
	if r.Mutation, err = s.Weld(op, r.Mutation, r.Decision); err != nil {
		return Begun{}, err
	}
	return Begun{Record: r, Plan: r.Plan, MaxRows: r.MaxRows, MaxResultBytes: r.MaxResultBytes, name: name}, nil
}

// again compares today's draft with the first one.
func again(name name, first, now Record) (Begun, error) {
	bound := first.Mutation.MaximumBytesBilled
	var differs string
	switch {
	case first.Credential != now.Credential, first.Principal != now.Principal:
		differs = "the account"
	case first.SQLDigest != now.SQLDigest, first.Mutation.SQL != now.Mutation.SQL:
		differs = "the text that masks its tables"
	case !maps.Equal(first.Reads.Digests, now.Reads.Digests):
		differs = "a table, view or function that it reads"
	case now.Mutation.MaximumBytesBilled > 0 && (bound == 0 || now.Mutation.MaximumBytesBilled < bound):
		differs = "the bytes that it may bill"
	}
	if differs != "" {
		return Begun{}, fmt.Errorf("%w: %s", ErrOtherwise, differs)
	}
	plan, err := masking.StricterPlan(first.Plan, now.Plan)
	if err != nil {
		return Begun{}, fmt.Errorf("%w: the shape of its result", ErrOtherwise)
	}
	return Begun{
		Record: first, Plan: plan, Again: true, name: name,
		MaxRows: policies.Least(first.MaxRows, now.MaxRows), MaxResultBytes: policies.Least(first.MaxResultBytes, now.MaxResultBytes),
	}, nil
}

// Sent says whether the owner has sent the same request to BigQuery before, which then knows it
// again: nothing more is run for it, if anything was. reserved is the record's Reservation.
func (s *Store) Sent(ctx context.Context, op bigquery.Operation, owner string) (reserved string, sent bool, err error) {
	r := Record{Owner: owner, Job: op.Job, Decision: "d"}
	name, err := nameOf(op, r)
	if err != nil || name.kind == "" {
		return "", false, err
	}
	r, err = s.provisional(ctx, name.key(s, r))
	if errors.Is(err, ErrNotFound) {
		return "", false, nil
	}
	return r.Reservation(), err == nil, err
}

// Reservation is the decision under which the bytes that the job may bill are reserved, or would
// be: that of the first request of its name.
func (r Record) Reservation() string { return cmp.Or(r.Reserved, r.Decision) }

// takesKey is written to see whether Redis takes what will have to be written.
const takesKey = "bqgate:takes"

var scriptTakes = redis.NewScript(`
-- Writes something, and takes it away. KEYS: 1 where.
redis.call('SET', KEYS[1], '1')
redis.call('DEL', KEYS[1])
return 'ok'`)

// Takes says whether Redis takes records now: it writes something, and takes it away.
func (s *Store) Takes(ctx context.Context) error {
	if err := scriptTakes.Run(ctx, s.redis, []string{takesKey}).Err(); err != nil {
		return fmt.Errorf("see whether Redis takes records: %w", err)
	}
	return nil
}

// Stand writes the provisional record of a job that is about to be asked for, once. It must return
// before the request leaves: where Redis takes no record now, no job is asked for, since nobody
// could be given its result. The zero Begun is an error.
func (s *Store) Stand(ctx context.Context, b Begun) error {
	name, r := b.name, b.Record
	if r.Mutation.Decision == "" {
		return errors.New("stand for job: it was not begun")
	}
	if name.kind == "" { // nobody can name it again; but its record will have to be written
		return s.Takes(ctx)
	}
	key := name.key(s, r)
	var note func(redis.Pipeliner)
	if name.kind == kindInsert {
		index := s.provisionalsKey(r.Owner, r.Job.ProjectID, r.Job.JobID)
		text, err := s.keys.Seal(index, key)
		if err != nil {
			return err
		}
		note = func(p redis.Pipeliner) {
			p.SAdd(ctx, index, text)
			p.Expire(ctx, index, Retention)
		}
	}
	if r.Job.JobID != "" { // before it runs: whoever is revoked now has it cancelled
		runs, err := s.noteRun(ctx, r)
		if err != nil {
			return err
		}
		other := note
		note = func(p redis.Pipeliner) {
			if runs(p); other != nil {
				other(p)
			}
		}
	}
	err := s.write(ctx, []once{{key, r, name.kept()}}, note)
	if !errors.Is(err, ErrExists) {
		return err
	}
	standing, err := s.provisional(ctx, key)
	switch {
	case err != nil:
		return err
	case standing.Decision != r.Decision:
		return ErrRace
	}
	return nil
}

// Weld puts the label of a decision into a mutation: the decision's id, and a MAC over it, the job
// and the body that is forwarded. Labels can be read by everybody who may list jobs, and written by
// everybody who may make them; this one is good for one request only (A48).
func (s *Store) Weld(op bigquery.Operation, m bigquery.Mutation, decision string) (bigquery.Mutation, error) {
	m.Decision = LabelValue(decision)
	encode := bigquery.Encode
	if m.JobID != "" {
		encode = bigquery.EncodeInsert
	}
	body, err := encode(op, m)
	if err != nil {
		return m, fmt.Errorf("encode the request to be labelled: %w", err)
	}
	sum := s.keys.MAC("label", decision, op.Job.ProjectID, m.JobID, op.Job.JobID, m.RequestID, string(body))
	m.Decision += "-" + hex.EncodeToString(sum[:16])
	return m, nil
}

// errIncomplete is a job of which BigQuery tells neither what it runs nor who runs it, as one that
// has just begun has been seen. It says nothing against the job.
var errIncomplete = errors.New("BigQuery does not tell yet what the job runs")

// Created reads a job that BigQuery was just asked to make, or said it made. It may not know the
// job at once, or not all of it, so that it is asked again.
func Created(ctx context.Context, w durable.Facts, upstream Upstream, ref bigquery.JobReference) (bigquery.Job, error) {
	unknown := func(err error) bool { return errors.Is(err, bigquery.ErrNotFound) || errors.Is(err, errIncomplete) }
	return bigquery.Again(ctx, unknown, func() (bigquery.Job, error) {
		job, err := upstream.GetJob(ctx, w, ref)
		if err == nil && job.State != "DONE" && job.SQL == "" && job.UserEmail == "" {
			err = fmt.Errorf("job %s: %w", ref.JobID, errIncomplete)
		}
		return job, err
	})
}

// ErrNotYet is ErrNotFound of a job that the owner has asked for: BigQuery may know it in a while.
var ErrNotYet = fmt.Errorf("BigQuery knows no job of this id, which was asked for: %w", ErrNotFound)

// Recover looks at BigQuery for a job that the owner asked for by jobs.insert and whose answer
// never came back, and adopts it under the decision that it was asked for with. It returns
// ErrNotFound where the owner has asked for no such job, ErrNotYet where BigQuery has none, and
// ErrMismatch beside ErrNotFound where BigQuery's job of this id is not the one that was asked for.
func (s *Store) Recover(
	ctx context.Context, ask durable.Ask, upstream Upstream, owner string, ref bigquery.JobReference,
) (Record, error) {
	asked, err := s.provisionals(ctx, owner, ref.ProjectID, ref.JobID)
	if err != nil || len(asked) == 0 {
		return Record{}, errors.Join(err, ErrNotFound)
	}
	if ref.Location == "" {
		ref.Location = asked[0].location()
	}
	w, err := ask.Facts(ctx)
	if err != nil {
		return Record{}, fmt.Errorf("look for job %s, whose answer was lost: %w", ref.JobID, err)
	}
	job, err := Created(ctx, w, upstream, ref)
	if errors.Is(err, bigquery.ErrNotFound) {
		return Record{}, ErrNotYet
	}
	if err != nil {
		return Record{}, fmt.Errorf("look for job %s, whose answer was lost: %w", ref.JobID, err)
	}
	for _, r := range asked {
		if r.Mutation.Decision != job.Labels[Label] {
			continue
		}
		r.Job.Location = job.Reference.Location
		record, err := s.Adopt(ctx, r, job)
		if errors.Is(err, ErrMismatch) {
			err = errors.Join(ErrNotFound, err)
		}
		return record, err
	}
	return Record{}, errors.Join(ErrNotFound, fmt.Errorf("%w: its label is of no request for this job", ErrMismatch))
}

// location is where the job was asked for, or where its tables are.
func (r Record) location() string {
	if r.Job.Location != "" {
		return r.Job.Location
	}
	return r.Located
}

// Kinds of names by which a client can send a request again.
const (
	kindQuery   = "query"   // jobs.query with a requestId
	kindInsert  = "insert"  // jobs.insert with a job id
	kindRelease = "release" // the gateway's own insert of an approved query
)

// name is how a request is recognised when it is sent again. The zero name recognises nothing.
type name struct{ kind, id, digest string }

// nameOf digests what the client asked for, without what does not change the job.
func nameOf(op bigquery.Operation, r Record) (name, error) {
	if op.Query == nil || r.Owner == "" || r.Job.ProjectID == "" || r.Decision == "" {
		return name{}, errors.New("owner, project, decision and query must be set")
	}
	n := name{}
	m := bigquery.Mutation{Decision: "d", JobID: r.Mutation.JobID}
	encode := bigquery.Encode
	switch {
	case m.JobID != "":
		n.kind, n.id, encode = kindRelease, r.Decision+"/"+m.JobID, bigquery.EncodeInsert
	case op.Method == bigquery.MethodQuery && op.Query.RequestID != "":
		n.kind, n.id, m.RequestID = kindQuery, op.Query.RequestID, "r"
		q := *op.Query
		q.TimeoutMs, q.MaxResults, q.Format = nil, nil, bigquery.FormatOptions{} // of the answer alone
		op.Query = &q
	case op.Method == bigquery.MethodInsert && op.Job.JobID != "":
		n.kind, n.id = kindInsert, op.Job.JobID
	default:
		return name{}, nil
	}
	body, err := encode(op, m)
	n.digest = Digest(string(body))
	return n, err
}

func (n name) key(s *Store, r Record) string {
	sum := s.keys.Name("provisional", r.Owner, r.Job.ProjectID, n.kind, n.id, n.digest)
	return "bqgate:provisional:" + hex.EncodeToString(sum[:])
}

// kept is how long the name is known again. A job id is good once, for ever.
func (n name) kept() time.Duration {
	if n.kind == kindQuery {
		return Window
	}
	return Retention
}

func (s *Store) provisionalsKey(owner, project, jobID string) string {
	sum := s.keys.Name("provisionals", owner, project, jobID)
	return "bqgate:provisionals:" + hex.EncodeToString(sum[:])
}

// provisional reads one provisional record.
func (s *Store) provisional(ctx context.Context, key string) (r Record, err error) {
	if err := s.open(ctx, key, &r); err != nil {
		return Record{}, fmt.Errorf("provisional record: %w", err)
	}
	return r, nil
}

// provisionalsRead is more than a client asks for one job id with.
const provisionalsRead = 200

// provisionals reads those of a job id. What is planted is passed over.
func (s *Store) provisionals(ctx context.Context, owner, project, jobID string) ([]Record, error) {
	index := s.provisionalsKey(owner, project, jobID)
	texts, err := s.redis.SRandMemberN(ctx, index, provisionalsRead).Result()
	if err != nil && !wrongType(err) {
		return nil, fmt.Errorf("list provisional records: %w", err)
	}
	var all []Record
	for _, text := range texts {
		var key string
		if s.keys.Open(index, text, &key) != nil || !strings.HasPrefix(key, "bqgate:provisional:") {
			continue
		}
		r, err := s.provisional(ctx, key)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return nil, err
		case r.Owner == owner && r.Job.ProjectID == project && r.Job.JobID == jobID:
			all = append(all, r)
		}
	}
	return all, nil
}
