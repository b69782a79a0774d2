// Package poolcheck proves from what Google says of a workload identity pool that it takes the
// gateway's word alone: its one provider trusts the gateway's own issuer, by keys that it was
// given. Any other provider would let an agent exchange the token of its CI system itself (A46).
package poolcheck

import (
	"bytes"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// Expected is the gateway's side.
type Expected struct {
	// Audience is the full name of the provider, as a federated account has it:
	// "//iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/ID".
	Audience string
	Issuer   string // credentials.issuer.url
	JWKS     []byte // what `bqgate credentials jwks` prints
}

// provider is a WorkloadIdentityPoolProvider, in as far as it is looked at.
// https://cloud.google.com/iam/docs/reference/rest/v1/projects.locations.workloadIdentityPools.providers
type provider struct {
	Name     string `json:"name"`
	State    string `json:"state"`
	Disabled bool   `json:"disabled"`
	OIDC     *struct {
		Issuer    string   `json:"issuerUri"`
		JWKS      string   `json:"jwksJson"`
		Audiences []string `json:"allowedAudiences"`
	} `json:"oidc"`
	Mapping   map[string]string `json:"attributeMapping"`
	Condition string            `json:"attributeCondition"`
}

// ErrInput is of what is no list of providers, or no JWKS.
var ErrInput = errors.New("cannot be read")

// Providers checks the providers of a pool, as `gcloud iam workload-identity-pools providers list
// --format=json` prints them (or the API's answer to providers.list), and returns what is wrong,
// each with what would be right; nothing where the pool is as it must be.
func Providers(list []byte, e Expected) ([]string, error) {
	providers, err := read(list)
	if err != nil {
		return nil, err
	}
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(e.JWKS, &keys); err != nil || len(keys.Keys) == 0 {
		return nil, fmt.Errorf("the gateway's keys: %w: want what `bqgate credentials jwks` prints", ErrInput)
	}
	name := strings.TrimPrefix(e.Audience, "//iam.googleapis.com/")
	pool, _, ok := strings.Cut(name, "/providers/")
	if !ok {
		return nil, fmt.Errorf("the provider's name %q: %w", e.Audience, ErrInput)
	}
	c := check{expected: e, keys: keys}
	found := false
	for _, p := range providers {
		switch {
		case p.Name == name:
			found = true
			c.own(p)
		case !strings.HasPrefix(p.Name, pool+"/providers/"):
			c.find("%s is of another pool than %s: list the providers of that one", p.Name, pool)
		case p.State == "DELETED":
			// it takes nothing; Google keeps it for 30 days
		default:
			c.find("%s is a second provider: whoever has a token that it takes needs no gateway; delete it, a disabled one too", p.Name)
		}
	}
	if !found {
		c.find("%s is not in the list: no token of the gateway is taken; list the providers of its pool, also with --show-deleted", name)
	}
	return c.findings, nil
}

// read takes gcloud's list, or the API's object around it. One that the API has cut is no whole
// list.
func read(list []byte) ([]provider, error) {
	var providers []provider
	if err := json.Unmarshal(list, &providers); err == nil && providers != nil {
		return providers, nil
	}
	var answer struct {
		Providers []provider `json:"workloadIdentityPoolProviders"`
		Next      string     `json:"nextPageToken"`
	}
	if err := json.Unmarshal(list, &answer); err != nil || answer.Providers == nil || answer.Next != "" {
		return nil, fmt.Errorf("the list of providers: %w: want all of what `gcloud iam workload-identity-pools providers list "+
			"--workload-identity-pool=POOL --location=global --format=json` prints", ErrInput)
	}
	return answer.Providers, nil
}

type check struct {
	expected Expected
	keys     jose.JSONWebKeySet
	findings []string
}

func (c *check) find(format string, args ...any) {
	c.findings = append(c.findings, fmt.Sprintf(format, args...))
}

// own is the gateway's own provider.
func (c *check) own(p provider) {
	switch {
	case p.State == "DELETED" || p.Disabled:
		c.find("%s is deleted or disabled: no token of the gateway is taken", p.Name)
	case p.State != "ACTIVE":
		c.find("%s has state %q, and ACTIVE would be right", p.Name, p.State)
	}
	if p.OIDC == nil {
		c.find("%s is no OIDC provider: it takes something else than the gateway's tokens", p.Name)
		return
	}
	if p.OIDC.Issuer != c.expected.Issuer {
		c.find("%s trusts the issuer %s, and the gateway's is %s, to the letter: --issuer-uri", p.Name, p.OIDC.Issuer, c.expected.Issuer)
	}
	if subject := p.Mapping["google.subject"]; subject != "assertion.sub" {
		c.find("%s makes principals of %q: two requesters could be one; --attribute-mapping=google.subject=assertion.sub", p.Name, subject)
	}
	for _, audience := range p.OIDC.Audiences {
		if audience != "https:"+c.expected.Audience && audience != c.expected.Audience {
			c.find("%s takes tokens for the audience %s too: leave --allowed-audiences out", p.Name, audience)
		}
	}
	if len(p.OIDC.Audiences) > 0 && !slices.Contains(p.OIDC.Audiences, "https:"+c.expected.Audience) {
		c.find("%s does not take tokens for its own name, which the gateway's are for: leave --allowed-audiences out", p.Name)
	}
	c.published(p)
}

// published compares the keys.
func (c *check) published(p provider) {
	if p.OIDC.JWKS == "" {
		c.find("%s has no keys of its own and asks %s for them: whoever answers there can make tokens; --jwk-json-path with what "+
			"`bqgate credentials jwks` prints", p.Name, p.OIDC.Issuer)
		return
	}
	var trusted jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(p.OIDC.JWKS), &trusted); err != nil {
		c.find("%s has keys that cannot be read: --jwk-json-path with what `bqgate credentials jwks` prints", p.Name)
		return
	}
	for _, key := range trusted.Keys {
		if !among(key, c.keys.Keys) {
			c.find("%s trusts the key %q, which is none of the gateway's: whoever has it makes tokens for anybody; take it away", p.Name,
				key.KeyID)
		}
	}
	if !among(c.keys.Keys[0], trusted.Keys) {
		c.find("%s does not have the key %q that the gateway signs with: --jwk-json-path with what `bqgate credentials jwks` prints",
			p.Name, c.keys.Keys[0].KeyID)
	}
}

// among says whether a key is one of some, by what it is and not by its id.
func among(key jose.JSONWebKey, all []jose.JSONWebKey) bool {
	own, err := key.Thumbprint(crypto.SHA256)
	return err == nil && slices.ContainsFunc(all, func(other jose.JSONWebKey) bool {
		its, err := other.Thumbprint(crypto.SHA256)
		return err == nil && bytes.Equal(its, own)
	})
}
