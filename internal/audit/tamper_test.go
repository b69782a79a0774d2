package audit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// written is a small journal of one file: its bytes, its path and its records.
func written(t testing.TB, key *Key) (dir, path string, content []byte, records []Record) {
	t.Helper()
	dir = t.TempDir()
	j := open(t, dir, key, Options{})
	records = []Record{Decision{Time: when, ID: "a"}, Frame{Time: when, Decision: "a", Bytes: []byte("x")}, Outcome{Time: when, Decision: "a"}}
	appendAll(t, j, records...)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	paths, err := files(dir)
	if err != nil || len(paths) != 1 {
		t.Fatal(paths, err)
	}
	content, err = os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	return dir, paths[0], content, records
}

// judge reads a changed journal. What it gives must be the records as written, from the first one on; it says whether anything was found to be wrong.
func judge(t *testing.T, dir, path string, content []byte, key *Key) (records int, found bool) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	want := []string{"decision", "frame", "outcome"}
	states, err := Read(dir, key, func(_ Position, r Record) error {
		if records >= len(want) || r.kind() != want[records] {
			t.Errorf("record %d is a %s", records, r.kind())
		}
		records++
		return nil
	})
	if err != nil {
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) && !errors.Is(err, ErrWrongKey) {
			t.Errorf("not a finding: %v", err)
		}
		return records, true
	}
	return records, states[0].Torn > 0 || !states[0].Closed
}

// TestEveryByte changes each byte of a journal in turn: it is always seen (invariant I5).
func TestEveryByte(t *testing.T) {
	key := testKey(t)
	dir, path, content, records := written(t, key)
	if n, found := judge(t, dir, path, content, key); n != len(records) || found {
		t.Fatalf("as written: %d records, found %t", n, found)
	}
	for i := range content {
		changed := bytes.Clone(content)
		changed[i] ^= 1 << (i % 8)
		if _, found := judge(t, dir, path, changed, key); !found {
			t.Errorf("byte %d changed, and nothing was found", i)
		}
		if states, err := Verify(dir); err == nil && states[0].Torn == 0 {
			t.Errorf("byte %d changed, and Verify found nothing", i)
		}
	}
}

// TestEveryCut cuts the file after each byte, as a crash may: whole records before the cut are read, the rest is called torn, never a record.
func TestEveryCut(t *testing.T) {
	key := testKey(t)
	dir, path, content, _ := written(t, key)
	whole := 0
	for n := range content {
		got, found := judge(t, dir, path, content[:n], key)
		if !found {
			t.Errorf("cut after %d bytes, and nothing was found", n)
		}
		if got < whole {
			t.Errorf("cut after %d bytes: %d records, %d after fewer", n, got, whole)
		}
		whole = got
		if states, err := Verify(dir); err != nil {
			t.Errorf("cut after %d bytes is not torn but %v", n, err)
		} else if states[0].Size+states[0].Torn != int64(n) {
			t.Errorf("cut after %d bytes: %d whole, %d torn", n, states[0].Size, states[0].Torn)
		}
	}
	// A file system may leave zeros where the last write should be.
	for _, n := range []int{0, headerSize, len(content) - 100} {
		got, found := judge(t, dir, path, append(bytes.Clone(content[:n]), make([]byte, 5000)...), key)
		t.Logf("zeros behind %d bytes: %d records, found %t", n, got, found)
		if !found {
			t.Errorf("zeros behind %d bytes, and nothing was found", n)
		}
	}
}

// frames cuts a journal file into header and frames.
func frames(content []byte) (parts [][]byte) {
	parts = append(parts, content[:headerSize])
	for rest := content[headerSize:]; len(rest) > 0; {
		n := frameHead + int(binary.BigEndian.Uint32(rest))
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
		"taken out":         {p[0], p[1], p[3], p[4]},
		"first taken out":   {p[0], p[2], p[3], p[4]},
		"repeated":          {p[0], p[1], p[1], p[2], p[3], p[4]},
		"swapped":           {p[0], p[2], p[1], p[3], p[4]},
		"of another file":   {p[0], p[1], q[2], p[3], p[4]},
		"all of another":    {p[0], q[1], q[2], q[3], q[4]},
		"end taken out":     {p[0], p[1], p[2], p[3]},
		"behind the end":    {p[0], p[1], p[2], p[3], p[4], p[1]},
		"header repeated":   {p[0], p[0], p[1], p[2], p[3], p[4]},
		"nothing at all":    {},
		"without a header":  {p[1], p[2]},
		"with a long frame": {p[0], p[1], {0xff, 0xff, 0xff, 0xff}, bytes.Repeat([]byte{7}, 50)},
	} {
		if _, found := judge(t, dir, path, bytes.Join(parts, nil), key); !found {
			t.Errorf("%s: nothing was found", name)
		}
	}
}

// TestForgedChain is an attacker who knows the format and not the key: he writes frames of his own with a right chain and right checksums. Verify, which has no
// key, takes them for a journal (checkpoints are signed for that); who reads does not.
func TestForgedChain(t *testing.T) {
	key, foreign := testKey(t), testKey(t)
	dir, path, content, _ := written(t, key)
	h, err := parseHeader(content[:headerSize])
	if err != nil {
		t.Fatal(err)
	}
	aead, err := foreign.cipher(h.id)
	if err != nil {
		t.Fatal(err)
	}
	text, err := encode(Decision{ID: "forged"})
	if err != nil {
		t.Fatal(err)
	}
	c := chain{last: link(Hash{}, nil, content[:headerSize])}
	forged := c.appendFrame(bytes.Clone(content[:headerSize]), aead, text)
	if n, found := judge(t, dir, path, forged, key); n != 0 || !found {
		t.Errorf("%d forged records, found %t", n, found)
	}
}

func TestWrongKeyAndStrayFiles(t *testing.T) {
	key := testKey(t)
	dir, path, content, _ := written(t, key)
	if _, err := List(dir, testKey(t)); !errors.Is(err, ErrWrongKey) {
		t.Errorf("wrong key: %v", err)
	}
	stray := filepath.Join(filepath.Dir(path), "notes.txt")
	if err := os.WriteFile(stray, content, 0o600); err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	if _, err := List(dir, key); !errors.As(err, &corrupt) || corrupt.File != stray {
		t.Errorf("stray file: %v", err)
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
	paths, err := files(dir)
	if err != nil || len(paths) < 3 {
		t.Fatal(paths, err)
	}
	if _, err := Verify(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(paths[1]); err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	if _, err := Verify(dir); !errors.As(err, &corrupt) || corrupt.File != paths[2] {
		t.Errorf("a file taken out of the middle: %v", err)
	}
}

// FuzzScan reads any bytes as a journal file: no panic, no record that was not written.
func FuzzScan(f *testing.F) {
	key := &Key{secret: bytes.Repeat([]byte{7}, keySize)}
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
		state, err := readFile(path, key, func(_ Position, r Record) error { n++; return nil })
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
	for _, r := range sampleRecords() {
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
	})
}
