package subjecttoken

import (
	"context"
	"crypto"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bqgate/bqgate/internal/identity"
)

// Lifetime is how long a token is good at most. It is exchanged at once.
const Lifetime = 5 * time.Minute

// slack is how much earlier than now a token says that it was issued: STS wants that in the past,
// and clocks differ.
const slack = 10 * time.Second

// minLifetime is how long it is good at least, where the run may not last longer: clocks differ.
const minLifetime = time.Minute

// Issuer signs subject tokens. It is safe for concurrent use.
type Issuer struct {
	url     string
	signing Key
	id      string             // of the key that signs
	keys    jose.JSONWebKeySet // the public ones

	mu     sync.Mutex
	signer jose.Signer // once the key is open
}

// New makes an Issuer of `iss` url. The first key signs; all are published, so that one may follow
// another: a new key stands behind the old one until every pool has it, then before it, and the old
// one goes when its last token is over. Keys are ECDSA P-256 (ES256) or RSA (RS256), as Google
// takes them.
func New(url string, keys ...Key) (*Issuer, error) {
	if url == "" || len(keys) == 0 {
		return nil, errors.New("an issuer needs a URL and a key")
	}
	i := &Issuer{url: url, signing: keys[0]}
	for n, key := range keys {
		public := jose.JSONWebKey{Key: key.public, Algorithm: string(key.alg), Use: "sig"}
		thumbprint, err := public.Thumbprint(crypto.SHA256) // RFC 7638
		if err != nil {
			return nil, fmt.Errorf("key %d: thumbprint: %w", n+1, err)
		}
		public.KeyID = hex.EncodeToString(thumbprint[:16])
		if len(i.keys.Key(public.KeyID)) > 0 {
			return nil, fmt.Errorf("key %d is there twice", n+1)
		}
		i.keys.Keys = append(i.keys.Keys, public)
	}
	i.id = i.keys.Keys[0].KeyID
	return i, nil
}

// Open opens the key that signs, which is done else when it first signs.
func (i *Issuer) Open(ctx context.Context) error {
	_, err := i.opened(ctx)
	return err
}

func (i *Issuer) opened(ctx context.Context) (jose.Signer, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.signer != nil {
		return i.signer, nil
	}
	if i.signing.open == nil {
		return nil, errors.New("the signing key is only there to be published")
	}
	key, err := i.signing.open(ctx)
	if err != nil {
		return nil, err
	}
	i.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: i.signing.alg, Key: jose.JSONWebKey{Key: key, KeyID: i.id}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", i.signing.alg, err)
	}
	return i.signer, nil
}

// URL is the `iss` of the tokens.
func (i *Issuer) URL() string { return i.url }

// JWKS are the public keys (RFC 7517), as `gcloud iam workload-identity-pools providers create-oidc
// --jwk-json-path` takes them and as the issuer's jwks_uri would answer.
func (i *Issuer) JWKS() ([]byte, error) { return json.MarshalIndent(i.keys, "", "  ") }

// own are the claims that the issuer makes itself; none of a requester's can take their place.
var own = []string{"iss", "sub", "aud", "iat", "nbf", "exp", "jti", "groups"}

// Sign makes a token for one audience, "https://iam.googleapis.com/projects/…/providers/…". It ends
// with the run's right, or after Lifetime.
func (i *Issuer) Sign(ctx context.Context, who identity.Requester, audience string, now, until time.Time) (string, error) {
	if who.Sub == "" || audience == "" {
		return "", errors.New("a subject token needs a subject and an audience")
	}
	issued := now.Add(-slack)
	exp := issued.Add(Lifetime)
	if until.Before(exp) {
		exp = until
	}
	if least := now.Add(minLifetime); exp.Before(least) {
		exp = least
	}
	claims := map[string]any{}
	for name, value := range who.Claims {
		claims[name] = value
	}
	for _, name := range own {
		delete(claims, name)
	}
	maps.Copy(claims, map[string]any{
		"iss": i.url, "sub": who.Sub, "aud": audience, "iat": issued.Unix(), "exp": exp.Unix(), "jti": rand.Text(),
	})
	if len(who.Groups) > 0 {
		claims["groups"] = who.Groups
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("write subject token: %w", err)
	}
	signer, err := i.opened(ctx)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign subject token: %w", err)
	}
	return signed.CompactSerialize()
}
