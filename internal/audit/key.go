package audit

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/bqgate/bqgate/internal/keyfile"
)

// keySize is the size of the audit key in bytes.
const keySize = 32

// Key seals records. Whoever has it reads the journal; writing needs it too. The zero Key is
// unusable.
type Key struct{ secret []byte }

// LogValue keeps the key out of logs.
func (k *Key) LogValue() slog.Value { return slog.StringValue("[audit key]") }

// String keeps the key out of formatted text.
func (k *Key) String() string { return "[audit key]" }

// GoString keeps the key out of formatted text.
func (k *Key) GoString() string { return "[audit key]" }

// LoadKey reads a key file: 32 bytes in standard base64, as `openssl rand -base64 32` writes them.
// Others must not be able to read it (keyfile.Private).
func LoadKey(path string) (*Key, error) {
	text, err := keyfile.ReadPrivate(path, "audit key")
	if err != nil {
		return nil, err
	}
	secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(secret) != keySize {
		return nil, fmt.Errorf("audit key %s is not %d bytes in base64 (make one with `openssl rand -base64 32`)", path, keySize)
	}
	return &Key{secret: secret}, nil
}

// GenerateKey makes a new key and writes it to path with mode 0600. It never overwrites: a lost key
// makes everything that it sealed unreadable.
func GenerateKey(path string) (*Key, error) {
	secret := make([]byte, keySize)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("make audit key: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("make audit key: %s is there already", path)
		}
		return nil, fmt.Errorf("make audit key: %w", err)
	}
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(secret) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("make audit key %s: %w", path, err)
	}
	return &Key{secret: secret}, nil
}

func (k *Key) derive(purpose string, id []byte) []byte {
	mac := hmac.New(sha256.New, k.secret)
	mac.Write([]byte("bqgate/journal/" + purpose + "/"))
	mac.Write(id)
	return mac.Sum(nil)
}

// id tells keys apart without telling anything of them, so that a wrong key is called wrong and not
// the journal corrupt.
func (k *Key) id() [8]byte { return [8]byte(k.derive("id", nil)) }

// cipher is the AEAD of one file. The file's id is random and a file is written once, so a record's
// number in it is a nonce that never comes again.
func (k *Key) cipher(file [16]byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(k.derive("seal", file[:]))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
