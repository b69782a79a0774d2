package keyfile_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/keyfile"
)

// of is the text of the key of a byte.
func of(fill byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{fill}, keyfile.KeySize))
}

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		keys int    // how many, or
		err  string // what is wrong
	}{
		"one key":                 {of(1) + "\n", 1, ""},
		"without a newline":       {of(1), 1, ""},
		"windows lines":           {of(1) + "\r\n", 1, ""},
		"comments":                {"# of the demo\n\n" + of(1) + "\n", 1, ""},
		"two, and names":          {of(1) + "\n" + of(2) + " until 2026-12-31T00:00:00Z\nnames " + of(2), 2, ""},
		"nothing":                 {"", 0, "no key"},
		"comments alone":          {"# " + of(1), 0, "no key"},
		"names alone":             {"names " + of(1), 0, "no key"},
		"two without names":       {of(1) + "\n" + of(2), 0, "`names KEY`"},
		"two lines of names":      {of(1) + "\nnames " + of(2) + "\nnames " + of(3), 0, "line 3: there must be one line"},
		"names with an end":       {of(1) + "\nnames " + of(2) + " until 2026-12-31T00:00:00Z", 0, "line 2"},
		"names without a key":     {of(1) + "\nnames", 0, "line 2: `names` must be followed by a key"},
		"the first with an end":   {of(1) + " until 2026-12-31T00:00:00Z", 0, "must not have an end"},
		"a date for a time":       {of(1) + "\n" + of(2) + " until 2026-12-31\nnames " + of(1), 0, "line 2: `until` must be"},
		"another word":            {of(1) + "\n" + of(2) + " from 2026-12-31T00:00:00Z", 0, "line 2: behind the key"},
		"too short":               {of(1)[:20], 0, "line 1: it is not 32 bytes"},
		"hexadecimal":             {strings.Repeat("ab", 32), 0, "line 1: it is not 32 bytes"},
		"the same twice":          {of(1) + "\n" + of(1) + "\nnames " + of(1), 0, "line 2: the key stands in the file twice"},
		"a service account's key": {`{"type": "service_account"}`, 0, "line 1: it is not 32 bytes"},
		"more than are allowed": {func() (all string) {
			for n := range keyfile.MaxKeys + 1 {
				all += of(byte(n)) + "\n"
			}
			return all
		}(), 0, "more than 16 keys"},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := keyfile.Parse([]byte(c.text))
			switch {
			case c.err == "" && (err != nil || len(set.Keys) != c.keys):
				t.Fatalf("%v, %v", set, err)
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Fatalf("%v, want %q", err, c.err)
			case err != nil:
				if strings.Contains(err.Error(), of(1)[:8]) {
					t.Errorf("the error tells the key: %v", err)
				}
				return
			}
			again, err := keyfile.Parse(set.Text())
			if err != nil || !bytes.Equal(again.Text(), set.Text()) {
				t.Errorf("%q is read back as %q, %v", set.Text(), again.Text(), err)
			}
			if shown := fmt.Sprintf("%v %+v %#v %s", set, set, set, set.Keys); strings.Contains(shown, of(1)) ||
				strings.Contains(shown, "1, 1, 1") || strings.Contains(shown, "0x1, 0x1") {
				t.Errorf("printed, a key shows: %s", shown)
			}
		})
	}
}

// A key file is judged by whether others can read it, as a Kubernetes Secret is mounted.
func TestWhoMayRead(t *testing.T) {
	dir := t.TempDir()
	for mode, fine := range map[os.FileMode]bool{
		0o600: true, 0o400: true, 0o440: true, 0o640: true, 0o660: false, 0o444: false, 0o644: false,
		0o604: false, 0o601: false, 0o620: false,
	} {
		t.Run(fmt.Sprintf("%03o", mode), func(t *testing.T) {
			path := filepath.Join(dir, fmt.Sprintf("%o", mode))
			if err := os.WriteFile(path, []byte(of(1)), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			link := path + ".link" // the names in the mount of a Secret are symbolic links, which are 0777
			if err := os.Symlink(path, link); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{path, link} {
				_, err := keyfile.Read(path, "sealing key")
				if fine != (err == nil) || err != nil && !strings.Contains(err.Error(), "open to others") {
					t.Errorf("%v", err)
				}
			}
		})
	}
	for name, path := range map[string]string{"a folder": dir, "nothing": filepath.Join(dir, "none"), "a device": os.DevNull} {
		t.Run(name, func(t *testing.T) {
			if _, err := keyfile.Read(path, "sealing key"); err == nil {
				t.Error("was read")
			}
		})
	}
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, bytes.Repeat([]byte("#\n"), 40<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keyfile.Read(large, "sealing key"); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("a large file: %v", err)
	}
}

// The life of a key: added, made the one that writes, ended, dropped.
func TestChange(t *testing.T) {
	first, err := keyfile.New()
	if err != nil {
		t.Fatal(err)
	}
	old := first.Keys[0].ID()
	two, id, err := first.Add()
	if err != nil || two.Keys[0].ID() != old || *two.Names != first.Keys[0].Secret {
		t.Fatalf("%v, %v", two, err)
	}
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	end := now.Add(24 * time.Hour)
	active, err := two.Activate(id, end)
	if err != nil || active.Keys[0].ID() != id || !active.Keys[0].Until.IsZero() || !active.Keys[1].Until.Equal(end) ||
		*active.Names != first.Keys[0].Secret {
		t.Fatalf("%v, %v", active, err)
	}
	for name, c := range map[string]struct {
		do  func() (keyfile.Set, error)
		err string
	}{
		"activate what writes": {func() (keyfile.Set, error) { return two.Activate(old, end) }, "writes already"},
		"activate what is not": {func() (keyfile.Set, error) { return two.Activate("00000000", end) }, "there is no key 00000000"},
		"drop what writes":     {func() (keyfile.Set, error) { return active.Drop(id, end, true) }, "activate another one first"},
		"drop before its end": {func() (keyfile.Set, error) { return active.Drop(old, end.Add(-1), false) },
			"is needed until 2026-12-02T12:00:00Z"},
		"drop what has no end":   {func() (keyfile.Set, error) { return two.Drop(id, end, false) }, "has no end"},
		"drop after its end":     {func() (keyfile.Set, error) { return active.Drop(old, end, false) }, ""},
		"drop before, by force":  {func() (keyfile.Set, error) { return active.Drop(old, now, true) }, ""},
		"activate the old again": {func() (keyfile.Set, error) { return active.Activate(old, end) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := c.do()
			if (c.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("%v, want %q", err, c.err)
			}
			if err == nil {
				if _, err := keyfile.Parse(set.Text()); err != nil || *set.Names != first.Keys[0].Secret {
					t.Errorf("what comes of it is no key file: %v", err)
				}
			}
		})
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	if err := first.Write(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o440); err != nil {
		t.Fatal(err)
	}
	if err := active.Write(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o440 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	read, err := keyfile.Read(path, "sealing key")
	if err != nil || read.Keys[0].ID() != id {
		t.Errorf("%v, %v", read, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(of(1) + "\n" + of(2) + " until 2026-12-31T00:00:00Z\nnames " + of(2))
	f.Add("names")
	f.Fuzz(func(t *testing.T, text string) {
		set, err := keyfile.Parse([]byte(text))
		if err != nil {
			return
		}
		again, err := keyfile.Parse(set.Text())
		if err != nil || !bytes.Equal(again.Text(), set.Text()) {
			t.Errorf("%q: %v", text, err)
		}
	})
}
