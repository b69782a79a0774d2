package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestFollow(t *testing.T) {
	dir := t.TempDir()
	key := testKey(t)
	ctx := context.Background()
	first := open(t, dir, key, Options{})
	put := func(j *Journal, r Record) {
		t.Helper()
		if _, err := j.Append(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	follower := Follow(dir, key, time.Time{})
	var got []string
	poll := func(want ...string) {
		t.Helper()
		got = nil
		if err := follower.Poll(func(r Record) error {
			switch r := r.(type) {
			case Approval:
				got = append(got, r.RequestID)
			case Session:
				got = append(got, r.ID)
			case Budget:
				got = append(got, r.Event)
			default:
				t.Errorf("visited a %T", r)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("followed %v, want %v", got, want)
		}
	}
	poll()
	put(first, Approval{RequestID: "r-1", Epoch: 1})
	put(first, Decision{ID: "d-1", SQL: string(bytes.Repeat([]byte("x"), 2*smallRecord))})
	put(first, Frame{Decision: "d-1", Bytes: bytes.Repeat([]byte("abc"), 10)})
	put(first, Session{ID: "s-1", Event: "revoked"})
	put(first, Budget{Event: BudgetReserved, Counters: []BudgetCounter{{Slot: "s", Reserved: 1}}})
	poll("r-1", "s-1", "reserved")
	poll()
	second := open(t, dir, key, Options{}) // another process
	put(second, Approval{RequestID: "r-2"})
	put(first, Approval{RequestID: "r-3"})
	poll("r-3", "r-2")
	// A record that is half written comes when it is whole.
	put(first, Approval{RequestID: "r-4"})
	path := filepath.Join(dir, folder, first.name)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int{1, 40, 200} {
		t.Run(fmt.Sprint(cut), func(t *testing.T) {
			if err := os.WriteFile(path, whole[:len(whole)-cut], 0o600); err != nil {
				t.Fatal(err)
			}
			poll()
		})
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	poll("r-4")
	// From the start again: the same, in the order of the files.
	follower = Follow(dir, key, time.Time{})
	poll("r-1", "s-1", "reserved", "r-3", "r-4", "r-2")
	follower = Follow(dir, key, time.Now().Add(time.Hour))
	poll()
	// Damage is told, and what stands behind it is read.
	for name, c := range map[string]struct {
		at   int
		want []string
	}{
		"a length": {headerSize + 13, []string{"s-1", "reserved", "r-3", "r-4", "r-2"}},
		"a body":   {headerSize + frameHead + 20, []string{"s-1", "reserved", "r-3", "r-4", "r-2"}},
		"a header": {headerSize - 40, []string{"r-2"}},
	} {
		t.Run(name, func(t *testing.T) {
			broken := bytes.Clone(whole)
			broken[c.at] ^= 1
			if err := os.WriteFile(path, broken, 0o600); err != nil {
				t.Fatal(err)
			}
			follower = Follow(dir, key, time.Time{})
			var trouble []error
			follower.Trouble = func(err error) { trouble = append(trouble, err) }
			poll(c.want...)
			poll()
			var corrupt *CorruptError
			if len(trouble) != 1 || !errors.As(trouble[0], &corrupt) || corrupt.File != path {
				t.Errorf("%s: told %v", name, trouble)
			}
		})
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	// What is no journal file is told once, and left alone.
	if err := os.WriteFile(filepath.Join(dir, folder, "x.tmp"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	told := 0
	follower = Follow(dir, key, time.Time{})
	follower.Trouble = func(error) { told++ }
	poll("r-1", "s-1", "reserved", "r-3", "r-4", "r-2")
	poll()
	if told != 1 {
		t.Errorf("told %d times", told)
	}
	other := Follow(dir, testKey(t), time.Time{})
	if err := other.Poll(func(Record) error { return fmt.Errorf("visited") }); err != nil || len(other.Skipped) != 2 {
		t.Errorf("with another key: %v, skipped %v", err, other.Skipped)
	}
}

// Who asked for decisions gets them all: short ones, and those that stand compressed because their
// text is long. Nobody else does.
func TestFollowDecisions(t *testing.T) {
	dir, key := t.TempDir(), testKey(t)
	j := open(t, dir, key, Options{})
	for _, r := range []Record{
		Decision{ID: "short"}, Decision{ID: "long", Effect: EffectRefuse, SQL: string(bytes.Repeat([]byte("x"), 4*smallText))},
		Approval{RequestID: "r-1"}, Asked{Decision: "asked", SQL: string(bytes.Repeat([]byte("x"), 4*smallText))},
	} {
		if _, err := j.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		decisions bool
		want      []string
	}{{true, []string{"short", "long", "r-1"}}, {false, []string{"r-1"}}} {
		f := Follow(dir, key, time.Time{})
		f.Decisions = c.decisions
		var got []string
		if err := f.Poll(func(r Record) error {
			switch r := r.(type) {
			case Decision:
				got = append(got, r.ID)
			case Approval:
				got = append(got, r.RequestID)
			default:
				t.Errorf("visited a %T", r)
			}
			return nil
		}); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("decisions %v: followed %v, %v, want %v", c.decisions, got, err, c.want)
		}
	}
}
