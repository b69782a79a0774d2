package sealedkey

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tink "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"

	"github.com/bqgate/bqgate/internal/wrapping"
)

const format = "bqgate-sealed-key/v1"

// maxFile is the size that a sealed file may have, in bytes.
const maxFile = 64 << 10

// Header is what anybody may read of a sealed key. It is believed once the file was opened.
type Header struct {
	Format    string    `json:"format"`
	Account   string    `json:"account"`
	KeyID     string    `json:"key_id"`
	Project   string    `json:"project"`
	SealedAt  time.Time `json:"sealed_at"`
	SealedBy  string    `json:"sealed_by"`
	Wrapper   string    `json:"wrapper"`
	PublicKey string    `json:"public_key_sha256"`
}

// File is a sealed key. The secrets in it are encrypted.
type File struct {
	Header
	Keyset []byte `json:"keyset"`
	Key    []byte `json:"key"`
}

// Seal seals a key. by says who does it.
func Seal(ctx context.Context, w wrapping.Wrapper, plain *Plain, by string, now time.Time) (*File, error) {
	public, err := digest(plain.key)
	if err != nil {
		return nil, err
	}
	f := &File{Header: Header{
		Format: format, Account: plain.Account, KeyID: plain.KeyID, Project: plain.Project,
		SealedAt: now.UTC().Truncate(time.Second), SealedBy: by, Wrapper: w.Name(), PublicKey: public,
	}}
	der, err := x509.MarshalPKCS8PrivateKey(plain.key)
	if err != nil {
		return nil, errors.New("seal: the key cannot be encoded")
	}
	return f, f.seal(ctx, w, der)
}

// seal encrypts under a new keyset.
func (f *File) seal(ctx context.Context, w wrapping.Wrapper, der []byte) error {
	bound, err := f.bound()
	if err != nil {
		return err
	}
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fmt.Errorf("seal: make keyset: %w", err)
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return fmt.Errorf("seal: make keyset: %w", err)
	}
	if f.Key, err = primitive.Encrypt(der, bound); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	var out encrypted
	if err := handle.WriteWithContext(ctx, &out, &asAEAD{w: w}, bound); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	// The rest of Tink's message is for people, and bound to nothing.
	f.Keyset = out.keyset.GetEncryptedKeyset()
	return nil
}

// Rewrap opens a sealed key and seals it under another Wrapper.
func (f *File) Rewrap(ctx context.Context, from, to wrapping.Wrapper, by string, now time.Time) (*File, error) {
	key, err := f.Open(ctx, from)
	if err != nil {
		return nil, err
	}
	return Seal(ctx, to, &Plain{Account: f.Account, KeyID: f.KeyID, Project: f.Project, key: key}, by, now)
}

// Open gives back the key. Its errors say whether another wrapper is needed, or the file was
// altered; they hold nothing of the key.
func (f *File) Open(ctx context.Context, w wrapping.Wrapper) (*rsa.PrivateKey, error) {
	if f.Wrapper != w.Name() {
		return nil, fmt.Errorf("it was sealed for %s, and the configuration names %s: is it another gateway's? %w", f.Wrapper, w.Name(),
			wrapping.ErrNotOurs)
	}
	bound, err := f.bound()
	if err != nil {
		return nil, err
	}
	in := encrypted{&tink.EncryptedKeyset{EncryptedKeyset: f.Keyset}}
	unwrap := &asAEAD{w: w}
	handle, err := keyset.ReadWithContext(ctx, &in, unwrap, bound)
	if err != nil {
		return nil, fmt.Errorf("open sealed key %s of %s: %w", f.KeyID, f.Account, cmp.Or(unwrap.failed, err))
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("open sealed key %s of %s: %w", f.KeyID, f.Account, wrapping.ErrNotOurs)
	}
	der, err := primitive.Decrypt(f.Key, bound)
	if err != nil {
		return nil, fmt.Errorf("open sealed key %s of %s: %w", f.KeyID, f.Account, wrapping.ErrNotOurs)
	}
	key, err := parse(der)
	clear(der)
	if err != nil {
		return nil, fmt.Errorf("sealed key %s of %s %w", f.KeyID, f.Account, err)
	}
	if public, err := digest(key); err != nil || public != f.PublicKey {
		return nil, fmt.Errorf("sealed key %s of %s is not the one that the file says", f.KeyID, f.Account)
	}
	return key, nil
}

// Read reads the text of a sealed file, of which nothing is believed yet.
func Read(text []byte) (*File, error) {
	if len(text) > maxFile {
		return nil, errors.New("it is too large for a sealed key")
	}
	var f File
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil || f.Format != format {
		if kind(text) == serviceAccount {
			return nil, errors.New("it is a key in plain text, which is what bqgate takes away: " +
				"`bqgate credentials seal` makes the file that is meant")
		}
		return nil, fmt.Errorf("it is not a sealed key (%s): `bqgate credentials seal` writes one", format)
	}
	if again, err := f.Text(); err != nil || !bytes.Equal(text, again) {
		return nil, errors.New("it was altered: a sealed key must be exactly as `bqgate credentials seal` wrote it")
	}
	switch {
	case !accountEmail.MatchString(f.Account):
		return nil, errors.New("its account is not the e-mail of a service account")
	case !ValidID(f.KeyID):
		return nil, errors.New("its key_id is not the id of a key")
	}
	return &f, nil
}

// Text is the file as Read reads it.
func (f *File) Text() ([]byte, error) {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write sealed key: %w", err)
	}
	return append(text, '\n'), nil
}

// bound is what the secrets of a file are bound to: all else that it says.
func (f *File) bound() ([]byte, error) {
	text, err := json.Marshal(f.Header)
	if err != nil {
		return nil, fmt.Errorf("sealed key: %w", err)
	}
	return append([]byte("bqgate/sealed key/"), text...), nil
}

func digest(key *rsa.PrivateKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return "", errors.New("the public key cannot be encoded")
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}

// asAEAD is a Wrapper as Tink calls it.
type asAEAD struct {
	w      wrapping.Wrapper
	failed error // of DecryptWithContext: Tink keeps the text of it alone
}

// EncryptWithContext implements tink.AEADWithContext.
func (a *asAEAD) EncryptWithContext(ctx context.Context, plain, associated []byte) ([]byte, error) {
	return a.w.Wrap(ctx, plain, associated)
}

// DecryptWithContext implements tink.AEADWithContext.
func (a *asAEAD) DecryptWithContext(ctx context.Context, wrapped, associated []byte) (plain []byte, err error) {
	plain, a.failed = a.w.Unwrap(ctx, wrapped, associated)
	return plain, a.failed
}

// encrypted is where Tink puts a keyset, and reads it from. One that is not encrypted is never
// written or read.
type encrypted struct{ keyset *tink.EncryptedKeyset }

var errEncryptedOnly = errors.New("a keyset is encrypted, or not kept")

// ReadEncrypted implements keyset.Reader.
func (e *encrypted) ReadEncrypted() (*tink.EncryptedKeyset, error) { return e.keyset, nil }

// WriteEncrypted implements keyset.Writer.
func (e *encrypted) WriteEncrypted(keyset *tink.EncryptedKeyset) error { e.keyset = keyset; return nil }

// Read implements keyset.Reader.
func (*encrypted) Read() (*tink.Keyset, error) { return nil, errEncryptedOnly }

// Write implements keyset.Writer.
func (*encrypted) Write(*tink.Keyset) error { return errEncryptedOnly }
