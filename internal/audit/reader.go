package audit

import (
	"bufio"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// CorruptError says where a journal is not what was written.
type CorruptError struct {
	File   string // path
	Offset int64  // of the frame, in bytes
	Reason string
}

// Error names file, offset and reason.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s is corrupt at byte %d: %s", e.File, e.Offset, e.Reason)
}

// ErrWrongKey is returned for a journal that was sealed with another key.
var ErrWrongKey = errors.New("the journal was sealed with another key")

// FileState is how a journal file ends.
type FileState struct {
	Path    string
	Records uint64 // whole ones, the closing record included
	Last    Hash   // the chain at its end
	Size    int64  // of the whole records
	Torn    int64  // bytes behind them that a crash left
	Closed  bool   // ended in order; only known to who has the key
	header  header
}

// files lists the journal files of an audit folder in order of time.
func files(dir string) ([]string, error) {
	path := filepath.Join(dir, folder)
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("read audit journal: %w", err)
	}
	var paths []string
	for _, e := range entries {
		switch {
		case !e.Type().IsRegular():
			return nil, &CorruptError{File: filepath.Join(path, e.Name()), Reason: "not a file"}
		case !strings.HasSuffix(e.Name(), extension):
			return nil, &CorruptError{File: filepath.Join(path, e.Name()), Reason: "not a journal file"}
		}
		paths = append(paths, filepath.Join(path, e.Name()))
	}
	slices.Sort(paths)
	return paths, nil
}

// scan walks a file: its header goes to begin, each sealed record to visit, with its offset and the chain before and after it. Whatever is not whole is a CorruptError,
// but for what a crash can leave behind the last whole frame: that is counted in Torn.
func scan(path string, begin func(header) error, visit visitor) (FileState, error) {
	state := FileState{Path: path}
	f, err := os.Open(path)
	if err != nil {
		return state, fmt.Errorf("read audit journal: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return state, fmt.Errorf("read audit journal: %w", err)
	}
	s := scanner{r: bufio.NewReaderSize(f, 64<<10), left: info.Size(), state: &state}
	err = s.run(begin, visit)
	return state, err
}

type visitor func(at int64, before chain, after Hash, sealed []byte) error

type scanner struct {
	r     *bufio.Reader
	left  int64 // bytes of the file that have not been read; what is written meanwhile is not looked at
	state *FileState
	buf   []byte
}

func (s *scanner) corrupt(reason string) error {
	return &CorruptError{File: s.state.Path, Offset: s.state.Size, Reason: reason}
}

func (s *scanner) run(begin func(header) error, visit visitor) error {
	first := make([]byte, min(headerSize, s.left))
	if _, err := io.ReadFull(s.r, first); err != nil {
		return fmt.Errorf("read %s: %w", s.state.Path, err)
	}
	s.left -= int64(len(first))
	h, err := parseHeader(first)
	if err != nil {
		// Killed before its header was durable, a file holds nothing: no record was acknowledged.
		if len(first) < headerSize && (len(first) < len(magic) || string(first[:len(magic)]) == magic) || zeros(first) && s.left == 0 {
			s.state.Torn = int64(len(first))
			return nil
		}
		return s.corrupt(err.Error())
	}
	if err := begin(h); err != nil {
		return err
	}
	s.state.header, s.state.Size = h, headerSize
	c := chain{last: link(Hash{}, nil, first)}
	s.state.Last = c.last
	for s.left > 0 {
		frame, err := s.frame()
		if err != nil || frame == nil {
			return err
		}
		before := c
		c.last = link(c.last, frame[:4], frame[frameHead:])
		c.next++
		if Hash(frame[8:frameHead]) != c.last {
			return s.corrupt("the hash chain is broken")
		}
		if err := visit(s.state.Size, before, c.last, frame[frameHead:]); err != nil {
			return err
		}
		s.state.Size += int64(len(frame))
		s.state.Records, s.state.Last = c.next, c.last
	}
	return nil
}

// frame reads the next frame, nil if what is left is what a crash cut off: less than a frame, or a last frame of which not all reached the disk.
func (s *scanner) frame() ([]byte, error) {
	rest := s.left
	torn := func() ([]byte, error) {
		s.state.Torn, s.left = rest, 0
		return nil, nil
	}
	if rest < frameHead {
		return torn()
	}
	s.buf = slices.Grow(s.buf[:0], frameHead)[:frameHead]
	if _, err := io.ReadFull(s.r, s.buf); err != nil {
		return nil, fmt.Errorf("read %s: %w", s.state.Path, err)
	}
	length := int64(binary.BigEndian.Uint32(s.buf))
	if length == 0 && zeros(s.buf) {
		// A file system may have made the file longer and not yet have filled it.
		empty, err := s.onlyZeros(rest - frameHead)
		if err != nil {
			return nil, err
		}
		if empty {
			return torn()
		}
	}
	if length < 16 || length > maxSealed {
		return nil, s.corrupt(fmt.Sprintf("impossible length %d", length))
	}
	if length > rest-frameHead {
		return torn()
	}
	s.buf = slices.Grow(s.buf, int(length))[:frameHead+length]
	if _, err := io.ReadFull(s.r, s.buf[frameHead:]); err != nil {
		return nil, fmt.Errorf("read %s: %w", s.state.Path, err)
	}
	s.left -= frameHead + length
	if frameSum(s.buf) != binary.BigEndian.Uint32(s.buf[4:]) {
		if s.left == 0 {
			return torn()
		}
		return nil, s.corrupt("checksum does not match")
	}
	return s.buf, nil
}

func (s *scanner) onlyZeros(n int64) (bool, error) {
	b := make([]byte, 32<<10)
	for n > 0 {
		part := b[:min(n, int64(len(b)))]
		if _, err := io.ReadFull(s.r, part); err != nil {
			return false, fmt.Errorf("read %s: %w", s.state.Path, err)
		}
		if !zeros(part) {
			return false, nil
		}
		n -= int64(len(part))
	}
	return true, nil
}

func zeros(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// Read gives every record of an audit folder to visit: files in order of time, records of a file as they were written. It returns how each file ended. The
// first thing that is not as it was written ends it with a *CorruptError.
func Read(dir string, key *Key, visit func(Position, Record) error) ([]FileState, error) {
	paths, err := files(dir)
	if err != nil {
		return nil, err
	}
	var states []FileState
	for _, path := range paths {
		state, err := readFile(path, key, visit)
		if err != nil {
			return states, err
		}
		states = append(states, state)
	}
	return states, nil
}

func readFile(path string, key *Key, visit func(Position, Record) error) (FileState, error) {
	var aead cipher.AEAD
	var text []byte
	closed := false
	state, err := scan(path, func(h header) (err error) {
		if h.key != key.id() {
			return fmt.Errorf("read %s: %w", path, ErrWrongKey)
		}
		aead, err = key.cipher(h.id)
		return err
	}, func(at int64, before chain, after Hash, sealed []byte) error {
		corrupt := func(reason string) error { return &CorruptError{File: path, Offset: at, Reason: reason} }
		if closed {
			return corrupt("a record behind the closing one")
		}
		nonce := before.nonce()
		var err error
		if text, err = aead.Open(text[:0], nonce[:], sealed, before.last[:]); err != nil {
			return corrupt("the record does not open with this key at this place")
		}
		record, err := decode(text)
		if err != nil {
			return corrupt(err.Error())
		}
		if _, closed = record.(closing); closed {
			return nil
		}
		return visit(Position{File: filepath.Base(path), Seq: before.next, Hash: after}, record)
	})
	state.Closed = closed
	return state, err
}
