package credentials

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"cloud.google.com/go/auth"
	"golang.org/x/sync/singleflight"
	"google.golang.org/api/option"

	"github.com/bqgate/bqgate/internal/cache"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/signer"
)

const (
	// Scope is the scope that tokens are asked for where an account names none: the narrowest with
	// which a query job can be made.
	Scope = "https://www.googleapis.com/auth/bigquery"

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
	config  Config
	origins map[string]origin // by account
	now     func() time.Time
	ctx     context.Context //nolint:containedctx // ends with Close: calls for several callers outlive each of them
	stop    context.CancelFunc
	flight  singleflight.Group

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
	tokens  *cache.Cache[slot, Token]
	epoch   uint64 // grows with every Forget: what was asked for before is not kept
	closers []func() error
	signers map[string]*signer.Signer // by account; "source" for the gateway's own identity
}

// slot is what a token may be reused for. Owner is "" for the inspection account only; told is the
// digest of what the pool was told of the requester, "" where it was told nothing.
type slot struct{ account, owner, told string }

// Run is one run of a query that was decided on.
type Run struct {
	Account string // name in the configuration, the decision's credential
	Owner   string // identity.Subject.Owner: tokens are reused for the same owner only
	// Requester is as whom a federated account runs.
	Requester identity.Requester
	// Until is when the right ends that the decision gives: the identity token, the session, the
	// policy's `for` or the approval, whichever is first.
	Until time.Time
}

// Credential is the token of one run.
type Credential struct {
	Token
	// Principal is whom Google knows the token's bearer as: a service account's e-mail, or
	// "principal://…".
	Principal string
	// Ends is when the token may not be used any more: its own end or the run's Until, whichever is
	// first, however much longer it would live.
	Ends time.Time
}

// New makes a Broker. It reads the source's file and the issuer's keys but contacts nobody: a
// Google that is down at start costs queries, not the gateway.
func New(ctx context.Context, config Config) (*Broker, error) {
	creds, err := config.check()
	if err != nil {
		return nil, fmt.Errorf("credentials configuration: %w", err)
	}
	b := &Broker{
		config: config.WithDefaults(), origins: map[string]origin{}, now: time.Now, tokens: cache.New[slot, Token](cacheSize),
		signers: map[string]*signer.Signer{},
	}
	b.ctx, b.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := b.open(ctx, creds); err != nil {
		b.Close()
		return nil, fmt.Errorf("credentials configuration: %w", err)
	}
	return b, nil
}

// open makes the origin of each account's tokens.
func (b *Broker) open(ctx context.Context, source *auth.Credentials) error {
	c := b.config
	if err := c.apart(source); err != nil {
		return err
	}
	issuer, err := c.Issuer.open(ctx)
	if err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	if key := c.Source.Key; key != nil {
		from, err := b.openKey(ctx, key, "", scopeIAM, "source")
		if err != nil {
			return fmt.Errorf("source: %w", err)
		}
		source = keySource{from}.credentials()
	}
	var own, anybody iamClient // opened once, for all accounts of a kind
	for _, name := range c.names() {
		account := c.Accounts[name]
		switch {
		case account.Key != nil:
			from, err := b.openKey(ctx, account.Key, account.ServiceAccount, account.Scope, name)
			if err != nil {
				return fmt.Errorf("accounts.%s: %w", name, err)
			}
			b.origins[name] = from
		case account.Federated != nil:
			f, err := newFederated(account, issuer, c.STSEndpoint)
			if err != nil {
				return fmt.Errorf("accounts.%s: %w", name, err)
			}
			if !account.AsRequester() {
				if f.through, err = anybody.open(ctx, b, option.WithoutAuthentication()); err != nil {
					return err
				}
			}
			b.origins[name] = f
		default:
			client, err := own.open(ctx, b, option.WithAuthCredentials(source))
			if err != nil {
				return err
			}
			b.origins[name] = impersonated{client: client, at: own.endpoint, account: account}
		}
	}
	return nil
}

// Mint returns a token for a run. It is reused for the same account, owner and requester only, and
// until a minute before it ends. It is to be called at the moment a query runs, never for one that
// waits (A10). Errors are *Error, or say that no such account can be used.
func (b *Broker) Mint(ctx context.Context, w durable.Runs, run Run) (Credential, error) {
	if _, ok := b.config.Accounts[run.Account]; !ok || run.Account == b.config.Inspection {
		return Credential{}, fmt.Errorf("mint token: no account to run queries with is called %q", run.Account)
	}
	if run.Owner == "" {
		return Credential{}, fmt.Errorf("mint token for account %s: no owner", run.Account)
	}
	if left := run.Until.Sub(b.now()); left <= 0 {
		return Credential{}, fmt.Errorf("mint token for account %s: %w", run.Account, ErrOver)
	}
	return b.credential(ctx, w, run)
}

// ErrOver says that the right for which a token was asked has ended.
var ErrOver = errors.New("the right to run has ended")

// Requester is as whom an account runs for a subject: nobody, the zero Requester, where all its
// users share it. An error says, in words for the agent, why the account cannot run for this
// subject.
func (b *Broker) Requester(account string, s identity.Subject) (identity.Requester, error) {
	if b.config.Accounts[account].Federated == nil {
		return identity.Requester{}, nil
	}
	return s.Requester()
}

// Principal is whom Google knows an account as when this requester asks: the service account's
// e-mail, or "principal://iam.googleapis.com/…/subject/…". It is "" for no account, and for a
// requester who cannot be federated.
func (b *Broker) Principal(account string, r identity.Requester) string {
	from := b.origins[account]
	if from == nil {
		return ""
	}
	principal, err := from.principal(r)
	if err != nil {
		return ""
	}
	return principal
}

// Inspection returns a token of the inspection account, for the gateway's own requests. It must
// never be given to Envoy.
func (b *Broker) Inspection(ctx context.Context, w durable.Facts) (Token, error) {
	c, err := b.credential(ctx, w, Run{Account: b.config.Inspection, Until: b.now().Add(MaxLifetime)})
	return c.Token, err
}

// Forget drops the tokens that were minted for some owners, and those being minted. Google cannot
// be told to end a token: what was handed out lives its minutes.
func (b *Broker) Forget(whose func(owner string) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.epoch++
	b.tokens.RemoveIf(func(s slot) bool { return s.owner != "" && whose(s.owner) })
}

// Close ends what is under way, waits for it and forgets every token.
func (b *Broker) Close() error {
	b.mu.Lock()
	b.closed = true
	b.tokens.Clear()
	b.mu.Unlock()
	b.stop()
	b.running.Wait()
	var errs []error
	for _, end := range b.closers {
		errs = append(errs, end())
	}
	return errors.Join(errs...)
}

func (b *Broker) credential(ctx context.Context, w durable.Witness, run Run) (Credential, error) {
	durable.Because(w) // also for a token that is there: who has no record gets none (invariant I1)
	from := b.origins[run.Account]
	fail := func(err error) (Credential, error) { return Credential{}, newError(run.Account, from.endpoint(), err) }
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	principal, err := from.principal(run.Requester)
	if err != nil {
		return fail(err)
	}
	slot := slot{account: run.Account, owner: run.Owner}
	if b.config.Accounts[run.Account].Federated != nil {
		slot.told = run.Requester.Digest()
	}
	given := func(t Token) (Credential, error) {
		c := Credential{Token: t, Principal: principal, Ends: t.Expiry}
		if run.Until.Before(c.Ends) {
			c.Ends = run.Until
		}
		return c, nil
	}
	b.mu.Lock()
	token, ok := b.tokens.Get(slot, b.now())
	epoch := b.epoch
	b.mu.Unlock()
	if ok {
		return given(token)
	}
	// The key names account, owner, requester and epoch, so nobody waits for another owner's token,
	// nor for one asked for before a Forget.
	key := fmt.Sprintf("%d/%s/%s/%s", epoch, slot.account, slot.told, slot.owner)
	select {
	case result := <-b.flight.DoChan(key, func() (any, error) { return b.mint(w, slot, epoch, from, run) }):
		if result.Err != nil {
			return Credential{}, result.Err
		}
		return given(result.Val.(Token))
	case <-ctx.Done():
		return fail(ctx.Err())
	}
}

// mint asks the account's origin. It runs under the Broker's context, since others may wait for the
// same token as the first who asked.
func (b *Broker) mint(w durable.Witness, slot slot, epoch uint64, from origin, run Run) (Token, error) {
	durable.Because(w)
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return Token{}, newError(slot.account, from.endpoint(), errors.New("broker is closed"))
	}
	b.running.Add(1)
	b.mu.Unlock()
	defer b.running.Done()
	ctx, cancel := context.WithTimeout(b.ctx, mintTimeout)
	defer cancel()

	asked := b.now()
	o := order{requester: run.Requester, life: b.life(run, asked), now: asked, until: run.Until}
	answer, err := from.mint(ctx, o)
	if err == nil {
		err = answer.check(o, b.now())
	}
	if err != nil {
		failed := newError(slot.account, from.endpoint(), err)
		failed.Principal, _ = from.principal(run.Requester)
		return Token{}, failed
	}
	// What lives longer than was asked for is used no longer.
	if end := asked.Add(o.life); end.Before(answer.expiry) {
		answer.expiry = end
	}
	token := newToken(slot.account, answer.text, answer.expiry)
	b.keep(slot, epoch, token)
	return token, nil
}

// life is how long the token of a run is to live: as long as its account says, or as the run may
// last, where that is less; but long enough to be used at all.
func (b *Broker) life(run Run, now time.Time) time.Duration {
	return min(b.config.Accounts[run.Account].Lifetime, max(run.Until.Sub(now), MinLifetime))
}

func (b *Broker) keep(slot slot, epoch uint64, token Token) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.epoch != epoch {
		return
	}
	b.tokens.Put(slot, token, token.Expiry.Add(-reserve))
}
