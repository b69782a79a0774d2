// Package durabletest gives tests witnesses, as everybody gets them: by an append to a journal,
// here one in a folder of the test's own.
package durabletest

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/durable"
)

// Journal is a journal of the test's own.
func Journal(t testing.TB) *audit.Journal {
	t.Helper()
	key, err := audit.GenerateKey(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	j, err := audit.Open(t.TempDir(), key, audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

// decisions are those that were made: a witness is good for the life of the process.
var (
	mu        sync.Mutex
	decisions = map[string]durable.Decided{}
)

// Decided is the witness of a decision.
func Decided(t testing.TB, id string) durable.Decided {
	t.Helper()
	mu.Lock()
	defer mu.Unlock()
	if d, ok := decisions[id]; ok {
		return d
	}
	j := Journal(t)
	d, err := durable.Decide(t.Context(), j, audit.Decision{ID: id})
	if err = errors.Join(err, j.Close()); err != nil {
		t.Fatal(err)
	}
	decisions[id] = d
	return d
}

// Asked is the witness of an `asked` record.
func Asked(t testing.TB, id string) durable.Facts {
	t.Helper()
	j := Journal(t)
	f, err := durable.Asking(j, nil, func() audit.Asked { return audit.Asked{Decision: id} }).Facts(t.Context())
	if err = errors.Join(err, j.Close()); err != nil {
		t.Fatal(err)
	}
	return f
}
