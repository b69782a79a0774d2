package credentials

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bqgate/bqgate/internal/googleidentity"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/sealedkey"
	"github.com/bqgate/bqgate/internal/signer"
	"github.com/bqgate/bqgate/internal/wrapping"
)

// Key is a static key of a service account, sealed by `bqgate credentials seal`. A key in plain
// text is never read.
type Key struct {
	File string `yaml:"file"`
	// KeyID is Google's id of the key. A file that holds another key is refused.
	KeyID string `yaml:"key_id"`
	// Wrap is what opens it.
	Wrap wrapping.Config `yaml:"wrap"`
}

func (k *Key) problems() []error {
	var errs []error
	if k.File == "" {
		errs = append(errs, errors.New("file is missing: `bqgate credentials seal` writes it"))
	}
	if !sealedkey.ValidID(k.KeyID) {
		errs = append(errs, fmt.Errorf("key_id %q is not the id of a key: `bqgate credentials check FILE` prints it", k.KeyID))
	}
	if err := k.Wrap.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("wrap: %w", err))
	}
	return errs
}

// Keys are the sealed keys of a configuration, for paths to be completed.
func (c Config) Keys() []*Key {
	var keys []*Key
	if c.Source.Key != nil {
		keys = append(keys, c.Source.Key)
	}
	for _, name := range c.names() {
		if key := c.Accounts[name].Key; key != nil {
			keys = append(keys, key)
		}
	}
	return keys
}

// keyed is a service account whose key a signer has. The signer's assertions are exchanged for
// tokens (RFC 7523).
type keyed struct {
	email, scope string
	at           string // host:port of the token endpoint
	signer       *signer.Signer
	client       *http.Client
}

// openKey starts the signer of a key. The Broker closes it.
func (b *Broker) openKey(ctx context.Context, k *Key, email, scope, part string) (keyed, error) {
	s, err := signer.Start(ctx, signer.Config{File: k.File, KeyID: k.KeyID, Wrap: k.Wrap, Log: slog.Default()})
	if err != nil {
		return keyed{}, err
	}
	b.signers[part] = s
	b.closers = append(b.closers, func() error { s.Close(); return nil })
	if email != "" && s.Account() != email {
		return keyed{}, fmt.Errorf("sealed key %s: it is a key of %s, not of %s", k.File, s.Account(), email)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	b.closers = append(b.closers, func() error { transport.CloseIdleConnections(); return nil })
	from := keyed{
		email: s.Account(), scope: scope, at: keyAddress, signer: s,
		client: &http.Client{
			Transport: transport, Timeout: mintTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if e := b.config.KeyEndpoint; e != nil {
		if transport.TLSClientConfig, err = e.tls(); err != nil {
			return keyed{}, fmt.Errorf("key_endpoint: %w", err)
		}
		transport.Proxy = nil
		from.at = e.Address
	}
	return from, nil
}

// Signers says of the signer of each sealed key why it does not sign; nil where it does. The names
// are those of accounts, and "source".
func (b *Broker) Signers() map[string]error {
	health := make(map[string]error, len(b.signers))
	for name, s := range b.signers {
		health[name] = s.Health()
	}
	return health
}

func (k keyed) principal(identity.Requester) (string, error) { return k.email, nil }
func (k keyed) endpoint() string                             { return k.at }

func (k keyed) mint(ctx context.Context, o order) (answer, error) {
	return k.exchange(ctx, k.scope, o.life)
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 10

// exchange asks for a token by an assertion. Google's tokens of keys live an hour, whatever the
// assertion asks for: the Broker ends their use.
func (k keyed) exchange(ctx context.Context, scope string, life time.Duration) (answer, error) {
	assertion, err := k.signer.Sign(ctx, scope, life)
	if err != nil {
		return answer{}, err
	}
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+k.at+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, err
	}
	request.Host = keyHost
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	asked := time.Now()
	response, err := k.client.Do(request)
	if err != nil {
		return answer{}, fmt.Errorf("exchange assertion: %w", err)
	}
	defer response.Body.Close()
	var given struct {
		Token       string `json:"access_token"`
		Seconds     int64  `json:"expires_in"`
		Type        string `json:"token_type"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err == nil {
		err = json.Unmarshal(text, &given)
	}
	switch {
	case response.StatusCode != http.StatusOK:
		return answer{}, refusedKey(response.StatusCode, given.Error, given.Description)
	case err != nil:
		return answer{}, errors.New("exchange assertion: the answer is not JSON") // the cause may hold the token
	case !strings.EqualFold(given.Type, "Bearer"):
		return answer{}, errors.New("exchange assertion: the token is of another kind than Bearer")
	case given.Seconds <= 0 || given.Seconds > int64(MaxLifetime/time.Second):
		return answer{}, fmt.Errorf("exchange assertion: the token lives %d seconds, and should at most an hour", given.Seconds)
	}
	return answer{text: given.Token, expiry: asked.Add(time.Duration(given.Seconds) * time.Second), longest: MaxLifetime}, nil
}

// refusedKey is what the token endpoint said, with the code by which operators are told why
// (RFC 6749, section 5.2). invalid_grant is a key that was deleted or disabled, an account that is
// gone, or a clock that is wrong.
func refusedKey(httpStatus int, code, description string) error {
	c := codes.Unavailable
	switch {
	case code == "invalid_grant" || code == "invalid_client" || code == "unauthorized_client" || code == "invalid_scope":
		c = codes.FailedPrecondition
	case httpStatus < http.StatusInternalServerError && httpStatus != http.StatusTooManyRequests:
		c = codes.InvalidArgument
	}
	return status.Errorf(c, "exchange assertion: HTTP %d: %s: %s", httpStatus, googleidentity.Clean(errors.New(code)),
		googleidentity.Clean(errors.New(description)))
}
