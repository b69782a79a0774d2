package signer

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/bqgate/bqgate/internal/sealedkey"
	"github.com/bqgate/bqgate/internal/wrapping"
)

// openWithin bounds the opening of a key, which may ask a KMS.
const openWithin = 30 * time.Second

// child is the other process.
type child struct {
	lines
	account string
	keyID   string
	key     *rsa.PrivateKey
	now     func() time.Time
}

// serve is the whole life of the child: it opens, and signs until the parent has gone.
func (c *child) serve(ctx context.Context, fences *fence) error {
	var first opening
	if err := c.read(&first); err != nil {
		return fmt.Errorf("read what to open: %w", err)
	}
	err := c.open(ctx, first, fences)
	answer := opened{Account: c.account, Fences: fences.up, Lacks: fences.lacks}
	if err != nil {
		answer = opened{Error: err.Error(), Final: errors.As(err, new(finalError)), Fences: fences.up}
	}
	if sent := c.write(answer); sent != nil || err != nil {
		return errors.Join(err, sent)
	}
	for {
		var o order
		switch err := c.read(&o); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read what to sign: %w", err)
		}
		var answer signed
		life, err := o.check()
		if err == nil {
			answer.Assertion, err = c.sign(o.Scope, life)
		}
		if err != nil {
			answer.Error = err.Error()
		}
		if err := c.write(answer); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
	}
}

// finalError is one that another try does not mend.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// open opens the key behind the fences. A wrapper that asks nobody has no network from before the
// key is there; a KMS must be asked first.
func (c *child) open(ctx context.Context, o opening, fences *fence) error {
	ctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	if err := fences.private(); err != nil {
		return finalError{err}
	}
	f, err := sealedkey.Read(o.Sealed)
	switch {
	case err != nil:
		return finalError{err}
	case f.KeyID != o.KeyID:
		return finalError{fmt.Errorf("it is key %s, and the configuration names %s: is it an older file?", f.KeyID, o.KeyID)}
	}
	if !o.Wrap.Remote() {
		if err := fences.confine(withFiles); err != nil {
			return finalError{err}
		}
	}
	w, err := wrapping.Open(ctx, o.Wrap)
	if err != nil {
		return fmt.Errorf("open what unwraps it: %w", err)
	}
	key, err := f.Open(ctx, w)
	switch {
	case errors.Is(err, wrapping.ErrNotOurs):
		return finalError{err}
	case err != nil:
		return err
	}
	if err := fences.confine(withNothing); err != nil {
		return finalError{err}
	}
	c.account, c.keyID, c.key = f.Account, f.KeyID, key
	return nil
}

// sign makes an assertion (RFC 7523, section 3;
// https://developers.google.com/identity/protocols/oauth2/service-account#authorizingrequests).
// There is no `sub`: nobody of a Workspace domain is ever acted for.
func (c *child) sign(scope string, life time.Duration) (string, error) {
	issued := c.now().Add(-clockSkew)
	header, err := json.Marshal(map[string]string{"alg": "RS256", "typ": "JWT", "kid": c.keyID})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{
		"iss": c.account, "scope": scope, "aud": Audience, "iat": issued.Unix(), "exp": issued.Add(life).Unix(),
	})
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, c.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", errors.New("the key cannot sign") // the cause may tell of it
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
