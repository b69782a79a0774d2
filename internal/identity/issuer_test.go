package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc/oidctest"
)

var rsaKey, otherKey, weakKey = newRSA(2048), newRSA(2048), newRSA(1024)

func newRSA(bits int) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return key
}

func newEC(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// testIssuer is an OpenID Provider whose keys can be rotated and that can be down.
type testIssuer struct {
	URL     string
	fetches atomic.Int64 // of the key set
	down    atomic.Bool

	mu   sync.Mutex
	oidc oidctest.Server
	kid  string
	alg  string
	key  crypto.Signer
}

func newIssuer(t testing.TB) *testIssuer {
	t.Helper()
	issuer := &testIssuer{}
	issuer.rotate("k1", "RS256", rsaKey)
	server := httptest.NewServer(issuer)
	t.Cleanup(server.Close)
	issuer.URL = server.URL
	issuer.oidc.SetIssuer(server.URL)
	return issuer
}

func (i *testIssuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/keys" {
		i.fetches.Add(1)
	}
	if i.down.Load() {
		http.Error(w, "down", http.StatusBadGateway)
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.oidc.ServeHTTP(w, r)
}

// rotate replaces the key that the issuer signs with and publishes.
func (i *testIssuer) rotate(kid, alg string, key crypto.Signer) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.kid, i.alg, i.key = kid, alg, key
	i.oidc.PublicKeys = []oidctest.PublicKey{{PublicKey: key.Public(), KeyID: kid, Algorithm: alg}}
	i.oidc.Algorithms = []string{alg}
}

type claims map[string]any

// claims are those of a person's good token, with changes; a nil value takes a claim away.
func (i *testIssuer) claims(now time.Time, changes claims) string {
	all := claims{
		"iss": i.URL, "sub": "alice", "aud": "bqgate", "iat": now.Add(-time.Minute).Unix(), "exp": now.Add(10 * time.Minute).Unix(),
		"email": "alice@corp.example",
	}
	maps.Copy(all, changes)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	text, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func (i *testIssuer) mint(now time.Time, changes claims) string {
	return oidctest.SignIDToken(i.key, i.kid, i.alg, i.claims(now, changes))
}

// clock is a clock that tests set.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Now().Truncate(time.Second)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func newTestVerifier(t testing.TB, c *clock, issuers ...Issuer) *Verifier {
	t.Helper()
	v, err := newVerifier(Config{Issuers: issuers}, c.now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

// wantCode asserts a refusal with the code and status, and that its text holds no part of the
// token.
func wantCode(t testing.TB, err error, code Code, status int, raw string) {
	t.Helper()
	var refused *Error
	if !errors.As(err, &refused) {
		t.Fatalf("error is %v (%T), want a refusal %q", err, err, code)
	}
	if refused.Code != code || refused.Status != status {
		t.Fatalf("refused as %q with %d (%v), want %q with %d", refused.Code, refused.Status, refused, code, status)
	}
	if refused.Message == "" || refused.Reason == "" {
		t.Fatalf("refusal without words: %+v", refused)
	}
	assertNoToken(t, refused.Error(), raw)
}

func assertNoToken(t testing.TB, text, raw string) {
	t.Helper()
	const window = 24
	for at := 0; at+window <= len(raw); at += window / 2 {
		if contains(text, raw[at:at+window]) {
			t.Fatalf("text holds a part of the token: %s", text)
		}
	}
}
