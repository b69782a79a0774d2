package identity

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc/oidctest"
)

// Of a refused token it is told whose it is only where the issuer's own signature says so, and no
// token makes the gateway fetch keys for that.
func TestWhoseARefusedTokenIs(t *testing.T) {
	c, issuer := newClock(), newIssuer(t)
	v := newTestVerifier(t, c, Issuer{Name: "okta", URL: issuer.URL})
	now := c.now()
	forged := func(changes claims) string {
		return oidctest.SignIDToken(otherKey, "k1", "RS256", issuer.claims(now, changes))
	}
	over := claims{"exp": now.Add(-time.Second).Unix()}
	ofOthers := claims{"aud": "payroll"}
	if _, err := v.Verify(t.Context(), issuer.mint(now, nil), "bqgate"); err != nil {
		t.Fatal(err) // the keys are known from here on
	}
	fetched := issuer.fetches.Load()
	for name, test := range map[string]struct {
		raw  string
		code Code
		want string // the subject
	}{
		"expired":                {issuer.mint(now, over), CodeExpired, "alice"},
		"expired, forged":        {forged(over), CodeExpired, ""},
		"expired, unsigned":      {unsigned(issuer.mint(now, over)), CodeExpired, ""},
		"for others":             {issuer.mint(now, ofOthers), CodeAudience, "alice"},
		"for others, forged":     {forged(ofOthers), CodeAudience, ""},
		"without exp":            {issuer.mint(now, claims{"exp": nil}), CodeTimes, "alice"},
		"bound to a key":         {issuer.mint(now, claims{"cnf": map[string]any{"jkt": "x"}}), CodeClaims, "alice"},
		"forged":                 {forged(nil), CodeSignature, ""},
		"of an unknown issuer":   {issuer.mint(now, claims{"iss": "https://evil.example"}), CodeIssuer, ""},
		"signed by an older key": {oidctest.SignIDToken(otherKey, "k0", "RS256", issuer.claims(now, over)), CodeExpired, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := v.Verify(t.Context(), test.raw, "bqgate")
			wantCode(t, err, test.code, 403, test.raw)
			var refused *Error
			errors.As(err, &refused)
			if s := refused.Subject; s.Sub != test.want || s.Owner != "" || s.Groups != nil || s.Claims != nil {
				t.Errorf("it is of %+v, want %q", s, test.want)
			}
		})
	}
	if n := issuer.fetches.Load(); n != fetched {
		t.Errorf("keys were fetched %d times", n-fetched)
	}
}

// unsigned takes the signature off a token.
func unsigned(raw string) string { return raw[:strings.LastIndexByte(raw, '.')+1] + "AAAA" }
