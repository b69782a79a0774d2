package sealed_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/keyfile"
	"github.com/bqgate/bqgate/internal/sealed"
)

// files are key files of several replicas.
type files struct {
	t   *testing.T
	dir string
}

func (f files) write(name string, set keyfile.Set) string {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := set.Write(path); err != nil {
		f.t.Fatal(err)
	}
	return path
}

func (f files) load(name string, set keyfile.Set) *sealed.Keyring {
	f.t.Helper()
	k, err := sealed.Load(f.write(name, set))
	if err != nil {
		f.t.Fatal(err)
	}
	return k
}

// Two replicas go through a change of keys, one always a step ahead of the other: at each moment
// each opens what the other seals, and finds what stands under the other's names.
func TestKeysAreChangedWhileReplicasRun(t *testing.T) {
	f := files{t, t.TempDir()}
	one, err := keyfile.New()
	if err != nil {
		t.Fatal(err)
	}
	two, id, err := one.Add()
	if err != nil {
		t.Fatal(err)
	}
	active, err := two.Activate(id, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	dropped, err := active.Drop(one.Keys[0].ID(), time.Now(), true)
	if err != nil {
		t.Fatal(err)
	}
	ahead, behind := f.load("ahead", one), f.load("behind", one)
	ancient, err := ahead.Seal("p", "of before")
	if err != nil {
		t.Fatal(err)
	}
	mac, name := ahead.MAC("label", "d-1"), ahead.Name("job", "alice", "j")
	opens := func(step string) {
		t.Helper()
		for who, pair := range map[string][2]*sealed.Keyring{"behind": {ahead, behind}, "ahead": {behind, ahead}} {
			text, err := pair[0].Seal("p", step)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			if err := pair[1].Open("p", text, &got); err != nil || got != step {
				t.Errorf("%s: the one %s opens %q, %v", step, who, got, err)
			}
			if err := pair[1].Open("p", ancient, &got); err != nil {
				t.Errorf("%s: the one %s does not open what is old: %v", step, who, err)
			}
			if pair[1].Name("job", "alice", "j") != name {
				t.Errorf("%s: the one %s has another name for the same job", step, who)
			}
		}
	}
	opens("before")
	for _, step := range []struct {
		name string
		set  keyfile.Set
	}{{"added", two}, {"active", active}} {
		if err := ahead.Reload(f.write("ahead", step.set)); err != nil {
			t.Fatal(err)
		}
		opens(step.name + " at one")
		if err := behind.Reload(f.write("behind", step.set)); err != nil {
			t.Fatal(err)
		}
		opens(step.name + " at both")
	}
	if ahead.Seals() != id || ahead.MAC("label", "d-1") == mac {
		t.Error("the new key does not seal")
	}
	if err := ahead.Reload(f.write("ahead", dropped)); err != nil {
		t.Fatal(err)
	}
	var got string
	err = ahead.Open("p", ancient, &got)
	if !errors.Is(err, sealed.ErrForged) || !errors.Is(err, sealed.ErrOtherKey) || got != "" {
		t.Errorf("a value of the dropped key: %q, %v", got, err)
	}
}

// What a key sealed ends with it, on the second.
func TestAKeyEnds(t *testing.T) {
	f := files{t, t.TempDir()}
	one, err := keyfile.New()
	if err != nil {
		t.Fatal(err)
	}
	text, err := f.load("one", one).Seal("p", "x")
	if err != nil {
		t.Fatal(err)
	}
	two, id, err := one.Add()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		end   time.Duration
		opens bool
	}{"an hour before its end": {time.Hour, true}, "after its end": {-time.Second, false}} {
		t.Run(name, func(t *testing.T) {
			set, err := two.Activate(id, time.Now().Add(c.end))
			if err != nil {
				t.Fatal(err)
			}
			var got string
			err = f.load(filepath.Base(t.Name()), set).Open("p", text, &got)
			if c.opens != (err == nil) || err != nil && !(errors.Is(err, sealed.ErrForged) && errors.Is(err, sealed.ErrOtherKey)) {
				t.Errorf("%q, %v", got, err)
			}
			if bare := text[keyfile.IDSize:]; c.opens != (f.load("bare", set).Open("p", bare, &got) == nil) {
				t.Error("without the key's id it opens otherwise")
			}
		})
	}
}

// A wrong key is told from a forged value, and both open nothing.
func TestAnotherKeyIsToldFromAForgedValue(t *testing.T) {
	f := files{t, t.TempDir()}
	mine, other := ring(t, 1), ring(t, 2)
	text, err := other.Seal("p", "x")
	if err != nil {
		t.Fatal(err)
	}
	id, rest := text[:keyfile.IDSize], text[keyfile.IDSize:]
	own, err := mine.Seal("p", "x")
	if err != nil {
		t.Fatal(err)
	}
	ownID := own[:keyfile.IDSize]
	for name, c := range map[string]struct {
		text     string
		otherKey bool
	}{
		"another gateway's":         {text, true},
		"without an id":             {rest, false},
		"under this gateway's id":   {ownID + rest, false},
		"under an id of nobody":     {"00000000" + rest, true},
		"under a long id":           {strings.Repeat("x", 1<<20) + rest, false},
		"under an empty id":         {"." + rest, false},
		"an id and nothing":         {ownID, false},
		"two ids":                   {id + own, true},
		"own, with an id before":    {ownID + own, false},
		"own, and more behind it":   {own + "x", false},
		"lines for a log, as an id": {"\n level=ERROR" + rest, false},
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			err := mine.Open("p", c.text, &got)
			if !errors.Is(err, sealed.ErrForged) || errors.Is(err, sealed.ErrOtherKey) != c.otherKey || got != "" {
				t.Errorf("%q, %v", got, err)
			}
			if len(err.Error()) > 300 || strings.Contains(err.Error(), "\n") {
				t.Errorf("the error is what an attacker wrote: %.400q", err)
			}
		})
	}
	// A file that would leave what is in Redis unreadable is not taken over.
	set := func(fill byte) keyfile.Set {
		return keyfile.Set{Keys: []keyfile.Key{{Secret: [32]byte{fill}}}}
	}
	for name, next := range map[string]keyfile.Set{
		"another key alone":                     set(2),
		"another key, with the names of before": {Keys: set(2).Keys, Names: &[32]byte{1}},
		"the key of before, with other names":   {Keys: set(1).Keys, Names: &[32]byte{2}},
	} {
		t.Run(name, func(t *testing.T) {
			k := f.load("first", set(1))
			text, err := k.Seal("p", "x")
			if err != nil {
				t.Fatal(err)
			}
			err = k.Reload(f.write("next", next))
			if err == nil || !strings.Contains(err.Error(), "bqgate keys") {
				t.Errorf("taken over: %v", err)
			}
			var got string
			if err := k.Open("p", text, &got); err != nil {
				t.Errorf("and the key of before is gone: %v", err)
			}
		})
	}
}
