package identity

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"github.com/bqgate/bqgate/internal/durable"
)

const (
	fetchTimeout = 5 * time.Second
	maxDocument  = 1 << 20 // bytes of a discovery document or key set
	maxKeys      = 100

	// keysRefresh is the age at which keys are fetched again in the background, so that a key that
	// the issuer withdrew is soon gone here.
	keysRefresh = 5 * time.Minute
	// keysStale is the age up to which keys serve while the issuer does not answer.
	keysStale = 24 * time.Hour
	// fetchEvery and fetchBurst bound how often tokens with unknown key ids, which anyone can
	// invent, make the gateway fetch.
	fetchEvery = 2 * time.Second
	fetchBurst = 3
)

var (
	errUnavailable = errors.New("keys of the issuer could not be fetched")
	errUnknownKey  = errors.New("no key of the issuer made this signature")
	errTooOften    = errors.New("keys were fetched a moment ago")
)

// keySet holds the public keys of one issuer. It implements oidc.KeySet. Unlike go-oidc's own it
// forgets withdrawn keys, bounds what strangers can make it fetch, accepts no weak key, and keeps
// its keys while the issuer is down.
type keySet struct {
	issuer  Issuer
	client  *http.Client
	now     func() time.Time
	fetches *fetches
	flight  singleflight.Group
	limiter *rate.Limiter

	mu      sync.Mutex
	jwks    string // JWKS URL, "" until discovered
	keys    []jose.JSONWebKey
	fetched time.Time // zero until keys were fetched
	failed  error     // of the last fetch; nil where it succeeded, or there was none
}

func newKeySet(issuer Issuer, now func() time.Time, fetches *fetches) (*keySet, error) {
	client, err := httpClient(issuer.CAFile)
	if err != nil {
		return nil, fmt.Errorf("issuer %s: %w", issuer.Name, err)
	}
	return &keySet{
		issuer: issuer, client: client, now: now, fetches: fetches, jwks: issuer.JWKS,
		limiter: rate.NewLimiter(rate.Every(fetchEvery), fetchBurst),
	}, nil
}

// VerifySignature returns the payload of a token that one of the issuer's keys signed. Errors are
// errUnavailable or errUnknownKey, wrapped.
func (k *keySet) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(raw, k.algorithms())
	if err != nil {
		return nil, fmt.Errorf("read the token: %w", errUnknownKey)
	}
	keys, age := k.current()
	if age < keysStale {
		if age > keysRefresh {
			k.refresh() // in the background; a frozen issuer delays nobody
		}
		payload, known := verifyWith(jws, keys)
		if payload != nil {
			return payload, nil
		}
		if known {
			return nil, errUnknownKey // a forgery, not a rotation
		}
	}
	var fetchErr error
	select {
	case result := <-k.refresh():
		fetchErr = result.Err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", errUnavailable, ctx.Err())
	}
	// Even where this fetch was not allowed, another may have brought the key meanwhile.
	keys, age = k.current()
	if age < keysStale {
		if payload, _ := verifyWith(jws, keys); payload != nil {
			return payload, nil
		}
	}
	if fetchErr != nil && (age >= keysStale || !errors.Is(fetchErr, errTooOften)) {
		return nil, fmt.Errorf("%w: %w", errUnavailable, fetchErr)
	}
	return nil, errUnknownKey
}

// signed says whether a key of the issuer that is known already made the token, whatever else is
// wrong with it. It fetches none.
func (k *keySet) signed(raw string, payload []byte) bool {
	jws, err := jose.ParseSignedCompact(raw, k.algorithms())
	if err != nil {
		return false
	}
	keys, age := k.current()
	if age >= keysStale {
		return false
	}
	verified, _ := verifyWith(jws, keys)
	return verified != nil && bytes.Equal(verified, payload)
}

func (k *keySet) algorithms() []jose.SignatureAlgorithm {
	algorithms := make([]jose.SignatureAlgorithm, len(k.issuer.Algorithms))
	for i, name := range k.issuer.Algorithms {
		algorithms[i] = jose.SignatureAlgorithm(name)
	}
	return algorithms
}

// verifyWith returns the payload if a key verifies the signature; known says that a key has the
// token's key id.
func verifyWith(jws *jose.JSONWebSignature, keys []jose.JSONWebKey) (payload []byte, known bool) {
	if len(jws.Signatures) != 1 {
		return nil, false
	}
	header := jws.Signatures[0].Header
	for _, key := range keys {
		if header.KeyID != "" && key.KeyID != header.KeyID {
			continue
		}
		if key.Algorithm != "" && key.Algorithm != header.Algorithm {
			continue
		}
		known = known || header.KeyID != ""
		if payload, err := jws.Verify(key.Key); err == nil {
			return payload, true
		}
	}
	return nil, known
}

func (k *keySet) current() ([]jose.JSONWebKey, time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fetched.IsZero() {
		return nil, 1<<63 - 1
	}
	return k.keys, k.now().Sub(k.fetched)
}

// refresh fetches the keys once for all who want them at the same time.
func (k *keySet) refresh() <-chan singleflight.Result {
	return k.flight.DoChan("", func() (any, error) {
		if !k.limiter.AllowN(k.now(), 1) {
			return nil, errTooOften
		}
		ctx, done, err := k.fetches.begin()
		if err != nil {
			return nil, err
		}
		defer done()
		return nil, k.fetch(ctx, durable.IssuerKeys())
	})
}

// KeysError is a failed look at an issuer's keys.
type KeysError struct {
	Issuer string // its name in the configuration
	URL    string // that was asked: of the keys, or of the issuer where they had to be discovered
	Err    error
}

// Error names the issuer and the cause.
func (e *KeysError) Error() string { return fmt.Sprintf("keys of issuer %s: %v", e.Issuer, e.Err) }

// Unwrap is the cause.
func (e *KeysError) Unwrap() error { return e.Err }

// fetch replaces the keys by what the issuer publishes now. The JWKS URL is discovered first, and
// again after it failed.
func (k *keySet) fetch(ctx context.Context, w durable.Keys) error {
	err := k.replace(ctx, w)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failed = err
	return err
}

func (k *keySet) replace(ctx context.Context, w durable.Keys) error {
	durable.Because(w)
	k.mu.Lock()
	jwks := k.jwks
	k.mu.Unlock()
	if jwks == "" {
		provider, err := oidc.NewProvider(oidc.ClientContext(ctx, k.client), k.issuer.URL)
		if err != nil {
			return &KeysError{k.issuer.Name, k.issuer.URL, fmt.Errorf("discover the issuer at %s: %w", k.issuer.URL, mismatch(err))}
		}
		var metadata struct {
			JWKS string `json:"jwks_uri"`
		}
		if err := provider.Claims(&metadata); err != nil {
			return &KeysError{k.issuer.Name, k.issuer.URL, fmt.Errorf("discover the issuer: %w", err)}
		}
		if err := CheckEndpoint(metadata.JWKS); err != nil {
			return &KeysError{k.issuer.Name, k.issuer.URL, fmt.Errorf("discover the issuer: jwks_uri: %w", err)}
		}
		jwks = metadata.JWKS
	}
	keys, err := k.download(ctx, w, jwks)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.jwks = k.issuer.JWKS
		return &KeysError{k.issuer.Name, jwks, err}
	}
	k.jwks, k.keys, k.fetched = jwks, keys, k.now()
	return nil
}

func (k *keySet) download(ctx context.Context, w durable.Keys, jwks string) ([]jose.JSONWebKey, error) {
	durable.Because(w)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, jwks, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := k.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", jwks, response.Status)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", jwks, err)
	}
	keys, err := parseKeys(body)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", jwks, err)
	}
	return keys, nil
}

// parseKeys reads a JWK Set (RFC 7517). Keys that cannot verify a token here are left out, as
// section 5 wants: unknown types, private and symmetric keys, keys for encryption, RSA below 2048
// bits. An empty set is an answer too: the issuer has withdrawn everything.
func parseKeys(body []byte) ([]jose.JSONWebKey, error) {
	var set map[string]json.RawMessage
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("not a JWK Set: %w", err)
	}
	if set["keys"] == nil {
		return nil, errors.New("not a JWK Set: no keys member")
	}
	var published []json.RawMessage // null is no keys, as some libraries write an empty list
	if err := json.Unmarshal(set["keys"], &published); err != nil {
		return nil, fmt.Errorf("not a JWK Set: %w", err)
	}
	if len(published) > maxKeys {
		return nil, fmt.Errorf("JWK Set has %d keys, at most %d are accepted", len(published), maxKeys)
	}
	keys := make([]jose.JSONWebKey, 0, len(published))
	for _, text := range published {
		var key jose.JSONWebKey
		if err := json.Unmarshal(text, &key); err != nil {
			continue
		}
		if !key.Valid() || !key.IsPublic() || (key.Use != "" && key.Use != "sig") {
			continue
		}
		if public, ok := key.Key.(*rsa.PublicKey); ok && public.N.BitLen() < 2048 {
			continue
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// httpClient reaches an issuer: bounded in time, in size and in where redirects may lead.
func httpClient(caFile string) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("read ca_file: %w", err)
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file %s holds no PEM certificate", caFile)
		}
		transport.TLSClientConfig.RootCAs = roots
	}
	return &http.Client{
		Timeout:   fetchTimeout,
		Transport: boundedTransport{transport},
		CheckRedirect: func(request *http.Request, via []*http.Request) error {
			if len(via) > 3 {
				return errors.New("more than 3 redirects")
			}
			return CheckEndpoint(request.URL.String())
		},
	}, nil
}

// boundedTransport cuts answers at maxDocument: go-oidc reads a discovery document to its end.
type boundedTransport struct{ http.RoundTripper }

func (t boundedTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.RoundTripper.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(response.Body, maxDocument), response.Body}
	return response, nil
}

func (t boundedTransport) CloseIdleConnections() {
	if closer, ok := t.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}
