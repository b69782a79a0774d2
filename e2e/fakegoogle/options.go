package fakegoogle

import (
	"log/slog"
	"time"

	"github.com/bqgate/bqgate/e2e/fakegoogle/outage"
)

// Options configures Start. The zero value of each field has the meaning its comment gives.
type Options struct {
	// Project is the project of unqualified names and the only one that has jobs; default "demo".
	Project string
	// Location is where the data is and the jobs run; default "US".
	Location string
	// Dir is where CA and certificates are written; default a temporary folder, removed by Close.
	Dir string
	// CertFile and KeyFile, if set, serve all TLS listeners, and CAFile is what clients are told to
	// trust. Otherwise a CA is made.
	CertFile, KeyFile, CAFile string
	// Addresses to listen on, loopback only; default a free port each.
	BigQueryAddr, STSAddr, IAMAddr, ControlAddr string

	// Engine runs the SQL. It is closed by Server.Close.
	Engine Engine
	// Seeds are SQL texts run at start (see Server.Seed).
	Seeds []string

	// Provider is the workload identity pool provider's full resource name,
	// "//iam.googleapis.com/projects/N/locations/global/workloadIdentityPools/P/providers/X": the
	// `audience` STS accepts. Default DefaultProvider.
	Provider string
	// Issuers are the OIDC issuers whose tokens STS takes, found by discovery. None means that STS
	// takes no token.
	Issuers []string
	// AllowedAudiences are the `aud` values STS takes in a subject token; default, as at Google,
	// the provider's name with and without "https:".
	AllowedAudiences []string
	// Condition is that of Provider: CEL over `assertion`; "" always holds.
	Condition string
	// Providers are further ones, each with a pool, an issuer and a condition of its own.
	Providers []PoolProvider
	// Impersonators may impersonate the service accounts: subjects of Provider's pool, or members
	// as IAM writes them ("principal://…", "principalSet://…"). None means nobody.
	Impersonators []string
	// Delegates are the accounts that may impersonate another one, and which: `delegates` of
	// GenerateAccessToken.
	Delegates map[string]string
	// Principals maps members, as IAM writes them, to what federated identities may do themselves.
	Principals map[string]Permissions
	// ServiceAccounts maps an e-mail address to what the account may do.
	ServiceAccounts map[string]Permissions

	// JobDelay is how long a job takes, the first half PENDING, the second RUNNING; `--
	// fake:delay=500ms` in the SQL overrides it.
	JobDelay time.Duration
	// ForceGzip compresses every BigQuery answer, asked or not.
	ForceGzip bool
	// Noise adds response headers and trailers that carry values of the data, as an attacker (or an
	// odd proxy) would.
	Noise bool

	// Outages are switches of services beside Google's, by name, that the control endpoint turns
	// too.
	Outages map[string]*outage.Switch

	Log *slog.Logger // default slog.Default
}

// DefaultProvider is the pool provider of the demo.
const DefaultProvider = "//iam.googleapis.com/projects/481516234200/locations/global/workloadIdentityPools/bqgate/providers/demo"

// Permissions is what a service account may do: the few IAM permissions the product depends on. The
// zero value may do nothing.
type Permissions struct {
	ReadRows   bool // bigquery.tables.getData: rows of tables, and results of the account's own jobs
	CreateJobs bool // bigquery.jobs.create: running jobs, and cancelling its own
	Metadata   bool // bigquery.tables.get, datasets.get, jobs.get of everyone's jobs
	DryRun     bool // dry runs, without CreateJobs
	RowAccess  bool // bigquery.rowAccessPolicies.list
}

// and is what both give.
func (p Permissions) and(other Permissions) Permissions {
	return Permissions{
		ReadRows: p.ReadRows || other.ReadRows, CreateJobs: p.CreateJobs || other.CreateJobs, Metadata: p.Metadata || other.Metadata,
		DryRun: p.DryRun || other.DryRun, RowAccess: p.RowAccess || other.RowAccess,
	}
}
