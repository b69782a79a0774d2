// Package jobs welds a masking plan to a BigQuery job.
//
// A result page often carries no schema, a job id is chosen by the client, and BigQuery hands the
// same result table to everybody who asks the same question. So what a reader may see is never
// taken from a response: it is taken from the job's Record, which the gateway writes once, for one
// owner, after its own jobs.get has shown that the job is the one that was decided on (attacks A5,
// A6, A19). Rows additionally need a Verification: the finished job must have read exactly the
// tables that the analysis named (A8).
//
// Records live in Redis, sealed: a planted, altered or copied record opens nothing (A11), a lost
// one makes its job unreadable.
package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/cache"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/policies"
)

// Retention is how long a record is kept: BigQuery keeps an anonymous result table for about 24
// hours.
const Retention = 26 * time.Hour

// Label is the job label that carries the id of the decision a job was created under, or of the
// request whose approval released it.
const Label = bigquery.DecisionLabel

var (
	// ErrNotFound is returned for a job that this owner has no record of, whoever else may have
	// one.
	ErrNotFound = errors.New("no record of this job for this owner")
	// ErrVersion is returned for a record of this owner's that another version of bqgate has
	// written: its plan (masking.ErrVersion) or the transforms of its text (policies.ErrTransform)
	// are not known here, so that nobody can say what may be shown.
	ErrVersion = errors.New("the record was written by another version of bqgate")
	// ErrExists is returned by Create when the owner already has a record under this project and
	// job id.
	ErrExists = errors.New("a record of this job exists already")
)

// Record is what the gateway knows about a job it let through. It is written once and never
// changed.
type Record struct {
	Job      bigquery.JobReference `json:"job"`
	Owner    string                `json:"owner"`
	Issued   time.Time             `json:"issued,omitzero"` // the identity token's iat that it was asked with
	Decision string                `json:"decision"`        // id of the decision; the job's label Label carries it

	Query     bigquery.QueryRequest `json:"query"`      // as the client asked; its SQL is shown wherever the job's SQL is shown
	SQLDigest string                `json:"sql_digest"` // hex SHA-256 of the text that was forwarded
	Analysis  googlesql.Analysis    `json:"analysis"`   // for deciding again at every read
	// Mutation is what was changed in the request on its way: with Query it gives the forwarded
	// one.
	Mutation bigquery.Mutation `json:"mutation"`
	Located  string            `json:"located,omitempty"` // where its tables are, as far as is known
	// Transformed is set where the forwarded text is not the client's: which transforms stand in
	// it, and the proof that they hide what they must.
	Transformed *policies.Transformed `json:"transformed,omitempty"`
	Named       []string              `json:"named,omitempty"` // what the text itself names: googlesql.Statement.Named
	Tables      []string              `json:"tables"`          // tables and views that the run may have read, sorted
	Reads       Reads                 `json:"reads"`
	// RowAccess is what was known of the tables when the query ran. Those that the policy named are
	// not in it.
	RowAccess map[string]bigquery.RowAccess `json:"row_access,omitempty"`
	Plan      masking.Plan                  `json:"plan"`
	Masked    []string                      `json:"masked,omitempty"` // sensitive columns that the plan shows masked
	// Salt keys RANDOM_HASH in the answers of this job: random, and the same for all its pages.
	Salt []byte `json:"salt,omitempty"`

	MaxRows        int64 `json:"max_rows,omitempty"`         // rows that the result may have; 0 for no limit
	MaxResultBytes int64 `json:"max_result_bytes,omitempty"` // bytes of it that may be read; 0 for no limit

	// Reserved is the decision under which the bytes that it may bill were taken from budgets; ""
	// where nothing was.
	Reserved string `json:"reserved,omitempty"`

	Credential string `json:"credential"` // account the job runs under; reads use the same one
	Principal  string `json:"principal"`  // whom Google knew it as
	// Requester is as whom a federated account ran it: what stops the job needs it.
	Requester identity.Requester `json:"requester,omitzero"`
	Approval  string             `json:"approval,omitempty"` // id of the approved request, when the run needed one
	Votes     approvals.Votes    `json:"votes,omitempty"`    // of those who approved it
	Estimate  *int64             `json:"estimate,omitempty"` // bytes, when a dry run was made
	// Grant is the id of the request whose approval it ran on: Approval, or an earlier one.
	Grant string `json:"grant,omitempty"`
	// Cap is the maximumBytesBilled that the job runs under, for the words of a job that fails for
	// it.
	Cap bigquery.BytesCap `json:"cap,omitzero"`
	// SizeUnknown says that the dry run could not tell: policies.Estimate.
	SizeUnknown bool      `json:"size_unknown,omitempty"`
	Created     time.Time `json:"created"`
}

// Verification is the result of comparing the finished job with its record. It is written once.
type Verification struct {
	Broken      string           `json:"broken,omitempty"` // why no row of this job may ever be released; "" when it agreed
	Destination bigquery.TableID `json:"destination"`      // the anonymous result table
	At          time.Time        `json:"at"`
}

// Digest is the hex SHA-256 of a text.
func Digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Store keeps records in Redis.
type Store struct {
	// Checks say what becomes of finished jobs that cannot be compared. Set them before use.
	Checks Checks

	redis  redis.UniversalClient
	keys   *sealed.Keyring
	states *cache.Cache[bigquery.JobReference, State]
}

// NewStore makes a Store.
func NewStore(client redis.UniversalClient, keys *sealed.Keyring) *Store {
	return &Store{redis: client, keys: keys, states: newStates()}
}

// Create writes the record, once. It returns ErrExists when the owner already has one for the
// project and job id.
func (s *Store) Create(ctx context.Context, r Record) error {
	if r.Owner == "" || r.Job.ProjectID == "" || r.Job.JobID == "" || r.Decision == "" {
		return fmt.Errorf("record of job %q: owner, project, job id and decision must be set", r.Job.JobID)
	}
	key := s.key(r.Owner, r.Job.ProjectID, r.Job.JobID)
	note, err := s.note(ctx, r.Owner, r.Job, r.Created)
	if err != nil {
		return err
	}
	runs, err := s.noteRun(ctx, r)
	if err != nil {
		return err
	}
	return s.putOnce(ctx, key, r, func(p redis.Pipeliner) { note(p); runs(p) })
}

// Get returns the owner's record of a job, and its verification where there is one.
func (s *Store) Get(ctx context.Context, owner, project, jobID string) (Record, *Verification, error) {
	key := s.key(owner, project, jobID)
	texts, err := s.read(ctx, key, key+":verified")
	if err != nil {
		return Record{}, nil, fmt.Errorf("read record of job %s: %w", jobID, err)
	}
	var r Record
	if err := s.unseal(key, texts[0], &r); err != nil {
		return Record{}, nil, fmt.Errorf("record of job %s: %w", jobID, err)
	}
	if r.Owner != owner || r.Job.ProjectID != project || r.Job.JobID != jobID {
		return Record{}, nil, fmt.Errorf("record of job %s: %w", jobID, errors.Join(ErrNotFound, sealed.ErrForged))
	}
	var v Verification
	switch err := s.unseal(key+":verified", texts[1], &v); {
	case err == nil:
		return r, &v, nil
	case errors.Is(err, ErrNotFound): // or planted: it is compared again
		return r, nil, nil
	default:
		return Record{}, nil, fmt.Errorf("verification of job %s: %w", jobID, err)
	}
}

// Verify writes the verification, once, and returns the one that stands.
func (s *Store) Verify(ctx context.Context, r Record, v Verification) (Verification, error) {
	key := s.key(r.Owner, r.Job.ProjectID, r.Job.JobID)
	err := s.write(ctx, append([]once{{key + ":verified", v, Retention}}, s.destination(r, v)...), s.noteDone(ctx, r))
	if !errors.Is(err, ErrExists) {
		return v, err
	}
	_, standing, err := s.Get(ctx, r.Owner, r.Job.ProjectID, r.Job.JobID)
	if err != nil {
		return Verification{}, err
	}
	if standing == nil {
		return Verification{}, fmt.Errorf("verification of job %s: %w", r.Job.JobID, ErrNotFound)
	}
	return *standing, nil
}

// putOnce writes a value that is not there yet, and what is noted beside it.
func (s *Store) putOnce(ctx context.Context, key string, v any, note func(redis.Pipeliner)) error {
	return s.write(ctx, []once{{key, v, Retention}}, note)
}

// key hides who owns which job from readers of Redis and keeps one owner's ids apart from every
// other's.
func (s *Store) key(owner, project, jobID string) string {
	sum := s.keys.Name("job", owner, project, jobID)
	return "bqgate:job:" + hex.EncodeToString(sum[:])
}
