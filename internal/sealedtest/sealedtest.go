// Package sealedtest makes keyrings for tests.
package sealedtest

import (
	"bytes"
	"testing"

	"github.com/bqgate/bqgate/internal/sealed"
)

// Keyring is the keyring of a gateway of a test: the same byte gives the same one.
func Keyring(t testing.TB, fill byte) *sealed.Keyring {
	t.Helper()
	keys, err := sealed.New(bytes.Repeat([]byte{fill}, sealed.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
