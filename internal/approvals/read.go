package approvals

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/sealed"
)

// idPattern is "r-" and a ULID.
var idPattern = regexp.MustCompile(`^r-[0-9A-HJKMNP-TV-Z]{26}$`)

// ValidID says whether a text can be the id of a request.
func ValidID(id string) bool { return idPattern.MatchString(id) }

// Get returns a request. Whether its reader may see it, the caller asks of Request.VisibleTo.
func (s *Store) Get(ctx context.Context, id string) (Request, error) {
	r, now, err := s.read(ctx, id)
	if err != nil {
		return Request{}, err
	}
	return s.view(r, now), nil
}

// ByJob returns the request that holds a job, and what is held. The project and the job id are the
// client's; an empty location means any. Jobs of other owners do not exist. A request answers here
// also after it has been decided or used, until its retention ends.
func (s *Store) ByJob(ctx context.Context, owner, project, location, jobID string) (Request, Held, error) {
	return s.WaitByJob(ctx, owner, project, location, jobID, 0)
}

// WaitByJob is ByJob for a long poll: it returns as soon as the request is decided or ended, or as
// it stands after most. While an approved query is being submitted it waits for how that ends.
// Above the cap on long polls, and after Close, it returns at once.
func (s *Store) WaitByJob(ctx context.Context, owner, project, location, jobID string, most time.Duration) (Request, Held, error) {
	found, err := s.lookup(ctx, "", []string{s.jobKey(owner, project, jobID)})
	if err != nil {
		return Request{}, Held{}, err
	}
	r, now, err := s.wait(ctx, found.index[0], most, func(r record) error {
		job := r.Held.Job
		if r.Held.Subject.Owner != owner || job.ProjectID != project || job.JobID != jobID {
			return s.tampered(r.ID, "the index of jobs points to a job of someone else")
		}
		if location != "" && job.Location != "" && !strings.EqualFold(location, job.Location) {
			return ErrNotFound
		}
		return nil
	})
	if err != nil {
		return Request{}, Held{}, err
	}
	return s.view(r, now), r.Held, nil
}

// read returns one record and Redis's time.
func (s *Store) read(ctx context.Context, id string) (record, time.Time, error) {
	if !ValidID(id) {
		return record{}, time.Time{}, ErrNotFound
	}
	for range readAgain {
		mark := s.seen.get(id)
		values, now, err := s.fetch(ctx, []string{id})
		if err != nil {
			return record{}, time.Time{}, err
		}
		r, err := s.verify(id, values[0], mark)
		if !errors.Is(err, errMoved) {
			return r, now, err
		}
	}
	return record{}, time.Time{}, ErrBusy
}

// readAgain is how often a record is read that others change at the same moment.
const readAgain = 20

// readAll returns the records of those ids that have a good one.
func (s *Store) readAll(ctx context.Context, ids []string) ([]record, time.Time, error) {
	marks := make([]int64, len(ids))
	for i, id := range ids {
		marks[i] = s.seen.get(id)
	}
	values, now, err := s.fetch(ctx, ids)
	if err != nil {
		return nil, time.Time{}, err
	}
	var records []record
	for i, id := range ids {
		r, err := s.verify(id, values[i], marks[i])
		if errors.Is(err, errMoved) {
			r, _, err = s.read(ctx, id)
		}
		if errors.Is(err, ErrNotFound) { // gone meanwhile; or tampered with, and logged
			continue
		}
		if err != nil {
			return nil, time.Time{}, err
		}
		records = append(records, r)
	}
	return records, now, nil
}

func (s *Store) fetch(ctx context.Context, ids []string) ([]any, time.Time, error) {
	keys := make([]string, 1+len(ids))
	keys[0] = keyHead
	for i, id := range ids {
		keys[1+i] = requestKey(id)
	}
	before := s.ledger.sure()
	v, err := s.run(ctx, scriptRead, keys)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("read requests %s: %w", strings.Join(ids, " "), err)
	}
	values, err := reply{"read", v}.list(2 + len(ids))
	if err != nil {
		return nil, time.Time{}, err
	}
	if err := s.ledger.saw(ctx, before, values[1]); err != nil {
		return nil, time.Time{}, err
	}
	now, err := instant(values[0])
	return values[2:], now, err
}

// errMoved says that the request was changed while it was read.
var errMoved = errors.New("the request was changed while it was read")

// verify believes a stored entry only if the gateway sealed it, for this id, at the state and
// version that stand beside it, and if that is the version that the ledger tells of. mark is the
// version that was known before the entry was read: all that was told by then has been learnt
// since.
func (s *Store) verify(id string, v any, mark int64) (record, error) {
	fields, ok := v.([]any)
	if !ok || len(fields) != 3 {
		return record{}, fmt.Errorf("read request %s: Redis answered %T", id, v)
	}
	if fields[0] == nil && fields[1] == nil && fields[2] == nil {
		return record{}, ErrNotFound
	}
	state, _ := fields[0].(string)
	version, _ := fields[1].(string)
	text, _ := fields[2].(string)
	r, err := s.unseal(id, text)
	switch {
	case errors.Is(err, sealed.ErrForged):
		return record{}, s.tampered(id, "it "+sealed.Found(err))
	case errors.Is(err, masking.ErrVersion):
		s.log.Error("stored request for approval is of another version of bqgate; it is treated as not there", "request", id, "error", err)
		return record{}, ErrTampered
	case err != nil:
		return record{}, s.tampered(id, err.Error())
	case string(r.State) != state:
		return record{}, s.tampered(id, fmt.Sprintf("its plain state is %.20q, the sealed one %q", state, r.State))
	case strconv.FormatInt(r.Version, 10) != version:
		return record{}, s.tampered(id, fmt.Sprintf("its plain version is %.20q, the sealed one %d", version, r.Version))
	}
	switch now := s.seen.get(id); {
	case r.Version < mark:
		return record{}, s.tampered(id, fmt.Sprintf("it is at version %d, but version %d has been seen", r.Version, mark))
	case r.Version < now:
		return record{}, errMoved
	case r.Version > now:
		return record{}, s.tampered(id, fmt.Sprintf("it is at version %d, of which no replica tells", r.Version))
	}
	return r, nil
}

func (s *Store) tampered(id, why string) error {
	s.log.Error("stored request for approval was tampered with; it is treated as not there", "request", id, "why", why)
	return ErrTampered
}

// found is what indexes point to. All of it is hints.
type found struct {
	index  []string // an id, or "", for each index entry
	grants []string // ids under the statement
	now    time.Time
}

func (s *Store) lookup(ctx context.Context, statement string, index []string) (found, error) {
	before := s.ledger.sure()
	v, err := s.run(ctx, scriptLookup, append([]string{keyHead, s.digestKey(statement)}, index...))
	if err != nil {
		return found{}, fmt.Errorf("look up held jobs: %w", err)
	}
	values, err := reply{"lookup", v}.list(3 + len(index))
	if err != nil {
		return found{}, err
	}
	if err := s.ledger.saw(ctx, before, values[1]); err != nil {
		return found{}, err
	}
	out := found{index: make([]string, len(index))}
	if out.now, err = instant(values[0]); err != nil {
		return found{}, err
	}
	grants, _ := values[2].([]any)
	for _, v := range grants {
		if id, ok := v.(string); ok && ValidID(id) {
			out.grants = append(out.grants, id)
		}
	}
	for i := range index {
		out.index[i], _ = values[3+i].(string)
	}
	return out, nil
}
