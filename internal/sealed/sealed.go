// Package sealed makes values that only the gateway can have written.
//
// Redis, Envoy's dynamic metadata and anything else outside the process may lose or repeat a value,
// but must not be able to invent or alter one (invariant I8). A Keyring turns a Go value into text
// under XChaCha20-Poly1305: encrypted, since held requests carry SQL, and authenticated together
// with a purpose, so that a value sealed for one place opens nowhere else.
package sealed

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/bqgate/bqgate/internal/keyfile"
)

// KeySize is the size of a key in bytes.
const KeySize = keyfile.KeySize

var (
	// ErrForged is returned by Open for a value that was not sealed by this gateway for this
	// purpose.
	ErrForged = errors.New("value was not sealed by this gateway for this purpose")
	// ErrOtherKey is in the error, beside ErrForged, for a value that names a key which this
	// process does not have: another replica has it, or it is past its end, or the value is forged.
	ErrOtherKey = errors.New("value names a sealing key that is not among this gateway's")
)

// Keyring holds the gateway's sealing keys. All replicas of one gateway share them. The first key
// seals, every one opens until its end. They can be changed while the Keyring is in use (Reload).
// The zero Keyring is unusable.
type Keyring struct {
	keys atomic.Pointer[keys]
	now  func() time.Time
}

// keys are those of one reading of the file.
type keys struct {
	seals keyfile.Key
	opens map[keyfile.ID]keyfile.Key
	order []keyfile.ID
	names []byte
}

// New makes a Keyring of one key of KeySize random bytes.
func New(secret []byte) (*Keyring, error) {
	if len(secret) != KeySize {
		return nil, fmt.Errorf("sealing key has %d bytes, want %d", len(secret), KeySize)
	}
	return newKeyring(keyfile.Set{Keys: []keyfile.Key{{Secret: [KeySize]byte(secret)}}}), nil
}

// Load reads a key file: see keyfile.
func Load(path string, by ...keyfile.Wrapper) (*Keyring, error) {
	set, err := keyfile.Read(path, "sealing key", by...)
	if err != nil {
		return nil, err
	}
	return newKeyring(set), nil
}

func newKeyring(set keyfile.Set) *Keyring {
	k := &Keyring{now: time.Now}
	k.take(set)
	return k
}

// Reload reads the key file again. Values that were sealed before open as long as their key is in
// the file. It returns an error, and changes nothing, where the file cannot be used, where its
// names are made otherwise, or where the key that seals is not in it any more: what this process
// has just sealed could be opened by nobody.
func (k *Keyring) Reload(path string, by ...keyfile.Wrapper) error {
	set, err := keyfile.Read(path, "sealing key", by...)
	if err != nil {
		return err
	}
	next := newKeyring(set).keys.Load()
	now := k.keys.Load()
	if !hmac.Equal(next.names, now.names) {
		return fmt.Errorf("sealing key %s: what is in Redis would not be found any more, since its names are made with another key."+
			" Keep the old key and add a new one (`bqgate keys add`), or stop all replicas", path)
	}
	if _, kept := next.opens[now.seals.ID()]; !kept {
		return fmt.Errorf("sealing key %s: key %s, which seals now, is not in it: keep it until what it sealed has ended"+
			" (`bqgate keys activate` says until when)", path, now.seals.ID())
	}
	k.take(set)
	return nil
}

func (k *Keyring) take(set keyfile.Set) {
	next := &keys{seals: set.Keys[0], opens: make(map[keyfile.ID]keyfile.Key), names: set.Keys[0].Secret[:]}
	for _, key := range set.Keys {
		next.opens[key.ID()] = key
		next.order = append(next.order, key.ID())
	}
	if set.Names != nil {
		next.names = set.Names[:]
	}
	k.keys.Store(next)
}

// Seals is the id of the key that seals now.
func (k *Keyring) Seals() keyfile.ID { return k.keys.Load().order[0] }

// Generate returns a new key in the form that Load reads.
func Generate() (string, error) {
	set, err := keyfile.New()
	if err != nil {
		return "", err
	}
	return string(set.Text()), nil
}

// Name is HMAC-SHA-256 over the parts, each preceded by its length, for the purpose. It is the same
// whichever key seals, so that what stands under a name is found after a change of keys. It proves
// nothing: whoever had one of the keys once can make it too.
func (k *Keyring) Name(purpose string, parts ...string) [sha256.Size]byte {
	return sum(derive(k.keys.Load().names, "mac", purpose), parts)
}

// MAC is Name with the key that seals now. It is another one after a change of keys.
func (k *Keyring) MAC(purpose string, parts ...string) [sha256.Size]byte {
	return sum(derive(k.keys.Load().seals.Secret[:], "mac", purpose), parts)
}

func sum(key []byte, parts []string) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, key)
	for _, part := range parts {
		fmt.Fprintf(mac, "%d:", len(part))
		mac.Write([]byte(part))
	}
	mac.Sum(sum[:0])
	return sum
}

// Seal encodes v as JSON and seals it for the purpose. A purpose names the place and the type of
// the value, with its key where it has one ("redis/job/p:US:id"). The text is the id of the key
// and base64, which URLs take as it is.
func (k *Keyring) Seal(purpose string, v any) (string, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("seal %s: %w", purpose, err)
	}
	now := k.keys.Load()
	aead, err := chacha20poly1305.NewX(derive(now.seals.Secret[:], "seal", ""))
	if err != nil {
		return "", fmt.Errorf("seal %s: %w", purpose, err)
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return "", fmt.Errorf("seal %s: %w", purpose, err)
	}
	return string(now.order[0]) + base64.RawURLEncoding.EncodeToString(aead.Seal(nonce, nonce, plain, []byte(purpose))), nil
}

// Open reverses Seal into v. It returns ErrForged for anything that Seal did not make for this
// purpose with a key that may still be read, and ErrOtherKey beside it where the value names
// another key. Values of before keys had ids open too.
func (k *Keyring) Open(purpose, text string, v any) error {
	now := k.keys.Load()
	ids, sealed := now.order, text
	named, ok := idOf(text)
	_, mine := now.opens[named]
	if mine {
		ids, sealed = []keyfile.ID{named}, text[len(named):]
	}
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return fmt.Errorf("open %s: %w", purpose, ErrForged)
	}
	for _, id := range ids {
		key := now.opens[id]
		if !key.Until.IsZero() && !k.now().Before(key.Until) {
			err = fmt.Errorf("%w (key %s ended at %s)", ErrOtherKey, id, key.Until.Format(time.RFC3339))
			continue
		}
		plain, wrong := unseal(key, purpose, raw)
		if wrong != nil {
			continue
		}
		if err := json.Unmarshal(plain, v); err != nil {
			return fmt.Errorf("open %s: %w", purpose, err)
		}
		return nil
	}
	if ok && !mine {
		err = fmt.Errorf("%w (key %s)", ErrOtherKey, named)
	}
	if err != nil {
		return fmt.Errorf("open %s: %w: %w", purpose, ErrForged, err)
	}
	return fmt.Errorf("open %s: %w", purpose, ErrForged)
}

// idOf is the key's id that a text begins with. By chance a text of before keys had ids has one
// once in 65,536 times.
func idOf(text string) (keyfile.ID, bool) {
	if len(text) < keyfile.IDSize || strings.Trim(text[:keyfile.IDSize], "0123456789abcdef") != "" {
		return "", false
	}
	return keyfile.ID(text[:keyfile.IDSize]), true
}

// Found says in a log what is wrong with a value that Open has returned an error for: "was not
// written by this gateway", or that it was by one with other keys.
func Found(err error) string {
	if errors.Is(err, ErrOtherKey) {
		return "was sealed with a key that is not among this gateway's sealing keys, or has ended:" +
			" give all replicas the same key file (`bqgate keys list` shows the ids)"
	}
	return "was not written by this gateway"
}

func unseal(key keyfile.Key, purpose string, raw []byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(derive(key.Secret[:], "seal", ""))
	if err != nil {
		return nil, err
	}
	if len(raw) < aead.NonceSize() {
		return nil, ErrForged
	}
	return aead.Open(nil, raw[:aead.NonceSize()], raw[aead.NonceSize():], []byte(purpose))
}

func derive(secret []byte, use, purpose string) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("bqgate/" + use + "/" + purpose))
	return mac.Sum(nil)
}
