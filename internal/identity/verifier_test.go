package identity

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc/oidctest"
	"github.com/go-jose/go-jose/v4"
)

func contains(text, part string) bool { return strings.Contains(text, part) }

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func TestVerifyAcceptsAGoodToken(t *testing.T) {
	c, issuer := newClock(), newIssuer(t)
	v := newTestVerifier(t, c, Issuer{Name: "okta", URL: issuer.URL})
	for name, changes := range map[string]claims{
		"plain":               nil,
		"one of two":          {"aud": []string{"other", "bqgate"}},
		"a clock ahead":       {"iat": c.now().Add(29 * time.Second).Unix(), "nbf": c.now().Add(29 * time.Second).Unix()},
		"exactly an hour":     {"iat": c.now().Add(-time.Minute).Unix(), "exp": c.now().Add(59 * time.Minute).Unix()},
		"a second left":       {"exp": c.now().Add(time.Second).Unix()},
		"fractions of second": {"exp": float64(c.now().Unix()) + 60.5},
	} {
		t.Run(name, func(t *testing.T) {
			subject, err := v.Verify(context.Background(), issuer.mint(c.now(), changes), "bqgate")
			if err != nil {
				t.Fatal(err)
			}
			if subject.Sub != "alice" || subject.Name != "okta" || subject.Issuer != issuer.URL || subject.Expiry.IsZero() ||
				subject.Session != "" {
				t.Fatalf("subject = %+v", subject)
			}
		})
	}
}

// TestVerifyRefuses shows tokens as an attacker would make them.
func TestVerifyRefuses(t *testing.T) {
	c, issuer, stranger := newClock(), newIssuer(t), newIssuer(t)
	v := newTestVerifier(t, c, Issuer{Name: "okta", URL: issuer.URL})
	now := c.now()
	good := issuer.mint(now, nil)
	parts := strings.Split(good, ".")
	publicPEM := func() []byte {
		der, err := x509.MarshalPKIXPublicKey(rsaKey.Public())
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}()
	sign := func(alg jose.SignatureAlgorithm, key any, extra map[jose.HeaderKey]any, payload string) string {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, &jose.SignerOptions{ExtraHeaders: extra})
		if err != nil {
			t.Fatal(err)
		}
		jws, err := signer.Sign([]byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := jws.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	body := issuer.claims(now, nil)
	embedded := jose.JSONWebKey{Key: otherKey.Public(), KeyID: "k1", Algorithm: "RS256"}

	tests := []struct {
		name string
		raw  string
		code Code
	}{
		{"forged with another key under the same kid", oidctest.SignIDToken(otherKey, "k1", "RS256", body), CodeSignature},
		{"forged with another key under a new kid", oidctest.SignIDToken(otherKey, "k2", "RS256", body), CodeSignature},
		{"claims changed after signing", parts[0] + "." + b64(issuer.claims(now, claims{"sub": "root"})) + "." + parts[2], CodeSignature},
		{"signature cut", parts[0] + "." + parts[1] + ".", CodeAlgorithm},
		{"alg none", b64(`{"alg":"none"}`) + "." + parts[1] + ".", CodeAlgorithm},
		{"alg NoNe with a signature", b64(`{"alg":"NoNe"}`) + "." + parts[1] + "." + parts[2], CodeAlgorithm},
		{"no alg", b64(`{"kid":"k1"}`) + "." + parts[1] + "." + parts[2], CodeAlgorithm},
		{"HS256 with the public key as secret", sign(jose.HS256, publicPEM, map[jose.HeaderKey]any{"kid": "k1"}, body), CodeAlgorithm},
		{"an algorithm not configured", oidctest.SignIDToken(rsaKey, "k1", "PS512", body), CodeAlgorithm},
		{"embedded jwk", sign(jose.RS256, otherKey, map[jose.HeaderKey]any{"jwk": embedded}, body), CodeMalformed},
		{"jku of the attacker", sign(jose.RS256, otherKey, map[jose.HeaderKey]any{"jku": stranger.URL + "/keys"}, body), CodeMalformed},
		{"x5u of the attacker", sign(jose.RS256, otherKey, map[jose.HeaderKey]any{"x5u": stranger.URL}, body), CodeMalformed},
		{"kid is a number", b64(`{"alg":"RS256","kid":1}`) + "." + parts[1] + "." + parts[2], CodeMalformed},
		{"logout token", sign(jose.RS256, rsaKey, map[jose.HeaderKey]any{"kid": "k1", "typ": "logout+jwt"}, body), CodeMalformed},
		{"duplicate alg", b64(`{"alg":"RS256","alg":"none"}`) + "." + parts[1] + "." + parts[2], CodeMalformed},
		{"duplicate claim", oidctest.SignIDToken(rsaKey, "k1", "RS256",
			strings.Replace(body, `"sub":"alice"`, `"sub":"alice","sub":"root"`, 1)), CodeMalformed},
		{"EXP beside exp", issuer.mint(now, claims{"EXP": now.Add(time.Hour).Unix(), "exp": now.Add(-time.Hour).Unix()}), CodeMalformed},
		{"JSON serialization", `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
			CodeMalformed},
		{"padding", parts[0] + "." + parts[1] + "." + parts[2] + "==", CodeMalformed},
		{"line break inside", parts[0] + ".\n" + parts[1] + "." + parts[2], CodeMalformed},
		{"five parts", good + ".a.b", CodeMalformed},
		{"empty", "", CodeMalformed},
		{"claims are null", sign(jose.RS256, rsaKey, nil, "null"), CodeMalformed},
		{"claims are no UTF-8", sign(jose.RS256, rsaKey, nil, `{"iss":"`+issuer.URL+"\xff\"}"), CodeMalformed},
		{"20 KiB", issuer.mint(now, claims{"pad": strings.Repeat("x", 20<<10)}), CodeMalformed},
		{"issuer not configured", stranger.mint(now, nil), CodeIssuer},
		{"issuer with a slash", issuer.mint(now, claims{"iss": issuer.URL + "/"}), CodeIssuer},
		{"issuer is a list", issuer.mint(now, claims{"iss": []string{issuer.URL}}), CodeIssuer},
		{"no issuer", issuer.mint(now, claims{"iss": nil}), CodeIssuer},
		{"wrong audience", issuer.mint(now, claims{"aud": "sts.example"}), CodeAudience},
		{"console audience", issuer.mint(now, claims{"aud": "bqgate-console"}), CodeAudience},
		{"longer audience", issuer.mint(now, claims{"aud": "bqgate2"}), CodeAudience},
		{"audience in other case", issuer.mint(now, claims{"aud": "BQGATE"}), CodeAudience},
		{"both audiences", issuer.mint(now, claims{"aud": []string{"bqgate", "bqgate-console"}}), CodeAudience},
		{"both audiences, the other way round", issuer.mint(now, claims{"aud": []string{"x", "bqgate-console", "bqgate"}}), CodeAudience},
		{"no audience", issuer.mint(now, claims{"aud": nil}), CodeAudience},
		{"audience list with a number", issuer.mint(now, claims{"aud": []any{"bqgate", 1}}), CodeAudience},
		{"expired", issuer.mint(now, claims{"exp": now.Add(-time.Second).Unix()}), CodeExpired},
		{"expires now", issuer.mint(now, claims{"exp": now.Unix()}), CodeExpired},
		{"no exp", issuer.mint(now, claims{"exp": nil}), CodeTimes},
		{"exp is text", issuer.mint(now, claims{"exp": "9999999999"}), CodeTimes},
		{"exp beyond all bounds", issuer.mint(now, claims{"exp": 1e300}), CodeTimes},
		{"no iat", issuer.mint(now, claims{"iat": nil}), CodeTimes},
		{"iat in the future", issuer.mint(now, claims{"iat": now.Add(31 * time.Second).Unix()}), CodeTimes},
		{"iat far in the future hides a long life",
			issuer.mint(now, claims{"iat": now.Add(23 * time.Hour).Unix(), "exp": now.Add(24 * time.Hour).Unix()}), CodeTimes},
		{"lives a day", issuer.mint(now, claims{"exp": now.Add(24 * time.Hour).Unix()}), CodeTimes},
		{"nbf in the future", issuer.mint(now, claims{"nbf": now.Add(time.Minute).Unix()}), CodeTimes},
		{"nbf is text", issuer.mint(now, claims{"nbf": "0"}), CodeTimes},
		{"no sub", issuer.mint(now, claims{"sub": nil}), CodeClaims},
		{"sub with a line break", issuer.mint(now, claims{"sub": "alice\nlevel=info"}), CodeClaims},
		{"bound to a key", issuer.mint(now, claims{"cnf": map[string]any{"jkt": "x"}}), CodeClaims},
		{"a session token", SessionPrefix + strings.Repeat("A", 43), CodeMalformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			subject, err := v.Verify(context.Background(), test.raw, "bqgate")
			wantCode(t, err, test.code, 403, test.raw)
			if subject.Sub != "" || subject.Owner != "" {
				t.Fatalf("a refused token has the subject %+v", subject)
			}
		})
	}
	if _, err := v.Verify(context.Background(), issuer.mint(now, claims{"aud": ""}), ""); err == nil {
		t.Error("an empty audience accepts a token")
	}
	if _, err := (&Verifier{}).Verify(context.Background(), good, "bqgate"); err == nil {
		t.Error("the zero Verifier accepts a token")
	}
}

func TestTokenOfAnotherConfiguredIssuer(t *testing.T) {
	// Each issuer speaks for itself: a key of one does not sign for the other.
	c, a, b := newClock(), newIssuer(t), newIssuer(t)
	b.rotate("k1", "RS256", otherKey)
	v := newTestVerifier(t, c, Issuer{Name: "a", URL: a.URL}, Issuer{Name: "b", URL: b.URL})
	for _, issuer := range []*testIssuer{a, b} {
		if _, err := v.Verify(context.Background(), issuer.mint(c.now(), nil), "bqgate"); err != nil {
			t.Fatal(err)
		}
	}
	raw := b.mint(c.now(), claims{"iss": a.URL})
	_, err := v.Verify(context.Background(), raw, "bqgate")
	wantCode(t, err, CodeSignature, 403, raw)
}

func TestCachedTokenExpires(t *testing.T) {
	c, issuer := newClock(), newIssuer(t)
	v := newTestVerifier(t, c, Issuer{Name: "okta", URL: issuer.URL})
	raw := issuer.mint(c.now(), claims{"exp": c.now().Add(30 * time.Second).Unix()})
	for range 3 {
		if _, err := v.Verify(context.Background(), raw, "bqgate"); err != nil {
			t.Fatal(err)
		}
	}
	_, err := v.Verify(context.Background(), raw, "bqgate-console")
	wantCode(t, err, CodeAudience, 403, raw) // the cache knows the audience it was verified for
	c.add(30 * time.Second)
	_, err = v.Verify(context.Background(), raw, "bqgate")
	wantCode(t, err, CodeExpired, 403, raw)
}

func TestVerifyConcurrently(t *testing.T) {
	c, issuer := newClock(), newIssuer(t)
	v := newTestVerifier(t, c, Issuer{Name: "okta", URL: issuer.URL})
	var wg sync.WaitGroup
	errs := make(chan error, 64)
	for i := range 64 {
		wg.Go(func() {
			subject, err := v.Verify(context.Background(), issuer.mint(c.now(), claims{"sub": fmt.Sprintf("agent-%d", i)}), "bqgate")
			if err == nil && subject.Sub != fmt.Sprintf("agent-%d", i) {
				err = fmt.Errorf("token of agent-%d has subject %s", i, subject.Sub)
			}
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if n := issuer.fetches.Load(); n > fetchBurst {
		t.Errorf("64 tokens made %d fetches", n)
	}
}

func FuzzDecode(f *testing.F) {
	now := time.Now()
	issuer := &testIssuer{URL: "https://issuer.example", kid: "k1", alg: "RS256", key: rsaKey}
	f.Add(issuer.mint(now, nil))
	f.Add(issuer.mint(now, claims{"aud": []any{"a", 1}, "nested": claims{"a": []any{1.5, nil, true}}}))
	f.Add(b64(`{"alg":"none"}`) + "." + b64(`{"sub":"a","sub":"b"}`) + ".")
	f.Add("..")
	f.Fuzz(func(t *testing.T, raw string) {
		token, refused := decode(raw)
		if refused != nil {
			if token != nil || refused.Status != 403 {
				t.Fatalf("refusal %+v with token %+v", refused, token)
			}
			return
		}
		// What decode accepts, go-jose reads as the same bytes.
		jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(token.alg)})
		if err == nil && string(jws.UnsafePayloadWithoutVerification()) != string(token.payload) {
			t.Fatal("go-jose reads another payload")
		}
		token.date("exp")
		token.audience()
		plain(token.claims)
	})
}

// BenchmarkVerifyAlgorithm is a token that was not seen before, with the keys there.
func BenchmarkVerifyAlgorithm(b *testing.B) {
	for _, algorithm := range []string{"ES256", "RS256"} {
		b.Run(algorithm, func(b *testing.B) {
			c, issuer := newClock(), newIssuer(b)
			if algorithm == "ES256" {
				issuer.rotate("k1", algorithm, newEC(b))
			}
			v := newTestVerifier(b, c, Issuer{Name: "okta", URL: issuer.URL})
			raw := issuer.mint(c.now(), nil)
			for b.Loop() {
				v.cache = nil
				if _, err := v.Verify(context.Background(), raw, "bqgate"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	c, issuer := newClock(), newIssuer(b)
	v := newTestVerifier(b, c, Issuer{Name: "okta", URL: issuer.URL})
	raw := issuer.mint(c.now(), nil)
	for _, name := range []string{"cached", "uncached"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if name == "uncached" {
					v.cache = nil
				}
				if _, err := v.Verify(context.Background(), raw, "bqgate"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
