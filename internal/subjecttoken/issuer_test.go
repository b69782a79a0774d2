package subjecttoken_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/subjecttoken"
	"github.com/bqgate/bqgate/internal/wrapping"
)

const (
	url      = "https://bqgate.example"
	audience = "https://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/gateway"
)

func wrapper(t testing.TB) wrapping.Wrapper {
	t.Helper()
	path := filepath.Join(t.TempDir(), "wrap.age")
	if err := wrapping.GenerateAge(path); err != nil {
		t.Fatal(err)
	}
	w, err := wrapping.Open(context.Background(), wrapping.Config{URI: "age:" + path})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func newKey(t testing.TB, algorithm string, w wrapping.Wrapper) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "issuer.key")
	if err := subjecttoken.NewKey(context.Background(), path, algorithm, w); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, w wrapping.Wrapper, paths ...string) *subjecttoken.Issuer {
	t.Helper()
	var keys []subjecttoken.Key
	for _, path := range paths {
		key, err := subjecttoken.ReadKey(path, w)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	issuer, err := subjecttoken.New(url, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return issuer
}

// published is a verifier by what is published, as Google verifies.
func published(t testing.TB, issuer *subjecttoken.Issuer) *oidc.IDTokenVerifier {
	t.Helper()
	text, err := issuer.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(text, &set); err != nil {
		t.Fatal(err)
	}
	keys := &oidc.StaticKeySet{}
	for _, key := range set.Keys {
		if !key.IsPublic() || key.KeyID == "" || key.Use != "sig" {
			t.Fatalf("published: %s", text)
		}
		keys.PublicKeys = append(keys.PublicKeys, key.Key)
	}
	return oidc.NewVerifier(url, keys, &oidc.Config{ClientID: audience, SupportedSigningAlgs: []string{"ES256", "RS256"}})
}

var alice = identity.Requester{
	Sub: "github:alice", Groups: []string{"g"}, Claims: map[string]string{"repository": "acme/app", "sub": "github:mallory", "exp": "9",
		"nbf": "99999999999"},
}

// What is signed says who asks, for one provider and for minutes, and no claim of the requester
// takes the place of one of the issuer's.
func TestSign(t *testing.T) {
	w := wrapper(t)
	for _, algorithm := range subjecttoken.Algorithms {
		t.Run(algorithm, func(t *testing.T) {
			issuer := open(t, w, newKey(t, algorithm, w))
			now := time.Now()
			for name, c := range map[string]struct{ until, life time.Duration }{
				"long right": {8 * time.Hour, 5*time.Minute - 10*time.Second}, "short right": {2 * time.Minute, 2 * time.Minute},
				"a moment": {time.Second, time.Minute},
			} {
				raw, err := issuer.Sign(t.Context(), alice, audience, now, now.Add(c.until))
				if err != nil {
					t.Fatal(err)
				}
				token, err := published(t, issuer).Verify(t.Context(), raw)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				var claims struct {
					Repository string
					Groups     []string
					Jti        string
				}
				if err := token.Claims(&claims); err != nil {
					t.Fatal(err)
				}
				if life := token.Expiry.Sub(now); token.Subject != "github:alice" || claims.Repository != "acme/app" ||
					len(claims.Groups) != 1 ||
					claims.Jti == "" || life > c.life || life < c.life-2*time.Second {
					t.Errorf("%s: %+v %+v lives %s", name, token, claims, life)
				}
			}
		})
	}
	issuer := open(t, w, newKey(t, "ES256", w))
	for _, mistake := range []identity.Requester{{}, {Claims: map[string]string{"sub": "x"}}} {
		if _, err := issuer.Sign(t.Context(), mistake, audience, time.Now(), time.Now().Add(time.Hour)); err == nil {
			t.Errorf("signed for %+v", mistake)
		}
	}
	if _, err := issuer.Sign(t.Context(), alice, "", time.Now(), time.Now().Add(time.Hour)); err == nil {
		t.Error("signed for every audience")
	}
}

// A key follows another without a token that is refused: published behind it, then before it, then
// alone.
func TestKeysRotate(t *testing.T) {
	w := wrapper(t)
	old, next := newKey(t, "ES256", w), newKey(t, "RS256", w)
	steps := []*subjecttoken.Issuer{open(t, w, old), open(t, w, old, next), open(t, w, next, old), open(t, w, next)}
	for i := 1; i < len(steps); i++ {
		raw, err := steps[i].Sign(t.Context(), alice, audience, time.Now(), time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		before, err := steps[i-1].Sign(t.Context(), alice, audience, time.Now(), time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		// The provider has the keys of this step or of the one before, but for the last, whose old
		// tokens are over.
		for name, v := range map[string]*oidc.IDTokenVerifier{"before": published(t, steps[i-1]), "now": published(t, steps[i])} {
			if _, err := v.Verify(t.Context(), raw); err != nil {
				t.Errorf("step %d: provider of %s: %v", i, name, err)
			}
			if _, err := v.Verify(t.Context(), before); err != nil && i < len(steps)-1 {
				t.Errorf("step %d: a token of before, provider of %s: %v", i, name, err)
			}
		}
	}
	if _, err := subjecttoken.New(url); err == nil {
		t.Error("an issuer without a key")
	}
}

// A key's file tells nothing of its private half, and opens only as it was made.
func TestKeyFiles(t *testing.T) {
	w := wrapper(t)
	path, other := newKey(t, "ES256", w), newKey(t, "ES256", w)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if err := subjecttoken.NewKey(t.Context(), path, "ES256", w); err == nil {
		t.Error("a key was overwritten")
	}
	if err := subjecttoken.NewKey(t.Context(), path+"2", "HS256", w); err == nil {
		t.Error("a key for HS256 was made")
	}
	public, rest := pem.Decode(text)
	private, _ := pem.Decode(rest)
	theirs, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	theirPublic, _ := pem.Decode(theirs)
	write := func(name string, blocks ...*pem.Block) string {
		to := filepath.Join(t.TempDir(), name)
		var b bytes.Buffer
		for _, block := range blocks {
			if err := pem.Encode(&b, block); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(to, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return to
	}
	flipped := bytes.Clone(private.Bytes)
	flipped[len(flipped)/2] ^= 1
	for name, c := range map[string]struct {
		path string
		w    wrapping.Wrapper
	}{
		"another wrapper":         {path, wrapper(t)},
		"a flipped bit":           {write("a", public, &pem.Block{Type: private.Type, Bytes: flipped}), w},
		"another key's public":    {write("b", theirPublic, private), w},
		"the private half alone":  {write("c", private), w},
		"a plain private key":     {write("d", public, &pem.Block{Type: "PRIVATE KEY", Bytes: private.Bytes}), w},
		"more behind":             {write("e", public, private, public), w},
		"a file that others read": {func() string { p := write("f", public, private); _ = os.Chmod(p, 0o644); return p }(), w},
		"no file":                 {path + ".gone", w},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := subjecttoken.ReadKey(c.path, c.w)
			if err == nil {
				issuer, made := subjecttoken.New(url, key)
				if made != nil {
					t.Fatal(made)
				}
				err = issuer.Open(t.Context())
			}
			if err == nil {
				t.Fatal("opened")
			}
			if strings.Contains(err.Error(), "BEGIN") {
				t.Errorf("%v", err)
			}
		})
	}
	// Whoever publishes keys needs no secret, and cannot sign.
	key, err := subjecttoken.ReadKey(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := subjecttoken.New(url, key)
	if err != nil {
		t.Fatal(err)
	}
	published(t, issuer)
	if _, err := issuer.Sign(t.Context(), alice, audience, time.Now(), time.Now().Add(time.Hour)); err == nil {
		t.Error("signed without the private half")
	}
}

func BenchmarkSign(b *testing.B) {
	w := wrapper(b)
	for _, algorithm := range subjecttoken.Algorithms {
		b.Run(algorithm, func(b *testing.B) {
			issuer := open(b, w, newKey(b, algorithm, w))
			for b.Loop() {
				if _, err := issuer.Sign(b.Context(), alice, audience, time.Now(), time.Now().Add(time.Hour)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// STS takes no token of the future, and clocks differ.
func TestIssuedInThePast(t *testing.T) {
	w := wrapper(t)
	issuer := open(t, w, newKey(t, "ES256", w))
	now := time.Now()
	raw, err := issuer.Sign(t.Context(), identity.Requester{Sub: "github:x"}, audience, now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	token, err := published(t, issuer).Verify(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	if early := now.Sub(token.IssuedAt); early < 9*time.Second || early > 12*time.Second {
		t.Errorf("issued %s before now", early)
	}
}
