package wrapping

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"filippo.io/age"

	"github.com/bqgate/bqgate/internal/keyfile"
)

// maxWrapped bounds what is read of a wrapped secret: age adds a header of some 200 bytes.
const maxWrapped = 32 + 4 + MaxAssociated + MaxPlain + 4<<10

// ageWrapper wraps with an age identity. age has no associated data, and whoever knows the public
// key can encrypt to it. So what is encrypted is
//
//	HMAC-SHA-256 (32 bytes) | length of the associated data (4) | associated data | secret
//
// under a key that is derived of the identity: only who holds the identity can have written it, and
// only with this associated data.
type ageWrapper struct {
	identity *age.X25519Identity
	mac      []byte
	name     string
}

// openAge reads an identity file, as age-keygen writes it: comments, and one AGE-SECRET-KEY-1….
func openAge(path string) (*ageWrapper, error) {
	text, err := keyfile.ReadPrivate(path, "age identity")
	if err != nil {
		return nil, err
	}
	// The errors of ParseIdentities may hold what it could not read.
	const want = "want one X25519 identity, as `bqgate credentials keygen` or age-keygen writes it"
	identities, err := age.ParseIdentities(bytes.NewReader(text))
	if err != nil || len(identities) != 1 {
		return nil, fmt.Errorf("age identity %s cannot be read: %s", path, want)
	}
	identity, ok := identities[0].(*age.X25519Identity)
	if !ok {
		return nil, fmt.Errorf("age identity %s is of another kind: %s", path, want)
	}
	mac, err := hkdf.Key(sha256.New, []byte(identity.String()), nil, "bqgate/wrapping/age", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("age identity %s: %w", path, err)
	}
	// A digest of the public key: the key itself would be enough to encrypt to this identity.
	sum := sha256.Sum256([]byte("bqgate/wrapping/" + identity.Recipient().String()))
	return &ageWrapper{identity: identity, mac: mac, name: schemeAge + hex.EncodeToString(sum[:8])}, nil
}

func (w *ageWrapper) Name() string { return w.name }

// String keeps the identity out of formatted text.
func (w *ageWrapper) String() string { return w.name }

// GoString keeps the identity out of formatted text.
func (w *ageWrapper) GoString() string { return w.name }

func (w *ageWrapper) sum(payload []byte) []byte {
	mac := hmac.New(sha256.New, w.mac)
	mac.Write(payload)
	return mac.Sum(nil)
}

func (w *ageWrapper) Wrap(_ context.Context, plain, associated []byte) ([]byte, error) {
	if err := checkSizes(plain, associated); err != nil {
		return nil, err
	}
	payload := binary.BigEndian.AppendUint32(nil, uint32(len(associated))) //nolint:gosec // at most MaxAssociated
	payload = append(append(payload, associated...), plain...)
	var out bytes.Buffer
	to, err := age.Encrypt(&out, w.identity.Recipient())
	if err != nil {
		return nil, fmt.Errorf("wrap with %s: %w", w.name, err)
	}
	_, err = to.Write(append(w.sum(payload), payload...))
	if err = errors.Join(err, to.Close()); err != nil {
		return nil, fmt.Errorf("wrap with %s: %w", w.name, err)
	}
	return out.Bytes(), nil
}

func (w *ageWrapper) Unwrap(_ context.Context, wrapped, associated []byte) ([]byte, error) {
	notOurs := fmt.Errorf("unwrap with %s: %w", w.name, ErrNotOurs)
	if len(wrapped) > maxWrapped {
		return nil, notOurs
	}
	from, err := age.Decrypt(bytes.NewReader(wrapped), w.identity)
	if err != nil {
		return nil, notOurs
	}
	text, err := io.ReadAll(from)
	if err != nil || len(text) < sha256.Size+4 {
		return nil, notOurs
	}
	sum, payload := text[:sha256.Size], text[sha256.Size:]
	if !hmac.Equal(sum, w.sum(payload)) {
		return nil, notOurs
	}
	length, rest := binary.BigEndian.Uint32(payload), payload[4:]
	if uint64(length) > uint64(len(rest)) || !hmac.Equal(rest[:length], associated) {
		return nil, notOurs
	}
	return rest[length:], nil
}

// GenerateAge makes a new age identity in a new file, which is its owner's alone. It never
// overwrites: without the identity, what it wrapped is lost.
func GenerateAge(path string) error {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return fmt.Errorf("make age identity: %w", err)
	}
	text := fmt.Sprintf("# created: %s\n%s\n", time.Now().UTC().Format(time.RFC3339), identity)
	if err := keyfile.Create(path, 0o600, []byte(text)); err != nil {
		return fmt.Errorf("make age identity: %w", err)
	}
	return nil
}
