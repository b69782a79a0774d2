package poolcheck

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

const (
	pool   = "projects/123456789012/locations/global/workloadIdentityPools/bqgate"
	issuer = "https://bqgate.acme.example"
)

func key(t *testing.T, id string) jose.JSONWebKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: k.Public(), KeyID: id, Algorithm: "ES256", Use: "sig"}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestProviders: a pool that takes another's word, or asks somebody for keys, is found (A46).
func TestProviders(t *testing.T) {
	signs, next, stranger := key(t, "a"), key(t, "b"), key(t, "a")
	set := func(keys ...jose.JSONWebKey) string { return text(t, jose.JSONWebKeySet{Keys: keys}) }
	type object = map[string]any
	own := func(changes object, oidc object) object {
		all := object{
			"name": pool + "/providers/gateway", "state": "ACTIVE", "attributeMapping": object{"google.subject": "assertion.sub"},
			"oidc": object{"issuerUri": issuer, "jwksJson": set(signs, next)},
		}
		maps.Copy(all["oidc"].(object), oidc)
		maps.Copy(all, changes)
		return all
	}
	github := object{"issuerUri": "https://token.actions.githubusercontent.com"}
	other := object{"name": pool + "/providers/github", "state": "ACTIVE", "oidc": github}
	itself := "https://iam.googleapis.com/" + pool + "/providers/gateway"
	with := func(o object, name string, value any) object {
		all := maps.Clone(o)
		all[name] = value
		return all
	}
	for _, c := range []struct {
		name string
		list []object
		says []string // of each finding; nil: there is none
	}{
		{"as it must be", []object{own(nil, nil)}, nil},
		{"with a deleted one", []object{own(nil, nil), with(other, "state", "DELETED")}, nil},
		{"before the next key is there", []object{own(nil, object{"jwksJson": set(signs)})}, nil},
		{"its own name as audience", []object{own(nil, object{"allowedAudiences": []string{itself}})}, nil},

		{"another issuer's provider", []object{own(nil, nil), other}, []string{"providers/github is a second provider"}},
		{"a disabled one", []object{own(nil, nil), with(other, "disabled", true)}, []string{"a second provider"}},
		{"an AWS provider", []object{own(nil, nil), {"name": pool + "/providers/aws1", "state": "ACTIVE", "aws": object{"accountId": "1"}}},
			[]string{"a second provider"}},
		{"the agents' issuer in its place", []object{own(nil, object{"issuerUri": "https://token.actions.githubusercontent.com"})},
			[]string{"trusts the issuer https://token.actions.githubusercontent.com"}},
		{"a slash more", []object{own(nil, object{"issuerUri": issuer + "/"})}, []string{"to the letter"}},
		{"keys from the network", []object{own(nil, object{"jwksJson": ""})}, []string{"whoever answers there can make tokens"}},
		{"a key of somebody, under the same id", []object{own(nil, object{"jwksJson": set(signs, stranger)})},
			[]string{`trusts the key "a", which is none of the gateway's`}},
		{"without the key that signs", []object{own(nil, object{"jwksJson": set(next)})}, []string{`does not have the key "a"`}},
		{"keys that are none", []object{own(nil, object{"jwksJson": "x"})}, []string{"cannot be read"}},
		{"another audience", []object{own(nil, object{"allowedAudiences": []string{itself, "x"}})},
			[]string{"for the audience x too"}},
		{"only another audience", []object{own(nil, object{"allowedAudiences": []string{"x"}})},
			[]string{"for the audience x too", "does not take tokens for its own name"}},
		{"principals of another claim", []object{own(object{"attributeMapping": object{"google.subject": "assertion.groups"}}, nil)},
			[]string{"two requesters could be one"}},
		{"disabled", []object{own(object{"disabled": true}, nil)}, []string{"deleted or disabled"}},
		{"deleted", []object{own(object{"state": "DELETED"}, nil)}, []string{"deleted or disabled"}},
		{"no OIDC provider", []object{own(object{"oidc": nil, "saml": object{}}, nil)}, []string{"no OIDC provider"}},
		{"nothing", []object{}, []string{"is not in the list"}},
		{"another pool's", []object{with(other, "name", strings.Replace(pool, "bqgate", "bqgate2", 1)+"/providers/gateway")},
			[]string{"of another pool", "is not in the list"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := Expected{"//iam.googleapis.com/" + pool + "/providers/gateway", issuer, []byte(set(signs, next))}
			for form, list := range map[string]any{"gcloud": c.list, "the API": object{"workloadIdentityPoolProviders": c.list}} {
				found, err := Providers([]byte(text(t, list)), e)
				if err != nil {
					t.Fatal(err)
				}
				if len(found) != len(c.says) {
					t.Fatalf("%s: found %q, want %q", form, found, c.says)
				}
				for i, says := range c.says {
					if !strings.Contains(found[i], says) {
						t.Errorf("%s: found %q, want %q", form, found[i], says)
					}
				}
			}
		})
	}
	expected := Expected{"//iam.googleapis.com/" + pool + "/providers/gateway", issuer, []byte(set(signs))}
	for name, list := range map[string]string{"not JSON": "x", "null": "null", "another object": "{}", "a page of a list": `{"workloadIdentityPoolProviders": [],
		"nextPageToken": "x"}`} {
		t.Run(name, func(t *testing.T) {
			if _, err := Providers([]byte(list), expected); !errors.Is(err, ErrInput) {
				t.Errorf("error %v", err)
			}
		})
	}
	expected.JWKS = []byte(`{"keys": []}`)
	if _, err := Providers([]byte("[]"), expected); !errors.Is(err, ErrInput) {
		t.Errorf("without keys: %v", err)
	}
}
