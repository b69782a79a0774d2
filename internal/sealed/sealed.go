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

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/bqgate/bqgate/internal/keyfile"
)

// KeySize is the size of the secret in bytes.
const KeySize = 32

// ErrForged is returned by Open for a value that was not sealed with this secret for this purpose.
var ErrForged = errors.New("value was not sealed by this gateway for this purpose")

// Keyring holds the gateway's sealing secret. All replicas of one gateway share it. The zero
// Keyring is unusable.
type Keyring struct {
	secret []byte
}

// New makes a Keyring of a secret of KeySize random bytes.
func New(secret []byte) (*Keyring, error) {
	if len(secret) != KeySize {
		return nil, fmt.Errorf("sealing secret has %d bytes, want %d", len(secret), KeySize)
	}
	return &Keyring{secret: append([]byte(nil), secret...)}, nil
}

// Load reads the secret from a file: 32 bytes in standard base64, as `openssl rand -base64 32`
// writes them. Others must not be able to read it (keyfile.Private).
func Load(path string) (*Keyring, error) {
	text, err := keyfile.ReadPrivate(path, "sealing secret")
	if err != nil {
		return nil, err
	}
	secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("sealing secret %s is not base64 (make one with `openssl rand -base64 32`): %w", path, err)
	}
	ring, err := New(secret)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (make one with `openssl rand -base64 32`)", path, err)
	}
	return ring, nil
}

// Generate returns a new secret in the form that Load reads.
func Generate() (string, error) {
	secret := make([]byte, KeySize)
	if _, err := rand.Read(secret); err != nil {
		return "", fmt.Errorf("make sealing secret: %w", err)
	}
	return base64.StdEncoding.EncodeToString(secret) + "\n", nil
}

// MAC is HMAC-SHA-256 over the parts, each preceded by its length, under a key derived for the
// purpose.
func (k *Keyring) MAC(purpose string, parts ...string) [sha256.Size]byte {
	mac := hmac.New(sha256.New, k.derive("mac", purpose))
	for _, part := range parts {
		fmt.Fprintf(mac, "%d:", len(part))
		mac.Write([]byte(part))
	}
	var sum [sha256.Size]byte
	mac.Sum(sum[:0])
	return sum
}

// Seal encodes v as JSON and seals it for the purpose. A purpose names the place and the type of
// the value, with its key where it has one ("redis/job/p:US:id").
func (k *Keyring) Seal(purpose string, v any) (string, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("seal %s: %w", purpose, err)
	}
	aead, err := chacha20poly1305.NewX(k.derive("seal", ""))
	if err != nil {
		return "", fmt.Errorf("seal %s: %w", purpose, err)
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return "", fmt.Errorf("seal %s: %w", purpose, err)
	}
	return base64.RawURLEncoding.EncodeToString(aead.Seal(nonce, nonce, plain, []byte(purpose))), nil
}

// Open reverses Seal into v. It returns ErrForged for anything that Seal did not make with this
// secret for this purpose.
func (k *Keyring) Open(purpose, text string, v any) error {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return fmt.Errorf("open %s: %w", purpose, ErrForged)
	}
	aead, err := chacha20poly1305.NewX(k.derive("seal", ""))
	if err != nil {
		return fmt.Errorf("open %s: %w", purpose, err)
	}
	if len(raw) < aead.NonceSize() {
		return fmt.Errorf("open %s: %w", purpose, ErrForged)
	}
	plain, err := aead.Open(nil, raw[:aead.NonceSize()], raw[aead.NonceSize():], []byte(purpose))
	if err != nil {
		return fmt.Errorf("open %s: %w", purpose, ErrForged)
	}
	if err := json.Unmarshal(plain, v); err != nil {
		return fmt.Errorf("open %s: %w", purpose, err)
	}
	return nil
}

func (k *Keyring) derive(use, purpose string) []byte {
	mac := hmac.New(sha256.New, k.secret)
	mac.Write([]byte("bqgate/" + use + "/" + purpose))
	return mac.Sum(nil)
}
