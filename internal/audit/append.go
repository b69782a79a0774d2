package audit

import (
	"context"
	"errors"
	"fmt"
)

// entry is what waits for the disk: the records of one call, which stand in a row in one file.
type entry struct {
	texts    [][]byte
	size     int64  // of the texts
	file     string // in which it must stand, "" for any: it refers to what stands there
	position Position
	err      error
	durable  chan struct{} // closed when position or err is set
}

// Append puts a record into the journal and returns when it is on the disk. A record without a time
// gets the present one. An error means that the caller must not go on with what the record
// announces; with ctx's error the record may yet get there. ErrMoved and a NoRoomError are of this
// record alone, as is an error of a record that is itself at fault; with any other the journal is
// at its end.
func (j *Journal) Append(ctx context.Context, r Record) (Position, error) {
	return j.AppendAll(ctx, r)
}

// AppendAll is Append of records that stand in this order, one behind the other, and become durable
// by one wait for the disk. It returns where the last one stands. After an error none, some or all
// of them are in the journal, in order.
func (j *Journal) AppendAll(ctx context.Context, records ...Record) (Position, error) {
	if len(records) == 0 {
		return Position{}, errors.New("append to audit journal: no record")
	}
	last := records[len(records)-1]
	if err := ctx.Err(); err != nil {
		return Position{}, fmt.Errorf("append %s record: %w", last.kind(), err)
	}
	if err := j.Err(); err != nil {
		return Position{}, err
	}
	if begins(records[0]) {
		if err := j.refusing(); err != nil {
			return Position{}, fmt.Errorf("append %s record: %w", last.kind(), err)
		}
	}
	e := &entry{durable: make(chan struct{})}
	for _, r := range records {
		text, err := encode(r.stamp(j.options.now()))
		if err != nil {
			return Position{}, err
		}
		if f, ok := r.(Frame); ok && f.Same != nil {
			e.file = f.Same.File
		}
		e.texts = append(e.texts, text)
		e.size += int64(len(text))
	}
	if err := j.room.Acquire(ctx, e.size); err != nil {
		return Position{}, fmt.Errorf("append %s record: %w", last.kind(), err)
	}
	if err := j.enqueue(e); err != nil {
		j.room.Release(e.size)
		return Position{}, err
	}
	select {
	case <-e.durable:
		return e.position, e.err
	case <-ctx.Done():
		return Position{}, fmt.Errorf("append %s record: %w", last.kind(), ctx.Err())
	}
}

func (j *Journal) enqueue(e *entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.err != nil:
		return j.err
	case j.closed:
		return ErrClosed
	}
	j.queue = append(j.queue, e)
	j.signal()
	return nil
}

func (j *Journal) signal() {
	select {
	case j.wake <- struct{}{}:
	default: // the writer has yet to see an earlier signal, and takes the whole queue then
	}
}
