package audit

import (
	"crypto/cipher"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
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

var (
	// ErrClosed is returned by Append after Close.
	ErrClosed = errors.New("audit journal is closed")
	// ErrFailed is in every error of a journal of which a write has failed. It takes nothing more:
	// the process must end, and the one that follows begins a file of its own.
	ErrFailed = errors.New("the audit journal has failed")
	// ErrMoved is returned for a reference to what stands in a file that is not written any more.
	ErrMoved = errors.New("the page stands in an earlier file of the audit journal")
)

// Options of a journal. The zero value is fit for use.
type Options struct {
	MaxFile int64 // size in bytes at which a new file is begun; 0 for 1 GiB
	Reserve int64 // bytes that are kept free for what has begun (room.go); 0 for DefaultReserve

	// Room is told why nothing new begins for want of room on the disk, and nil when it does again.
	// Writes is told that the disk does not answer, or has failed, and nil when it answers again.
	// Both are called from one goroutine, when something has changed; nil is told nothing.
	Room, Writes func(error)

	create func(path string) (file, error) // for tests: a disk that fails
	free   func(path string) (Free, error) // or is full
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
	Took int64  // bytes of the disk that all records of the call take
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
	failed chan struct{} // closed once err is set

	disk disk
	busy atomic.Int64 // since when the writer waits for the disk, in Unix ns; 0 while it does not
	path atomic.Value // string: of the file that is written
	gone atomic.Bool  // somebody took that file away: another one must be begun

	// Owned by the writer.
	file   file
	name   string
	size   int64
	id     [16]byte // of the file
	sealed keyID    // of the key that it is sealed with
	aead   cipher.AEAD
	chain
	buf []byte
}

// Open begins a journal file in DIR/journal, which it makes if need be. The folder must be its
// owner's alone.
func Open(dir string, key *Key, options Options) (*Journal, error) {
	if !key.usable() {
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
	if options.free == nil {
		options.free = freeOn
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
		wake: make(chan struct{}, 1), done: make(chan struct{}), failed: make(chan struct{}),
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
		return nil, fmt.Errorf("open audit journal: %w: %w", ErrFailed, err)
	}
	go j.write()
	j.watch()
	return j, nil
}

// CheckFolder says whether Open would take an audit folder as it is, and changes nothing. A folder
// that is not there is fine where it can be made.
func CheckFolder(dir string) error {
	path := existing(filepath.Join(dir, folder))
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Errorf("audit journal: %w", err)
	case !info.IsDir():
		return fmt.Errorf("audit journal: %s is not a folder", path)
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

// existing is the nearest part of a path that is there.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) || filepath.Dir(path) == path {
			return path
		}
		path = filepath.Dir(path)
	}
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

// Counts are the bytes that this process has written, and how many calls wait for the disk just
// now.
func (j *Journal) Counts() (written int64, waiting int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.disk.written.Load(), len(j.queue)
}

// Err is the failure after which the journal refuses everything, nil while it works.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// Failed is closed when the journal refuses everything from then on: Err says why.
func (j *Journal) Failed() <-chan struct{} { return j.failed }

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
