package fakegoogle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// PoolProvider is an OIDC provider of a workload identity pool.
// https://cloud.google.com/iam/docs/reference/rest/v1/projects.locations.workloadIdentityPools.providers
type PoolProvider struct {
	// Name is its full name,
	// "//iam.googleapis.com/projects/N/locations/global/workloadIdentityPools/P/providers/X".
	Name string
	// Issuer is the `iss` of its tokens (--issuer-uri), found by discovery unless JWKS are its keys
	// (--jwk-json-path).
	Issuer string
	JWKS   []byte
	// Audiences are the `aud` values that are taken; default, as at Google, Name with and without
	// "https:".
	Audiences []string
	// Mapping gives attributes by CEL over `assertion`: "google.subject" (default assertion.sub),
	// "google.groups", "attribute.X".
	Mapping map[string]string
	// Condition is CEL over assertion, google and attribute that must hold; "" always does.
	Condition string
}

// maxSubject is Google's limit for google.subject, in bytes.
const maxSubject = 127

// provider is a PoolProvider at work.
type provider struct {
	PoolProvider
	pool      string // "projects/N/locations/global/workloadIdentityPools/P"
	env       *cel.Env
	mu        sync.Mutex
	verifiers *oidc.IDTokenVerifier
}

func newProvider(p PoolProvider) (*provider, error) {
	rest, ok := strings.CutPrefix(p.Name, "//iam.googleapis.com/")
	pool, _, named := strings.Cut(rest, "/providers/")
	if !ok || !named {
		return nil, fmt.Errorf("%q is not the full name of a provider", p.Name)
	}
	if len(p.Audiences) == 0 {
		p.Audiences = []string{p.Name, "https:" + p.Name}
	}
	if p.Mapping["google.subject"] == "" {
		mapping := map[string]string{"google.subject": "assertion.sub"}
		for k, v := range p.Mapping {
			mapping[k] = v
		}
		p.Mapping = mapping
	}
	env, err := cel.NewEnv(
		cel.Variable("assertion", cel.DynType), cel.Variable("google", cel.DynType), cel.Variable("attribute", cel.DynType))
	if err != nil {
		return nil, err
	}
	return &provider{PoolProvider: p, pool: pool, env: env}, nil
}

func (p *provider) eval(expression string, vars map[string]any) (any, error) {
	ast, issues := p.env.Compile(expression)
	if issues.Err() != nil {
		return nil, issues.Err()
	}
	program, err := p.env.Program(ast)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"google", "attribute"} {
		if vars[name] == nil {
			vars[name] = map[string]any{}
		}
	}
	out, _, err := program.Eval(vars)
	if err != nil {
		return nil, err
	}
	return out.Value(), nil
}

// verify gives the principal of a subject token.
func (p *provider) verify(ctx context.Context, raw string) (minted, error) {
	verifier, err := p.verifier(ctx)
	if err != nil {
		return minted{}, err
	}
	token, err := verifier.Verify(ctx, raw)
	if err != nil {
		return minted{}, fmt.Errorf("the subject token is not valid: %w", err)
	}
	if !slices.ContainsFunc(token.Audience, func(a string) bool { return slices.Contains(p.Audiences, a) }) {
		return minted{}, errors.New("the audience in ID Token does not match the expected audience")
	}
	var assertion map[string]any
	if err := token.Claims(&assertion); err != nil {
		return minted{}, err
	}
	if assertion["iat"] == nil || assertion["exp"] == nil {
		return minted{}, errors.New("the subject token lacks iat or exp")
	}
	if token.IssuedAt.After(time.Now()) { // "must be in the past", and no leeway is documented
		return minted{}, errors.New("the subject token's iat is in the future")
	}
	vars := map[string]any{"assertion": assertion}
	google, attribute := map[string]any{}, map[string]any{}
	m := minted{attributes: map[string]string{}}
	for key, expression := range p.Mapping {
		value, err := p.eval(expression, map[string]any{"assertion": assertion})
		name, custom := strings.CutPrefix(key, "attribute.")
		switch {
		case err != nil && key == "google.subject":
			return minted{}, fmt.Errorf("the mapped attribute google.subject is required: %w", err)
		case err != nil: // a claim that the token has not
		case key == "google.groups":
			m.groups = texts(value)
			google["groups"] = m.groups
		case custom:
			m.attributes[name] = fmt.Sprint(value)
			attribute[name] = m.attributes[name]
		default:
			m.subject = fmt.Sprint(value)
			google["subject"] = m.subject
		}
	}
	switch {
	case m.subject == "":
		return minted{}, errors.New("the mapped attribute google.subject is empty")
	case len(m.subject) > maxSubject:
		return minted{}, fmt.Errorf("the size of mapped attribute google.subject exceeds the %d bytes limit", maxSubject)
	}
	if p.Condition != "" {
		vars["google"], vars["attribute"] = google, attribute
		if holds, err := p.eval(p.Condition, vars); err != nil || holds != true {
			return minted{}, errors.New("the given credential is rejected by the attribute condition")
		}
	}
	m.pool = p.pool
	return m, nil
}

func texts(v any) []string {
	var all []string
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			all = append(all, fmt.Sprint(x))
		}
	case []string:
		all = v
	case string:
		all = []string{v}
	}
	return all
}

func (p *provider) verifier(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.verifiers != nil {
		return p.verifiers, nil
	}
	// The audience is checked in verify: Google takes any of several.
	config := &oidc.Config{SkipClientIDCheck: true, SupportedSigningAlgs: []string{oidc.RS256, oidc.ES256}}
	if len(p.JWKS) > 0 {
		var set jose.JSONWebKeySet
		if err := json.Unmarshal(p.JWKS, &set); err != nil {
			return nil, fmt.Errorf("read the provider's keys: %w", err)
		}
		keys := &oidc.StaticKeySet{}
		for _, key := range set.Keys {
			if !key.IsPublic() {
				return nil, errors.New("the provider's keys hold a private one")
			}
			keys.PublicKeys = append(keys.PublicKeys, key.Key)
		}
		p.verifiers = oidc.NewVerifier(p.Issuer, keys, config)
		return p.verifiers, nil
	}
	// The provider outlives this request: its key set is fetched again when an unknown key appears.
	found, err := oidc.NewProvider(context.WithoutCancel(ctx), p.Issuer)
	if err != nil {
		return nil, fmt.Errorf("discover the issuer: %w", err)
	}
	p.verifiers = found.Verifier(config)
	return p.verifiers, nil
}

const (
	principalPrefix = "principal://iam.googleapis.com/"
	setPrefix       = "principalSet://iam.googleapis.com/"
)

// principal is a federated identity's name, "" of a service account's token.
func (m minted) principal() string {
	if m.subject == "" {
		return ""
	}
	return principalPrefix + m.pool + "/subject/" + m.subject
}

// is says whether a member of an IAM policy stands for the identity.
// https://cloud.google.com/iam/docs/principal-identifiers
func (m minted) is(member string) bool {
	if m.subject == "" {
		return member == "serviceAccount:"+m.account
	}
	if member == m.principal() {
		return true
	}
	kind, ok := strings.CutPrefix(member, setPrefix+m.pool+"/")
	if !ok {
		return false
	}
	if group, ok := strings.CutPrefix(kind, "group/"); ok {
		return slices.Contains(m.groups, group)
	}
	if rest, ok := strings.CutPrefix(kind, "attribute."); ok {
		name, value, _ := strings.Cut(rest, "/")
		got, has := m.attributes[name]
		return has && got == value
	}
	return kind == "*"
}
