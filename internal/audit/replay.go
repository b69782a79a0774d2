package audit

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
)

// ErrNoAnswer is returned for a decision of whose answer the journal has nothing.
var ErrNoAnswer = errors.New("the journal has no answer to this decision")

// Answer is the body of an answer as the agent got it, from the journal of an audit folder: also
// where it is recorded by reference to a page that stands in the same file. Where no outcome tells
// how much of such a page was let out, it is all that may have been. What of the folder is damaged,
// and so may be missing in the answer, the report says.
func Answer(dir string, key *Key, decision string) ([]byte, Report, error) {
	var body []byte
	var from struct {
		file string
		same *Same
	}
	var outcome *Outcome
	found := false
	report, err := Read(dir, key, func(at Position, r Record) error {
		switch r := r.(type) {
		case Frame:
			if r.Decision != decision {
				return nil
			}
			found = true
			if r.Same != nil {
				from.file, from.same = at.File, r.Same
				return nil
			}
			if r.At > 0 && from.same != nil && body == nil {
				page, err := pageAt(dir, key, *from.same)
				if err != nil {
					return err
				}
				body = page[:min(r.At, uint64(len(page)))]
			}
			body = append(body, r.Bytes...)
		case Outcome:
			if r.Decision == decision && outcome == nil {
				outcome, found = &r, true
			}
		}
		return nil
	})
	if err != nil {
		return nil, report, err
	}
	if !found {
		return nil, report, fmt.Errorf("%w: %s", ErrNoAnswer, decision)
	}
	if from.same != nil && body == nil {
		if body, err = pageAt(dir, key, *from.same); err != nil {
			return nil, report, err
		}
		if outcome != nil {
			body = body[:min(outcome.Bytes, uint64(len(body)))]
		}
	}
	return body, report, nil
}

// pageAt reads the page that a reference is to.
func pageAt(dir string, key *Key, s Same) ([]byte, error) {
	var b bytes.Buffer
	path := filepath.Join(dir, folder, filepath.Base(s.File))
	state, err := walk(path, key, func(at Position, r Record) error {
		if f, ok := r.(Frame); ok && f.Decision == s.Decision && at.Seq >= s.Record && f.Same == nil {
			b.Write(f.Bytes)
		}
		return nil
	})
	if err := errors.Join(append(state.Findings, err)...); err != nil {
		return nil, err
	}
	var sum PageSum
	sum.Write(b.Bytes())
	if sum.bytes != s.Bytes || sum.digest() != s.Digest {
		return nil, fmt.Errorf("%s: the answer to %s is not the page that another one refers to", path, s.Decision)
	}
	return b.Bytes(), nil
}
