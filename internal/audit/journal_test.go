package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func testKey(t testing.TB) *Key {
	t.Helper()
	key, err := GenerateKey(filepath.Join(t.TempDir(), "audit.key"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func open(t testing.TB, dir string, key *Key, o Options) *Journal {
	t.Helper()
	j, err := Open(dir, key, o)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func appendAll(t testing.TB, j *Journal, records ...Record) {
	t.Helper()
	for _, r := range records {
		if _, err := j.Append(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
}

// readAll reads the records back, and checks that Verify comes to the same end.
func readAll(t testing.TB, dir string, key *Key) ([]Record, []FileState) {
	t.Helper()
	var records []Record
	report, err := Read(dir, key, func(_ Position, r Record) error {
		records = append(records, r)
		return nil
	})
	if err := errors.Join(err, report.Err()); err != nil {
		t.Fatal(err)
	}
	verified, err := Verify(dir)
	if err := errors.Join(err, verified.Err()); err != nil {
		t.Fatal(err)
	}
	for i, v := range verified.Files {
		if s := report.Files[i]; v.Last != s.Last || v.Records != s.Records || v.Torn != s.Torn || v.Closed != s.Closed {
			t.Errorf("Verify says %+v, Read %+v", v, s)
		}
	}
	return records, report.Files
}

var when = time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC)

func sampleRecords() []Record {
	return []Record{
		Decision{Time: when, ID: "d-1", Subject: Subject{Issuer: "https://idp", Sub: "repo:a/b", Owner: "o", People: []string{"ann"},
			Groups: []string{"g"}}, Method: "jobs.query", Effect: EffectAllow,
			Rule: "crm/read", SQL: "SELECT ssn FROM crm.customers WHERE ssn = '123-45-6789'", Tables: []string{"p.crm.customers"},
			Sensitive: []string{"p.crm.customers.ssn"},
			Masked:    []string{"p.crm.customers.ssn"}, EstimatedBytes: 5, Job: Job{"p", "j", "US"}, RequestID: "r-1"},
		Frame{Time: when, Decision: "d-1", Seq: 0, Bytes: bytes.Repeat([]byte("CANARYCANARY "), 5000)},
		Frame{Time: when, Decision: "d-1", Seq: 1},
		Outcome{Time: when, Decision: "d-1", State: StateComplete, Status: 200, Rows: 7, Bytes: 65000},
		Approval{Time: when, RequestID: "r-1", Kind: "approved", By: "dana", Reason: "fine", Nonce: "n"},
		Session{Time: when, ID: "s-1", Event: "created", Subject: Subject{Issuer: "i", Sub: "s"}, Expires: when.Add(time.Hour)},
	}
}

func TestRoundTrip(t *testing.T) {
	dir, key := t.TempDir(), testKey(t)
	j := open(t, dir, key, Options{})
	want := sampleRecords()
	for i, r := range want {
		p, err := j.Append(context.Background(), r)
		if err != nil || p.Seq != uint64(i) || p.Hash == (Hash{}) {
			t.Fatalf("%+v, %v", p, err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(context.Background(), want[0]); !errors.Is(err, ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
	got, states := readAll(t, dir, key)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if len(states) != 1 || !states[0].Closed || states[0].Torn != 0 || states[0].Records != uint64(len(want)+1) {
		t.Errorf("%+v", states)
	}
}

// TestNothingInClear: neither SQL nor names nor answers can be read in the folder, and only its
// owner may look (attack A22).
func TestNothingInClear(t *testing.T) {
	dir, key := t.TempDir(), testKey(t)
	j := open(t, dir, key, Options{})
	appendAll(t, j, sampleRecords()...)
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		if d.IsDir() {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, secret := range []string{"123-45-6789", "SELECT", "CANARY", "crm.customers", "repo:a/b", "dana", "decision"} {
			t.Run(secret, func(t *testing.T) {
				if bytes.Contains(content, []byte(secret)) {
					t.Errorf("%q is in %s", secret, path)
				}
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestManyWriters: everything acknowledged is there, once, and many share a sync.
func TestManyWriters(t *testing.T) {
	dir, key := t.TempDir(), testKey(t)
	var syncs atomic.Int64
	j := open(t, dir, key, Options{MaxFile: 200 << 10, create: func(path string) (file, error) {
		f, err := createFile(path)
		return countingFile{f, &syncs}, err
	}})
	const writers, each = 64, 40
	var wg sync.WaitGroup
	var seen sync.Map
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				p, err := j.Append(context.Background(), Decision{ID: fmt.Sprintf("d-%d-%d", w, i), SQL: strings.Repeat("x", 100)})
				if err != nil {
					t.Error(err)
					return
				}
				if _, twice := seen.LoadOrStore(fmt.Sprint(p.File, p.Seq), true); twice {
					t.Errorf("position %v twice", p)
				}
			}
		})
	}
	wg.Wait()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	records, states := readAll(t, dir, key)
	ids := map[string]bool{}
	for _, r := range records {
		ids[r.(Decision).ID] = true
	}
	if len(records) != writers*each || len(ids) != writers*each {
		t.Errorf("%d records, %d ids", len(records), len(ids))
	}
	if len(states) < 3 {
		t.Errorf("%d files; rotation did not happen", len(states))
	}
	for _, s := range states {
		if !s.Closed {
			t.Errorf("%s was not ended in order", s.Path)
		}
	}
	if n := syncs.Load(); n > writers*each/2 {
		t.Errorf("%d syncs for %d records", n, writers*each)
	}
	t.Logf("%d records, %d syncs, %d files", len(records), syncs.Load(), len(states))
}

// TestAppendAll: several records, in order, with one wait for the disk.
func TestAppendAll(t *testing.T) {
	dir, key := t.TempDir(), testKey(t)
	var syncs atomic.Int64
	j := open(t, dir, key, Options{create: func(path string) (file, error) {
		f, err := createFile(path)
		return countingFile{f, &syncs}, err
	}})
	before := syncs.Load()
	p, err := j.AppendAll(context.Background(), Frame{Decision: "d", Bytes: []byte("rows")}, Outcome{Decision: "d", State: StateComplete})
	if err != nil || p.Seq != 1 || syncs.Load() != before+1 {
		t.Errorf("%v, at %+v after %d syncs, want record 1 after one", err, p, syncs.Load()-before)
	}
	if _, err := j.AppendAll(context.Background()); err == nil {
		t.Error("no record was recorded")
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	records, _ := readAll(t, dir, key)
	if len(records) != 2 || records[0].kind() != "frame" || records[1].kind() != "outcome" {
		t.Errorf("got %v", records)
	}
}

type countingFile struct {
	file
	syncs *atomic.Int64
}

func (f countingFile) Datasync() error { f.syncs.Add(1); return f.file.Datasync() }

// sickFile fails after a number of good syncs.
type sickFile struct {
	file
	good  *atomic.Int64
	write func(p []byte) (int, error) // when sick; nil writes
	sync  func() error                // when sick
}

func (f sickFile) Write(p []byte) (int, error) {
	if f.good.Load() <= 0 && f.write != nil {
		return f.write(p)
	}
	return f.file.Write(p)
}

func (f sickFile) Datasync() error {
	if f.good.Add(-1) < 0 && f.sync != nil {
		return f.sync()
	}
	return f.file.Datasync()
}

// TestDiskFails is attack A31 on the journal: after the first failure nothing is acknowledged any
// more, nobody waits for ever, and what was acknowledged before can be read.
func TestDiskFails(t *testing.T) {
	failure := errors.New("input/output error")
	for name, sick := range map[string]sickFile{
		"write":       {write: func([]byte) (int, error) { return 0, failure }},
		"short write": {write: func(p []byte) (int, error) { return len(p) / 2, nil }},
		"sync":        {sync: func() error { return failure }},
	} {
		t.Run(name, func(t *testing.T) {
			dir, key := t.TempDir(), testKey(t)
			var good atomic.Int64
			good.Store(20)
			j := open(t, dir, key, Options{create: func(path string) (file, error) {
				f, err := createFile(path)
				s := sick
				s.file, s.good = f, &good
				return s, err
			}})
			var mu sync.Mutex
			var acked []string
			var wg sync.WaitGroup
			for w := range 16 {
				wg.Go(func() {
					for i := 0; ; i++ {
						id := fmt.Sprintf("d-%d-%d", w, i)
						if _, err := j.Append(context.Background(), Decision{ID: id}); err != nil {
							return
						}
						mu.Lock()
						acked = append(acked, id)
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			if j.Err() == nil {
				t.Fatal("the journal does not know that it failed")
			}
			good.Store(1000) // the disk is well again; the journal must not believe it
			for range 3 {
				if _, err := j.Append(context.Background(), Decision{ID: "late"}); err == nil {
					t.Fatal("a failed journal acknowledged a record")
				}
			}
			if err := j.Close(); err == nil {
				t.Error("Close forgot the failure")
			}
			ids := map[string]bool{}
			if _, err := Read(dir, key, func(_ Position, r Record) error { ids[r.(Decision).ID] = true; return nil }); err != nil {
				t.Fatal(err)
			}
			for _, id := range acked {
				if !ids[id] {
					t.Errorf("%s was acknowledged and is not there", id)
				}
			}
			if ids["late"] || len(acked) == 0 {
				t.Errorf("%d acknowledged, late: %t", len(acked), ids["late"])
			}
		})
	}
}

// TestDiskHangs: whoever waits has a deadline of their own, and a queue that nobody empties does
// not grow without bound.
func TestDiskHangs(t *testing.T) {
	dir, key := t.TempDir(), testKey(t)
	var good atomic.Int64
	good.Store(1)
	release := make(chan struct{})
	j := open(t, dir, key, Options{create: func(path string) (file, error) {
		f, err := createFile(path)
		return sickFile{file: f, good: &good, sync: func() error { <-release; return errors.New("gone") }}, err
	}})
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			r := Frame{Decision: "d", Seq: uint64(i), Bytes: make([]byte, 8<<20)}
			for k := range r.Bytes {
				r.Bytes[k] = byte(k * k >> 7) // not all zeros, or it would be tiny
			}
			if _, err := j.Append(ctx, r); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("append on a hanging disk: %v", err)
			}
		})
	}
	wg.Wait()
	close(release)
	if err := j.Close(); err == nil {
		t.Error("Close forgot the failure")
	}
}

func TestAppendRefuses(t *testing.T) {
	dir, key := t.TempDir(), testKey(t)
	j := open(t, dir, key, Options{})
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := j.Append(cancelled, Decision{ID: "x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := j.Append(context.Background(), Decision{ID: "x", SQL: strings.Repeat("x", maxRecord)}); err == nil {
		t.Error("a record that is too large was accepted")
	}
	appendAll(t, j, Decision{ID: "y"})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if records, _ := readAll(t, dir, key); len(records) != 1 {
		t.Errorf("%d records", len(records))
	}
}

func TestOpenRefuses(t *testing.T) {
	key := testKey(t)
	for name, c := range map[string]struct {
		prepare func(dir string) error
		key     *Key
	}{
		"no key":         {func(string) error { return nil }, nil},
		"zero key":       {func(string) error { return nil }, &Key{}},
		"open folder":    {func(dir string) error { return os.Mkdir(filepath.Join(dir, folder), 0o755) }, key},
		"a file":         {func(dir string) error { return os.WriteFile(filepath.Join(dir, folder), nil, 0o600) }, key},
		"a read-only fs": {func(dir string) error { return os.Symlink("/proc/self", filepath.Join(dir, folder)) }, key},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := c.prepare(dir); err != nil {
				t.Fatal(err)
			}
			if j, err := Open(dir, c.key, Options{}); err == nil {
				t.Errorf("%s: opened", name)
				j.Close()
			}
		})
	}
}

func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "k")
	key, err := GenerateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadKey(path)
	if err != nil || again.writes() != key.writes() {
		t.Fatalf("%v", err)
	}
	if _, err := GenerateKey(path); err == nil {
		t.Error("a key was overwritten")
	}
	for _, text := range []string{fmt.Sprint(key), fmt.Sprintf("%v %+v %#v %s", key, key, key, key)} {
		if strings.Contains(text, fmt.Sprint(key.writes().secret[0])+" ") || !strings.Contains(text, "[audit key]") {
			t.Errorf("a key prints as %s", text)
		}
	}
	for name, content := range map[string]string{"empty": "", "short": "AAAA\n", "long": strings.Repeat("AAAA", 20),
		"no base64": "hello, world"} {
		t.Run(name, func(t *testing.T) {
			bad := filepath.Join(dir, name)
			if err := os.WriteFile(bad, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := LoadKey(bad); err == nil {
				t.Errorf("%s: loaded", name)
			}
		})
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(path); err == nil {
		t.Error("a key that others can read was loaded")
	}
}
