package audit

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// A journal that was written before texts were compressed and pages referred to is read as before.
// testdata/written-2026-11 was written by that version, with a key of its own.
func TestEarlierJournal(t *testing.T) {
	const dir = "testdata/written-2026-11"
	text, err := os.ReadFile(filepath.Join(dir, "audit.key.txt"))
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := LoadKey(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	var got []Record
	report, err := Read(dir, key, func(_ Position, r Record) error { got = append(got, r); return nil })
	if err != nil || report.Err() != nil {
		t.Fatal(err, report.Findings)
	}
	want := sampleRecords()
	if len(got) != len(want)+7 || !reflect.DeepEqual(got[:len(want)], want) {
		t.Errorf("%d records, the first %+v", len(got), got[:min(len(got), len(want))])
	}
	if a, ok := got[len(want)].(Asked); !ok || len(a.SQL) != 3012 {
		t.Errorf("%+v", got[len(want)])
	}
	if report, err := Verify(dir); err != nil || report.Err() != nil {
		t.Error(err, report.Findings)
	}
	l, err := List(dir, key)
	if err != nil || len(l.Entries) != 2 || len(l.Entries[1].SQL) != 3012 || l.Entries[0].Recorded != 65000 {
		t.Errorf("%v: %+v", err, l.Entries)
	}
	body, _, err := Answer(dir, key, "d-3")
	if err != nil || string(body) != strings.Repeat("row ", 4000)+"end" {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}

// What a client can make long is kept compressed where that pays, and comes back as it was.
func TestCompressed(t *testing.T) {
	noise := make([]byte, 200<<10)
	r := rand.NewChaCha8([32]byte{1})
	if _, err := r.Read(noise); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("SELECT name FROM crm.customers -- ", 30_000)
	for name, c := range map[string]struct {
		record Record
		most   int // bytes
		z      bool
	}{
		"a long statement":    {Decision{ID: "d", SQL: long}, 4 << 10, true},
		"a question":          {Asked{Decision: "d", SQL: long}, 4 << 10, true},
		"an outcome's reason": {Outcome{Decision: "d", Reason: strings.Repeat("why ", 400)}, 1 << 10, true},
		"a short statement":   {Decision{ID: "d", SQL: "SELECT 1"}, 1 << 10, false},
		"an approval":         {Approval{RequestID: "r", Reason: strings.Repeat("because ", 1000)}, 9 << 10, false},
		"rows":                {Frame{Decision: "d", Bytes: []byte(long)}, 100 << 10, false},
		"noise, as it is":     {Frame{Decision: "d", Bytes: noise}, len(noise) + 200, false},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := encode(c.record)
			if err != nil {
				t.Fatal(err)
			}
			if len(text) > c.most || bytes.HasPrefix(text, zstdMagic) != c.z {
				t.Errorf("%d bytes, want at most %d; zstd: %t", len(text), c.most, !c.z)
			}
			got, err := decode(text)
			if err != nil || !reflect.DeepEqual(got, c.record) {
				t.Errorf("%v: it comes back as %.200v", err, got)
			}
		})
	}
}

// A text that opens to more than is ever written is not opened, and takes no memory.
func TestBomb(t *testing.T) {
	var z bytes.Buffer
	w, err := zstd.NewWriter(&z)
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range 512 {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	known, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	head := []byte(`{"kind":"frame","record":{"decision":"d"},"encoding":"s2"}`)
	frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(head))), head...)
	frame = append(frame, s2.Encode(nil, make([]byte, maxText+1))...)
	for name, text := range map[string][]byte{
		"zstd of 512 MiB":           z.Bytes(),
		"zstd that says its length": known.EncodeAll(make([]byte, maxRecord+5), nil),
		"s2 of a frame":             frame,
		"zstd of s2":                known.EncodeAll(frame, nil),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r, err := decode(text)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Errorf("%d bytes were opened as a %T", len(text), r)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 3*maxText {
				t.Errorf("%d bytes took %d MiB", len(text), took>>20)
			}
		})
	}
}
