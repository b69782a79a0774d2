package keyfile

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Wrapper opens key files that were wrapped: wrapping.Wrapper. Without one, key files are read as
// they are.
type Wrapper interface {
	Wrap(ctx context.Context, plain, associated []byte) ([]byte, error)
	Unwrap(ctx context.Context, wrapped, associated []byte) ([]byte, error)
	Name() string
}

const (
	wrappedWord   = "bqgate-wrapped-keys/v1"
	unwrapWithin  = 10 * time.Second
	boundWithKeys = "bqgate/key file/v1" // associated data
)

// Wrapped is the text of a key file that the wrapper opens and nobody else reads.
func (s Set) Wrapped(w Wrapper) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), unwrapWithin)
	defer cancel()
	wrapped, err := w.Wrap(ctx, s.Text(), []byte(boundWithKeys))
	if err != nil {
		return nil, fmt.Errorf("wrap keys by %s: %w", w.Name(), err)
	}
	return []byte(wrappedWord + " " + base64.StdEncoding.EncodeToString(wrapped) + "\n"), nil
}

// IsWrapped says whether a text is of a wrapped key file.
func IsWrapped(text []byte) bool { return strings.HasPrefix(string(text), wrappedWord) }

// unwrap gives the text of a key file, wrapped or not. Where there is a wrapper, keys that are not
// wrapped are refused: they lie about.
func unwrap(text []byte, by []Wrapper) ([]byte, error) {
	switch wrapped := IsWrapped(text); {
	case !wrapped && len(by) == 0:
		return text, nil
	case !wrapped:
		return nil, errors.New("its keys are not wrapped, but key_wrapping (--wrap) says that they must be: use `bqgate keys wrap`")
	case len(by) == 0:
		return nil, errors.New("its keys are wrapped: say by what, with key_wrapping in the configuration, or --wrap")
	}
	word, rest, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	raw, err := base64.StdEncoding.DecodeString(rest)
	if word != wrappedWord || err != nil {
		return nil, fmt.Errorf("it is not what `bqgate keys wrap` writes: %q and base64", wrappedWord)
	}
	ctx, cancel := context.WithTimeout(context.Background(), unwrapWithin)
	defer cancel()
	plain, err := by[0].Unwrap(ctx, raw, []byte(boundWithKeys))
	if err != nil {
		return nil, fmt.Errorf("open it: %w", err)
	}
	return plain, nil
}
