package audit

import (
	"bufio"
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// smallRecord is the size up to which a Follower looks into a record: approvals and sessions are far below it, frames of answers mostly above.
const smallRecord = 64 << 10

// Follower reads what was written of approvals and sessions, by any process and however long ago, and goes on as more is written. It is how a gateway knows what Redis may
// have forgotten or been made to forget. It does not check the chain of the records that it passes over: Verify does. It is for one goroutine.
type Follower struct {
	dir   string
	key   *Key
	since time.Time
	files map[string]*followed

	// Skipped are files that another key sealed: what they say is not known.
	Skipped []string
}

// followed is how far a file was read.
type followed struct {
	at     int64
	before chain
	aead   cipher.AEAD // nil before the header was read
	skip   bool
}

// Follow makes a Follower of the journal of an audit folder. Files that were last written before since are left out.
func Follow(dir string, key *Key, since time.Time) *Follower {
	return &Follower{dir: dir, key: key, since: since, files: make(map[string]*followed)}
}

// Poll gives every Approval and Session record that was written since the last Poll to visit. What is not whole yet comes the next time. A file that is not what was written is a *CorruptError.
func (f *Follower) Poll(visit func(Record) error) error {
	paths, err := files(f.dir)
	if err != nil {
		return err
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("follow audit journal: %w", err)
		}
		file := f.files[path]
		if file == nil {
			file = &followed{skip: info.ModTime().Before(f.since)}
			f.files[path] = file
		}
		if file.skip || info.Size() <= file.at {
			continue
		}
		if err := f.read(path, info.Size(), file, visit); err != nil {
			return err
		}
	}
	return nil
}

func (f *Follower) read(path string, size int64, file *followed, visit func(Record) error) error {
	r, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("follow audit journal: %w", err)
	}
	defer r.Close()
	if file.aead == nil {
		if size < headerSize {
			return nil // its writer is at it, or died
		}
		head := make([]byte, headerSize)
		if _, err := r.ReadAt(head, 0); err != nil {
			return fmt.Errorf("follow %s: %w", path, err)
		}
		h, err := parseHeader(head)
		if err != nil {
			return &CorruptError{File: path, Reason: err.Error()}
		}
		if h.key != f.key.id() {
			file.skip, f.Skipped = true, append(f.Skipped, filepath.Base(path))
			return nil
		}
		if file.aead, err = f.key.cipher(h.id); err != nil {
			return fmt.Errorf("follow %s: %w", path, err)
		}
		file.at, file.before = headerSize, chain{last: link(Hash{}, nil, head)}
	}
	in := bufio.NewReaderSize(io.NewSectionReader(r, file.at, size-file.at), 256<<10)
	var buf []byte
	for left := size - file.at; left >= frameHead; left = size - file.at {
		head, err := in.Peek(frameHead)
		if err != nil {
			return fmt.Errorf("follow %s: %w", path, err)
		}
		length := int64(binary.BigEndian.Uint32(head))
		if length > left-frameHead || length == 0 && zeros(head) {
			return nil // not whole: being written, or torn by a crash
		}
		if length < 16 || length > maxSealed {
			return &CorruptError{File: path, Offset: file.at, Reason: fmt.Sprintf("impossible length %d", length)}
		}
		after := Hash(head[8:frameHead])
		if length > smallRecord {
			if _, err := in.Discard(int(frameHead + length)); err != nil {
				return fmt.Errorf("follow %s: %w", path, err)
			}
		} else {
			buf = append(buf[:0], make([]byte, frameHead+length)...)
			if _, err := io.ReadFull(in, buf); err != nil {
				return fmt.Errorf("follow %s: %w", path, err)
			}
			if frameSum(buf) != binary.BigEndian.Uint32(buf[4:]) {
				if left == frameHead+length {
					return nil // the end of the file, where a crash may have left it half written
				}
				return &CorruptError{File: path, Offset: file.at, Reason: "checksum does not match"}
			}
			if err := file.open(path, buf[frameHead:], visit); err != nil {
				return err
			}
		}
		file.at += frameHead + length
		file.before = chain{last: after, next: file.before.next + 1}
	}
	return nil
}

// open reads one record and visits it if it is of a kind that is followed.
func (f *followed) open(path string, sealed []byte, visit func(Record) error) error {
	nonce := f.before.nonce()
	text, err := f.aead.Open(nil, nonce[:], sealed, f.before.last[:])
	if err != nil {
		return &CorruptError{File: path, Offset: f.at, Reason: "the record does not open with this key at this place"}
	}
	if len(text) < 4 || !bytes.HasPrefix(text[4:], []byte(`{"kind":"approval"`)) && !bytes.HasPrefix(text[4:], []byte(`{"kind":"session"`)) {
		return nil
	}
	record, err := decode(text)
	if err != nil {
		return &CorruptError{File: path, Offset: f.at, Reason: err.Error()}
	}
	return visit(record)
}
