package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// pageOf is a page of so many bytes that does not compress.
func pageOf(size int, seed byte) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // it never fails
	return b
}

// let records an answer as extproc does, in pieces of these sizes over and over, and returns what
// of it was let out.
func let(t testing.TB, r *Recording, j Appender, body []byte, state string, pieces ...int) (out []byte) {
	t.Helper()
	var pending []byte
	for i := 0; len(body) > 0; i++ {
		n := min(pieces[i%len(pieces)], len(body))
		pending, body = append(pending, body[:n]...), body[n:]
		n = r.Ready(pending)
		if n == 0 {
			continue
		}
		if err := r.Append(t.Context(), j, pending[:n]); err != nil {
			t.Fatal(err)
		}
		out = append(out, pending[:n]...)
		pending = bytes.Clone(pending[n:])
	}
	o := Outcome{Decision: r.decision, State: state, Bytes: r.Bytes()}
	if state == StateBroken { // what is pending does not leave
		if _, err := j.AppendAll(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		return out
	}
	o.Bytes += uint64(len(pending))
	if err := r.Append(t.Context(), j, pending, o); err != nil {
		t.Fatal(err)
	}
	if r.Bytes() != o.Bytes {
		t.Errorf("%d bytes recorded of %d", r.Bytes(), o.Bytes)
	}
	return append(out, pending...)
}

// A page that comes again is recorded by reference, however it was cut into pieces, and only where
// it is the same byte for byte; and each answer is read back as the agent got it.
func TestPagesByReference(t *testing.T) {
	const size = 3 << 20
	page := pageOf(size, 1)
	changed := func(at int) []byte { b := bytes.Clone(page); b[at] ^= 1; return b }
	key := Hash{1}
	for name, c := range map[string]struct {
		body   []byte
		key    Hash
		state  string
		pieces []int
		most   int64 // bytes of the journal
		least  int64
	}{
		"the same":                      {page, key, StateComplete, []int{64 << 10}, 1 << 10, 0},
		"in odd pieces":                 {page, key, StateComplete, []int{1, 999_999, 7, 300_000}, 1 << 10, 0},
		"in one piece":                  {page, key, StateComplete, []int{size}, 1 << 10, 0},
		"in one piece and a bit":        {page, key, StateComplete, []int{pageBlock, pageBlock - 1}, 1 << 10, 0},
		"another byte at the beginning": {changed(0), key, StateComplete, []int{64 << 10}, size + 1<<20, size},
		"another byte in the middle":    {changed(2 << 20), key, StateComplete, []int{64 << 10}, 2 << 20, 1 << 20},
		"another byte at the end":       {changed(size - 1), key, StateComplete, []int{64 << 10}, 300 << 10, 200 << 10},
		"another question":              {page, Hash{2}, StateComplete, []int{64 << 10}, size + 1<<20, size},
		"shorter by a byte":             {page[:size-1], key, StateComplete, []int{64 << 10}, 300 << 10, 200 << 10},
		"ended after two blocks":        {page[:2*pageBlock], key, StateComplete, []int{pageBlock}, 1 << 10, 0},
		"longer by a byte":              {append(bytes.Clone(page), 7), key, StateComplete, []int{64 << 10}, 300 << 10, 0},
		"broken off":                    {page[:2<<20+5], key, StateBroken, []int{64 << 10}, 1 << 10, 0},
		"nothing":                       {nil, key, StateComplete, []int{1}, 1 << 10, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir, sealing := t.TempDir(), testKey(t)
			j := open(t, dir, sealing, Options{})
			var pages Pages
			first := pages.Begin("d-1", key)
			let(t, &first, j, page, StateComplete, 100_000)
			again := pages.Begin("d-2", c.key)
			out := let(t, &again, j, c.body, c.state, c.pieces...)
			if again.Took() > c.most || again.Took() < c.least {
				t.Errorf("it took %d bytes of the journal, want %d to %d", again.Took(), c.least, c.most)
			}
			third := pages.Begin("d-3", key) // what came between must not stand in the way
			let(t, &third, j, page, StateComplete, 64<<10)
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			for id, want := range map[string][]byte{"d-1": page, "d-2": out, "d-3": page} {
				got, report, err := Answer(dir, sealing, id)
				if err != nil || report.Err() != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: %d bytes of %d, or others; %v, %v", id, len(got), len(want), err, report.Findings)
				}
			}
			l := lister{
				entries:  map[string]*Entry{},
				recorded: map[string]uint64{},
				same:     map[string]bool{},
				outcomes: map[string]Outcome{},
			}
			if _, err := Read(dir, sealing, l.add); err != nil {
				t.Fatal(err)
			}
			l.entries["d-2"] = &Entry{}
			if e := l.join()[0]; e.Recorded != uint64(len(out)) || e.Bytes != uint64(len(out)) {
				t.Errorf("the list says %d bytes, %d of them recorded, of %d", e.Bytes, e.Recorded, len(out))
			}
		})
	}
}

// A page of an earlier file is not referred to: a file tells by itself all that it says.
func TestPageOfAnEarlierFile(t *testing.T) {
	dir, key := t.TempDir(), testKey(t)
	j := open(t, dir, key, Options{MaxFile: 1 << 20})
	page := pageOf(300<<10, 1)
	var pages Pages
	first := pages.Begin("d-1", Hash{})
	let(t, &first, j, page, StateComplete, 100_000)
	second := pages.Begin("d-2", Hash{})
	let(t, &second, j, page, StateComplete, 100_000)
	for i := range 5 {
		appendAll(t, j, Frame{Decision: fmt.Sprint("fill-", i), Bytes: pageOf(300<<10, byte(i))})
	}
	third := pages.Begin("d-3", Hash{})
	let(t, &third, j, page, StateComplete, 100_000)
	fourth := pages.Begin("d-4", Hash{})
	let(t, &fourth, j, page, StateComplete, 100_000)
	if second.Took() > 1<<10 || third.Took() < 300<<10 || fourth.Took() > 1<<10 {
		t.Errorf("they took %d, %d and %d bytes", second.Took(), third.Took(), fourth.Took())
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"d-1", "d-2", "d-3", "d-4"} {
		if got, r, err := Answer(dir, key, id); err != nil || r.Err() != nil || !bytes.Equal(got, page) {
			t.Errorf("%s: %d bytes, %v", id, len(got), err)
		}
	}
}

// A54: a reference to something else is found, whatever of it is wrong.
func TestForgedReferences(t *testing.T) {
	page := pageOf(600<<10, 1)
	for name, forge := range map[string]func(s *Same){
		"none of it":       nil,
		"another record":   func(s *Same) { s.Record++ },
		"another decision": func(s *Same) { s.Decision = "d-0" },
		"nobody's":         func(s *Same) { s.Decision = "d-9" },
		"fewer bytes":      func(s *Same) { s.Bytes-- },
		"another digest":   func(s *Same) { s.Digest = s.Digest[1:] + "0" },
		"itself":           func(s *Same) { s.Decision = "d-2" },
	} {
		t.Run(name, func(t *testing.T) {
			dir, key := t.TempDir(), testKey(t)
			j := open(t, dir, key, Options{})
			var pages Pages
			other := pages.Begin("d-0", Hash{9})
			let(t, &other, j, pageOf(600<<10, 2), StateComplete, 64<<10)
			first := pages.Begin("d-1", Hash{})
			let(t, &first, j, page, StateComplete, 64<<10)
			known, _ := pages.known().Get(Hash{})
			same := known.same
			if forge != nil {
				forge(&same)
			}
			appendAll(t, j, Frame{Decision: "d-2", Same: &same}, Outcome{Decision: "d-2", State: StateComplete, Bytes: same.Bytes})
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			l, err := List(dir, key)
			if err != nil || (len(l.Findings) != 0) != (forge != nil) {
				t.Errorf("found %v, %v", l.Findings, err)
			}
			body, report, err := Answer(dir, key, "d-2")
			if fine := err == nil && report.Err() == nil && bytes.Equal(body, page); fine != (forge == nil) {
				t.Errorf("the answer has %d bytes, %v, %v", len(body), err, report.Findings)
			}
		})
	}
	t.Run("another file", func(t *testing.T) {
		j := open(t, t.TempDir(), testKey(t), Options{})
		defer j.Close()
		if _, err := j.Append(context.Background(), Frame{Decision: "d-2", Same: &Same{File: "x"}}); !errors.Is(err, ErrMoved) {
			t.Errorf("appended: %v", err)
		}
		if err := j.Err(); err != nil {
			t.Errorf("the journal is at its end: %v", err)
		}
	})
}

// An answer of which a crash, or an operator's scissors, took the page is not believed.
func TestReferenceWithoutItsPage(t *testing.T) {
	dir, key := t.TempDir(), testKey(t)
	j := open(t, dir, key, Options{})
	var pages Pages
	first := pages.Begin("d-1", Hash{})
	let(t, &first, j, pageOf(600<<10, 1), StateComplete, 1<<20)
	second := pages.Begin("d-2", Hash{})
	let(t, &second, j, pageOf(600<<10, 1), StateComplete, 1<<20)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, folder, j.name)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[headerSize+frameHead+1000] ^= 1 // in the page
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := List(dir, key)
	if err != nil || len(l.Findings) != 2 {
		t.Errorf("want the damage and the reference to it, found %v, %v", l.Findings, err)
	}
	if body, _, err := Answer(dir, key, "d-2"); err == nil {
		t.Errorf("the answer has %d bytes", len(body))
	}
}

// What is known of pages is bounded, whatever comes.
func TestPagesAreBounded(t *testing.T) {
	var pages Pages
	j := &countsAppends{}
	page := pageOf(minPage, 1)
	for i := range 2 * pagesKept {
		r := pages.Begin(fmt.Sprint("d-", i), Hash{byte(i), byte(i >> 8)})
		let(t, &r, j, page, StateComplete, minPage)
	}
	if n := pages.known().Len(); n != pagesKept {
		t.Errorf("%d pages are known", n)
	}
	r := pages.Begin("d", Hash{0xff, 0xff})
	r.sum.bytes = maxPage // as if so much had been
	let(t, &r, j, pageOf(2*pageBlock, 1), StateComplete, pageBlock)
	if len(r.sum.kept) > maxPage/pageBlock {
		t.Errorf("%d blocks are kept of a page", len(r.sum.kept))
	}
}

type countsAppends struct{ n uint64 }

func (c *countsAppends) AppendAll(_ context.Context, records ...Record) (Position, error) {
	c.n += uint64(len(records))
	return Position{File: "f", Seq: c.n - 1}, nil
}

// FuzzRecording records a page twice, the second time changed and cut anywhere: what is read back
// is what was let out.
func FuzzRecording(f *testing.F) {
	f.Add(uint32(600_000), uint32(300_000), uint32(100_000), uint32(600_000), false)
	f.Add(uint32(pageBlock), uint32(0), uint32(pageBlock), uint32(pageBlock-1), true)
	f.Add(uint32(3*pageBlock), uint32(2*pageBlock), uint32(1), uint32(3*pageBlock+9), true)
	key := fixedKey(7)
	f.Fuzz(func(t *testing.T, size, at, piece, again uint32, change bool) {
		const most = 4 * pageBlock
		size, again, piece = size%most, again%most, 1+max(piece%most, 997)
		page := pageOf(most, 3)
		other := bytes.Clone(page)
		if change {
			other[at%most] ^= 0x10
		}
		dir := t.TempDir()
		j := open(t, dir, key, Options{})
		var pages Pages
		first := pages.Begin("d-1", Hash{})
		let(t, &first, j, page[:size], StateComplete, int(piece))
		second := pages.Begin("d-2", Hash{})
		out := let(t, &second, j, other[:again], StateComplete, int(piece%5000+1000), int(piece))
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		got, report, err := Answer(dir, key, "d-2")
		if err != nil || report.Err() != nil || !bytes.Equal(got, out) || !bytes.Equal(out, other[:again]) {
			t.Errorf("%d bytes of %d, %v, %v", len(got), again, err, report.Findings)
		}
	})
}
