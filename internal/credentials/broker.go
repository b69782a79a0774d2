package credentials

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"regexp"
	"sync"
	"time"

	iam "cloud.google.com/go/iam/credentials/apiv1"
	"cloud.google.com/go/iam/credentials/apiv1/credentialspb"
	"golang.org/x/sync/singleflight"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	grpccredentials "google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bqgate/bqgate/internal/cache"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/googleidentity"
)

const (
	// Scope is the only scope that tokens are asked for: the narrowest with which a query job can
	// be made.
	Scope = "https://www.googleapis.com/auth/bigquery"

	defaultEndpoint = "iamcredentials.googleapis.com:443"
	// mintTimeout bounds one attempt to mint, retries included.
	mintTimeout = 5 * time.Second
	// reserve is what a token must have left to be used: a query that begins with it should not
	// lose it on the way.
	reserve = 60 * time.Second
	// clockSkew is what Google's clock may be ahead.
	clockSkew = 30 * time.Second
	cacheSize = 10_000
)

// Broker mints tokens. It is safe for concurrent use.
type Broker struct {
	config   Config
	endpoint string
	client   *iam.IamCredentialsClient
	now      func() time.Time
	ctx      context.Context //nolint:containedctx // ends with Close: calls for several callers outlive each of them
	stop     context.CancelFunc
	flight   singleflight.Group

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
	tokens  *cache.Cache[slot, Token]
	epoch   uint64 // grows with every Forget: what was asked for before is not kept
}

// slot is what a token may be reused for. Owner is "" for the inspection account only.
type slot struct{ account, owner string }

// New makes a Broker. It reads the source's file but contacts nobody: a Google that is down at
// start costs queries, not the gateway.
func New(ctx context.Context, config Config) (*Broker, error) {
	creds, err := config.check()
	if err != nil {
		return nil, fmt.Errorf("credentials configuration: %w", err)
	}
	config = config.WithDefaults()
	options := []option.ClientOption{option.WithAuthCredentials(creds), option.WithLogger(googleidentity.Silent), option.WithTelemetryDisabled()}
	endpoint := defaultEndpoint
	if config.IAMEndpoint != nil {
		endpoint = config.IAMEndpoint.Address
		roots, err := googleidentity.RootsWith(config.IAMEndpoint.CAFile)
		if err != nil {
			return nil, fmt.Errorf("credentials configuration: iam_endpoint: %w", err)
		}
		name := config.IAMEndpoint.ServerName
		if name == "" {
			name, _, _ = net.SplitHostPort(endpoint) // checked by Validate
		}
		tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: name}
		options = append(options, option.WithEndpoint(endpoint),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(grpccredentials.NewTLS(tlsConfig))))
	}
	client, err := iam.NewIamCredentialsClient(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("reach IAM Credentials at %s: %s", endpoint, clean(err))
	}
	b := &Broker{config: config, endpoint: endpoint, client: client, now: time.Now, tokens: cache.New[slot, Token](cacheSize)}
	b.ctx, b.stop = context.WithCancel(context.WithoutCancel(ctx))
	return b, nil
}

// Mint returns a token of a run account for an owner (identity.Subject.Owner). A token is reused
// for the same account and owner only, and until a minute before it ends. It is to be called at the
// moment a query runs, never for one that waits. Errors are *Error, or say that no such account can
// be used.
func (b *Broker) Mint(ctx context.Context, w durable.Runs, account, owner string) (Token, error) {
	if _, ok := b.config.Accounts[account]; !ok || account == b.config.Inspection {
		return Token{}, fmt.Errorf("mint token: no account to run queries with is called %q", account)
	}
	if owner == "" {
		return Token{}, fmt.Errorf("mint token for account %s: no owner", account)
	}
	return b.token(ctx, w, slot{account, owner})
}

// Principal is whom Google knows an account as: the service account's e-mail, "" for no account.
func (b *Broker) Principal(account string) string { return b.config.Accounts[account].ServiceAccount }

// Inspection returns a token of the inspection account, for the gateway's own requests. It must
// never be given to Envoy.
func (b *Broker) Inspection(ctx context.Context, w durable.Facts) (Token, error) {
	return b.token(ctx, w, slot{account: b.config.Inspection})
}

// Forget drops the tokens that were minted for an owner, and those being minted. Google cannot be
// told to end a token: what was handed out lives its minutes.
func (b *Broker) Forget(owner string) {
	if owner == "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.epoch++
	b.tokens.RemoveIf(func(s slot) bool { return s.owner == owner })
}

// Close ends what is under way, waits for it and forgets every token.
func (b *Broker) Close() error {
	b.mu.Lock()
	b.closed = true
	b.tokens.Clear()
	b.mu.Unlock()
	b.stop()
	b.running.Wait()
	if err := b.client.Close(); err != nil {
		return fmt.Errorf("close connection to %s: %w", b.endpoint, err)
	}
	return nil
}

func (b *Broker) token(ctx context.Context, w durable.Witness, slot slot) (Token, error) {
	durable.Because(w) // also for a token that is there: who has no record gets none (invariant I1)
	if err := ctx.Err(); err != nil {
		return Token{}, newError(slot.account, b.endpoint, err)
	}
	b.mu.Lock()
	token, ok := b.tokens.Get(slot, b.now())
	epoch := b.epoch
	b.mu.Unlock()
	if ok {
		return token, nil
	}
	// The key names account, owner and epoch, so nobody waits for another owner's token, nor for
	// one asked for before a Forget.
	key := fmt.Sprintf("%d/%s/%s", epoch, slot.account, slot.owner)
	select {
	case result := <-b.flight.DoChan(key, func() (any, error) { return b.mint(w, slot, epoch) }):
		if result.Err != nil {
			return Token{}, result.Err
		}
		return result.Val.(Token), nil
	case <-ctx.Done():
		return Token{}, newError(slot.account, b.endpoint, ctx.Err())
	}
}

// mint asks IAM Credentials. It runs under the Broker's context, since others may wait for the same
// token as the first who asked.
func (b *Broker) mint(w durable.Witness, slot slot, epoch uint64) (Token, error) {
	durable.Because(w)
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return Token{}, newError(slot.account, b.endpoint, errors.New("broker is closed"))
	}
	b.running.Add(1)
	b.mu.Unlock()
	defer b.running.Done()
	ctx, cancel := context.WithTimeout(b.ctx, mintTimeout)
	defer cancel()

	account := b.config.Accounts[slot.account]
	asked := b.now()
	answer, err := b.client.GenerateAccessToken(ctx, &credentialspb.GenerateAccessTokenRequest{
		Name: "projects/-/serviceAccounts/" + account.ServiceAccount, Scope: []string{Scope}, Lifetime: durationpb.New(account.Lifetime),
	})
	if err != nil {
		failed := newError(slot.account, b.endpoint, err)
		failed.Principal = account.ServiceAccount
		return Token{}, failed
	}
	token, err := b.check(slot, account, answer, asked)
	if err != nil {
		return Token{}, newError(slot.account, b.endpoint, err)
	}
	b.keep(slot, epoch, token)
	return token, nil
}

// tokenText is the b64token of RFC 6750: what can stand in a header and nothing else.
var tokenText = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

// check believes an answer only if the token can stand in a header and lives as was asked.
func (b *Broker) check(slot slot, account Account, answer *credentialspb.GenerateAccessTokenResponse, asked time.Time) (Token, error) {
	if text := answer.GetAccessToken(); len(text) > 8<<10 || !tokenText.MatchString(text) {
		return Token{}, errors.New("the answer holds no usable token")
	}
	if answer.GetExpireTime().CheckValid() != nil {
		return Token{}, errors.New("the answer does not say when the token ends")
	}
	expiry := answer.GetExpireTime().AsTime()
	if expiry.Sub(asked) <= reserve {
		return Token{}, fmt.Errorf("the token ends at %s, too soon to be used", expiry.Format(time.RFC3339))
	}
	if expiry.Sub(b.now()) > account.Lifetime+clockSkew {
		return Token{}, fmt.Errorf("the token ends at %s, later than the %s that were asked for", expiry.Format(time.RFC3339),
			account.Lifetime)
	}
	return newToken(slot.account, answer.GetAccessToken(), expiry), nil
}

func (b *Broker) keep(slot slot, epoch uint64, token Token) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.epoch != epoch {
		return
	}
	b.tokens.Put(slot, token, token.Expiry.Add(-reserve))
}
