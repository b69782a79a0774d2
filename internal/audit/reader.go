package audit

import (
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
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

// FileState is how a journal file ends, and what is wrong with it.
type FileState struct {
	Path     string
	Records  uint64  // whole frames: records, the closing one, and what was found of earlier files
	Last     Hash    // the chain at its end
	Size     int64   // up to the end of the last whole frame
	Torn     int64   // bytes behind it
	Closed   bool    // ended in order
	Live     bool    // being written by a process of this host
	Findings []error // *CorruptError, or an error that wraps ErrWrongKey

	header header
	told   []end
}

// maxFindings of one file are told one by one.
const maxFindings = 20

func (s *FileState) found(at int64, reason string) {
	switch len(s.Findings) {
	case maxFindings:
		reason = "more is wrong with this file than is told here"
	case maxFindings + 1:
		return
	}
	s.Findings = append(s.Findings, &CorruptError{File: s.Path, Offset: at, Reason: reason})
}

type visitor func(at Position, record Record) error

// walk reads a file from one end to the other. Without a key, records are not opened. What is not
// whole, or not what was written, is in the state; where a later frame is whole, it goes on there.
// The error is of reading the disk, or the visitor's.
func walk(path string, key *Key, visit visitor) (FileState, error) {
	state := FileState{Path: path}
	f, err := openFile(path)
	if err != nil {
		return state, err
	}
	defer f.Close()
	s, h, err := newScanner(f, path)
	for errors.Is(err, errUnbegun) {
		// No record was acknowledged before the header was durable.
		state.Torn, state.Live = s.end, beingWritten(f)
		if grown, gerr := s.grown(f); state.Live || !grown {
			return state, gerr
		}
		s, h, err = newScanner(f, path)
	}
	state.Torn = 0
	if errors.Is(err, errHeader) || errors.Is(err, errEarlier) {
		state.Torn = s.end
		state.found(0, err.Error())
		return state, nil
	}
	if err != nil {
		return state, err
	}
	w := walker{s: s, state: &state, visit: visit}
	if key != nil {
		if one, ok := key.of(h.key); !ok {
			state.Findings = append(state.Findings, fmt.Errorf("read %s: %w: key %s", path, ErrWrongKey, h.key))
		} else if w.aead, err = one.cipher(h.id); err != nil {
			return state, fmt.Errorf("read %s: %w", path, err)
		}
	}
	first, err := s.bytes(0, headerSize)
	if err != nil {
		return state, err
	}
	state.header, state.Size = h, headerSize
	w.chain = chain{last: link(Hash{}, nil, first)}
	state.Last = w.last
	for {
		if err := w.run(); err != nil || state.Closed {
			return state, err
		}
		state.Live = beingWritten(f)
		// Who has just stopped writing may have ended the file in order since it was opened here.
		if grown, err := s.grown(f); state.Live || !grown {
			return state, err
		}
		s.at, state.Torn = state.Size, 0
	}
}

type walker struct {
	chain // before the next frame
	s     *scanner
	state *FileState
	aead  cipher.AEAD // nil where records are not opened
	visit visitor
	text  []byte
	pages references
}

func (w *walker) run() error {
	behindDamage := false
	for w.s.at < w.s.end {
		f, why, err := w.s.next()
		if err != nil {
			return err
		}
		if f == nil {
			at := w.s.at
			next, err := w.s.later()
			if err != nil {
				return err
			}
			if next < 0 {
				w.s.at, w.state.Torn = at, w.s.end-at
				return nil
			}
			w.state.found(at, fmt.Sprintf("%s; the next whole frame is at byte %d", why, next))
			w.s.at, behindDamage = next, true
			continue
		}
		if err := w.frame(f, behindDamage); err != nil {
			return err
		}
		behindDamage = false
		w.s.at += int64(len(f))
		w.state.Size, w.state.Records, w.state.Last = w.s.at, w.next, w.last
	}
	return nil
}

// frame takes one whole frame. Behind damage the chain goes on from what the frame says.
func (w *walker) frame(f frame, behindDamage bool) error {
	at := w.s.at
	if w.state.Closed {
		w.state.found(at, "a frame behind the closing one")
	}
	if f.number() < w.next || f.number() > w.next && !behindDamage {
		w.state.found(at, fmt.Sprintf("record %d stands where record %d belongs", f.number(), w.next))
		behindDamage = true
	}
	if f.number() < w.next {
		return nil // it was read, or would be read in the place of another
	}
	before := chain{w.last, f.number()}
	w.chain = chain{f.chain(), f.number() + 1}
	if !behindDamage && f.link(before.last) != f.chain() {
		w.state.found(at, "the hash chain is broken")
		behindDamage = true
	}
	switch f.kind() {
	case frameRecord:
		return w.record(f, before)
	case frameEnd:
		w.state.Closed = true
	case frameFound:
		told, err := decodeFound(f)
		if err != nil {
			w.state.found(at, err.Error())
		}
		w.state.told = append(w.state.told, told.Files...)
	default:
		w.state.found(at, fmt.Sprintf("a frame of unknown kind %d", f.kind()))
	}
	if w.aead != nil && !behindDamage && !f.opens(w.aead, before) {
		w.state.found(at, "it was not written with this key at this place")
	}
	return nil
}

func (w *walker) record(f frame, before chain) error {
	if w.aead == nil {
		return nil
	}
	nonce := before.nonce()
	var err error
	if w.text, err = w.aead.Open(w.text[:0], nonce[:], f.body(), []byte{frameRecord}); err != nil {
		w.state.found(w.s.at, "the record does not open with this key at this place")
		return nil
	}
	record, err := decode(w.text)
	if err != nil {
		w.state.found(w.s.at, err.Error())
		return nil
	}
	at := Position{File: filepath.Base(w.state.Path), Seq: before.next, Hash: f.chain(), Took: int64(len(f))}
	if err := w.pages.see(at, record); err != nil {
		w.state.found(w.s.at, err.Error())
	}
	return w.visit(at, record)
}

// Report is how an audit folder was found.
type Report struct {
	Files []FileState // in order of time

	// Findings say what is not as it was written, or is not there. Without any, all that was
	// acknowledged is there, as far as the folder itself can show it.
	Findings []error
	// Notes say what is as it should be and still is worth knowing.
	Notes []string
}

// Err joins the findings, nil if there are none.
func (r Report) Err() error { return errors.Join(r.Findings...) }

// Read gives every record of an audit folder to visit: files in order of time, records of a file as
// they were written. What is damaged is passed over and told in the report. The error is of reading
// the disk, or the visitor's, which ends the reading. Without a key no record is opened: see
// Verify.
func Read(dir string, key *Key, visit func(Position, Record) error) (Report, error) {
	var r Report
	paths, strays, err := files(dir)
	if err != nil {
		return r, err
	}
	for _, path := range paths {
		state, err := walk(path, key, visit)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			state.found(0, "it went away while the folder was read")
		case errors.Is(err, errUnreadable):
			state.Findings = append(state.Findings, err)
		case err != nil:
			return r, err
		}
		r.Files = append(r.Files, state)
	}
	r.judge()
	for _, path := range strays {
		r.stray(path)
	}
	return r, nil
}

// stray tells of what is not a journal file by its name, which is left alone.
func (r *Report) stray(path string) {
	renamed := strings.HasSuffix(path, extension) // of another type
	if f, err := openFile(path); err == nil {
		first := make([]byte, len(magic))
		if n, err := f.Read(first); err == nil && string(first[:n]) == magic {
			renamed = true
		}
		f.Close()
	}
	if renamed {
		r.Findings = append(r.Findings, fmt.Errorf("%s holds, or should hold, a journal, and is not a file named *%s: it was not read",
			path, extension))
		return
	}
	r.Notes = append(r.Notes, fmt.Sprintf("%s is not a journal file; it was left alone", path))
}

// judge holds the files of a folder against each other.
func (r *Report) judge() {
	byName := make(map[string]*FileState)
	toldBy := make(map[string]string)
	ends := make(map[Hash]bool)
	for i := range r.Files {
		byName[filepath.Base(r.Files[i].Path)] = &r.Files[i]
	}
	for i := range r.Files {
		s := &r.Files[i]
		if previous := s.header.previous; previous != (Hash{}) && !ends[previous] {
			s.found(0, fmt.Sprintf("the file before it, which ended in %x, is not there or ends otherwise", previous))
		}
		ends[s.Last] = true
		for _, e := range s.told {
			toldBy[e.File] = filepath.Base(s.Path)
			if of := byName[e.File]; of != nil {
				of.compare(e, filepath.Base(s.Path))
			} else {
				s.found(headerSize, fmt.Sprintf("it was begun when %s was there, with %d records in %d bytes; that file is gone", e.File,
					e.Records, e.Size))
			}
		}
	}
	for i := range r.Files {
		s := &r.Files[i]
		teller := toldBy[filepath.Base(s.Path)]
		switch {
		case s.Closed && s.Torn > 0:
			s.found(s.Size, fmt.Sprintf("%d bytes behind the closing record", s.Torn))
		case s.Closed || len(s.Findings) > 0 && s.header == (header{}):
		case s.Live:
			r.Notes = append(r.Notes, fmt.Sprintf("%s is being written: %d records by now", s.Path, s.Records))
		case teller != "" && len(s.Findings) > 0: // it was not found so
		case teller != "":
			r.Notes = append(r.Notes, fmt.Sprintf("%s was not ended in order (its process was killed, or the machine stopped): %d "+
				"records, and %d bytes of a torn one that nobody was told is durable; "+
				"%s found it so", s.Path, s.Records, s.Torn, teller))
		default:
			s.Findings = append(s.Findings, fmt.Errorf("%s: it ends without a closing record, after %d records, with %d torn bytes; no "+
				"process is writing it, and none that began later tells of its end. "+
				"Its process was killed, or the file was cut: what may have stood behind this cannot be told", s.Path, s.Records, s.Torn))
		}
		r.Findings = append(r.Findings, s.Findings...)
	}
}

// compare holds a file against how a later process found it.
func (s *FileState) compare(e end, teller string) {
	if e.Size == s.Size && e.Torn == s.Torn && e.Records == s.Records && e.Chain == hex.EncodeToString(s.Last[:]) && e.Closed == s.Closed {
		return
	}
	s.found(s.Size, fmt.Sprintf("%s found it with %d records in %d bytes, and %d torn ones; now there are %d records in %d bytes, and %d "+
		"torn ones, or others", teller,
		e.Records, e.Size, e.Torn, s.Records, s.Size, s.Torn))
}
