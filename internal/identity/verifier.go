package identity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// leeway is what the issuer's clock may be ahead for `iat` and `nbf`. `exp` has none: what is over
// is over.
const leeway = 30 * time.Second

// Verifier turns OIDC tokens into subjects. It is safe for concurrent use. The zero Verifier
// refuses every token.
type Verifier struct {
	config  Config
	issuers map[string]*issuer // by URL
	now     func() time.Time
	cache   *tokenCache
	fetches *fetches
}

type issuer struct {
	Issuer
	keys   *keySet
	people map[string]string // PeopleMap, both sides spelt as People are
	ids    map[string]string // the same by a `sub` as it is written

	misspelt atomic.Pointer[string] // the first `iss` that was nearly its URL
}

// NewVerifier makes a Verifier. It contacts no issuer: discovery happens with an issuer's first
// token, and one that is down costs only its own tokens.
func NewVerifier(config Config) (*Verifier, error) {
	return newVerifier(config, time.Now)
}

func newVerifier(config Config, now func() time.Time) (*Verifier, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("identity configuration: %w", err)
	}
	v := &Verifier{config: config.WithDefaults(), issuers: map[string]*issuer{}, now: now, cache: newTokenCache(), fetches: newFetches()}
	for _, configured := range v.config.Issuers {
		keys, err := newKeySet(configured, now, v.fetches)
		if err != nil {
			v.fetches.close()
			return nil, fmt.Errorf("identity configuration: %w", err)
		}
		people, ids, _ := configured.people() // Validate has seen what is wrong
		v.issuers[configured.URL] = &issuer{Issuer: configured, keys: keys, people: people, ids: ids}
	}
	return v, nil
}

// Close ends what is under way towards issuers and waits for it. No token is verified afterwards
// that needs a key not yet fetched.
func (v *Verifier) Close() {
	if v.fetches == nil {
		return
	}
	v.fetches.close()
	for _, issuer := range v.issuers {
		issuer.keys.client.CloseIdleConnections()
	}
}

// Verify checks a token for an audience and returns its subject. Every error is an *Error. The
// Subject's Claims are shared and must not be changed.
func (v *Verifier) Verify(ctx context.Context, raw, audience string) (Subject, error) {
	// What was verified for this audience within the last minute, and has not expired since, is not
	// verified again.
	key := sha256.Sum256([]byte(audience + "\x00" + raw))
	if subject, ok := v.cache.Get(key, v.clock()); ok {
		return subject, nil
	}
	subject, refused := v.verify(ctx, raw, audience)
	if refused != nil {
		return Subject{}, refused
	}
	v.cache.Put(key, subject, remembered(subject, v.clock()))
	return subject, nil
}

func (v *Verifier) clock() time.Time {
	if v.now == nil {
		return time.Now()
	}
	return v.now()
}

func (v *Verifier) verify(ctx context.Context, raw, audience string) (Subject, *Error) {
	if audience == "" {
		return Subject{}, refuse(CodeAudience, errors.New("no audience asked for"), "this endpoint accepts no OIDC token")
	}
	token, refused := decode(raw)
	if refused != nil {
		return Subject{}, refused
	}
	issuer, ok := v.issuers[token.text("iss")]
	if !ok {
		if near := v.misspelt(token.text("iss")); near != nil {
			return Subject{}, refuse(CodeIssuer, nil, "the token's issuer is %s, and issuer %s is configured here as %s: they must be "+
				"the same to "+
				"the letter; tell the operators of bqgate", quote(token.text("iss")), near.Name, quote(near.URL))
		}
		return Subject{}, refuse(CodeIssuer, nil, "the token's issuer %s is not configured here; send a token of: %s",
			quote(token.text("iss")), strings.Join(v.names(), ", "))
	}
	if !slices.Contains(issuer.Algorithms, token.alg) {
		return Subject{}, refuse(CodeAlgorithm, nil, "the token is signed with %s; issuer %s may use %s", quote(token.alg), issuer.Name,
			strings.Join(issuer.Algorithms, ", "))
	}
	refused = v.checkAudience(token, audience)
	if refused == nil {
		refused = v.checkTimes(token)
	}
	if refused != nil {
		// Whose token it is makes no difference to the answer; the record knows strangers from
		// somebody whose token is over.
		if issuer.keys.signed(raw, token.payload) {
			refused = refused.of(issuer.named(token))
		}
		return Subject{}, refused
	}
	if refused := v.checkSignature(ctx, issuer, token, raw, audience); refused != nil {
		return Subject{}, refused
	}
	subject, refused := issuer.subject(token)
	if refused != nil {
		return Subject{}, refused.of(issuer.named(token))
	}
	return subject, nil
}

// named is who the token says that it stands for, in as far as that can stand in a record, and
// whose limits it counts against.
func (i *issuer) named(token *token) Subject {
	s := Subject{Issuer: i.URL, Name: i.Name, Sub: token.text("sub"), Budget: i.URL + "#"}
	if kind, workload, refused := i.kindOf(token.claims); refused == nil {
		s.Budget = i.budget(token, orDefault(i.Budget, kind.budget), workload, "")
	}
	if len(s.Sub) > maxSub {
		s.Sub = strings.ToValidUTF8(s.Sub[:maxSub], "") + "…"
	}
	return s
}

func (v *Verifier) checkAudience(token *token, audience string) *Error {
	if !slices.Contains(token.audience(), audience) {
		return refuse(CodeAudience, nil, "the token's audience is %s; request one with audience %q",
			quote(strings.Join(token.audience(), " ")), audience)
	}
	// A token opens one door. An agent that holds one for both could decide on what it asks.
	for _, other := range []string{v.config.Audience, v.config.ConsoleAudience, v.config.LoginAudience} {
		if other != "" && other != audience && slices.Contains(token.audience(), other) {
			return refuse(CodeAudience, nil, "the token is made for %q and for %q; request one with audience %q alone", audience,
				other, audience)
		}
	}
	return nil
}

func (v *Verifier) checkTimes(token *token) *Error {
	now := v.clock()
	exp, hasExp := token.date("exp")
	iat, hasIat := token.date("iat")
	switch {
	case !hasExp || !hasIat:
		return refuse(CodeTimes, nil,
			"the token lacks exp or iat; bqgate accepts only tokens that say when they were issued and when they end")
	case !now.Before(exp):
		return refuse(CodeExpired, nil, "the token expired at %s; request a new one from your identity provider",
			exp.UTC().Format(time.RFC3339))
	case iat.After(now.Add(leeway)):
		return refuse(CodeTimes, nil, "the token is issued in the future (iat %s); check the clocks", iat.UTC().Format(time.RFC3339))
	case exp.Sub(iat) > v.config.MaxTokenAge:
		return refuse(CodeTimes, nil, "the token lives %s from iat to exp; request one of at most %s", exp.Sub(iat).Round(time.Second),
			v.config.MaxTokenAge)
	}
	if _, present := token.claims["nbf"]; present {
		if nbf, ok := token.date("nbf"); !ok || nbf.After(now.Add(leeway)) {
			return refuse(CodeTimes, nil, "the token is not valid yet (nbf); check the clocks")
		}
	}
	return nil
}

func (v *Verifier) checkSignature(ctx context.Context, issuer *issuer, token *token, raw, audience string) *Error {
	// go-oidc flattens the error of a key set to text, so it is caught on its way.
	keys := &catchingKeySet{keySet: issuer.keys}
	verified, err := oidc.NewVerifier(issuer.URL, keys, &oidc.Config{
		ClientID: audience, SupportedSigningAlgs: issuer.Algorithms, Now: v.clock,
	}).Verify(ctx, raw)
	if errors.Is(keys.err, errUnavailable) {
		return refuse(CodeUnavailable, keys.err,
			"the keys of issuer %s cannot be fetched now, so its tokens cannot be verified; try again in a moment", issuer.Name)
	}
	if err != nil {
		return refuse(CodeSignature, err,
			"the token's signature is not of a current key of issuer %s; send the token as the issuer signed it", issuer.Name)
	}
	var payload json.RawMessage
	if err := verified.Claims(&payload); err != nil || !bytes.Equal(payload, token.payload) {
		return refuse(CodeMalformed, err, "the token reads differently once verified; send the token as the issuer signed it")
	}
	return nil
}

type catchingKeySet struct {
	*keySet
	err error
}

func (k *catchingKeySet) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	payload, err := k.keySet.VerifySignature(ctx, raw)
	k.err = err
	return payload, err
}

func (v *Verifier) names() []string {
	names := make([]string, 0, len(v.config.Issuers))
	for _, issuer := range v.config.Issuers {
		names = append(names, issuer.Name)
	}
	return names
}
