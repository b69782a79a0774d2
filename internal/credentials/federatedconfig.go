package credentials

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"cloud.google.com/go/auth"

	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/wrapping"
)

// Issuer is the gateway as the issuer of a workload identity pool: what it signs says who runs a
// query, and the pool trusts nobody else.
type Issuer struct {
	// URL is the `iss` of its tokens, as the pool's provider has it (--issuer-uri). Nothing need
	// answer there where the provider was given the keys (--jwk-json-path).
	URL string `yaml:"url"`
	// Keys are files that `bqgate credentials signing-key` has made. The first signs; `bqgate
	// credentials jwks` prints the public halves of all.
	Keys []string `yaml:"keys"`
	// Wrap is what the private halves were wrapped with.
	Wrap wrapping.Config `yaml:"wrap"`
}

// Federated makes an account the requester's own principal in a workload identity pool of Google's.
type Federated struct {
	// Audience is the full name of the pool's provider:
	// "//iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER".
	Audience string `yaml:"audience"`
	// ServiceAccount is one that these principals may impersonate, where BigQuery should see one
	// account and not each of them. SESSION_USER() is then the account.
	ServiceAccount string `yaml:"service_account,omitempty"`
}

// providerName is the full name of a workload identity pool's provider, and of its pool.
// https://cloud.google.com/iam/docs/reference/rest/v1/projects.locations.workloadIdentityPools.providers
var providerName = regexp.MustCompile(
	`^//iam\.googleapis\.com/(projects/[0-9]+/locations/global/workloadIdentityPools/[a-z0-9-]{4,32})/providers/[a-z0-9-]{4,32}$`)

// pool is "projects/NUMBER/locations/global/workloadIdentityPools/POOL", "" of what is no provider.
func pool(audience string) string {
	if found := providerName.FindStringSubmatch(audience); found != nil {
		return found[1]
	}
	return ""
}

func (f *Federated) problems() []error {
	var errs []error
	if pool(f.Audience) == "" {
		errs = append(errs, fmt.Errorf("federated.audience %q is not the full name of a provider: //iam.googleapis.com/projects/NUMBER/"+
			"locations/global/workloadIdentityPools/POOL/providers/PROVIDER", f.Audience))
	}
	if f.ServiceAccount != "" && !accountEmail.MatchString(f.ServiceAccount) {
		errs = append(errs, fmt.Errorf("federated.service_account %q is not a service account's e-mail in lower case", f.ServiceAccount))
	}
	return errs
}

// apart refuses a pool that has the gateway's own identity as well. A principal is named by its
// pool and its subject, whichever provider it came by: a subject could be written that is the
// gateway.
func (c Config) apart(source *auth.Credentials) error {
	if source == nil || source.JSON() == nil {
		return nil
	}
	var file struct {
		Audience string `json:"audience"`
	}
	if err := json.Unmarshal(source.JSON(), &file); err != nil {
		return fmt.Errorf("source: %s", clean(err))
	}
	for _, name := range c.names() {
		if f := c.Accounts[name].Federated; f != nil && pool(f.Audience) == pool(file.Audience) {
			return fmt.Errorf("accounts.%s: its pool %s is that of the gateway's own identity (source), and a principal's name does not "+
				"say by which provider it came: use a pool whose only provider is the gateway's issuer", name, pool(f.Audience))
		}
	}
	return nil
}

// federation reports what federated accounts lack.
func (c Config) federation() []error {
	uses := slices.ContainsFunc(c.names(), func(name string) bool { return c.Accounts[name].Federated != nil })
	switch {
	case uses && c.Issuer == nil:
		return []error{errors.New("issuer: a federated account needs one, since the gateway signs for whom a query runs: write its url " +
			"and keys")}
	case c.Issuer == nil:
		return nil
	}
	var errs []error
	if err := identity.CheckEndpoint(c.Issuer.URL); err != nil {
		errs = append(errs, fmt.Errorf("issuer.url: %w", err))
	}
	if len(c.Issuer.Keys) == 0 {
		errs = append(errs, errors.New("issuer.keys: name at least one file that `bqgate credentials signing-key` has made"))
	}
	if err := c.Issuer.Wrap.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("issuer.wrap: %w", err))
	}
	return errs
}
