package audit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// written is a small journal of one file: its bytes, its path and its records.
func written(t testing.TB, key *Key) (dir, path string, content []byte, records []Record) {
	t.Helper()
	dir = t.TempDir()
	j := open(t, dir, key, Options{})
	records = []Record{Decision{Time: when, ID: "a"}, Frame{Time: when, Decision: "a", Bytes: []byte("x")},
		Outcome{Time: when, Decision: "a"}}
	appendAll(t, j, records...)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	paths, _, err := files(dir)
	if err != nil || len(paths) != 1 {
		t.Fatal(paths, err)
	}
	content, err = os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	return dir, paths[0], content, records
}

// judge reads a changed journal. What it gives must be records as written, in their order; it says
// how many there are, and what was found to be wrong with the key and without.
func judge(t *testing.T, dir, path string, content []byte, key *Key) (records int, found, withoutKey error) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	want := []string{"decision", "frame", "outcome"}
	report, err := Read(dir, key, func(p Position, r Record) error {
		if p.Seq >= uint64(len(want)) || r.kind() != want[p.Seq] {
			t.Errorf("record %d is a %s", p.Seq, r.kind())
		}
		records++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	verified, err := Verify(dir)
	if err != nil {
		t.Fatal(err)
	}
	return records, report.Err(), verified.Err()
}

// TestEveryBit changes each bit of a journal in turn: it is always found (invariant I5), with the
// key and without, and hides no record but the one it is in.
func TestEveryBit(t *testing.T) {
	key := testKey(t)
	dir, path, content, records := written(t, key)
	if n, found, withoutKey := judge(t, dir, path, content, key); n != len(records) || found != nil || withoutKey != nil {
		t.Fatalf("as written: %d records, found %v, %v", n, found, withoutKey)
	}
	for i := range content {
		for bit := range 8 {
			changed := bytes.Clone(content)
			changed[i] ^= 1 << bit
			n, found, withoutKey := judge(t, dir, path, changed, key)
			if found == nil || withoutKey == nil {
				t.Errorf("bit %d of byte %d changed: found %v, %v", bit, i, found, withoutKey)
			}
			want := len(records) - 1
			if i < headerSize {
				want = 0 // what seals the records is named there
			}
			if n < want {
				t.Errorf("bit %d of byte %d changed: %d records left, want %d", bit, i, n, want)
			}
		}
	}
}

// TestEveryCut cuts the file after each byte: whole records before the cut are read, the rest never
// is, and it is always said that an end is missing.
func TestEveryCut(t *testing.T) {
	key := testKey(t)
	dir, path, content, _ := written(t, key)
	whole := 0
	for n := range content {
		got, found, withoutKey := judge(t, dir, path, content[:n], key)
		if found == nil || withoutKey == nil {
			t.Errorf("cut after %d bytes: found %v, %v", n, found, withoutKey)
		}
		if got < whole {
			t.Errorf("cut after %d bytes: %d records, %d after fewer", n, got, whole)
		}
		whole = got
		if report, err := Verify(dir); err != nil || report.Files[0].Size+report.Files[0].Torn != int64(n) {
			t.Errorf("cut after %d bytes: %+v, %v", n, report.Files, err)
		}
	}
	// A file system may leave zeros where the last write should be.
	for _, n := range []int{0, headerSize, len(content) - 100, len(content)} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			if _, found, withoutKey := judge(t, dir, path, append(bytes.Clone(content[:n]), make([]byte, 5000)...), key); found == nil ||
				withoutKey == nil {
				t.Errorf("zeros behind %d bytes: found %v, %v", n, found, withoutKey)
			}
		})
	}
	// From the middle: what stands behind it is read.
	p := frames(content)
	for n := 1; n < len(p[2]); n++ {
		cut := slices.Concat(p[0], p[1], p[2][n:], p[3], p[4])
		if got, found, withoutKey := judge(t, dir, path, cut, key); got != 2 || found == nil || withoutKey == nil {
			t.Errorf("%d bytes cut out of the second record: %d records, found %v, %v", n, got, found, withoutKey)
		}
	}
}

// TestALengthIsNotBelieved is one flipped bit in the length of an early frame of a long file: the
// rest of the file is read, and the bit is found. Lengths beyond the file, or of zero, are the
// same.
func TestALengthIsNotBelieved(t *testing.T) {
	key := testKey(t)
	dir := t.TempDir()
	j := open(t, dir, key, Options{})
	const records = 176
	for i := range records {
		appendAll(t, j, Decision{ID: fmt.Sprint("d-", i), SQL: strings.Repeat("x", i)})
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	paths, _, err := files(dir)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	at := len(slices.Concat(frames(content)[:4]...))
	for _, length := range []uint32{0, 1, 16, 1 << 10, 1 << 20, maxSealed, maxSealed + 1, 1 << 31, 1<<32 - 1} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			changed := bytes.Clone(content)
			binary.BigEndian.PutUint32(changed[at+13:], length)
			if err := os.WriteFile(paths[0], changed, 0o600); err != nil {
				t.Fatal(err)
			}
			l, err := List(dir, key)
			if err != nil || len(l.Entries) != records-1 || len(l.Findings) == 0 {
				t.Errorf("length %d: %d of %d records are listed, found %v, %v", length, len(l.Entries), records, l.Findings, err)
			}
			var corrupt *CorruptError
			if !errors.As(l.Err(), &corrupt) || corrupt.Offset != int64(at) {
				t.Errorf("length %d: found %v, want byte %d", length, l.Findings, at)
			}
		})
	}
}

// frames cuts a journal file into header and frames.
func frames(content []byte) (parts [][]byte) {
	parts = append(parts, content[:headerSize])
	for rest := content[headerSize:]; len(rest) > 0; {
		n := frameHead + frame(rest).length()
		parts = append(parts, rest[:n])
		rest = rest[n:]
	}
	return parts
}

// TestMovedFrames takes out, repeats and swaps whole frames, checksums and all.
func TestMovedFrames(t *testing.T) {
	key := testKey(t)
	dir, path, content, _ := written(t, key)
	_, _, other, _ := written(t, key)
	p, q := frames(content), frames(other)
	for name, parts := range map[string][][]byte{
		"taken out":        {p[0], p[1], p[3], p[4]},
		"first taken out":  {p[0], p[2], p[3], p[4]},
		"repeated":         {p[0], p[1], p[1], p[2], p[3], p[4]},
		"swapped":          {p[0], p[2], p[1], p[3], p[4]},
		"of another file":  {p[0], p[1], q[2], p[3], p[4]},
		"all of another":   {p[0], q[1], q[2], q[3], q[4]},
		"end taken out":    {p[0], p[1], p[2], p[3]},
		"behind the end":   {p[0], p[1], p[2], p[3], p[4], p[1]},
		"header repeated":  {p[0], p[0], p[1], p[2], p[3], p[4]},
		"nothing at all":   {},
		"without a header": {p[1], p[2]},
		"with rubbish":     {p[0], p[1], bytes.Repeat([]byte{7}, 150)},
		"with marks":       {p[0], p[1], bytes.Repeat([]byte(frameMark), 150)},
		"rubbish between":  {p[0], p[1], bytes.Repeat([]byte{7}, 150), p[2], p[3], p[4]},
		"end only":         {p[0], p[4]},
		"end of another":   {p[0], p[1], p[2], p[3], q[4]},
	} {
		t.Run(name, func(t *testing.T) {
			if _, found, withoutKey := judge(t, dir, path, bytes.Join(parts, nil), key); found == nil || withoutKey == nil {
				t.Errorf("%s: found %v, %v", name, found, withoutKey)
			}
		})
	}
}

// TestForgedChain is an attacker who knows the format and not the key: they write frames of their
// own with a right chain and right checksums. Verify, which has no key, takes them for a journal
// (checkpoints are signed for that); who reads does not.
func TestForgedChain(t *testing.T) {
	key, foreign := testKey(t), testKey(t)
	dir, path, content, _ := written(t, key)
	h, err := parseHeader(content[:headerSize])
	if err != nil {
		t.Fatal(err)
	}
	aead, err := foreign.writes().cipher(h.id)
	if err != nil {
		t.Fatal(err)
	}
	text, err := encode(Decision{ID: "forged"})
	if err != nil {
		t.Fatal(err)
	}
	c := chain{last: link(Hash{}, nil, content[:headerSize])}
	forged := c.appendFrame(bytes.Clone(content[:headerSize]), h.id, aead, text)
	forged = c.appendClear(forged, h.id, aead, frameEnd, make([]byte, 8))
	if n, found, withoutKey := judge(t, dir, path, forged, key); n != 0 || found == nil || withoutKey != nil {
		t.Errorf("%d forged records, found %v, %v", n, found, withoutKey)
	}
	// The closing frame alone, behind records that are genuine: the file was cut there.
	p := frames(content)
	c = chain{last: frame(p[2]).chain(), next: 2}
	forged = c.appendClear(slices.Concat(p[0], p[1], p[2]), h.id, aead, frameEnd, make([]byte, 8))
	if _, found, withoutKey := judge(t, dir, path, forged, key); found == nil || withoutKey != nil {
		t.Errorf("a forged end: found %v, %v", found, withoutKey)
	}
	// A body whose checksums were made to fit, and not the chain.
	altered := bytes.Clone(p[1])
	altered[frameHead+5] ^= 1
	binary.BigEndian.PutUint32(altered[17:], crc32.Checksum(altered[frameHead:], castagnoli))
	binary.BigEndian.PutUint32(altered[frameHead-4:], frame(altered).headSum(h.id))
	if _, found, withoutKey := judge(t, dir, path, slices.Concat(p[0], altered, p[2], p[3], p[4]), key); found == nil || withoutKey == nil {
		t.Errorf("a body with new checksums: found %v, %v", found, withoutKey)
	}
	// The same, of how other files ended.
	c = chain{last: link(Hash{}, nil, content[:headerSize])}
	forged = c.appendClear(bytes.Clone(content[:headerSize]), h.id, aead, frameFound, []byte(`{"files":[]}`))
	forged = append(forged, bytes.Join(frames(content)[1:], nil)...)
	if _, found, _ := judge(t, dir, path, forged, key); found == nil {
		t.Error("a forged word on other files was not found")
	}
}

func TestWrongKeyAndStrayFiles(t *testing.T) {
	key := testKey(t)
	dir, path, content, _ := written(t, key)
	if l, err := List(dir, testKey(t)); err != nil || !errors.Is(l.Err(), ErrWrongKey) || len(l.Entries) != 0 {
		t.Errorf("wrong key: %v, %v", l.Findings, err)
	}
	in := filepath.Dir(path)
	notes := []string{"x.tmp", "notes.txt", ".hidden", "a folder", "bqj"}
	for _, name := range notes {
		t.Run(name, func(t *testing.T) {
			if name == "a folder" {
				if err := os.Mkdir(filepath.Join(in, name), 0o700); err != nil {
					t.Fatal(err)
				}
			} else if err := os.WriteFile(filepath.Join(in, name), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
	l, err := List(dir, key)
	if err := errors.Join(err, l.Err()); err != nil || len(l.Entries) != 1 || len(l.Notes) != len(notes) {
		t.Errorf("beside other files: %d entries, notes %q, %v", len(l.Entries), l.Notes, err)
	}
	// A journal under another name, or something else under the name of one, hides records.
	for name, hide := range map[string]func(to string) error{
		"renamed.tmp":   func(to string) error { return os.WriteFile(to, content, 0o600) },
		"z" + extension: func(to string) error { return os.Mkdir(to, 0o700) },
		"l" + extension: func(to string) error { return os.Symlink(path, to) },
		"e" + extension: func(to string) error { return os.WriteFile(to, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			to := filepath.Join(in, name)
			if err := hide(to); err != nil {
				t.Fatal(err)
			}
			if l, err := List(dir, key); err != nil || len(l.Findings) != 1 || !strings.Contains(l.Err().Error(), name) ||
				len(l.Entries) != 1 {
				t.Errorf("%s: %d entries, found %v, %v", name, len(l.Entries), l.Findings, err)
			}
			if err := os.RemoveAll(to); err != nil {
				t.Fatal(err)
			}
		})
	}
	if _, err := Verify(t.TempDir()); err == nil {
		t.Error("a folder without a journal verifies")
	}
}

// TestMissingFile: the files of one process are a chain too.
func TestMissingFile(t *testing.T) {
	key := testKey(t)
	dir := t.TempDir()
	j := open(t, dir, key, Options{MaxFile: 1})
	appendAll(t, j, Decision{ID: "a"}, Decision{ID: "b"}, Decision{ID: "c"})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	paths, _, err := files(dir)
	if err != nil || len(paths) < 3 {
		t.Fatal(paths, err)
	}
	if r, err := Verify(dir); err != nil || r.Err() != nil {
		t.Fatal(err, r.Findings)
	}
	// A later process tells of the files of earlier ones, so that not even the last of them can go.
	if err := open(t, dir, key, Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	for i, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if r, err := Verify(dir); err != nil || len(r.Findings) == 0 || !strings.Contains(r.Err().Error(), filepath.Base(path)) {
			t.Errorf("file %d taken out: %v, %v", i, r.Findings, err)
		}
		// Cut behind a whole record, so that nothing is torn, and with its closing record gone.
		p := frames(content)
		if err := os.WriteFile(path, bytes.Join(p[:len(p)-1], nil), 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := Verify(dir); err != nil || len(r.Findings) == 0 {
			t.Errorf("the end of file %d taken out: %v, %v", i, r.Findings, err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := Verify(dir); err != nil || r.Err() != nil {
		t.Error(err, r.Findings)
	}
}

// FuzzScan reads any bytes as a journal file: no panic, no record that was not written.
func FuzzScan(f *testing.F) {
	key := fixedKey(7)
	_, _, content, _ := written(f, key)
	f.Add(content)
	f.Add(content[:len(content)-7])
	f.Add(content[:headerSize])
	for _, p := range frames(content) {
		f.Add(append(bytes.Clone(content), p...))
	}
	path := filepath.Join(f.TempDir(), "x"+extension)
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		n := 0
		state, err := walk(path, key, func(_ Position, r Record) error { n++; return nil })
		if err == nil && state.Size+state.Torn != int64(len(b)) {
			t.Errorf("%d whole and %d torn of %d", state.Size, state.Torn, len(b))
		}
		if n > 3 { // the three of a written file, or fewer; without the key nobody makes another
			t.Errorf("%d records", n)
		}
	})
}

// FuzzDecode reads any bytes as an opened record.
func FuzzDecode(f *testing.F) {
	more := []Record{Decision{ID: "d", SQL: strings.Repeat("SELECT 1 ", 1000)}, Frame{Decision: "d", Bytes: pageOf(100, 1)},
		Frame{Decision: "d", Same: &Same{File: "f", Record: 1, Decision: "e", Bytes: 2, Digest: "00"}},
		Frame{Decision: "d", At: 7, Bytes: []byte("x")},
		Asked{Decision: "d", SQL: strings.Repeat("SELECT 1 ", 1000)}.Brief()}
	for _, r := range append(sampleRecords(), more...) {
		text, err := encode(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decode(b)
		if err == nil && r == nil {
			t.Error("neither a record nor an error")
		}
		if err == nil {
			var x references // whatever it says, it is judged
			_ = x.see(Position{File: "f"}, r)
			if again, err := encode(r); err == nil {
				if _, err := decode(again); err != nil {
					t.Errorf("%T does not come back: %v", r, err)
				}
			}
		}
	})
}
