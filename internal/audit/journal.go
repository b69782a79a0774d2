package audit

import (
	"context"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"
)

const (
	folder    = "journal" // below the audit folder
	extension = ".bqj"

	defaultMaxFile = 1 << 30
	maxQueued      = 64 << 20 // bytes of records that wait for the disk; whoever brings more waits too
	keepBuffer     = 4 << 20
)

// ErrClosed is returned by Append after Close.
var ErrClosed = errors.New("audit journal is closed")

// Options of a journal. The zero value is fit for use.
type Options struct {
	MaxFile int64 // size in bytes at which a new file is begun; 0 for 1 GiB

	create func(path string) (file, error) // for tests: a disk that fails
	now    func() time.Time
}

// file is what a journal needs of *os.File.
type file interface {
	Write(p []byte) (int, error)
	Datasync() error
	Close() error
}

// Position is where a record stands.
type Position struct {
	File string // base name
	Seq  uint64 // number of the record in its file, from 0
	Hash Hash   // the chain up to and with the record
}

// Journal is the append-only journal of this process. It is made by Open and used by many
// goroutines.
type Journal struct {
	dir     string
	key     *Key
	options Options
	room    *semaphore.Weighted

	mu     sync.Mutex
	queue  []*entry
	err    error // final, once set
	closed bool
	wake   chan struct{} // of capacity 1: the queue is not empty, or closed is set
	done   chan struct{} // closed when the writer has ended

	// Owned by the writer.
	file file
	name string
	size int64
	id   [16]byte // of the file
	aead cipher.AEAD
	chain
	buf []byte
}

// entry is a record that waits for the disk.
type entry struct {
	text     []byte
	position Position
	err      error
	durable  chan struct{} // closed when position or err is set
}

// Open begins a journal file in DIR/journal, which it makes if need be. The folder must be its
// owner's alone.
func Open(dir string, key *Key, options Options) (*Journal, error) {
	if key == nil || len(key.secret) != keySize {
		return nil, errors.New("open audit journal: no key")
	}
	if options.MaxFile <= 0 {
		options.MaxFile = defaultMaxFile
	}
	if options.create == nil {
		options.create = createFile
	}
	if options.now == nil {
		options.now = time.Now
	}
	path := filepath.Join(dir, folder)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("open audit journal: %w", err)
	}
	if err := checkMode(path); err != nil {
		return nil, fmt.Errorf("open audit journal: %w", err)
	}
	j := &Journal{
		dir: path, key: key, options: options, room: semaphore.NewWeighted(maxQueued),
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	earlier, err := survey(dir)
	if err != nil {
		return nil, fmt.Errorf("open audit journal: %w", err)
	}
	told, err := earlier.frames()
	if err != nil {
		return nil, fmt.Errorf("open audit journal: %w", err)
	}
	if err := j.begin(told...); err != nil {
		return nil, fmt.Errorf("open audit journal: %w", err)
	}
	go j.write()
	return j, nil
}

// CheckFolder says whether Open would take an audit folder as it is, and changes nothing. A folder
// that is not there is fine where it can be made.
func CheckFolder(dir string) error {
	path := filepath.Join(dir, folder)
	for {
		info, err := os.Stat(path)
		switch {
		case (errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)) && filepath.Dir(path) != path:
			path = filepath.Dir(path)
			continue
		case err != nil:
			return fmt.Errorf("audit journal: %w", err)
		case !info.IsDir():
			return fmt.Errorf("audit journal: %s is not a folder", path)
		}
		break
	}
	if err := unix.Access(path, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("audit journal: %s cannot be written to: %w", path, err)
	}
	if filepath.Base(path) != folder {
		return nil
	}
	if err := checkMode(path); err != nil {
		return fmt.Errorf("audit journal: %w", err)
	}
	return nil
}

func checkMode(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s is open to others (mode %o, want 700)", path, info.Mode().Perm())
	}
	return nil
}

// Append puts a record into the journal and returns when it is on the disk. A record without a time
// gets the present one. An error means that the caller must not go on with what the record
// announces; with ctx's error the record may yet get there, with any other the journal is at its
// end unless the record itself was at fault.
func (j *Journal) Append(ctx context.Context, r Record) (Position, error) {
	return j.AppendAll(ctx, r)
}

// AppendAll is Append of records that stand in this order, and become durable by one wait for the
// disk. It returns where the last one stands. After an error none, some or all of them are in the
// journal, in order.
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
	entries := make([]*entry, len(records))
	var size int64
	for i, r := range records {
		text, err := encode(r.stamp(j.options.now()))
		if err != nil {
			return Position{}, err
		}
		entries[i] = &entry{text: text, durable: make(chan struct{})}
		size += int64(len(text))
	}
	if err := j.room.Acquire(ctx, size); err != nil {
		return Position{}, fmt.Errorf("append %s record: %w", last.kind(), err)
	}
	if err := j.enqueue(entries); err != nil {
		j.room.Release(size)
		return Position{}, err
	}
	end := entries[len(entries)-1] // of one batch with the others, which fails or succeeds as one
	select {
	case <-end.durable:
		return end.position, end.err
	case <-ctx.Done():
		return Position{}, fmt.Errorf("append %s record: %w", last.kind(), ctx.Err())
	}
}

func (j *Journal) enqueue(entries []*entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.err != nil:
		return j.err
	case j.closed:
		return ErrClosed
	}
	j.queue = append(j.queue, entries...)
	j.signal()
	return nil
}

func (j *Journal) signal() {
	select {
	case j.wake <- struct{}{}:
	default: // the writer has yet to see an earlier signal, and takes the whole queue then
	}
}

// Err is the failure after which the journal refuses everything, nil while it works.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// Close writes what waits, ends the file in order and waits for it. After a failure it returns that
// failure.
func (j *Journal) Close() error {
	j.mu.Lock()
	j.closed = true
	j.signal()
	j.mu.Unlock()
	<-j.done
	return j.Err()
}

// write is the one goroutine that touches the file. It takes all that waits, writes it, syncs once
// and tells everyone.
func (j *Journal) write() {
	defer close(j.done)
	for range j.wake {
		j.mu.Lock()
		batch, closed := j.queue, j.closed
		j.queue = nil
		j.mu.Unlock()

		err := j.commit(batch)
		if err == nil && closed {
			err = j.end()
		}
		if err != nil {
			j.fail(err)
		}
		for _, e := range batch {
			if err != nil {
				e.position, e.err = Position{}, j.Err()
			}
			j.room.Release(int64(len(e.text)))
			close(e.durable)
		}
		if err != nil || closed {
			return
		}
	}
}

// fail makes the failure final and tells those who came in the meantime. What a write or sync that
// failed has left on the disk is not known, and a second fdatasync may claim success for pages that
// were dropped by the first: so nothing is tried again.
func (j *Journal) fail(err error) {
	j.mu.Lock()
	j.err = fmt.Errorf("audit journal %s has failed: %w", j.name, err)
	waiting := j.queue
	j.queue = nil
	j.mu.Unlock()
	for _, e := range waiting {
		e.err = j.err
		j.room.Release(int64(len(e.text)))
		close(e.durable)
	}
	if j.file != nil {
		_ = j.file.Close() // the journal has failed already; what closing says adds nothing
	}
}

// commit makes a batch durable.
func (j *Journal) commit(batch []*entry) error {
	for _, e := range batch {
		if j.size+int64(len(j.buf)) >= j.options.MaxFile {
			if err := j.flush(); err != nil {
				return err
			}
			if err := j.rotate(); err != nil {
				return err
			}
		}
		seq := j.next
		j.buf = j.appendFrame(j.buf, j.id, j.aead, e.text)
		e.position = Position{File: j.name, Seq: seq, Hash: j.last}
	}
	return j.flush()
}

// flush writes and syncs what has been gathered.
func (j *Journal) flush() error {
	if len(j.buf) == 0 {
		return nil
	}
	n, err := j.file.Write(j.buf)
	if err != nil {
		return err
	}
	if n != len(j.buf) {
		return fmt.Errorf("wrote %d of %d bytes", n, len(j.buf))
	}
	if err := j.file.Datasync(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	j.size += int64(n)
	if j.buf = j.buf[:0]; cap(j.buf) > keepBuffer {
		j.buf = nil
	}
	return nil
}

// begin makes the next file and its header durable, name included, and what the process found of
// earlier ones.
func (j *Journal) begin(told ...[]byte) error {
	now := j.options.now().UTC()
	h, err := newHeader(j.key, j.last, now)
	if err != nil {
		return err
	}
	if j.aead, err = j.key.cipher(h.id); err != nil {
		return fmt.Errorf("derive key of journal file: %w", err)
	}
	j.name = fmt.Sprintf("%s-%d-%x%s", now.Format("20060102T150405.000000000Z"), os.Getpid(), h.id[:6], extension)
	if j.file, err = j.options.create(filepath.Join(j.dir, j.name)); err != nil {
		return err
	}
	j.size, j.buf = 0, append(j.buf[:0], h.bytes()...)
	j.id, j.chain = h.id, chain{last: link(Hash{}, nil, j.buf)}
	for _, text := range told {
		j.buf = j.appendClear(j.buf, j.id, j.aead, frameFound, text)
	}
	if err := j.flush(); err != nil {
		return errors.Join(err, j.file.Close())
	}
	return syncFolder(j.dir)
}

// end writes the last frame of a file and closes it.
func (j *Journal) end() error {
	text := binary.BigEndian.AppendUint64(nil, uint64(j.options.now().UnixNano()))
	j.buf = j.appendClear(j.buf, j.id, j.aead, frameEnd, text)
	if err := j.flush(); err != nil {
		return err
	}
	err := j.file.Close()
	j.file = nil
	return err
}

func (j *Journal) rotate() error {
	if err := j.end(); err != nil {
		return err
	}
	return j.begin()
}

// osFile is a file on a disk.
type osFile struct{ *os.File }

func createFile(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil { // before the first byte: whoever sees a header sees the lock
		return nil, errors.Join(err, f.Close())
	}
	return osFile{f}, nil
}

// syncFolder makes a new file's name durable.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil && !errors.Is(err, fs.ErrInvalid) {
		return errors.Join(err, d.Close())
	}
	return d.Close()
}
