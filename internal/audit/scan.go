package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// scanner reads the frames of one file one after the other, and finds the next good one behind
// damage.
type scanner struct {
	f    io.ReaderAt
	path string
	id   [16]byte
	at   int64 // where the next frame begins
	end  int64 // of what is looked at; what is written meanwhile is not
	buf  []byte
	in   window
}

// window keeps the bytes around the last read, so that small frames do not cost a system call each.
type window struct {
	at   int64
	held []byte
}

const windowSize = 256 << 10

// bytes returns n bytes at a place of the file. They are good until the next call.
func (s *scanner) bytes(at, n int64) ([]byte, error) {
	w := &s.in
	if at >= w.at && at+n <= w.at+int64(len(w.held)) {
		return w.held[at-w.at:][:n], nil
	}
	size := min(max(n, windowSize), s.end-at)
	if int64(cap(w.held)) < size {
		w.held = make([]byte, size)
	}
	w.held = w.held[:size]
	w.at = at
	if _, err := s.f.ReadAt(w.held, at); err != nil {
		w.held = w.held[:0]
		return nil, fmt.Errorf("read %s: %w", s.path, err)
	}
	return w.held[:n], nil
}

// next returns the frame at s.at. Where no whole one is there it says why instead.
func (s *scanner) next() (f frame, why string, err error) {
	rest := s.end - s.at
	if rest < frameHead {
		return nil, fmt.Sprintf("%d bytes are less than a frame", rest), nil
	}
	head, err := s.bytes(s.at, frameHead)
	if err != nil {
		return nil, "", err
	}
	if !frame(head).headFits(s.id) {
		return nil, "the checksum of a frame's head does not match", nil
	}
	length := frame(head).length()
	if length > rest-frameHead {
		return nil, fmt.Sprintf("a frame of %d bytes is cut to %d", frameHead+length, rest), nil
	}
	if f, err = s.bytes(s.at, frameHead+length); err != nil {
		return nil, "", err
	}
	if !f.bodyFits() {
		return nil, "the checksum of a frame's body does not match", nil
	}
	return f, "", nil
}

// later returns where the next whole frame begins behind s.at, -1 if there is none: then what is at
// s.at may be what a crash cut off, and else it was damaged.
func (s *scanner) later() (int64, error) {
	here := s.at
	defer func() { s.at = here }()
	const step = 1 << 20
	for from := here + 1; from+frameHead <= s.end; {
		n := min(step, s.end-from)
		part := make([]byte, n)
		if _, err := s.f.ReadAt(part, from); err != nil {
			return 0, fmt.Errorf("read %s: %w", s.path, err)
		}
		for i := 0; ; i++ {
			k := bytes.Index(part[i:], []byte(frameMark))
			if k < 0 {
				break
			}
			i += k
			s.at = from + int64(i)
			f, _, err := s.next()
			if err != nil {
				return 0, err
			}
			if f != nil {
				return s.at, nil
			}
		}
		if n < step {
			break
		}
		from += n - int64(len(frameMark)-1)
	}
	return -1, nil
}

// openScanner reads the header of a file. A file that a crash left before its header was whole
// gives errUnbegun.
func openScanner(path string) (*scanner, header, func() error, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, header{}, nil, err
	}
	s, h, err := newScanner(f, path)
	return s, h, f.Close, err
}

var errUnbegun = errors.New("it ends before its header does")

func newScanner(f *os.File, path string) (*scanner, header, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, header{}, fmt.Errorf("read audit journal: %w", err)
	}
	s := &scanner{f: f, path: path, end: info.Size()}
	first, err := s.bytes(0, min(headerSize, s.end))
	if err != nil {
		return s, header{}, err
	}
	if len(first) < headerSize {
		return s, header{}, errUnbegun
	}
	h, err := parseHeader(first)
	if err != nil {
		return s, header{}, err
	}
	s.id, s.at = h.id, headerSize
	return s, h, nil
}

// grown takes what was written since the file was opened into what is looked at.
func (s *scanner) grown(f *os.File) (bool, error) {
	info, err := f.Stat()
	if err != nil {
		return false, fmt.Errorf("read audit journal: %w", err)
	}
	was := s.end
	s.end, s.in.held = info.Size(), nil
	return s.end > was, nil
}
