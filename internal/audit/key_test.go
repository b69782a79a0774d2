package audit

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/keyfile"
)

// fixedKey is the key of a byte, for tests that need the same one twice.
func fixedKey(fill byte) *Key {
	var secret [keyfile.KeySize]byte
	copy(secret[:], bytes.Repeat([]byte{fill}, len(secret)))
	next, err := newKeys(keyfile.Set{Keys: []keyfile.Key{{Secret: secret}}})
	if err != nil {
		panic(err)
	}
	k := &Key{}
	k.keys.Store(next)
	return k
}

// The key is changed while the journal is written: nothing is refused, what was written before and
// after is read with the file as it is now, and of what only the old file's key sealed nothing can
// be lost by taking it out.
func TestKeyIsChangedWhileTheJournalIsWritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.key")
	key, err := GenerateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	before, err := keyfile.Read(path, "audit key")
	if err != nil {
		t.Fatal(err)
	}
	j, err := Open(dir, key, Options{})
	if err != nil {
		t.Fatal(err)
	}
	write := func(id string) Position {
		at, err := j.Append(t.Context(), Decision{ID: id})
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		return at
	}
	first := write("d-1")
	added, id, err := before.Add()
	if err != nil {
		t.Fatal(err)
	}
	take := func(set keyfile.Set) {
		if err := errors.Join(set.Write(path), key.Reload(path)); err != nil {
			t.Fatal(err)
		}
	}
	take(added)
	if at := write("d-2"); at.File != first.File || key.Writes() == id {
		t.Errorf("a key that only reads writes already: %s", key.Writes())
	}
	active, err := added.Activate(id, keyfile.Forever)
	if err != nil {
		t.Fatal(err)
	}
	take(active)
	if at := write("d-3"); at.File == first.File || key.Writes() != id {
		t.Errorf("written with %s into the file of before", key.Writes())
	}
	dropped, err := active.Drop(before.Keys[0].ID(), time.Now(), true)
	if err != nil {
		t.Fatal(err)
	}
	if err := dropped.Write(path); err != nil {
		t.Fatal(err)
	}
	if err := key.Reload(path); err == nil {
		t.Error("a file without the key of earlier journal files was taken over")
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	read := func(key *Key) (ids []string, wrong []error) {
		report, err := Read(dir, key, func(_ Position, r Record) error {
			ids = append(ids, r.(Decision).ID)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range report.Files {
			wrong = append(wrong, f.Findings...)
		}
		return ids, wrong
	}
	if ids, wrong := read(key); len(ids) != 3 || len(wrong) > 0 {
		t.Errorf("with both keys: %q, %v", ids, wrong)
	}
	late, err := LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if ids, wrong := read(late); len(ids) != 1 || len(wrong) != 1 || !errors.Is(wrong[0], ErrWrongKey) {
		t.Errorf("with the new key alone: %q, %v", ids, wrong)
	}
	if err := os.WriteFile(path, []byte(string(before.Text())[:44]+" until 2030-01-01T00:00:00Z\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(path); err == nil {
		t.Error("a key of the journal with an end was taken")
	}
}
