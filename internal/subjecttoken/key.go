package subjecttoken

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"github.com/bqgate/bqgate/internal/keyfile"
	"github.com/bqgate/bqgate/internal/wrapping"
)

// A key's file has two PEM blocks: the public key as it is, so that whoever publishes it needs no
// secret, and the private one wrapped.
const (
	publicBlock  = "PUBLIC KEY"
	wrappedBlock = "BQGATE WRAPPED PRIVATE KEY"
	wrappedBy    = "Wrapped-By" // header of the second: Wrapper.Name
)

// purpose is what a private key is wrapped for, beside its public key.
const purpose = "bqgate subject token signing key v1\n"

// Key is a signing key: the public half, and how to open the private one.
type Key struct {
	public crypto.PublicKey
	alg    jose.SignatureAlgorithm
	open   func(context.Context) (crypto.Signer, error)
}

// Algorithms are the JWS algorithms for which NewKey makes keys: those that Google takes.
var Algorithms = []string{string(jose.ES256), string(jose.RS256)}

const rsaBits = 2048

// NewKey makes a key, wraps it and writes it to a new file that only its owner can read.
func NewKey(ctx context.Context, path, algorithm string, w wrapping.Wrapper) error {
	var (
		key crypto.Signer
		err error
	)
	switch jose.SignatureAlgorithm(algorithm) {
	case jose.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.RS256:
		key, err = rsa.GenerateKey(rand.Reader, rsaBits)
	default:
		return fmt.Errorf("%q is none of the algorithms %q", algorithm, Algorithms)
	}
	if err != nil {
		return fmt.Errorf("make a signing key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("write a signing key: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("write a signing key: %w", err)
	}
	wrapped, err := w.Wrap(ctx, private, append([]byte(purpose), public...))
	if err != nil {
		return fmt.Errorf("wrap a signing key with %s: %w", w.Name(), err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: public})
	text = append(text, pem.EncodeToMemory(&pem.Block{
		Type: wrappedBlock, Headers: map[string]string{wrappedBy: w.Name()}, Bytes: wrapped,
	})...)
	if err := keyfile.Create(path, 0o600, text); err != nil {
		return fmt.Errorf("write a signing key: %w", err)
	}
	return nil
}

// ReadKey reads a key's file. Its private half is opened by the Wrapper when it first signs; nil is
// for whoever only publishes it.
func ReadKey(path string, w wrapping.Wrapper) (Key, error) {
	text, err := keyfile.ReadPrivate(path, "signing key")
	if err != nil {
		return Key{}, err
	}
	public, rest := pem.Decode(text)
	private, rest := pem.Decode(rest)
	if public == nil || private == nil || public.Type != publicBlock || private.Type != wrappedBlock || len(bytes.TrimSpace(rest)) > 0 {
		return Key{}, fmt.Errorf("signing key %s is not one that `bqgate credentials signing-key` has made; a key in plain text is "+
			"not taken",
			path)
	}
	k := Key{}
	if k.public, err = x509.ParsePKIXPublicKey(public.Bytes); err != nil {
		return Key{}, fmt.Errorf("signing key %s: %w", path, err)
	}
	if k.alg, err = algorithm(k.public); err != nil {
		return Key{}, fmt.Errorf("signing key %s: %w", path, err)
	}
	if w == nil {
		return k, nil
	}
	k.open = func(ctx context.Context) (crypto.Signer, error) {
		plain, err := w.Unwrap(ctx, private.Bytes, append([]byte(purpose), public.Bytes...))
		if err != nil {
			return nil, fmt.Errorf("open signing key %s with %s: %w", path, w.Name(), err)
		}
		return parse(plain, k.public)
	}
	return k, nil
}

// parse reads a private key, which must be that of a public one. No error says anything of it.
func parse(pkcs8 []byte, public crypto.PublicKey) (crypto.Signer, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return nil, errors.New("what was wrapped is no private key")
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, errors.New("what was wrapped is no key to sign with")
	}
	if same, ok := public.(interface{ Equal(crypto.PublicKey) bool }); !ok || !same.Equal(key.Public()) {
		return nil, errors.New("what was wrapped is not the private half of the key beside it")
	}
	return key, nil
}

// algorithm is the one that a key signs with.
func algorithm(public crypto.PublicKey) (jose.SignatureAlgorithm, error) {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return jose.ES256, nil
		}
	case *rsa.PublicKey:
		if k.N.BitLen() >= rsaBits {
			return jose.RS256, nil
		}
	}
	return "", errors.New("must be ECDSA P-256 or RSA of at least 2048 bits")
}
