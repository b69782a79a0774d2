package audit

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A40: whatever lies in the journal's folder is reported and left alone. It keeps nobody from
// opening, appending, following, listing or verifying, and nobody waits for it.
func TestForeignFiles(t *testing.T) {
	for name, put := range map[string]func(in string) error{
		"x.tmp":      func(in string) error { return os.WriteFile(filepath.Join(in, "x.tmp"), []byte("x"), 0o600) },
		"lost+found": func(in string) error { return os.Mkdir(filepath.Join(in, "lost+found"), 0o700) },
		"a pipe":     func(in string) error { return unix.Mkfifo(filepath.Join(in, "pipe"), 0o600) },
		"pipe.bqj":   func(in string) error { return unix.Mkfifo(filepath.Join(in, "0pipe"+extension), 0o600) },
		"folder.bqj": func(in string) error { return os.Mkdir(filepath.Join(in, "0folder"+extension), 0o700) },
		"link.bqj":   func(in string) error { return os.Symlink("/dev/zero", filepath.Join(in, "0link"+extension)) },
		"link to a pipe": func(in string) error {
			return errors.Join(unix.Mkfifo(filepath.Join(in, "..", "p"), 0o600), os.Symlink("../p", filepath.Join(in, "l"+extension)))
		},
		"dangling.bqj": func(in string) error { return os.Symlink("nowhere", filepath.Join(in, "d"+extension)) },
		"notes.bqj": func(in string) error {
			return os.WriteFile(filepath.Join(in, "0notes"+extension), make([]byte, 4096), 0o600)
		},
		"socket.bqj": func(in string) error {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Bind(fd, &unix.SockaddrUnix{Name: filepath.Join(in, "0s"+extension)})
		},
		"unreadable.bqj": func(in string) error {
			return os.WriteFile(filepath.Join(in, "0secret"+extension), make([]byte, 4096), 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "bq") // short: a socket's name has 108 bytes
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			key := testKey(t)
			before := open(t, dir, key, Options{})
			appendAll(t, before, Decision{ID: "d-1", Forwarded: true}, Approval{RequestID: "r-1"})
			if err := before.Close(); err != nil {
				t.Fatal(err)
			}
			in := filepath.Join(dir, folder)
			if err := put(in); err != nil {
				t.Fatal(err)
			}
			names := folderOf(t, in)

			j := open(t, dir, key, Options{})
			follower := Follow(dir, key, time.Time{})
			told := 0
			follower.Trouble = func(error) { told++ }
			seen := 0
			for range 3 {
				if err := follower.Poll(func(Record) error { seen++; return nil }); err != nil {
					t.Errorf("followed: %v", err)
				}
			}
			if seen != 1 || told != 1 {
				t.Errorf("%d records followed, told %d times", seen, told)
			}
			if notes := name == "notes.bqj" || name == "unreadable.bqj" && os.Getuid() == 0; (follower.Foreign == nil) != notes {
				t.Errorf("the folder is said to have: %v", follower.Foreign)
			}
			appendAll(t, j, Decision{ID: "d-2"}, Approval{RequestID: "r-2"})
			if err := follower.Poll(func(Record) error { seen++; return nil }); err != nil || seen != 2 {
				t.Errorf("%d records followed, %v", seen, err)
			}
			if open, err := Unfinished(dir, key, time.Time{}); err != nil || len(open) != 1 {
				t.Errorf("%d decisions without an outcome, %v", len(open), err)
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			l, err := List(dir, key)
			if err != nil || len(l.Entries) != 2 || len(l.Findings)+len(l.Notes) != 1 {
				t.Errorf("%d entries, found %v, noted %v, %v", len(l.Entries), l.Findings, l.Notes, err)
			}
			if r, err := Verify(dir); err != nil || len(r.Findings)+len(r.Notes) != 1 {
				t.Errorf("found %v, noted %v, %v", r.Findings, r.Notes, err)
			}
			if now := folderOf(t, in); len(now) != len(names)+1 || !strings.Contains(strings.Join(now, " "), names[0]) {
				t.Errorf("the folder had %v, and has %v", names, now)
			}
		})
	}
}

func folderOf(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// A file that goes away is told of, and what it said stays known; when it comes back it is read on.
func TestFileGoesAway(t *testing.T) {
	dir, key := t.TempDir(), testKey(t)
	j := open(t, dir, key, Options{})
	defer j.Close()
	appendAll(t, j, Approval{RequestID: "r-1"})
	follower := Follow(dir, key, time.Time{})
	told := 0
	follower.Trouble = func(error) { told++ }
	seen := 0
	poll := func(want int, foreign bool) {
		t.Helper()
		if err := follower.Poll(func(Record) error { seen++; return nil }); err != nil || seen != want ||
			(follower.Foreign != nil) != foreign {
			t.Errorf("%d records of %d, %v, %v", seen, want, follower.Foreign, err)
		}
	}
	poll(1, false)
	path := j.path.Load().(string)
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	poll(1, true)
	poll(1, true)
	if told != 2 { // of the file that has gone, and of what is no journal file
		t.Errorf("told %d times", told)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	appendAll(t, j, Approval{RequestID: "r-2"})
	poll(2, false)
}
