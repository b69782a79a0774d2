package extauthz

import (
	"context"
	"log/slog"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"golang.org/x/time/rate"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/credentials"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/limits"
	"github.com/bqgate/bqgate/internal/needed"
	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/internal/unauthenticated"
	"github.com/bqgate/bqgate/policies"
)

// The parts that Check asks, one a step.
type (
	// Authenticator turns the Authorization header values of a request into a Subject.
	Authenticator interface {
		Authenticate(ctx context.Context, authorization []string) (identity.Subject, error)
	}
	// Analyzer understands SQL.
	Analyzer interface {
		Analyze(ctx context.Context, r googlesql.Query) (*googlesql.Analysis, error)
		// Rewrite makes transforms in an analysed text.
		Rewrite(ctx context.Context, r googlesql.Query, original *googlesql.Analysis, transforms []googlesql.Transform) (
			*googlesql.Rewritten, error)
	}
	// Broker mints tokens.
	Broker interface {
		Mint(ctx context.Context, w durable.Runs, run credentials.Run) (credentials.Credential, error)
		// Requester is as whom an account runs for a subject: nobody where its users share it. An
		// error says why it cannot run for this one.
		Requester(account string, s identity.Subject) (identity.Requester, error)
		// Principal is whom Google knows an account as when the requester asks.
		Principal(account string, r identity.Requester) string
	}
	// Upstream is BigQuery as the gateway itself talks to it.
	Upstream interface {
		jobs.Upstream
		DryRun(ctx context.Context, w durable.Text, op bigquery.Operation) (bigquery.DryRun, error)
		InsertJob(ctx context.Context, w durable.Decided, bearer, project string, body []byte) (bigquery.Job, error)
	}
	// Sessions says whether a gateway session is still good, and whether an OIDC token, or every
	// one of its subject up to this one, was revoked.
	Sessions interface {
		Live(ctx context.Context, id string) (bool, error)
		Banned(token string) bool
		Over(subject identity.Subject) bool
	}
	// Journal is the audit journal: Append returns when the record is durable.
	Journal interface {
		Append(ctx context.Context, r audit.Record) (audit.Position, error)
	}
)

// Parts are what a Service is made of. All are needed, but where a default is named.
type Parts struct {
	Identity    Authenticator
	Analyzer    Analyzer
	Catalog     func(ask durable.Ask) googlesql.Catalog // for one request, which looks up what is not remembered
	Policies    func() *policies.Set
	Approvals   *approvals.Store
	Jobs        *jobs.Store
	Credentials Broker
	Upstream    Upstream
	Metadata    MetadataSource
	Journal     Journal
	Keys        *sealed.Keyring
	Log         *slog.Logger
	Sessions    Sessions
	// Strangers counts who has shown no valid token.
	Strangers *unauthenticated.Counter
	Now       func() time.Time // by which rights end. Default time.Now

	// Budgets count what is spent. Without them whatever has a budget is refused.
	Budgets Budgets

	// Location is given to held jobs whose tables do not say where they are ("US").
	Location string
	// MaxBody is the longest body of a request, in bytes, that Envoy shows: its max_request_bytes.
	// Default: what BigQuery takes.
	MaxBody int64
	// LongPoll bounds how long a poll of a held job waits. Default 10 s.
	LongPoll time.Duration
	// Limits bound what one caller asks at once and how often.
	Limits *limits.Owners
	// Prices are shown to reviewers and written to the record. Default none.
	Prices func() Prices
	// Meter counts what is decided. Default none.
	Meter *Meter
}

// Service implements envoy.service.auth.v3.Authorization. It is made by New.
type Service struct {
	authv3.UnimplementedAuthorizationServer
	Parts

	estimates remembered[string, policies.Estimate] // by the dry run
	datasets  remembered[string, []bigquery.ListedDataset]
	tables    remembered[bigquery.DatasetReference, []bigquery.ListedTable]
	told      told
	pulse     durable.Pulse
	singles   *rate.Limiter // of records of refused identities
	sums      durable.Sums
	reading   turns // of large bodies
}

// New makes a Service, unless a part is missing.
func New(p Parts) (*Service, error) {
	if p.Now == nil {
		p.Now = time.Now
	}
	p.Budgets = (&Service{Parts: p}).counted()
	if p.Prices == nil {
		p.Prices = func() Prices { return Prices{} }
	}
	if p.Meter == nil {
		p.Meter = NewMeter(nil)
	}
	if err := needed.Parts("ext_authz service", p); err != nil {
		return nil, err
	}
	return &Service{Parts: p, singles: rate.NewLimiter(singlesPerSecond, singlesAtOnce)}, nil
}
