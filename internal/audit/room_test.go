package audit

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// small is a disk whose room a test sets.
type small struct{ free, total, files atomic.Int64 }

func (s *small) left(string) (Free, error) {
	return Free{Bytes: s.free.Load(), Total: s.total.Load(), Files: s.files.Load()}, nil
}

func smallDisk(free, total int64) *small {
	s := &small{}
	s.free.Store(free)
	s.total.Store(total)
	s.files.Store(-1)
	return s
}

// Below the reserve nothing begins, and what has begun is recorded to its end; it is told, and ends
// by itself when there is room.
func TestReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := smallDisk(100<<20, 10<<30)
		var mu sync.Mutex
		var told error
		dir := t.TempDir()
		j := open(t, dir, testKey(t), Options{Reserve: 64 << 20, free: disk.left, Room: func(err error) {
			mu.Lock()
			defer mu.Unlock()
			told = err
		}})
		defer j.Close()
		begin := []Record{Asked{Decision: "d"}, Decision{ID: "d"}, Approval{RequestID: "r", Kind: ApprovalRequested},
			Session{ID: "s", Event: SessionCreated}, Budget{Event: BudgetReserved}}
		goesOn := []Record{Frame{Decision: "d", Bytes: []byte("x")}, Outcome{Decision: "d"}, Approval{RequestID: "r", Kind: "approved"},
			Session{ID: "s", Event: SessionRevoked}, Budget{Event: BudgetSettled}, Seen{}, Unrecorded{}}
		look := func(what string, room bool) {
			t.Helper()
			time.Sleep(time.Second) // of the bubble: it was measured, and told
			for _, r := range begin {
				_, err := j.Append(t.Context(), r)
				var full *NoRoomError
				if room && err != nil || !room && (!errors.As(err, &full) || !strings.Contains(err.Error(), "audit.reserve")) {
					t.Errorf("%s: %T begins: %v", what, r, err)
				}
			}
			for _, r := range goesOn {
				if _, err := j.Append(t.Context(), r); err != nil {
					t.Errorf("%s: %T does not go on: %v", what, r, err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if (told == nil) != room {
				t.Errorf("%s: told %v", what, told)
			}
		}
		look("with room", true)
		disk.free.Store(64<<20 - 1)
		look("below the reserve", false)
		disk.free.Store(66 << 20)
		look("a little above it", false) // or it would come and go
		disk.free.Store(73 << 20)
		look("with room again", true)
		disk.files.Store(3)
		time.Sleep(time.Second)
		if _, err := j.Append(t.Context(), Decision{ID: "d"}); err == nil || !strings.Contains(err.Error(), "3 more files") {
			t.Errorf("without inodes: %v", err)
		}
		disk.files.Store(-1)
		// What was written since the last measure counts.
		disk.free.Store(66 << 20)
		look("measured", false)
		disk.free.Store(80 << 20)
		look("measured again", true)
		for range 10 {
			appendAll(t, j, Frame{Decision: "d", Bytes: pageOf(2<<20, 1)})
		}
		if _, err := j.Append(t.Context(), Decision{ID: "d"}); err == nil {
			t.Error("what was written since the measure does not count")
		}
	})
}

func TestDefaultReserve(t *testing.T) {
	for total, want := range map[int64]int64{16 << 20: 2 << 20, 64 << 20: 8 << 20, 8 << 30: 1 << 30, 16 << 30: 2 << 30, 1 << 40: 2 << 30} {
		if got := DefaultReserve(total); got != want {
			t.Errorf("of %d MiB %d are kept, want %d", total>>20, got>>20, want>>20)
		}
	}
}

// A disk that does not answer: whoever begins something is told at once, it is reported, and it is
// over when the disk answers.
func TestDiskFreezes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var good atomic.Int64
		good.Store(1)
		thaw := make(chan struct{})
		var mu sync.Mutex
		var told error
		j := open(t, t.TempDir(), testKey(t), Options{
			create: func(path string) (file, error) {
				f, err := createFile(path)
				return sickFile{file: f, good: &good, sync: func() error { <-thaw; return nil }}, err
			},
			Writes: func(err error) { mu.Lock(); defer mu.Unlock(); told = err },
		})
		state := func() error { mu.Lock(); defer mu.Unlock(); return told }
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		if _, err := j.Append(ctx, Decision{ID: "d-1"}); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 3*time.Second {
			t.Errorf("while it freezes: %v after %s", err, time.Since(began))
		}
		time.Sleep(time.Second)
		var frozen *FrozenError
		if !errors.As(state(), &frozen) {
			t.Errorf("told %v", state())
		}
		began = time.Now()
		if _, err := j.Append(t.Context(), Decision{ID: "d-2"}); !errors.As(err, &frozen) || time.Since(began) > 0 {
			t.Errorf("while it is frozen: %v after %s", err, time.Since(began))
		}
		if j.Err() != nil {
			t.Errorf("frozen is not failed: %v", j.Err())
		}
		close(thaw)
		synctest.Wait()
		time.Sleep(time.Second)
		if state() != nil {
			t.Errorf("told %v although it answers", state())
		}
		if _, err := j.Append(t.Context(), Decision{ID: "d-3"}); err != nil {
			t.Errorf("afterwards: %v", err)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A write that fails is told, and Failed says so to whoever ends the process.
func TestFailureIsTold(t *testing.T) {
	var good atomic.Int64
	good.Store(1)
	told := make(chan error, 10)
	j := open(t, t.TempDir(), testKey(t), Options{
		create: func(path string) (file, error) {
			f, err := createFile(path)
			return sickFile{file: f, good: &good, sync: func() error { return unix.EIO }}, err
		},
		Writes: func(err error) { told <- err },
	})
	if _, err := j.Append(t.Context(), Decision{ID: "d-1"}); !errors.Is(err, ErrFailed) || !errors.Is(err, unix.EIO) {
		t.Errorf("appended: %v", err)
	}
	<-j.Failed()
	for err := range told { // the last is the failure; before it the disk may have been slow
		if errors.Is(err, ErrFailed) {
			break
		}
	}
	if err := j.Close(); !errors.Is(err, ErrFailed) {
		t.Errorf("closed: %v", err)
	}
}

// A start waits until there is room, and says why; what could not be begun leaves nothing behind.
func TestStartOnAFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); err != nil && !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	key := testKey(t)
	if j, err := Open(dir, key, Options{}); !errors.Is(err, ErrFailed) || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("opened: %v, %v", j, err)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, folder)); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var full *NoRoomError
	told := 0
	if err := AwaitRoom(ctx, dir, 0, func(err error) { told++; errors.As(err, &full) }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waited: %v", err)
	}
	if told != 1 || full == nil {
		t.Errorf("told %d times, %v", told, full)
	}
	told = 0
	if err := AwaitRoom(t.Context(), dir, 0, func(error) {
		told++
		if err := os.Remove(filler); err != nil {
			t.Error(err)
		}
	}); err != nil || told != 1 {
		t.Errorf("told %d times, %v", told, err)
	}
	j := open(t, dir, key, Options{})
	appendAll(t, j, Decision{ID: "d-1"})
	// And it fills while records are written: what was acknowledged stays, and the next process
	// tells how the file ended.
	var acked int
	for {
		if _, err := j.Append(t.Context(), Outcome{Decision: "d-1", Reason: string(pageOf(500, 1))}); err != nil {
			if !errors.Is(err, unix.ENOSPC) {
				t.Errorf("on the full disk: %v", err)
			}
			break
		}
		acked++
	}
	if err := j.Close(); !errors.Is(err, ErrFailed) {
		t.Errorf("closed: %v", err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size=4m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	next := open(t, dir, key, Options{})
	appendAll(t, next, Decision{ID: "d-2"})
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
	outcomes := 0
	report, err := Read(dir, key, func(_ Position, r Record) error {
		if _, ok := r.(Outcome); ok {
			outcomes++
		}
		return nil
	})
	if err != nil || report.Err() != nil || outcomes < acked || acked == 0 {
		t.Errorf("%d outcomes of %d that were acknowledged; found %v, %v", outcomes, acked, report.Findings, err)
	}
}

// A file that is taken away while it is written is left alone, and another one is begun.
func TestFileTakenAway(t *testing.T) {
	dir, key := t.TempDir(), testKey(t)
	j := open(t, dir, key, Options{})
	appendAll(t, j, Decision{ID: "d-1"})
	first := j.path.Load().(string)
	away := filepath.Join(t.TempDir(), "away")
	if err := os.Rename(first, away); err != nil {
		t.Fatal(err)
	}
	j.measure()
	appendAll(t, j, Decision{ID: "d-2"})
	second := j.path.Load().(string)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	records, _ := countIn(t, second, key)
	if first == second || records != 1 {
		t.Errorf("%d records in %s", records, second)
	}
	if r, err := Verify(dir); err != nil || r.Err() == nil {
		t.Errorf("nobody misses the file: %v, %v", r.Findings, err)
	}
	if err := os.Rename(away, first); err != nil {
		t.Fatal(err)
	}
	if r, err := Verify(dir); err != nil || r.Err() != nil {
		t.Errorf("brought back: %v, %v", r.Findings, err)
	}
}

func countIn(t *testing.T, path string, key *Key) (n int, state FileState) {
	t.Helper()
	state, err := walk(path, key, func(Position, Record) error { n++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return n, state
}
