package audit

import (
	"bytes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// smallRecord is the size up to which a Follower looks into a record: what it follows is
// far below it, frames of answers mostly above.
const smallRecord = 64 << 10

// Follower reads what was written of approvals, sessions and budgets, by any process and however
// long ago, and goes on as more is written. It is how a gateway knows what Redis may have forgotten
// or been made to forget. It checks no chain: Verify does. It is for one goroutine.
type Follower struct {
	dir   string
	key   *Key
	since time.Time
	files map[string]*followed
	told  map[string]bool

	// Decisions says that decisions are visited too, of those that are found from now on.
	Decisions bool
	// Skipped are files that another key sealed: what they say is not known.
	Skipped []string
	// Trouble is told once of each thing that was passed over: damage, and what is no journal file.
	Trouble func(error)
	// Foreign is what does not belong into the folder, or cannot be read, as the last Poll found
	// it: one of them, and how many there are. It is nil where there is none.
	Foreign error
}

// maxTold is how many things that were passed over are told of one by one.
const maxTold = 1000

// followed is how far a file was read.
type followed struct {
	at   int64
	seen int64 // size of the file when it was looked at last
	aead cipher.AEAD
	skip bool
}

// Follow makes a Follower of the journal of an audit folder. Files that were last written before
// since are left out.
func Follow(dir string, key *Key, since time.Time) *Follower {
	return &Follower{dir: dir, key: key, since: since, files: make(map[string]*followed), told: make(map[string]bool)}
}

func (f *Follower) trouble(err error) {
	if f.Trouble == nil || f.told[err.Error()] || len(f.told) == maxTold {
		return
	}
	if f.told[err.Error()] = true; len(f.told) == maxTold {
		err = fmt.Errorf("more is passed over than is told here; the last was: %w", err)
	}
	f.Trouble(err)
}

// Poll gives every Approval, Seen, Session and Budget record, and every Decision where those are
// asked for, that was written since the last Poll to visit. What is not whole yet comes the next
// time. What is damaged, cannot be read or is no journal file is passed over, and told as trouble:
// what of it mattered to others, they were told in Redis too. An error says that nothing can be
// read now, as where there are no descriptors left; the next Poll goes on from there.
func (f *Follower) Poll(visit func(Record) error) error {
	paths, strays, err := files(f.dir)
	if err != nil {
		return err
	}
	var foreign []error
	for _, path := range strays {
		foreign = append(foreign, fmt.Errorf("%s is not a journal file; it is left alone", path))
	}
	for _, path := range paths {
		err := f.poll(path, visit)
		var io syscall.Errno
		switch {
		case err == nil:
		case errors.Is(err, fs.ErrNotExist): // told below, the next time
		case errors.Is(err, errUnreadable) || errors.As(err, &io) && io == syscall.EIO:
			foreign = append(foreign, err)
		default:
			return err
		}
	}
	for path := range f.files {
		if _, here := slices.BinarySearch(paths, path); !here {
			foreign = append(
				foreign,
				fmt.Errorf("%s has gone; what it held of approvals and sessions is known as long as this process runs", path),
			)
		}
	}
	f.Foreign = nil
	for _, err := range foreign {
		f.trouble(err)
	}
	if n := len(foreign); n > 0 {
		f.Foreign = fmt.Errorf("%d of the files there are foreign, gone or cannot be read, one of them: %w", n, foreign[0])
	}
	return nil
}

// poll reads what one file has more than at the last time.
func (f *Follower) poll(path string, visit func(Record) error) error {
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("follow audit journal: %w", err)
	}
	file := f.files[path]
	if file == nil {
		file = &followed{skip: info.ModTime().Before(f.since)}
		f.files[path] = file
	}
	if file.skip || info.Size() == file.seen {
		return nil
	}
	return f.read(path, file, visit)
}

func (f *Follower) read(path string, file *followed, visit func(Record) error) error {
	s, h, done, err := openScanner(path)
	if s == nil {
		return err
	}
	defer done() //nolint:errcheck // it was only read
	switch {
	case errors.Is(err, errUnbegun):
		return nil // its writer has not written the header yet, or died
	case errors.Is(err, errHeader) || errors.Is(err, errEarlier):
		file.skip = true
		f.trouble(&CorruptError{File: path, Reason: err.Error()})
		return nil
	case err != nil:
		return err
	}
	if file.aead == nil {
		one, ok := f.key.of(h.key)
		if !ok {
			file.skip, f.Skipped = true, append(f.Skipped, filepath.Base(path))
			return nil
		}
		if file.aead, err = one.cipher(h.id); err != nil {
			return fmt.Errorf("follow %s: %w", path, err)
		}
		file.at = headerSize
	}
	s.at = file.at
	for s.at < s.end {
		size, err := f.frame(s, file, visit)
		if err != nil {
			return err
		}
		if size == 0 {
			break // not whole: being written, or torn by a crash
		}
		s.at += size
		file.at = s.at
	}
	file.seen = s.end
	return nil
}

// frame takes the frame at s.at and returns how far to go on, 0 where no whole frame follows.
func (f *Follower) frame(s *scanner, file *followed, visit func(Record) error) (int64, error) {
	if rest := s.end - s.at; rest >= frameHead {
		head, err := s.bytes(s.at, frameHead)
		if err != nil {
			return 0, err
		}
		if h := frame(head); h.headFits(s.id) && h.length() > smallRecord && h.length() <= rest-frameHead {
			return frameHead + h.length(), nil
		}
	}
	whole, why, err := s.next()
	if err != nil {
		return 0, err
	}
	if whole != nil {
		return int64(len(whole)), f.open(s, file, whole, visit)
	}
	at := s.at
	next, err := s.later()
	s.at = at
	if err != nil || next < 0 {
		return 0, err
	}
	f.trouble(&CorruptError{File: s.path, Offset: at, Reason: fmt.Sprintf("%s; the next whole frame is at byte %d", why, next)})
	return next - at, nil
}

// open reads one record and visits it if it is of a kind that is followed.
func (f *Follower) open(s *scanner, file *followed, whole frame, visit func(Record) error) error {
	if whole.kind() != frameRecord {
		return nil
	}
	before := chain{next: whole.number()}
	nonce := before.nonce()
	text, err := file.aead.Open(nil, nonce[:], whole.body(), []byte{frameRecord})
	if err != nil {
		f.trouble(&CorruptError{File: s.path, Offset: s.at, Reason: "the record does not open with this key at this place"})
		return nil
	}
	if f.Decisions { // of all that is followed, decisions alone are compressed
		if text, err = plain(text); err != nil {
			f.trouble(&CorruptError{File: s.path, Offset: s.at, Reason: err.Error()})
			return nil
		}
	}
	followed := f.Decisions && len(text) > 4 && bytes.HasPrefix(text[4:], []byte(`{"kind":"decision"`))
	for _, kind := range []string{`{"kind":"approval"`, `{"kind":"session"`, `{"kind":"seen"`, `{"kind":"budget"`} {
		followed = followed || len(text) > 4 && bytes.HasPrefix(text[4:], []byte(kind))
	}
	if !followed {
		return nil
	}
	record, err := decode(text)
	if err != nil {
		f.trouble(&CorruptError{File: s.path, Offset: s.at, Reason: err.Error()})
		return nil
	}
	return visit(record)
}
