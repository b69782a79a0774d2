package durable

import (
	"errors"
	"fmt"

	"github.com/bqgate/bqgate/internal/sealed"
)

// What ext_authz decided, ext_proc goes on with, by way of Envoy. The witness goes along, sealed:
// only whoever had it can have sealed it.

type carried[T any] struct {
	Decision string `json:"decision"`
	Value    T      `json:"value"`
}

// Seal makes the text that carries a value and the witness of the decision it came of.
func Seal[T any](keys *sealed.Keyring, purpose string, d Decided, v T) (string, error) {
	return keys.Seal(sealedPurpose(purpose), carried[T]{Because(d), v})
}

// Open reverses Seal. The error is sealed.ErrForged for anything that Seal did not make.
func Open[T any](keys *sealed.Keyring, purpose, text string) (T, Decided, error) {
	var c carried[T]
	if err := keys.Open(sealedPurpose(purpose), text, &c); err != nil {
		return c.Value, nil, err
	}
	if c.Decision == "" {
		return c.Value, nil, fmt.Errorf("open %s: %w", purpose, errors.Join(sealed.ErrForged, errors.New("no decision")))
	}
	return c.Value, &decided{c.Decision}, nil
}

// sealedPurpose keeps these texts apart from everything else that is sealed with the same keys.
func sealedPurpose(purpose string) string { return "durable/decided/" + purpose }
