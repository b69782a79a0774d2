package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// Room on the disk is watched, so that what has begun can be recorded to its end: below the reserve
// nothing new begins, and what has begun goes on. It ends by itself when there is room.

// What can be under way at once, and must find room: 64 answers of 32 MiB. BigQuery ends a page of
// rows at 10 MB, by https://cloud.google.com/bigquery/quotas#query_jobs.
const (
	answersAtOnce = 64
	answerRoom    = 32 << 20
	// inodesKept is of a disk that counts files.
	inodesKept = 64
)

// DefaultReserve is what is kept free on a disk of so many bytes: room for 64 answers of 32 MiB,
// and an eighth of the disk where that is less.
func DefaultReserve(total int64) int64 { return min(answersAtOnce*answerRoom, total/8) }

// Free is what a disk has.
type Free struct {
	Bytes, Total int64 // for who is not root
	Files        int64 // that may still be made; -1 where nobody counts them
}

// NoRoomError says that the disk has less than must be free before anything begins. It is of what
// was to begin alone: the journal goes on.
type NoRoomError struct {
	Folder        string
	Free, Reserve int64 // in bytes
	Files         int64 // that may still be made, -1 where that does not matter
}

// Error names the folder, what it has and what it needs.
func (e *NoRoomError) Error() string {
	if e.Files >= 0 {
		return fmt.Sprintf("the disk of %s has room for %d more files, and nothing new begins below %d", e.Folder, e.Files, inodesKept)
	}
	return fmt.Sprintf("the disk of %s has %s free, and nothing new begins below %s (audit.reserve)", e.Folder, mebibytes(e.Free),
		mebibytes(e.Reserve))
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// roomIn says why nothing may begin with what a disk has, nil where it may. Once there was no room,
// there must be an eighth more of the reserve before there is, so that it does not come and go.
func (f Free) roomFor(folder string, reserve int64, was bool) error {
	if reserve <= 0 {
		reserve = DefaultReserve(f.Total)
	}
	if was {
		reserve += reserve / 8
	}
	switch {
	case f.Files >= 0 && f.Files < inodesKept:
		return &NoRoomError{Folder: folder, Free: f.Bytes, Reserve: reserve, Files: f.Files}
	case f.Bytes < reserve:
		return &NoRoomError{Folder: folder, Free: f.Bytes, Reserve: reserve, Files: -1}
	}
	return nil
}

// AwaitRoom returns when a journal may be opened in DIR: when there is as much room as it wants
// before anything begins. Else it tells why it waits, at once and once a minute, and looks again
// each second.
func AwaitRoom(ctx context.Context, dir string, reserve int64, told func(error)) error {
	path := existing(filepath.Join(dir, folder))
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; ; n++ {
		free, err := freeOn(path)
		if err != nil {
			return fmt.Errorf("look for room on the disk of the audit journal: %w", err)
		}
		full := free.roomFor(path, reserve, n > 0)
		if full == nil {
			return nil
		}
		if n%60 == 0 {
			told(full)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for room on the disk of the audit journal: %w", ctx.Err())
		}
	}
}

// begins says whether a record announces something new. What was begun before is recorded as long
// as there is any room.
func begins(r Record) bool {
	switch r := r.(type) {
	case Asked, Decision:
		return true
	case Approval:
		return r.Kind == ApprovalRequested
	case Session:
		return r.Event == SessionCreated
	case Budget:
		return r.Event == BudgetReserved
	default:
		return false
	}
}

const (
	measureEvery = 500 * time.Millisecond
	lookEvery    = 250 * time.Millisecond
	// frozenAfter is how long the disk may take for a write before it counts as frozen.
	frozenAfter = 2 * time.Second
)

// disk is what the watch knows.
type disk struct {
	written  atomic.Int64 // since the journal was opened
	measured atomic.Pointer[measure]
	full     atomic.Bool
}

type measure struct {
	Free
	written int64 // when it was taken
}

// FrozenError says that the disk has not answered for a while. Whoever waits for it has a deadline;
// it is gone as soon as the disk answers.
type FrozenError struct {
	Folder string
	For    time.Duration
}

// Error names the folder and how long it has been.
func (e *FrozenError) Error() string {
	return fmt.Sprintf("the disk of %s has not answered for %s", e.Folder, e.For.Round(time.Second))
}

// refusing says why nothing new may begin, nil where it may.
func (j *Journal) refusing() error {
	if err := j.frozen(); err != nil {
		return err
	}
	return j.roomLeft()
}

func (j *Journal) frozen() error {
	if since := j.busy.Load(); since != 0 {
		if d := j.options.now().Sub(time.Unix(0, since)); d > frozenAfter {
			return &FrozenError{j.dir, d}
		}
	}
	return nil
}

// roomLeft goes by the last measure, less what was written since.
func (j *Journal) roomLeft() error {
	m := j.disk.measured.Load()
	if m == nil { // it could not be measured yet
		return nil
	}
	free := m.Free
	free.Bytes -= j.disk.written.Load() - m.written
	return free.roomFor(j.dir, j.options.Reserve, j.disk.full.Load())
}

// Room is how many bytes may be written before nothing new begins: what is free on the disk above
// the reserve, negative where it is below.
func (j *Journal) Room() int64 {
	m := j.disk.measured.Load()
	if m == nil {
		return 0
	}
	reserve := j.options.Reserve
	if reserve <= 0 {
		reserve = DefaultReserve(m.Total)
	}
	return m.Bytes - (j.disk.written.Load() - m.written) - reserve
}

// measure looks how much room there is, and whether the file that is written is still there.
func (j *Journal) measure() {
	if _, err := os.Lstat(j.path.Load().(string)); errors.Is(err, fs.ErrNotExist) {
		j.gone.Store(true)
	}
	written := j.disk.written.Load()
	free, err := j.options.free(j.dir)
	if err != nil { // the next write will tell what is wrong
		return
	}
	j.disk.measured.Store(&measure{free, written})
	j.disk.full.Store(j.roomLeft() != nil)
}

// watch measures the disk, and tells of it, until the writer has ended. A disk that is frozen may
// hold whoever measures it: the other one still tells.
func (j *Journal) watch() {
	j.measure()
	go j.every(measureEvery, j.measure)
	room, writes := j.options.Room, j.options.Writes
	var full, stuck bool
	look := func() {
		tell(room, &full, j.roomLeft())
		tell(writes, &stuck, j.frozen())
	}
	look()
	go func() {
		j.every(lookEvery, look)
		if err := j.Err(); err != nil && writes != nil {
			writes(err)
		}
	}()
}

// tell tells of a fault while it lasts, and of its end.
func tell(to func(error), was *bool, err error) {
	if to != nil && (err != nil || *was) {
		to(err)
	}
	*was = err != nil
}

// every does something at intervals until the writer has ended.
func (j *Journal) every(interval time.Duration, do func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			do()
		case <-j.done:
			return
		}
	}
}
