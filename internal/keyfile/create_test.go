package keyfile_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/bqgate/bqgate/internal/keyfile"
)

// away is a Wrapper that cannot be reached.
type away struct{}

var errAway = errors.New("the KMS cannot be reached")

func (away) Wrap(context.Context, []byte, []byte) ([]byte, error)   { return nil, errAway }
func (away) Unwrap(context.Context, []byte, []byte) ([]byte, error) { return nil, errAway }
func (away) Name() string                                           { return "away" }

// A new key file is there whole, or not at all: what could not be wrapped leaves nothing that the
// next try would stop at, and nothing is written over.
func TestCreate(t *testing.T) {
	set, err := keyfile.New()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	if err := set.Create(path, away{}); !errors.Is(err, errAway) {
		t.Errorf("without what wraps: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Fatalf("left behind: %v", left)
	}
	if err := set.Create(path); err != nil {
		t.Fatal(err)
	}
	other, err := keyfile.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over another one: %v", err)
	}
	read, err := keyfile.Read(path, "sealing key") // which wants it private
	if err != nil || read.Keys[0].ID() != set.Keys[0].ID() {
		t.Errorf("%v, %v", read, err)
	}
	if err := set.Create(filepath.Join(dir, "none", "key")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in no folder: %v", err)
	}
}
