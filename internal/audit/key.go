package audit

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync/atomic"

	"github.com/bqgate/bqgate/internal/keyfile"
)

// Key seals records: the first key of its file writes, every one reads. Whoever has it reads the
// journal; writing needs it too. It can be changed while it is in use (Reload). The zero Key is
// unusable.
type Key struct{ keys atomic.Pointer[keys] }

// keys are those of one reading of the file.
type keys struct {
	writes oneKey
	reads  map[keyID]oneKey
}

// oneKey is one of them.
type oneKey struct {
	secret [keyfile.KeySize]byte
	id     keyID
}

func newOneKey(secret [keyfile.KeySize]byte) oneKey {
	k := oneKey{secret: secret}
	k.id = keyID(k.derive("id", nil))
	return k
}

// keyID tells keys apart without telling anything of them, so that a wrong key is called wrong and
// not the journal corrupt. Its first half is the key's keyfile.ID.
type keyID [8]byte

func (id keyID) String() string { return hex.EncodeToString(id[:4]) }

// LogValue keeps the key out of logs.
func (k *Key) LogValue() slog.Value { return slog.StringValue("[audit key]") }

// String keeps the key out of formatted text.
func (k *Key) String() string { return "[audit key]" }

// GoString keeps the key out of formatted text.
func (k *Key) GoString() string { return "[audit key]" }

// LoadKey reads a key file: see keyfile. Keys of the journal have no end, since what they sealed is
// kept.
func LoadKey(path string, by ...keyfile.Wrapper) (*Key, error) {
	k := &Key{}
	return k, k.take(path, by)
}

// Reload reads the key file again. What is written goes into a new file under the key that is first
// now. It returns an error, and changes nothing, where the file cannot be used, or a key is not in
// it any more: what that one sealed could not be read.
func (k *Key) Reload(path string, by ...keyfile.Wrapper) error { return k.take(path, by) }

func (k *Key) take(path string, by []keyfile.Wrapper) error {
	set, err := keyfile.Read(path, "audit key", by...)
	if err != nil {
		return err
	}
	next, err := newKeys(set)
	if err != nil {
		return fmt.Errorf("audit key %s: %w", path, err)
	}
	if now := k.keys.Load(); now != nil {
		for id := range now.reads {
			if _, ok := next.reads[id]; !ok {
				return fmt.Errorf("audit key %s: key %s is not in it any more, and journal files that it sealed could not be read:"+
					" leave it in the file, behind the one that writes", path, id)
			}
		}
	}
	k.keys.Store(next)
	return nil
}

func newKeys(set keyfile.Set) (*keys, error) {
	k := &keys{writes: newOneKey(set.Keys[0].Secret), reads: make(map[keyID]oneKey)}
	for _, key := range set.Keys {
		if !key.Until.IsZero() {
			return nil, fmt.Errorf("key %s has an end (`until …`), but what it sealed is kept: remove the end", key.ID())
		}
		one := newOneKey(key.Secret)
		k.reads[one.id] = one
	}
	return k, nil
}

// GenerateKey makes a new key and writes it to path with mode 0600. It never overwrites: a lost key
// makes everything that it sealed unreadable.
func GenerateKey(path string) (*Key, error) {
	set, err := keyfile.New()
	if err != nil {
		return nil, fmt.Errorf("make audit key: %w", err)
	}
	switch err := set.Create(path); {
	case errors.Is(err, fs.ErrExist):
		return nil, fmt.Errorf("make audit key: %s is there already", path)
	case err != nil:
		return nil, fmt.Errorf("make audit key: %w", err)
	}
	next, err := newKeys(set)
	k := &Key{}
	k.keys.Store(next)
	return k, err
}

// Writes is the id of the key that new files are sealed with.
func (k *Key) Writes() keyfile.ID { return keyfile.ID(k.writes().id.String()) }

// usable says whether there is a key.
func (k *Key) usable() bool { return k != nil && k.keys.Load() != nil }

// writes is the key that new files are sealed with.
func (k *Key) writes() oneKey { return k.keys.Load().writes }

// of is the key of an id.
func (k *Key) of(id keyID) (oneKey, bool) {
	one, ok := k.keys.Load().reads[id]
	return one, ok
}

func (k oneKey) derive(purpose string, id []byte) []byte {
	mac := hmac.New(sha256.New, k.secret[:])
	mac.Write([]byte("bqgate/journal/" + purpose + "/"))
	mac.Write(id)
	return mac.Sum(nil)
}

// cipher is the AEAD of one file. The file's id is random and a file is written once, so a record's
// number in it is a nonce that never comes again.
func (k oneKey) cipher(file [16]byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(k.derive("seal", file[:]))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
