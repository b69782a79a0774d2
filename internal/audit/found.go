package audit

import (
	"crypto/cipher"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// found is the first frame of a process: how the files of earlier processes end that no process
// before it has told of. What is cut from one of them later, or taken away, no longer agrees with
// it.
type found struct {
	Files []end `json:"files"`
}

// end is how a file ends.
type end struct {
	File    string `json:"file"` // base name
	Size    int64  `json:"size"` // of its whole frames, header included
	Torn    int64  `json:"torn,omitempty"`
	Records uint64 `json:"records"` // whole frames
	Chain   string `json:"chain"`   // at its end
	Closed  bool   `json:"closed,omitempty"`
}

func (s *FileState) end() end {
	return end{filepath.Base(s.Path), s.Size, s.Torn, s.Records, hex.EncodeToString(s.Last[:]), s.Closed}
}

// settled is how old a file without a header must be before nobody is taken to be still making it.
const settled = 10 * time.Second

// survey finds how the files of an audit folder end, but for those that are being written, and
// those of which a file of the folder tells already. What cannot be read is left to whoever
// verifies.
func survey(dir string) (found, error) {
	paths, _, err := files(dir)
	if err != nil {
		return found{}, err
	}
	told := make(map[string]bool)
	for _, path := range paths {
		for _, e := range toldBy(path) {
			told[e.File] = true
		}
	}
	out := found{}
	for _, path := range paths {
		if told[filepath.Base(path)] {
			continue
		}
		if e, ok := endOf(path); ok {
			out.Files = append(out.Files, e)
		}
	}
	return out, nil
}

// toldBy is what the first frames of a file say of others.
func toldBy(path string) (told []end) {
	s, _, done, err := openScanner(path)
	if err != nil {
		return nil
	}
	defer done() //nolint:errcheck // it was only read
	for s.at < s.end {
		f, _, err := s.next()
		if err != nil || f == nil || f.kind() != frameFound {
			return told
		}
		more, err := decodeFound(f)
		if err != nil {
			return told
		}
		told = append(told, more.Files...)
		s.at += int64(len(f))
	}
	return told
}

func decodeFound(f frame) (told found, err error) {
	if err := json.Unmarshal(f.text(), &told); err != nil {
		return found{}, fmt.Errorf("read how earlier files ended: %w", err)
	}
	return told, nil
}

// endOf is how a file ends, false if that is not settled. A file that was ended in order says so in
// its last bytes; another one is read whole.
func endOf(path string) (end, bool) {
	f, err := openFile(path)
	if err != nil {
		return end{}, false
	}
	defer f.Close()
	if beingWritten(f) {
		return end{}, false
	}
	s, h, err := newScanner(f, path)
	if errors.Is(err, errUnbegun) {
		info, err := f.Stat()
		state := FileState{Path: path, Torn: s.end}
		return state.end(), err == nil && time.Since(info.ModTime()) > settled
	}
	if err != nil {
		return end{}, false
	}
	if s.end >= headerSize+endSize {
		s.at = s.end - endSize
		if last, _, err := s.next(); err == nil && last != nil && last.kind() == frameEnd {
			state := FileState{Path: path, Size: s.end, Records: last.number() + 1, Last: last.chain(), Closed: true}
			return state.end(), true
		}
	}
	state, err := walk(path, nil, nil)
	return state.end(), err == nil && state.header == h
}

// frames are the bodies of the found frames: as many as it takes.
func (told found) frames() ([][]byte, error) {
	var out [][]byte
	for part := range slices.Chunk(told.Files, 10_000) {
		text, err := json.Marshal(found{part})
		if err != nil {
			return nil, fmt.Errorf("write how earlier files ended: %w", err)
		}
		out = append(out, text)
	}
	return out, nil
}

// opens says whether a clear frame was written with the key of its file.
func (f frame) opens(aead cipher.AEAD, before chain) bool {
	nonce := before.nonce()
	_, err := aead.Open(nil, nonce[:], f.body()[len(f.text()):], before.bound(f.kind(), f.text()))
	return err == nil
}
