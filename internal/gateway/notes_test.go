package gateway

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/credentials"
	"github.com/bqgate/bqgate/internal/identity"
)

// TestLookAtIssuers: `serve --check` tells an issuer that can never be believed, because it calls
// itself otherwise, from one that does not answer just now.
func TestLookAtIssuers(t *testing.T) {
	self := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := self
		switch r.URL.Path {
		case "/slash/.well-known/openid-configuration":
			w.Write([]byte(`{"issuer": "` + name + `/slash/", "jwks_uri": "` + name + `/keys"}`))
		case "/well/.well-known/openid-configuration":
			w.Write([]byte(`{"issuer": "` + name + `/well", "jwks_uri": "` + name + `/keys"}`))
		case "/keys":
			w.Write([]byte(`{"keys": []}`))
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	self = server.URL
	issuer := func(name string) *config.Config {
		return &config.Config{Identity: identity.Config{Issuers: []identity.Issuer{{Name: "okta", URL: server.URL + "/" + name}}}}
	}
	for _, c := range []struct{ name, wrong, note string }{
		{"well", "", ""},
		{"slash", "iss is " + self + "/slash/ but the configuration has " + self + "/slash", ""},
		{"gone", "", "issuer okta does not answer from here"},
	} {
		t.Run(c.name, func(t *testing.T) {
			notes, err := LookAtIssuers(context.Background(), issuer(c.name))
			if c.wrong == "" && err != nil || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
				t.Errorf("wrong: %v, want %q", err, c.wrong)
			}
			if c.note == "" && len(notes) > 0 || c.note != "" && (len(notes) != 1 || !strings.Contains(notes[0], c.note)) {
				t.Errorf("notes %q, want %q", notes, c.note)
			}
		})
	}
}

// TestNotes: what a configuration lets through by its issuers' presets is noted, at its place.
func TestNotes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(path, []byte("version: bqgate/v1\ngroups:\n  g: {issuer: ci, when: 'true'}\nrules:\n"+
		"  - {name: r, groups: [g], read: [p.d.*]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		issuer identity.Issuer
		want   []string
	}{
		{identity.Issuer{Name: "ci", Preset: "okta", Host: "acme.okta.com"},
			[]string{"policy.yaml:3: the condition of group g takes a token of an application"}},
		{identity.Issuer{Name: "ci", Preset: "entra", Tenant: "2c1f0a3e-1111-4222-8333-0123456789ab"},
			[]string{"max_token_age: 2h", "an application"}},
		{identity.Issuer{Name: "ci", URL: "https://ci.example"}, nil},
	} {
		t.Run(c.issuer.Preset, func(t *testing.T) {
			accounts := map[string]credentials.Account{
				"default":    {ServiceAccount: "reader@p.iam.gserviceaccount.com"},
				"inspection": {ServiceAccount: "inspection@p.iam.gserviceaccount.com"},
			}
			notes := Notes(&config.Config{Identity: identity.Config{Issuers: []identity.Issuer{c.issuer}}, Policies: []string{path},
				Credentials: credentials.Config{Accounts: accounts, Inspection: "inspection"}})
			if len(notes) != len(c.want) {
				t.Fatalf("notes %q, want %q", notes, c.want)
			}
			for i := range c.want {
				if !strings.Contains(notes[i], c.want[i]) {
					t.Errorf("note %q, want %q", notes[i], c.want[i])
				}
			}
		})
	}
}
