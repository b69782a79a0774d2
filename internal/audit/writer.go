package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// write is the one goroutine that touches the file. It takes all that waits, writes it, syncs once
// and tells everyone.
func (j *Journal) write() {
	defer close(j.done)
	for range j.wake {
		runtime.Gosched() // whoever is about to append comes first: one wait for the disk for all of them
		j.mu.Lock()
		batch, closed := j.queue, j.closed
		j.queue = nil
		j.mu.Unlock()

		j.busy.Store(j.options.now().UnixNano())
		err := j.commit(batch)
		if err == nil && closed {
			err = j.end()
		}
		j.busy.Store(0)
		if err != nil {
			j.fail(err)
		}
		for _, e := range batch {
			if err != nil {
				e.position, e.err = Position{}, j.Err()
			}
			j.room.Release(e.size)
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
	j.err = fmt.Errorf("%w: %s: %w", ErrFailed, j.name, err)
	waiting := j.queue
	j.queue = nil
	j.mu.Unlock()
	close(j.failed)
	for _, e := range waiting {
		e.err = j.err
		j.room.Release(e.size)
		close(e.durable)
	}
	if j.file != nil {
		_ = j.file.Close() // the journal has failed already; what closing says adds nothing
	}
}

// commit makes a batch durable.
func (j *Journal) commit(batch []*entry) error {
	for _, e := range batch {
		// What refers to this file still goes into it, full or not.
		full := e.file != j.name && j.size+int64(len(j.buf)) >= j.options.MaxFile
		if full || j.gone.Load() || j.sealed != j.key.writes().id {
			if err := j.flush(); err != nil {
				return err
			}
			if err := j.rotate(); err != nil {
				return err
			}
		}
		if e.file != "" && e.file != j.name {
			e.err = ErrMoved
			continue
		}
		from := len(j.buf)
		for _, text := range e.texts {
			seq := j.next
			j.buf = j.appendFrame(j.buf, j.id, j.aead, text)
			e.position = Position{File: j.name, Seq: seq, Hash: j.last}
		}
		e.position.Took = int64(len(j.buf) - from)
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
	j.disk.written.Add(int64(n))
	if j.buf = j.buf[:0]; cap(j.buf) > keepBuffer {
		j.buf = nil
	}
	return nil
}

// begin makes the next file and its header durable, name included, and what the process found of
// earlier ones.
func (j *Journal) begin(told ...[]byte) error {
	now := j.options.now().UTC()
	key := j.key.writes()
	h, err := newHeader(key, j.last, now)
	if err != nil {
		return err
	}
	if j.aead, err = key.cipher(h.id); err != nil {
		return fmt.Errorf("derive key of journal file: %w", err)
	}
	j.name = fmt.Sprintf("%s-%d-%x%s", now.Format("20060102T150405.000000000Z"), os.Getpid(), h.id[:6], extension)
	if j.file, err = j.options.create(filepath.Join(j.dir, j.name)); err != nil {
		return err
	}
	j.path.Store(filepath.Join(j.dir, j.name))
	j.gone.Store(false)
	j.size, j.buf = 0, append(j.buf[:0], h.bytes()...)
	j.sealed = h.key
	j.id, j.chain = h.id, chain{last: link(Hash{}, nil, j.buf)}
	for _, text := range told {
		j.buf = j.appendClear(j.buf, j.id, j.aead, frameFound, text)
	}
	if err := j.flush(); err != nil {
		// Nothing in it was acknowledged. Where it stays nevertheless, it is a file that never
		// began.
		return errors.Join(err, j.file.Close(), os.Remove(filepath.Join(j.dir, j.name)))
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
