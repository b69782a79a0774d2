package credentials

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Bounds and defaults of a token's life. IAM gives at most an hour without an organisation's leave.
const (
	DefaultLifetime = 10 * time.Minute
	MinLifetime     = 2 * time.Minute
	MaxLifetime     = time.Hour
)

// Config says as whom the gateway asks for tokens, and for which accounts. It is part of the
// gateway's configuration file.
type Config struct {
	Source Source `yaml:"source"`
	// IAMEndpoint replaces iamcredentials.googleapis.com, for a private endpoint or a test.
	IAMEndpoint *Endpoint `yaml:"iam_endpoint,omitempty"`
	// STSEndpoint replaces sts.googleapis.com, where subject tokens are exchanged.
	STSEndpoint *Endpoint `yaml:"sts_endpoint,omitempty"`
	// KeyEndpoint replaces oauth2.googleapis.com, where the assertions of sealed keys are
	// exchanged.
	KeyEndpoint *Endpoint `yaml:"key_endpoint,omitempty"`
	// Issuer is the gateway as the issuer of workload identity pools: needed where an account is
	// federated.
	Issuer *Issuer `yaml:"issuer,omitempty"`
	// Accounts are those that queries run under, and the inspection account, by the name that
	// policies use (`credential: crm-reader`).
	Accounts map[string]Account `yaml:"accounts"`
	// Inspection names the account for schemas, dry runs and checks. No rule may run a query
	// with it.
	Inspection string `yaml:"inspection"`
}

// Source is the gateway's own Google identity. Exactly one way must be chosen. Where no account is
// impersonated, there need be none.
type Source struct {
	// CredentialsFile is an external_account file (workload identity federation), as
	// `gcloud iam workload-identity-pools create-cred-config` writes it.
	CredentialsFile string `yaml:"credentials_file,omitempty"`
	// ApplicationDefault takes the identity of the machine: Application Default Credentials.
	ApplicationDefault bool `yaml:"application_default,omitempty"`
	// Key is a service-account key that was sealed, where there is no federation at all.
	Key *Key `yaml:"key,omitempty"`
	// CAFile holds PEM certificates to trust for the token endpoint beside the system's.
	CAFile string `yaml:"ca_file,omitempty"`
}

// Endpoint is a server of Google's, reached by TLS.
type Endpoint struct {
	Address    string `yaml:"address"`               // host:port
	CAFile     string `yaml:"ca_file,omitempty"`     // PEM; the system's roots if empty
	ServerName string `yaml:"server_name,omitempty"` // expected in the certificate; the host of Address if empty
}

// Account is what queries run under. It is of one kind: a service account that the gateway's own
// identity impersonates (ServiceAccount), one whose key the gateway has sealed (ServiceAccount and
// Key), or the requester's own principal (Federated).
type Account struct {
	// ServiceAccount is the e-mail of a service account that the gateway's identity may
	// impersonate, by way of Delegates where there are some: each may impersonate the next.
	ServiceAccount string   `yaml:"service_account,omitempty"`
	Delegates      []string `yaml:"delegates,omitempty"`
	// Key is the sealed key of ServiceAccount.
	Key *Key `yaml:"key,omitempty"`
	// Federated runs queries as whoever asks.
	Federated *Federated `yaml:"federated,omitempty"`

	// Lifetime is how long a token is used at most, from MinLifetime to MaxLifetime.
	Lifetime time.Duration `yaml:"lifetime,omitempty"`
	// Scope of its tokens, Scope or narrower.
	Scope string `yaml:"scope,omitempty"`
	// Project is where jobs run, and who pays for them, where a policy's rule does not say. It may
	// be left out where the e-mail tells it (…@PROJECT.iam.gserviceaccount.com).
	Project string `yaml:"project,omitempty"`
}

var (
	accountName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	projectName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	// projectOfEmail leaves out accounts of projects that belong to a domain:
	// PROJECT.DOMAIN.iam.gserviceaccount.com.
	projectOfEmail = regexp.MustCompile(`@([a-z][a-z0-9-]*)\.iam\.gserviceaccount\.com$`)
	// accountEmail leaves out the numeric unique id, which would make two names of one account look
	// like two accounts.
	accountEmail = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]*@[a-z0-9][a-z0-9.-]*\.[a-z0-9-]+$`)
)

// WithDefaults returns the configuration with every value that was left out filled in.
func (c Config) WithDefaults() Config {
	accounts := make(map[string]Account, len(c.Accounts))
	for name, account := range c.Accounts {
		if account.Lifetime == 0 {
			account.Lifetime = DefaultLifetime
		}
		if account.Scope == "" {
			account.Scope = Scope
		}
		accounts[name] = account
	}
	c.Accounts = accounts
	return c
}

// Validate reports every mistake in the configuration.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, err := range c.sourceProblems() {
		add("source: %w", err)
	}
	for name, endpoint := range map[string]*Endpoint{
		"iam_endpoint": c.IAMEndpoint, "sts_endpoint": c.STSEndpoint, "key_endpoint": c.KeyEndpoint,
	} {
		if endpoint == nil {
			continue
		}
		if host, port, err := net.SplitHostPort(endpoint.Address); err != nil || host == "" || port == "" {
			add("%s: address %q is not host:port", name, endpoint.Address)
		}
	}
	for _, name := range c.names() {
		if !accountName.MatchString(name) {
			add("accounts: name %q must be lower-case letters, digits, - and _", name)
		}
		for _, err := range c.Accounts[name].problems() {
			add("accounts.%s: %w", name, err)
		}
	}
	errs = append(errs, c.federation()...)
	inspection, ok := c.Accounts[c.Inspection]
	switch {
	case c.Inspection == "":
		add("inspection: name the account that reads schemas and makes dry runs")
	case !ok:
		add("inspection: no account is called %q; there are: %s", c.Inspection, strings.Join(c.names(), ", "))
	case len(c.Accounts) == 1:
		add("accounts: %q is for inspection only; name at least one account to run queries with", c.Inspection)
	case inspection.Federated != nil:
		add("inspection: %q runs as whoever asks; the inspection account is the gateway's own: give it a service_account", c.Inspection)
	default:
		for _, name := range c.names() {
			if name != c.Inspection && c.Accounts[name].email() == inspection.email() {
				add("accounts.%s: %s is the inspection account; queries must run with another, or its token passes Envoy", name,
					inspection.ServiceAccount)
			}
		}
	}
	return errors.Join(errs...)
}

// Runs returns the names of the accounts that queries can run with, sorted: all but the inspection
// account. Policies may name these.
func (c Config) Runs() []string {
	return slices.DeleteFunc(c.names(), func(name string) bool { return name == c.Inspection })
}

// Federated are the accounts that run as whoever asks: true where BigQuery sees the requester's own
// principal, false where one account that it impersonates stands between.
func (c Config) Federated() map[string]bool {
	federated := map[string]bool{}
	for name, account := range c.Accounts {
		if account.Federated != nil {
			federated[name] = account.AsRequester()
		}
	}
	return federated
}

// Projects are the projects of the accounts that queries can run with, by the accounts' names: what
// is configured, or what the e-mail tells. An account that tells none is left out; a policy must
// say where its jobs run. It is never nil.
func (c Config) Projects() map[string]string {
	projects := map[string]string{}
	for _, name := range c.Runs() {
		project := c.Accounts[name].Project
		if found := projectOfEmail.FindStringSubmatch(c.Accounts[name].email()); project == "" && found != nil {
			project = found[1]
		}
		if project != "" {
			projects[name] = project
		}
	}
	return projects
}

func (c Config) names() []string {
	names := make([]string, 0, len(c.Accounts))
	for name := range c.Accounts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
