package identity

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc/oidctest"
	"github.com/go-jose/go-jose/v4"
)

func TestKeyRotation(t *testing.T) {
	c, issuer := newClock(), newIssuer(t)
	v := newTestVerifier(t, c, Issuer{Name: "okta", URL: issuer.URL})
	ctx := context.Background()
	old := issuer.mint(c.now(), nil)
	if _, err := v.Verify(ctx, old, "bqgate"); err != nil {
		t.Fatal(err)
	}
	issuer.rotate("k2", "ES256", newEC(t))
	if _, err := v.Verify(ctx, issuer.mint(c.now(), nil), "bqgate"); err != nil {
		t.Fatalf("token of the new key: %v", err)
	}
	// The old key is withdrawn: a token that it signed, seen by nobody yet, is refused.
	unseen := oidctest.SignIDToken(rsaKey, "k1", "RS256", issuer.claims(c.now(), claims{"sub": "mallory"}))
	_, err := v.Verify(ctx, unseen, "bqgate")
	wantCode(t, err, CodeSignature, 403, unseen)
	// And one that was seen is refused once the cache has let it go.
	c.add(cacheFor)
	_, err = v.Verify(ctx, old, "bqgate")
	wantCode(t, err, CodeSignature, 403, old)
}

func TestWithdrawnKeyIsForgottenWithoutANewOne(t *testing.T) {
	c, issuer := newClock(), newIssuer(t)
	v := newTestVerifier(t, c, Issuer{Name: "okta", URL: issuer.URL})
	if _, err := v.Verify(context.Background(), issuer.mint(c.now(), nil), "bqgate"); err != nil {
		t.Fatal(err)
	}
	issuer.mu.Lock()
	issuer.oidc.PublicKeys = []oidctest.PublicKey{}
	issuer.mu.Unlock()
	c.add(keysRefresh + time.Second)
	deadline := time.Now().Add(30 * time.Second)
	for i := 0; ; i++ {
		raw := issuer.mint(c.now(), claims{"sub": fmt.Sprint(i)})
		if _, err := v.Verify(context.Background(), raw, "bqgate"); err != nil {
			wantCode(t, err, CodeSignature, 403, raw)
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the withdrawn key still serves")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestStrangersCannotMakeTheGatewayFetch(t *testing.T) {
	c, issuer := newClock(), newIssuer(t)
	v := newTestVerifier(t, c, Issuer{Name: "okta", URL: issuer.URL})
	for i := range 200 {
		raw := oidctest.SignIDToken(otherKey, fmt.Sprintf("random-%d", i), "RS256", issuer.claims(c.now(), nil))
		_, err := v.Verify(context.Background(), raw, "bqgate")
		wantCode(t, err, CodeSignature, 403, raw)
	}
	if n := issuer.fetches.Load(); n > fetchBurst {
		t.Fatalf("200 forged tokens made %d fetches, want at most %d", n, fetchBurst)
	}
	if _, err := v.Verify(context.Background(), issuer.mint(c.now(), nil), "bqgate"); err != nil {
		t.Fatalf("a good token is refused under attack: %v", err)
	}
	// A rotation during the attack is noticed as soon as a fetch is allowed again.
	issuer.rotate("k2", "RS256", otherKey)
	c.add(fetchEvery)
	if _, err := v.Verify(context.Background(), issuer.mint(c.now(), nil), "bqgate"); err != nil {
		t.Fatalf("rotation under attack: %v", err)
	}
}

func TestIssuerDownAtStart(t *testing.T) {
	c, down, up := newClock(), newIssuer(t), newIssuer(t)
	down.down.Store(true)
	v := newTestVerifier(t, c, Issuer{Name: "down", URL: down.URL}, Issuer{Name: "up", URL: up.URL})
	raw := down.mint(c.now(), nil)
	for range 10 {
		_, err := v.Verify(context.Background(), raw, "bqgate")
		wantCode(t, err, CodeUnavailable, 403, raw)
	}
	if _, err := v.Verify(context.Background(), up.mint(c.now(), nil), "bqgate"); err != nil {
		t.Fatalf("the issuer that is up: %v", err)
	}
	down.down.Store(false)
	c.add(fetchEvery)
	if _, err := v.Verify(context.Background(), raw, "bqgate"); err != nil {
		t.Fatalf("the issuer is back: %v", err)
	}
}

func TestKeysOutliveTheIssuer(t *testing.T) {
	c, issuer := newClock(), newIssuer(t)
	v := newTestVerifier(t, c, Issuer{Name: "okta", URL: issuer.URL})
	if _, err := v.Verify(context.Background(), issuer.mint(c.now(), nil), "bqgate"); err != nil {
		t.Fatal(err)
	}
	issuer.down.Store(true)
	c.add(keysStale - time.Minute)
	if _, err := v.Verify(context.Background(), issuer.mint(c.now(), nil), "bqgate"); err != nil {
		t.Fatalf("cached keys: %v", err)
	}
	c.add(2 * time.Minute)
	raw := issuer.mint(c.now(), nil)
	_, err := v.Verify(context.Background(), raw, "bqgate")
	wantCode(t, err, CodeUnavailable, 403, raw)
}

func TestFrozenIssuerDelaysNoLongerThanTheCaller(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel, answers never
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c, issuer := newClock(), newIssuer(t)
	url := "http://" + listener.Addr().String()
	v := newTestVerifier(t, c, Issuer{Name: "frozen", URL: url})
	raw := issuer.mint(c.now(), claims{"iss": url})
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err = v.Verify(ctx, raw, "bqgate")
	wantCode(t, err, CodeUnavailable, 403, raw)
	v.Close()
	if took := time.Since(start); took > 20*time.Second {
		t.Fatalf("took %s", took)
	}
	if _, err := v.Verify(context.Background(), raw, "bqgate"); err == nil {
		t.Fatal("a closed verifier verifies")
	}
}

func TestDiscoveryOfAnotherIssuerIsRefused(t *testing.T) {
	c, issuer := newClock(), newIssuer(t)
	proxy := httptest.NewServer(issuer) // serves the discovery document of issuer.URL under its own URL
	defer proxy.Close()
	v := newTestVerifier(t, c, Issuer{Name: "proxy", URL: proxy.URL})
	raw := issuer.mint(c.now(), claims{"iss": proxy.URL})
	_, err := v.Verify(context.Background(), raw, "bqgate")
	wantCode(t, err, CodeUnavailable, 403, raw)
}

func TestJWKSWithoutDiscovery(t *testing.T) {
	c, issuer := newClock(), newIssuer(t)
	v := newTestVerifier(t, c, Issuer{Name: "ci", URL: "https://nowhere.invalid", JWKS: issuer.URL + "/keys"})
	if _, err := v.Verify(context.Background(), issuer.mint(c.now(), claims{"iss": "https://nowhere.invalid"}), "bqgate"); err != nil {
		t.Fatal(err)
	}
}

func TestRedirectToPlainHTTPIsRefused(t *testing.T) {
	var reached atomic.Bool
	plain := http.NewServeMux()
	plain.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		reached.Store(true)
		http.Redirect(w, &http.Request{Method: "GET"}, "http://192.0.2.1/keys", http.StatusFound)
	})
	server := httptest.NewServer(plain)
	defer server.Close()
	client, err := httpClient("")
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Get(server.URL)
	if err == nil || !contains(err.Error(), "must be https") || !reached.Load() {
		t.Fatalf("redirect to plain http: %v", err)
	}
}

func TestParseKeys(t *testing.T) {
	ec := newEC(t)
	jwk := func(key any, use string) json.RawMessage {
		text, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: "k", Use: use})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	tests := []struct {
		name string
		keys []json.RawMessage
		want int
	}{
		{"public keys", []json.RawMessage{jwk(rsaKey.Public(), "sig"), jwk(ec.Public(), "")}, 2},
		{"none", []json.RawMessage{}, 0},
		{"weak RSA", []json.RawMessage{jwk(weakKey.Public(), "sig")}, 0},
		{"a symmetric key", []json.RawMessage{jwk([]byte("secret secret secret secret secret"), "sig")}, 0},
		{"private keys", []json.RawMessage{jwk(rsaKey, "sig"), jwk((*ecdsa.PrivateKey)(ec), "sig")}, 0},
		{"for encryption", []json.RawMessage{jwk(rsaKey.Public(), "enc")}, 0},
		{"unknown types beside a good one", []json.RawMessage{[]byte(`{"kty":"XYZ"}`), []byte(`7`), jwk(rsaKey.Public(), "")}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			body, err := json.Marshal(map[string]any{"keys": test.keys})
			if err != nil {
				t.Fatal(err)
			}
			keys, err := parseKeys(body)
			if err != nil || len(keys) != test.want {
				t.Fatalf("%d keys, %v; want %d", len(keys), err, test.want)
			}
		})
	}
	for _, body := range []string{``, `{}`, `[]`, `{"Keys":[]}`, `<html>log in`, `{"keys":[1` + strings.Repeat(",1", maxKeys) + `]}`} {
		t.Run(body, func(t *testing.T) {
			if keys, err := parseKeys([]byte(body)); err == nil {
				t.Errorf("%.40s is read as %d keys", body, len(keys))
			}
		})
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[]}`))
	text, err := json.Marshal(jose.JSONWebKeySet{
		Keys: []jose.JSONWebKey{{Key: rsaKey.Public(), KeyID: "k1", Algorithm: "RS256", Use: "sig"}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, err := parseKeys(body)
		if err != nil {
			return
		}
		for _, key := range keys {
			if !key.IsPublic() || !key.Valid() {
				t.Fatalf("accepted %+v", key)
			}
		}
	})
}
