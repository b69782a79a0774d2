package audit

import "fmt"

// references is what a reader knows of the answers of one file, to check what the file says is the
// same as one of them.
type references struct {
	answers map[string]*recorded // by decision
}

// recorded is an answer whose body stands in frames of the file.
type recorded struct {
	first  uint64 // number of its first frame
	bytes  uint64
	sum    *PageSum // nil once the answer has ended
	digest string   // then
}

// see takes the next record of the file, and says what is wrong with a reference.
func (x *references) see(at Position, record Record) error {
	if x.answers == nil {
		x.answers = map[string]*recorded{}
	}
	switch r := record.(type) {
	case Frame:
		if r.Same != nil {
			return x.check(at, r)
		}
		a := x.answers[r.Decision]
		if a == nil {
			if r.Seq != 0 {
				return nil // it began in the file before, so nothing can refer to it
			}
			a = &recorded{first: at.Seq, sum: &PageSum{}}
			x.answers[r.Decision] = a
		}
		if a.sum != nil {
			a.sum.Write(r.Bytes)
		}
	case Outcome:
		a := x.answers[r.Decision]
		if a == nil || a.sum == nil {
			return nil
		}
		a.bytes, a.digest = a.sum.bytes, a.sum.digest()
		a.sum = nil
		if a.bytes < minPage { // nothing refers to it
			delete(x.answers, r.Decision)
		}
	}
	return nil
}

// check says whether a page is where a frame says that it is, and is what it says.
func (x *references) check(at Position, f Frame) error {
	s := f.Same
	a := x.answers[s.Decision]
	switch {
	case s.File != at.File:
		return fmt.Errorf("the answer to %s is said to be the same as one of another file, %s", f.Decision, s.File)
	case a == nil || a.sum != nil || a.first != s.Record:
		return fmt.Errorf("the answer to %s is said to be the same as that to %s at record %d, which is not there", f.Decision, s.Decision,
			s.Record)
	case a.bytes != s.Bytes || a.digest != s.Digest:
		return fmt.Errorf("the answer to %s is said to be the same as that to %s, and is not", f.Decision, s.Decision)
	}
	return nil
}
