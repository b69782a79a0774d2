// Package sealedkeytest has service-account keys for tests.
package sealedkeytest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/sealedkey"
	"github.com/bqgate/bqgate/internal/wrapping"
)

// Key is a service-account key that nobody else has.
type Key struct {
	Account, ID string
	Private     *rsa.PrivateKey
}

// New makes a key.
func New(t testing.TB, account, id string) Key {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return Key{Account: account, ID: id, Private: private}
}

// JSON is the key's file as Google writes it, with members changed or, where nil, left out.
func (k Key) JSON(t testing.TB, change map[string]any) []byte {
	t.Helper()
	file := map[string]any{
		"type": "service_account", "project_id": "demo", "private_key_id": k.ID, "private_key": string(k.pem(t)),
		"client_email": k.Account, "client_id": "100000000000000000001",
		"auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": "https://oauth2.googleapis.com/token",
		"auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs", "universe_domain": "googleapis.com",
	}
	for name, value := range change {
		file[name] = value
		if value == nil {
			delete(file, name)
		}
	}
	text, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (k Key) der(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(k.Private)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (k Key) pem(t testing.TB) []byte {
	t.Helper()
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: k.der(t)})
}

// Traces are what tells that a part of the private key is somewhere: its numbers as bytes in both
// orders, in hexadecimal and decimal, and the lines of its file. None is in the public key.
func (k Key) Traces(t testing.TB) map[string][]byte {
	t.Helper()
	traces := map[string][]byte{}
	for name, number := range map[string][]byte{
		"the private exponent": k.Private.D.Bytes(), "the first prime": k.Private.Primes[0].Bytes(),
		"the second prime": k.Private.Primes[1].Bytes(), "an exponent for a prime": k.Private.Precomputed.Dp.Bytes(),
	} {
		part := number[8:40] // limbs of 8 bytes begin anywhere in memory, so both ends are kept out
		turned := make([]byte, len(part))
		for i, b := range part {
			turned[len(part)-1-i] = b
		}
		traces[name] = part
		traces[name+", turned round"] = turned
		traces[name+" in hexadecimal"] = []byte(hex.EncodeToString(part))
	}
	traces["the private exponent in decimal"] = []byte(k.Private.D.String()[10:50])
	for i, line := range strings.Split(string(k.pem(t)), "\n") {
		if i > 6 && i < 20 { // the first lines hold the public key
			traces["line "+line] = []byte(line)
		}
	}
	for shift := range 3 { // as base64 of something longer
		text := base64.StdEncoding.EncodeToString(k.Private.D.Bytes()[8+shift : 40+shift])
		traces["the private exponent in base64 at "+string(rune('0'+shift))] = []byte(text[:40])
	}
	return traces
}

// Age makes an age identity and names it as a configuration does.
func Age(t testing.TB) wrapping.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "identity")
	if err := wrapping.GenerateAge(path); err != nil {
		t.Fatal(err)
	}
	return wrapping.Config{URI: "age:" + path}
}

// Wrapper opens a configuration.
func Wrapper(t testing.TB, c wrapping.Config) wrapping.Wrapper {
	t.Helper()
	w, err := wrapping.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// Sealed seals the key, with members of its file changed as JSON does, and gives the sealed file
// and what opens it.
func (k Key) Sealed(t testing.TB, change map[string]any) (path string, wrap wrapping.Config) {
	t.Helper()
	plain, err := sealedkey.ReadPlain(k.JSON(t, change))
	if err != nil {
		t.Fatal(err)
	}
	wrap = Age(t)
	f, err := sealedkey.Seal(t.Context(), Wrapper(t, wrap), plain, "ada", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	text, err := f.Text()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "sealed.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, wrap
}
