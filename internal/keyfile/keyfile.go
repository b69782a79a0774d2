// Package keyfile reads and writes the files that hold keys of the gateway's own: the one that
// seals what is in Redis, and the one that seals the journal.
//
// A file has one key a line, 32 bytes in standard base64 as `openssl rand -base64 32` writes them.
// The first key writes, all of them read, so that keys can be changed while replicas run: the new
// key is added, given to every replica, and then put first. A key that only reads ends at the time
// behind it, when the longest-lived thing that it sealed has ended. An empty line or one that
// begins with # says nothing.
//
//	3q2+7w…=                               the key that writes
//	q83vEj…=   until 2026-12-08T00:00:00Z  an older one, which is read until then
//	names q83vEj…=                         names of what is in Redis are made with it (sealed)
package keyfile

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// KeySize is the size of a key in bytes.
	KeySize = 32
	// MaxKeys is how many keys a file may hold.
	MaxKeys = 16

	nameLabel = "names"
	untilWord = "until"
)

// ID tells keys apart and tells nothing of them: IDSize hexadecimal digits.
type ID string

// IDSize is the length of an ID.
const IDSize = 8

// Key is one key of a file.
type Key struct {
	Secret [KeySize]byte
	Until  time.Time // the end of a key that only reads; zero for none
}

// ID is the key's id.
func (k Key) ID() ID {
	mac := hmac.New(sha256.New, k.Secret[:])
	mac.Write([]byte("bqgate/journal/id/")) // the first half of what the header of a journal file has
	return ID(hex.EncodeToString(mac.Sum(nil)[:IDSize/2]))
}

// String keeps the key out of formatted text.
func (k Key) String() string { return "[key " + string(k.ID()) + "]" }

// GoString keeps the key out of formatted text.
func (k Key) GoString() string { return k.String() }

// Forever is no end: of keys of which what they sealed is kept, as the journal is.
var Forever time.Time

// Set is what a file holds: at least one key, the one that writes first.
type Set struct {
	Keys []Key
	// Names is the key that names are made with; nil where the file does not say, and it is the
	// only key that there is.
	Names *[KeySize]byte
}

// String keeps the keys out of formatted text.
func (s Set) String() string { return fmt.Sprint(s.Keys) }

// GoString keeps the keys out of formatted text.
func (s Set) GoString() string { return s.String() }

// New makes a Set of one new key.
func New() (Set, error) {
	k, err := newKey()
	return Set{Keys: []Key{k}}, err
}

func newKey() (k Key, err error) {
	if _, err := rand.Read(k.Secret[:]); err != nil {
		return Key{}, fmt.Errorf("make key: %w", err)
	}
	return k, nil
}

// Read reads a key file. what names its purpose in errors ("sealing key"). Others than its owner
// and its group must have no right to it, and the group none to write: 0600, 0400 and 0440 are
// fine, as a Kubernetes Secret is mounted with defaultMode 0440.
// A wrapped file needs the Wrapper, and with a Wrapper only a wrapped file is taken.
func Read(path, what string, by ...Wrapper) (Set, error) {
	text, err := ReadPrivate(path, what)
	if err != nil {
		return Set{}, err
	}
	if text, err = unwrap(text, by); err != nil {
		return Set{}, fmt.Errorf("%s %s: %w", what, path, err)
	}
	set, err := Parse(text)
	if err != nil {
		return Set{}, fmt.Errorf("%s %s: %w", what, path, err)
	}
	return set, nil
}

// Parse reads the text of a key file. Errors name the line and never what stands in it.
func Parse(text []byte) (Set, error) {
	var s Set
	for n, line := range strings.Split(string(text), "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if err := s.add(strings.Fields(line)); err != nil {
			return Set{}, fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	switch {
	case len(s.Keys) == 0:
		return Set{}, errors.New("there is no key in it: make one with `openssl rand -base64 32`")
	case !s.Keys[0].Until.IsZero():
		return Set{}, errors.New("the first key, which writes, must not have an end: remove `until …`, or put another one first")
	case len(s.Keys) > 1 && s.Names == nil:
		return Set{}, errors.New("with several keys there must be a line `names KEY`: use `bqgate keys add`, which writes it")
	}
	return s, nil
}

func (s *Set) add(words []string) error {
	names := words[0] == nameLabel
	if names {
		words = words[1:]
	}
	if len(words) == 0 {
		return fmt.Errorf("`%s` must be followed by a key", nameLabel)
	}
	secret, err := base64.StdEncoding.DecodeString(words[0])
	if err != nil || len(secret) != KeySize {
		return fmt.Errorf("it is not %d bytes in base64 (make a key with `openssl rand -base64 32`)", KeySize)
	}
	k := Key{Secret: [KeySize]byte(secret)}
	switch rest := words[1:]; {
	case names && (len(rest) > 0 || s.Names != nil):
		return fmt.Errorf("there must be one line `%s KEY`, and nothing behind the key", nameLabel)
	case names:
		s.Names = &k.Secret
		return nil
	case len(rest) == 2 && rest[0] == untilWord:
		if k.Until, err = time.Parse(time.RFC3339, rest[1]); err != nil {
			return fmt.Errorf("`until` must be followed by a time like 2026-12-31T00:00:00Z, not %q", rest[1])
		}
	case len(rest) > 0:
		return errors.New("behind the key there may be `until TIME` and nothing else")
	}
	for _, other := range s.Keys {
		if other.Secret == k.Secret {
			return errors.New("the key stands in the file twice")
		}
	}
	if s.Keys = append(s.Keys, k); len(s.Keys) > MaxKeys {
		return fmt.Errorf("there are more than %d keys: remove those that have ended (`bqgate keys drop`)", MaxKeys)
	}
	return nil
}

// Text is the set as Parse reads it.
func (s Set) Text() []byte {
	var b bytes.Buffer
	for _, k := range s.Keys {
		b.WriteString(base64.StdEncoding.EncodeToString(k.Secret[:]))
		if !k.Until.IsZero() {
			b.WriteString(" " + untilWord + " " + k.Until.UTC().Format(time.RFC3339))
		}
		b.WriteString("\n")
	}
	if s.Names != nil {
		b.WriteString(nameLabel + " " + base64.StdEncoding.EncodeToString(s.Names[:]) + "\n")
	}
	return b.Bytes()
}

// Create writes a set to a new file, its owner's alone: see the function Create. With a wrapper,
// only that opens it.
func (s Set) Create(path string, by ...Wrapper) error {
	text, err := s.written(by)
	if err != nil {
		return err
	}
	return Create(path, 0o600, text)
}

// written is the text of the set's file, wrapped where there is a wrapper.
func (s Set) written(by []Wrapper) ([]byte, error) {
	if len(by) > 0 {
		return s.Wrapped(by[0])
	}
	return s.Text(), nil
}

// Write puts a set in the place of a file, whole or not at all, with the file's mode; a new one is
// its owner's alone. With a wrapper, only that opens it.
func (s Set) Write(path string, by ...Wrapper) error {
	text, err := s.written(by)
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o600)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write keys: %w", err), os.Remove(f.Name()))
	}
	if err := syncFolder(path); err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	return nil
}
