// Package oidcissuer is an OIDC issuer for the demo and for tests: discovery, a key set, and an
// endpoint that mints any token one asks for.
//
// It stands in for the identity provider of an organisation (GitHub Actions, GitLab, Okta …): what
// it signs is checked by bqgate and by the stand-in of Google STS exactly as a real issuer's tokens
// are. It speaks plain HTTP and is for loopback only.
package oidcissuer

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bqgate/bqgate/e2e/fakegoogle/outage"
)

// DefaultAudience is the `aud` of a token whose request names none.
const DefaultAudience = "bqgate"

// DefaultTTL is the life of a token whose request names none.
const DefaultTTL = 10 * time.Minute

// Issuer signs tokens with RS256 keys made at start. Make it with Start.
type Issuer struct {
	url    string
	server *http.Server
	outage outage.Switch

	mu     sync.Mutex
	keys   []jose.JSONWebKey // private; the last one signs, all are published
	client Client
	codes  map[string]grant
}

// Mint is what a token shall say: the body of `POST /mint`.
type Mint struct {
	Subject  string         `json:"subject"`
	Groups   []string       `json:"groups"`
	Claims   map[string]any `json:"claims"`
	Audience Audience       `json:"audience"`
	// TTLSeconds may be negative, for a token that has expired; nil means DefaultTTL.
	TTLSeconds *int64 `json:"ttl_seconds"`
}

// Audience is one string or a list, as in a JWT.
type Audience []string

// UnmarshalJSON takes a string or a list of strings.
func (a *Audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = Audience{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(b, &many); err != nil {
		return errors.New("audience must be a string or a list of strings")
	}
	*a = many
	return nil
}

// Start listens on addr (a loopback address; "127.0.0.1:0" for a free port) and serves until Close.
func Start(addr string) (*Issuer, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	if ip := ln.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
		ln.Close()
		return nil, fmt.Errorf("listen on %s: the issuer signs whatever it is asked to, so it serves loopback only", addr)
	}
	i := &Issuer{url: "http://" + ln.Addr().String()}
	if err := i.Rotate(false); err != nil {
		ln.Close()
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.discovery)
	mux.HandleFunc("GET /jwks", i.jwks)
	mux.HandleFunc("POST /mint", i.mint)
	mux.HandleFunc("GET /authorize", i.authorize)
	mux.HandleFunc("POST /authorize", i.authorize)
	mux.HandleFunc("POST /token", i.token)
	i.server = &http.Server{Handler: i.outage.Handler(mux), ReadHeaderTimeout: 10 * time.Second}
	go i.server.Serve(i.outage.Listener(ln))
	return i, nil
}

// Outage breaks the issuer's connections.
func (i *Issuer) Outage() *outage.Switch { return &i.outage }

// URL is the issuer's identifier, the `iss` of its tokens.
func (i *Issuer) URL() string { return i.url }

// Close stops serving.
func (i *Issuer) Close() error { return i.server.Close() }

// Rotate makes a new signing key. With keepOld the old keys stay published, as in an orderly
// rotation; without, tokens signed with them stop being valid as soon as a verifier fetches the key
// set again.
func (i *Issuer) Rotate(keepOld bool) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("generate a signing key: %w", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if !keepOld {
		i.keys = nil
	}
	i.keys = append(i.keys, jose.JSONWebKey{Key: key, KeyID: "k" + rand.Text()[:8], Algorithm: string(jose.RS256), Use: "sig"})
	return nil
}

// Token signs a token. Claims given in m.Claims win over the ones made here, so that a test can
// forge `iss` or leave `exp` odd.
func (i *Issuer) Token(m Mint) (string, error) {
	now := time.Now()
	ttl := DefaultTTL
	if m.TTLSeconds != nil {
		ttl = time.Duration(*m.TTLSeconds) * time.Second
	}
	issued := now
	if ttl <= 0 {
		issued = now.Add(ttl - DefaultTTL)
	}
	audience := []string(m.Audience)
	if len(audience) == 0 {
		audience = []string{DefaultAudience}
	}
	claims := map[string]any{
		"iss": i.url, "sub": m.Subject, "aud": audience, "jti": rand.Text(),
		"iat": issued.Unix(), "nbf": issued.Unix(), "exp": now.Add(ttl).Unix(),
	}
	if len(audience) == 1 {
		claims["aud"] = audience[0]
	}
	if m.Groups != nil {
		claims["groups"] = m.Groups
	}
	maps.Copy(claims, m.Claims)
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode the claims: %w", err)
	}
	i.mu.Lock()
	key := i.keys[len(i.keys)-1]
	i.mu.Unlock()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("make a signer: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return signed.CompactSerialize()
}

func (i *Issuer) discovery(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                i.url,
		"jwks_uri":                              i.url + "/jwks",
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"authorization_endpoint":                i.url + "/authorize",
		"token_endpoint":                        i.url + "/token",
		"response_types_supported":              []string{"code"},
		"code_challenge_methods_supported":      []string{"S256"},
		"token_endpoint_auth_methods_supported": []string{"none"},
		"subject_types_supported":               []string{"public"},
	})
}

func (i *Issuer) jwks(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	set := jose.JSONWebKeySet{}
	for _, k := range i.keys {
		set.Keys = append(set.Keys, k.Public())
	}
	i.mu.Unlock()
	writeJSON(w, http.StatusOK, set)
}

func (i *Issuer) mint(w http.ResponseWriter, r *http.Request) {
	var m Mint
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		writeJSON(w, http.StatusBadRequest,
			map[string]string{"error": "the body must be JSON with subject, groups, claims, audience, ttl_seconds: " + err.Error()})
		return
	}
	token, err := i.Token(m)
	if err != nil {
		writeJSON(w, http.StatusInternalServerError, map[string]string{"error": err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"token": token})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("content-type", "application/json")
	w.WriteHeader(status)
	w.Write(body)
}

// Shutdown stops serving once the requests in hand are answered.
func (i *Issuer) Shutdown(ctx context.Context) error { return i.server.Shutdown(ctx) }
