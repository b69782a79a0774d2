package identity

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// An issuer's name counts to the letter; where it is nearly right, whoever reads the refusal or the
// log is told what differs.
func TestNearlyTheConfiguredIssuer(t *testing.T) {
	c, signer := newClock(), newIssuer(t)
	for _, test := range []struct {
		name, iss string
		near      bool
	}{
		{"as configured", "https://ci.example/x", false},
		{"a slash more", "https://ci.example/x/", true},
		{"http", "http://ci.example/x", true},
		{"capitals", "https://CI.example/x", true},
		{"another path", "https://ci.example/y", false},
		{"another host", "https://ci.example.evil/x", false},
		{"a long one", "https://ci.example/x" + strings.Repeat("/", 600), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newTestVerifier(t, c, Issuer{Name: "ci", URL: "https://ci.example/x", JWKS: signer.URL + "/keys"})
			_, err := v.Verify(context.Background(), signer.mint(c.now(), claims{"iss": test.iss}), "bqgate")
			if test.iss == "https://ci.example/x" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantCode(t, err, CodeIssuer, 403, "")
			if got := strings.Contains(err.Error(), `configured here as "https://ci.example/x"`); got != test.near {
				t.Errorf("says %q, near: want %v", err, test.near)
			}
			if got := v.Issuers()[0].Misspelt != ""; got != test.near {
				t.Errorf("noted: %v, want %v", got, test.near)
			}
		})
	}
}

// An issuer that calls itself otherwise is known as that, with both names.
func TestIssuerOfAnotherName(t *testing.T) {
	for _, test := range []struct{ name, published, want string }{
		{"a slash more", "SELF/", "SELF/"},
		{"no URL", "evil\\u0000name", ""},
		{"plain http elsewhere", "http://evil.example", ""},
		{"a long one", "https://" + strings.Repeat("a", 600), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var server *httptest.Server
			server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Write([]byte(`{"issuer": "` + strings.Replace(test.published, "SELF", server.URL, 1) + `", "jwks_uri": "` + server.URL +
					`/keys"}`))
			}))
			defer server.Close()
			v, err := NewVerifier(Config{Issuers: []Issuer{{Name: "ci", URL: server.URL}}})
			if err != nil {
				t.Fatal(err)
			}
			defer v.Close()
			var other *Mismatch
			state := v.Look(context.Background())[0]
			if !errors.As(state.Failed, &other) || other.Configured != server.URL ||
				other.Published != strings.Replace(test.want, "SELF", server.URL, 1) {
				t.Errorf("failed: %v (%+v)", state.Failed, other)
			}
		})
	}
}

// While one issuer takes every request and answers none, tokens of another are verified, again and
// again, and without waiting for anything of the first.
func TestOneIssuerThatHangsHarmsNoOther(t *testing.T) {
	hangs := make(chan struct{})
	down := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hangs:
		case <-r.Context().Done():
		}
	}))
	defer down.Close()
	defer close(hangs)
	c, well, other := newClock(), newIssuer(t), newIssuer(t)
	v := newTestVerifier(t, c, Issuer{Name: "well", URL: "https://well.example", JWKS: well.URL + "/keys"},
		Issuer{Name: "down", URL: "https://down.example", JWKS: down.URL + "/keys"})
	ctx, cancel := context.WithCancel(context.Background())
	waiting := make(chan error, 100)
	for i := range cap(waiting) {
		token := other.mint(c.now(), claims{"iss": "https://down.example", "jti": i})
		go func() { _, err := v.Verify(ctx, token, "bqgate"); waiting <- err }()
	}
	for i := range 50 {
		token := well.mint(c.now(), claims{"iss": "https://well.example", "jti": i})
		if _, err := v.Verify(context.Background(), token, "bqgate"); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(waiting); n > 0 {
		t.Fatalf("%d callers of the issuer that hangs were answered first: %v", n, <-waiting)
	}
	cancel()
	for range cap(waiting) {
		wantCode(t, <-waiting, CodeUnavailable, 403, "")
	}
}
