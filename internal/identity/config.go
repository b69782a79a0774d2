package identity

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Defaults of Config.
const (
	DefaultAudience         = "bqgate"
	DefaultConsoleAudience  = "bqgate-console"
	DefaultMaxTokenAge      = time.Hour
	DefaultSessionMax       = time.Hour
	DefaultSessionsPerToken = 256
)

// Config says whose tokens are believed. It is part of the gateway's configuration file.
type Config struct {
	Issuers []Issuer `yaml:"issuers"`

	// Audience is the `aud` of tokens for queries, ConsoleAudience the one for decisions on them.
	// They differ, so that a token that an agent holds never opens the console.
	Audience        string `yaml:"audience,omitempty"`
	ConsoleAudience string `yaml:"console_audience,omitempty"`

	// MaxTokenAge bounds `exp - iat`: a token is usable until it expires, so a long-lived one would
	// be a password.
	MaxTokenAge time.Duration `yaml:"max_token_age,omitempty"`
	// SessionMax bounds the life of a gateway session, which never outlives its subject token
	// either.
	SessionMax time.Duration `yaml:"session_max,omitempty"`
	// SessionsPerToken bounds how many sessions one subject token can open, one after the other:
	// the same token gets its live session again.
	SessionsPerToken int `yaml:"sessions_per_token,omitempty"`

	// LoginAudience is the `aud` of the ID tokens with which people log in at the console, "" where
	// nobody can. The console's configuration has it.
	LoginAudience string `yaml:"-"`
}

// Issuer is one OpenID Provider whose tokens are believed.
//
// Owner, Grant and People name claims. An entry may hold alternatives separated by "|"
// ("environment|ref"). For Owner and Grant the first that the token has counts, and a token that
// has none of them is refused: a missing run id must not join the jobs of two runs. For People the
// alternatives are spellings of one person, and all that the token has are taken.
type Issuer struct {
	Name string `yaml:"name"` // as policies spell it: "github"
	// Preset names the vendor: its tokens' kinds, and the defaults of everything below. Presets
	// lists them; docs/issuers.md has a page for each.
	Preset string `yaml:"preset,omitempty"`
	URL    string `yaml:"url,omitempty"` // the token's `iss`, to the letter; a preset makes it of these:
	Host   string `yaml:"host,omitempty"`
	Org    string `yaml:"org,omitempty"`
	Tenant string `yaml:"tenant,omitempty"`
	Realm  string `yaml:"realm,omitempty"`

	JWKS string `yaml:"jwks_url,omitempty"` // where discovery is not wanted or not offered

	// CAFile holds PEM certificates to trust for this issuer beside the system's.
	CAFile string `yaml:"ca_file,omitempty"`

	// Algorithms are the JWS algorithms that tokens may be signed with; RS256 and ES256 by default,
	// RS256 with a preset.
	// Symmetric ones and `none` cannot be configured.
	Algorithms []string `yaml:"algorithms,omitempty"`

	// Workload says that tokens stand for machines: their subjects never decide on a request.
	// Tokens that carry the claims of a GitHub Actions run or of a GitLab pipeline are workloads
	// whatever this says, since GitLab signs people's tokens under the same issuer.
	Workload bool `yaml:"workload,omitempty"`
	// WithPeople believes the tokens of people too that the issuer signs beside those of jobs
	// (preset gitlab).
	WithPeople bool `yaml:"with_people,omitempty"`
	// Claims say which claim stands for email, groups, repository, ref, workflow, environment,
	// run_url, commit and actor, where it is another than the preset's: {groups:
	// "https://acme.example/groups"}. They are for labels, records and people; conditions of a
	// policy look at the claims themselves.
	Claims map[string]string `yaml:"claims,omitempty"`

	// Owner names the claims that tell one run from another, Grant those that tell one pipeline at
	// one ref or environment from another. Both hold beside the issuer and (for Owner) `sub`.
	// GitHub Actions and GitLab have defaults; other workload issuers must say; people are told
	// apart by `sub`.
	Owner []string `yaml:"owner,omitempty"`
	Grant []string `yaml:"grant,omitempty"`
	// Budget names the claims by which callers are counted together where their number, rate or
	// cost is limited. No claim of a run, an attempt or a ref belongs here: each would have limits
	// of its own. Default: `repository_id` for GitHub Actions, `project_id` for GitLab, the person
	// or `sub` for people. Other workloads share one budget, as do tokens that lack a claim named
	// here.
	Budget []string `yaml:"budget,omitempty"`

	// People names the claims that name the humans behind a token, one entry a human. Default:
	// `actor` for GitHub Actions, `user_email|user_login` for GitLab, and
	// `sub|email|preferred_username` for people.
	People []string `yaml:"people,omitempty"`
	// PeopleMap leads from such a value to the person as the human issuers know them: {"alice-gh":
	// "alice@corp.example"}.
	PeopleMap map[string]string `yaml:"people_map,omitempty"`
	// PeopleDomains are e-mail domains ("corp.example") whose addresses in a workload's token name
	// a person as they are. Other addresses need PeopleMap: a private address at the CI system
	// would hide who reviews their own change.
	PeopleDomains []string `yaml:"people_domains,omitempty"`
	// EmailsVerified says that the issuer verifies the address of every user, although its tokens
	// do not say so (`email_verified`). Who has no verified address and stands in no PeopleMap is
	// unknown: such people decide on nothing, and their own requests need two approvals.
	// `email_verified: false` in a token is always believed.
	EmailsVerified bool `yaml:"emails_verified,omitempty"`
	// NameScripts are scripts of Unicode ("Latin", "Cyrillic") in which names of people may be
	// written beside ASCII, each name in one of them.
	NameScripts []string `yaml:"name_scripts,omitempty"`
}

// asymmetric are the algorithms that may be configured: all that go-oidc verifies.
var asymmetric = []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"}

// ofOneRun are claims that whoever starts a run chooses anew with each.
var ofOneRun = []string{
	"run_id", "run_number", "run_attempt", "pipeline_id", "job_id", "ref", "ref_path", "head_ref", "sha", "jti", "iat", "exp",
	"build_number", "build_branch", "build_tag", "build_commit", "check_run_id", circle + "job-id", circle + "vcs-ref",
}

var (
	issuerName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	claimNames = regexp.MustCompile(`^[A-Za-z0-9_./:-]+(\|[A-Za-z0-9_./:-]+)*$`)
)

// WithDefaults returns the configuration with every value that was left out filled in.
func (c Config) WithDefaults() Config {
	if c.Audience == "" {
		c.Audience = DefaultAudience
	}
	if c.ConsoleAudience == "" {
		c.ConsoleAudience = DefaultConsoleAudience
	}
	if c.MaxTokenAge == 0 {
		c.MaxTokenAge = DefaultMaxTokenAge
	}
	if c.SessionMax == 0 {
		c.SessionMax = DefaultSessionMax
	}
	if c.SessionsPerToken == 0 {
		c.SessionsPerToken = DefaultSessionsPerToken
	}
	c.Issuers = slices.Clone(c.Issuers)
	for i := range c.Issuers {
		c.Issuers[i] = c.Issuers[i].resolved()
	}
	return c
}

// Validate reports every mistake in the configuration, defaults filled in.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var errs []error
	if len(c.Issuers) == 0 {
		errs = append(errs, errors.New("issuers: name at least one OpenID issuer, or nobody can ask"))
	}
	if c.Audience == c.ConsoleAudience {
		errs = append(errs, fmt.Errorf("audience and console_audience are both %q; they must differ, or an agent's token opens the console",
			c.Audience))
	}
	if c.MaxTokenAge < time.Minute || c.MaxTokenAge > 24*time.Hour {
		errs = append(errs, fmt.Errorf("max_token_age is %s; it must be between 1m and 24h", c.MaxTokenAge))
	}
	if c.SessionMax < time.Minute || c.SessionMax > 24*time.Hour {
		errs = append(errs, fmt.Errorf("session_max is %s; it must be between 1m and 24h", c.SessionMax))
	}
	if c.SessionsPerToken < 1 || c.SessionsPerToken > 10_000 {
		errs = append(errs, fmt.Errorf("sessions_per_token is %d; it must be between 1 and 10000", c.SessionsPerToken))
	}
	names, urls := map[string]bool{}, map[string]bool{}
	for i, issuer := range c.Issuers {
		if names[issuer.Name] {
			errs = append(errs, fmt.Errorf("issuers[%d]: name %q is taken by an earlier issuer", i, issuer.Name))
		}
		if urls[issuer.URL] && issuer.URL != "" {
			errs = append(errs, fmt.Errorf("issuers[%d]: url %s is configured twice", i, issuer.URL))
		}
		names[issuer.Name], urls[issuer.URL] = true, true
		for _, err := range issuer.problems() {
			errs = append(errs, fmt.Errorf("issuers[%d] (%s): %w", i, issuer.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (i Issuer) problems() []error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !issuerName.MatchString(i.Name) {
		add("name %q must be lower-case letters, digits, - and _, as policies spell it", i.Name)
	}
	contradictions := i.contradictions()
	errs = append(errs, contradictions...)
	if err := CheckEndpoint(i.URL); err != nil && (i.URL != "" || len(contradictions) == 0) {
		add("url: %w", err)
	}
	errs = append(errs, i.checkClaims()...)
	if i.JWKS != "" {
		if err := CheckEndpoint(i.JWKS); err != nil {
			add("jwks_url: %w", err)
		}
	}
	for _, alg := range i.Algorithms {
		if !slices.Contains(asymmetric, alg) {
			add("algorithm %q cannot be configured; choose from %s", alg, strings.Join(asymmetric, ", "))
		}
	}
	for _, list := range []struct {
		key     string
		entries []string
	}{{"owner", i.Owner}, {"grant", i.Grant}, {"budget", i.Budget}, {"people", i.People}} {
		for _, entry := range list.entries {
			if !claimNames.MatchString(entry) {
				add(`%s: %q is not a claim name, nor several separated by "|"`, list.key, entry)
			}
		}
	}
	if i.Workload && (len(i.Owner) == 0) != (len(i.Grant) == 0) {
		add("owner and grant must be configured together")
	}
	for _, entry := range i.Budget {
		for name := range strings.SplitSeq(entry, "|") {
			if slices.Contains(ofOneRun, name) {
				add("budget: %s changes with each run, which would give each run limits of its own; name the repository or project", name)
			}
		}
	}
	for _, script := range i.NameScripts {
		if _, ok := unicode.Scripts[script]; !ok || script == "Common" || script == "Inherited" {
			add(`name_scripts: %q is not a script; write its name in Unicode, as "Latin" or "Cyrillic"`, script)
		}
	}
	_, _, wrong := i.people()
	errs = append(errs, wrong...)
	for _, domain := range i.PeopleDomains {
		if !plainDomain.MatchString(domain) {
			add(`people_domains: %q is not a domain; write "corp.example"`, domain)
		}
	}
	return errs
}

// people reads the identity map: people by name, and by the exact `sub` of an account.
func (i Issuer) people() (byName, byID map[string]string, errs []error) {
	rules := nameRules{scripts: i.NameScripts}
	byName, byID = map[string]string{}, map[string]string{}
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf("people_map: "+format, args...)) }
	for _, from := range slices.Sorted(maps.Keys(i.PeopleMap)) {
		key, err := rules.subject(from)
		if err != nil {
			add("%+q: %w", from, err)
			continue
		}
		to, err := rules.name(i.PeopleMap[from])
		if err != nil {
			add("%+q leads to %+q: %w", from, i.PeopleMap[from], err)
			continue
		}
		if other, ok := byName[key.text]; ok && other != to.text {
			add("%q leads to two people, %s and %s", key.text, other, to.text)
		}
		for _, other := range byName {
			if other != to.text && SamePerson(other, to.text) {
				add("%+q and %+q look alike and are two people", other, to.text)
			}
		}
		byName[key.text], byID[from] = to.text, to.text
	}
	return byName, byID, errs
}

// CheckEndpoint accepts a URL that tokens and secrets may be trusted to: https, or plain http on
// loopback for the demo and tests.
func CheckEndpoint(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("%q is not a URL", raw)
	}
	switch {
	case u.Host == "" || u.User != nil || strings.Contains(raw, "#"):
		return fmt.Errorf("%q must be https://host/path without user or fragment", raw)
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	default:
		return fmt.Errorf("%q must be https (plain http only on loopback): whoever can alter its answers can sign tokens", raw)
	}
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && net.IP(addr.AsSlice()).IsLoopback()
}
