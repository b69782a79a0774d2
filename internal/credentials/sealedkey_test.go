package credentials

import (
	"context"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/bqgate/bqgate/e2e/fakegoogle/keytokens"
	"github.com/bqgate/bqgate/internal/sealedkey/sealedkeytest"
	"github.com/bqgate/bqgate/internal/signer"
)

// The test binary is also what a Signer starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == signer.Command {
		if signer.Main() != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

var keyID = strings.Repeat("0a1b", 10)

// keyGoogle is the endpoint of keys, with what it has minted.
type keyGoogle struct {
	*keytokens.Service
	at *Endpoint

	mu     sync.Mutex
	minted []string // account and scopes
}

func startKeyGoogle(t testing.TB) *keyGoogle {
	t.Helper()
	g := &keyGoogle{}
	g.Service = keytokens.New(func(account string, scopes []string, _ time.Time) string {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.minted = append(g.minted, account+" "+strings.Join(scopes, " "))
		if slices.Contains(scopes, scopeIAM) {
			return sourceToken
		}
		return "ya29.key-" + strings.Repeat("x", len(g.minted))
	})
	server := httptest.NewTLSServer(g.Service)
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	g.at = &Endpoint{Address: server.Listener.Addr().String(), CAFile: ca}
	return g
}

// seal seals a key of an account and registers it.
func (g *keyGoogle) seal(t testing.TB, account, id string) *Key {
	t.Helper()
	key := sealedkeytest.New(t, account, id)
	g.Add(account, id, &key.Private.PublicKey)
	path, wrap := key.Sealed(t, nil)
	return &Key{File: path, KeyID: id, Wrap: wrap}
}

// keyConfig is a gateway without any federation: two sealed keys.
func (g *keyGoogle) config(t testing.TB) Config {
	return Config{
		KeyEndpoint: g.at, Inspection: "inspection",
		Accounts: map[string]Account{
			"crm-reader": {ServiceAccount: reader, Key: g.seal(t, reader, keyID)},
			"inspection": {ServiceAccount: inspector, Key: g.seal(t, inspector, keyID+"2")},
		},
	}
}

// A gateway without federation runs queries by sealed keys: a token for each owner, of the
// account's scope, whose use ends with the run's right though Google's token lives an hour.
func TestMintByKey(t *testing.T) {
	google := startKeyGoogle(t)
	b := newBroker(t, google.config(t))
	soon := time.Now().Add(3 * time.Minute)
	r := run("crm-reader", "alice")
	r.Until = soon
	c, err := b.Mint(t.Context(), decided(t), r)
	if err != nil {
		t.Fatal(err)
	}
	if c.Principal != reader || b.Principal("crm-reader", r.Requester) != reader {
		t.Errorf("principal = %q", c.Principal)
	}
	if !c.Ends.Equal(soon) || c.Expiry.After(time.Now().Add(4*time.Minute)) {
		t.Errorf("it ends at %s, its token at %s, want %s", c.Ends, c.Expiry, soon)
	}
	again, err := b.Mint(t.Context(), decided(t), r)
	if err != nil || again.Bearer() != c.Bearer() {
		t.Errorf("the token in the cache was not used: %v", err)
	}
	other, err := b.Mint(t.Context(), decided(t), run("crm-reader", "bob"))
	if err != nil || other.Bearer() == c.Bearer() {
		t.Errorf("two owners have one token: %v", err)
	}
	if life := time.Until(other.Ends); life > DefaultLifetime || life < DefaultLifetime-time.Minute {
		t.Errorf("without a near end it is used for %s, want %s", life, DefaultLifetime)
	}
	if _, err := b.Inspection(t.Context(), decided(t)); err != nil {
		t.Errorf("inspection: %v", err)
	}
	want := []string{reader + " " + Scope, reader + " " + Scope, inspector + " " + Scope}
	if !slices.Equal(google.minted, want) {
		t.Errorf("minted %q, want %q", google.minted, want)
	}
	for name, err := range b.Signers() {
		if err != nil {
			t.Errorf("signer of %s: %v", name, err)
		}
	}
}

// A sealed key may also be the gateway's own identity, which impersonates.
func TestSourceByKey(t *testing.T) {
	google, keys := startFakes(t), startKeyGoogle(t)
	config := google.config()
	config.Source = Source{Key: keys.seal(t, "gateway@demo.iam.gserviceaccount.com", keyID)}
	config.KeyEndpoint = keys.at
	b := newBroker(t, config)
	for _, owner := range []string{"alice", "bob"} {
		c, err := b.Mint(t.Context(), decided(t), run("crm-reader", owner))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(c.Bearer(), "ya29.fake-") || c.Principal != reader {
			t.Errorf("the token is not of the account: %s", c.Principal)
		}
	}
	if want := []string{"gateway@demo.iam.gserviceaccount.com " + scopeIAM}; !slices.Equal(keys.minted, want) {
		t.Errorf("minted %q, want %q", keys.minted, want)
	}
}

// What the token endpoint refuses, and what is wrong with it, is told to operators, without the
// assertion.
func TestKeyEndpointFails(t *testing.T) {
	for name, row := range map[string]struct {
		broken func(g *keyGoogle)
		code   codes.Code
		says   string
	}{
		"a revoked key": {func(g *keyGoogle) { g.Revoke(keyID) }, codes.FailedPrecondition, "invalid_grant"},
		"5xx":           {func(g *keyGoogle) { g.Break(http.StatusServiceUnavailable) }, codes.Unavailable, "503"},
		"too many":      {func(g *keyGoogle) { g.Break(http.StatusTooManyRequests) }, codes.Unavailable, "429"},
		"not JSON":      {func(g *keyGoogle) { g.Break(http.StatusNoContent) }, codes.InvalidArgument, "204"},
		"a redirect":    {func(g *keyGoogle) { g.Break(http.StatusFound) }, codes.InvalidArgument, "302"},
	} {
		t.Run(name, func(t *testing.T) {
			google := startKeyGoogle(t)
			b := newBroker(t, google.config(t))
			row.broken(google)
			c, err := b.Mint(t.Context(), decided(t), run("crm-reader", "alice"))
			var failed *Error
			if !errors.As(err, &failed) || failed.Code != row.code || !strings.Contains(err.Error(), row.says) {
				t.Fatalf("error = %v (code %v), want %v and %q", err, failed, row.code, row.says)
			}
			if c.Bearer() != "" || failed.Principal != reader {
				t.Errorf("credential %v, principal %q", c, failed.Principal)
			}
			for _, assertion := range google.Assertions() {
				if strings.Contains(err.Error(), assertion[len(assertion)/2:]) {
					t.Errorf("the error holds the assertion: %v", err)
				}
			}
		})
	}
}

// While the signer is gone nothing is minted, and the cause is told.
func TestMintWithoutSigner(t *testing.T) {
	google := startKeyGoogle(t)
	b := newBroker(t, google.config(t))
	pid, _ := b.signers["crm-reader"].PID()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	_, err := b.Mint(t.Context(), decided(t), run("crm-reader", "alice"))
	var failed *Error
	if !errors.As(err, &failed) || !strings.Contains(failed.Reason, "signer of the sealed key is not running") {
		t.Errorf("error = %v", err)
	}
}

// What is not the sealed key that the configuration means does not start.
func TestNewRefusesKeys(t *testing.T) {
	google := startKeyGoogle(t)
	plain := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(plain, sealedkeytest.New(t, reader, keyID).JSON(t, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		change func(*Config, *Key)
		says   string
	}{
		"a key in plain text": {func(_ *Config, k *Key) { k.File = plain }, "a key in plain text"},
		"another key id":      {func(_ *Config, k *Key) { k.KeyID = strings.Repeat("f", 40) }, "is it an older file?"},
		"another account": {func(c *Config, _ *Key) {
			edit(c, func(a *Account) { a.ServiceAccount = "a@demo.example" })
		}, "not of a@demo.example"},
		"no key id":             {func(_ *Config, k *Key) { k.KeyID = "" }, "key_id"},
		"nothing that opens it": {func(_ *Config, k *Key) { k.Wrap.URI = "" }, "wrap: uri is missing"},
		"delegates":             {func(c *Config, _ *Key) { edit(c, func(a *Account) { a.Delegates = []string{reader} }) }, "delegates"},
		"the inspector's account": {func(c *Config, _ *Key) {
			edit(c, func(a *Account) { a.ServiceAccount = inspector })
		}, "is the inspection account"},
		"a wide scope": {func(c *Config, _ *Key) { edit(c, func(a *Account) { a.Scope = scopeIAM }) }, "scope"},
		"two sources":  {func(c *Config, k *Key) { c.Source = Source{Key: k, ApplicationDefault: true} }, "choose one of"},
		"impersonation without a source": {func(c *Config, _ *Key) { c.Accounts["more"] = Account{ServiceAccount: "m@demo.example"} },
			"source: choose"},
	} {
		t.Run(name, func(t *testing.T) {
			config := google.config(t)
			row.change(&config, config.Accounts["crm-reader"].Key)
			b, err := New(context.Background(), config)
			if err == nil {
				b.Close()
				t.Fatal("it was taken")
			}
			if !strings.Contains(err.Error(), row.says) {
				t.Errorf("error = %v, want one with %q", err, row.says)
			}
		})
	}
}

func edit(c *Config, change func(*Account)) {
	a := c.Accounts["crm-reader"]
	change(&a)
	c.Accounts["crm-reader"] = a
}
