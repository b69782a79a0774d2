package oidcissuer_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/bqgate/bqgate/e2e/fakegoogle/oidcissuer"
)

func start(t *testing.T) *oidcissuer.Issuer {
	t.Helper()
	i, err := oidcissuer.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.Close() })
	return i
}

func mint(t *testing.T, i *oidcissuer.Issuer, body string) string {
	t.Helper()
	resp, err := http.Post(i.URL()+"/mint", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out struct{ Token, Error string }
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %s", resp.StatusCode, out.Error)
	}
	return out.Token
}

func TestMintedTokensVerify(t *testing.T) {
	i := start(t)
	provider, err := oidc.NewProvider(context.Background(), i.URL())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, body, audience string
		ok                   bool
	}{
		{"default audience", `{"subject":"agent","groups":["ai-agents"]}`, "bqgate", true},
		{"one audience", `{"subject":"agent","audience":"bqgate-console"}`, "bqgate-console", true},
		{"a list", `{"subject":"agent","audience":["a","bqgate"]}`, "bqgate", true},
		{"another audience", `{"subject":"agent","audience":"x"}`, "bqgate", false},
		{"expired", `{"subject":"agent","ttl_seconds":-5}`, "bqgate", false},
		{"another issuer claimed", `{"subject":"agent","claims":{"iss":"https://evil.example"}}`, "bqgate", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			tok, err := provider.Verifier(&oidc.Config{ClientID: c.audience}).Verify(context.Background(), mint(t, i, c.body))
			if (err == nil) != c.ok {
				t.Fatalf("verify: %v", err)
			}
			if err == nil && tok.Subject != "agent" {
				t.Fatalf("subject %q", tok.Subject)
			}
		})
	}
}

func TestClaimsAndGroups(t *testing.T) {
	i := start(t)
	provider, err := oidc.NewProvider(context.Background(), i.URL())
	if err != nil {
		t.Fatal(err)
	}
	tok, err := provider.Verifier(&oidc.Config{ClientID: "bqgate"}).Verify(context.Background(),
		mint(t, i, `{"subject":"s","groups":["a","b"],"claims":{"repository_id":"7"},"ttl_seconds":60}`))
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Groups       []string `json:"groups"`
		RepositoryID string   `json:"repository_id"`
	}
	if err := tok.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	if len(claims.Groups) != 2 || claims.RepositoryID != "7" {
		t.Fatalf("claims %+v", claims)
	}
	if left := time.Until(tok.Expiry); left < 50*time.Second || left > 61*time.Second {
		t.Fatalf("expires in %s", left)
	}
}

func TestRotation(t *testing.T) {
	i := start(t)
	old := mint(t, i, `{"subject":"s"}`)
	verify := func(raw string) error {
		provider, err := oidc.NewProvider(context.Background(), i.URL())
		if err != nil {
			t.Fatal(err)
		}
		_, err = provider.Verifier(&oidc.Config{ClientID: "bqgate"}).Verify(context.Background(), raw)
		return err
	}
	if err := i.Rotate(true); err != nil {
		t.Fatal(err)
	}
	if err := verify(old); err != nil {
		t.Fatalf("an old token after an orderly rotation: %v", err)
	}
	if err := verify(mint(t, i, `{"subject":"s"}`)); err != nil {
		t.Fatalf("a new token: %v", err)
	}
	if err := i.Rotate(false); err != nil {
		t.Fatal(err)
	}
	if verify(old) == nil {
		t.Fatal("a token of a withdrawn key was accepted")
	}
}

func TestUnknownMintKeysAreRefused(t *testing.T) {
	i := start(t)
	resp, err := http.Post(i.URL()+"/mint", "application/json", strings.NewReader(`{"sub":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Fatalf("status %d, want 400", resp.StatusCode)
	}
}

func TestLoopbackOnly(t *testing.T) {
	if i, err := oidcissuer.Start("0.0.0.0:0"); err == nil {
		i.Close()
		t.Fatal("listened on every address")
	}
}
