// Package audittest has what tests of those who write the audit journal need.
package audittest

import (
	"context"
	"slices"
	"sync"

	"github.com/bqgate/bqgate/internal/audit"
)

// Journal keeps records in memory. Its zero value is ready.
type Journal struct {
	// Refuse, where it is set, sees each record first, and may wait: the record is kept only where
	// it returns no error. It must not be changed while records are written.
	Refuse func(ctx context.Context, r audit.Record) error

	mu      sync.Mutex
	records []audit.Record
}

// Broken refuses every record with an error.
func Broken(err error) func(context.Context, audit.Record) error {
	return func(context.Context, audit.Record) error { return err }
}

// Append keeps a record as audit.Journal does: what the caller changes afterwards does not change
// it.
func (j *Journal) Append(ctx context.Context, r audit.Record) (audit.Position, error) {
	if j.Refuse != nil {
		if err := j.Refuse(ctx, r); err != nil {
			return audit.Position{}, err
		}
	}
	if f, ok := r.(audit.Frame); ok {
		f.Bytes = slices.Clone(f.Bytes)
		r = f
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.records = append(j.records, r)
	return audit.Position{File: "memory", Seq: uint64(len(j.records) - 1)}, nil
}

// AppendAll keeps records in this order, up to the first that is refused.
func (j *Journal) AppendAll(ctx context.Context, records ...audit.Record) (p audit.Position, err error) {
	for _, r := range records {
		if p, err = j.Append(ctx, r); err != nil {
			break
		}
	}
	return p, err
}

// Records are those that were kept.
func (j *Journal) Records() []audit.Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.records)
}
