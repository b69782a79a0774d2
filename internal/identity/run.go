package identity

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Run is where a request comes from, in the words of no vendor: for labels, records and people.
// What a token does not say is "". Nothing is decided by it: conditions look at the claims.
type Run struct {
	Repository  string `json:"repository,omitempty"`  // "acme/app"; a pipeline or project where there is no repository
	Ref         string `json:"ref,omitempty"`         // "refs/heads/main", or a branch's name
	Workflow    string `json:"workflow,omitempty"`    // the file, with its ref where the vendor says it
	Environment string `json:"environment,omitempty"` // "production"
	URL         string `json:"url,omitempty"`         // where people look at the run; https, made of claims of the vendor's shape alone
	Commit      string `json:"commit,omitempty"`      // the object name
	Actor       string `json:"actor,omitempty"`       // who started it, as the vendor calls them
}

// claimKeys are what Issuer.Claims may name a claim for.
var claimKeys = []string{"email", "groups", "repository", "ref", "workflow", "environment", "run_url", "commit", "actor"}

// withoutPreset is where these are looked for in tokens of an issuer without a preset.
var withoutPreset = map[string]string{
	"email": "email", "groups": "groups", "repository": "repository|project_path", "ref": "ref_path|ref",
	"workflow": "workflow_ref|ci_config_ref_uri", "environment": "environment", "commit": "sha", "actor": "actor|user_login",
}

// claimFor is the claim, or several separated by "|", that stands for a key.
func (i Issuer) claimFor(key string) string {
	if name := i.Claims[key]; name != "" {
		return name
	}
	if p, ok := presets[i.Preset]; ok {
		return p.claims[key]
	}
	return withoutPreset[key]
}

func (i Issuer) checkClaims() []error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(i.Claims)) {
		switch {
		case !slices.Contains(claimKeys, key):
			errs = append(errs, fmt.Errorf("claims: %q is none of %s", key, strings.Join(claimKeys, ", ")))
		case !claimNames.MatchString(i.Claims[key]):
			errs = append(errs, fmt.Errorf(`claims: %s: %q is not a claim name, nor several separated by "|"`, key, i.Claims[key]))
		}
	}
	return errs
}

// claimAt is a claim by its name, or by the way to it in objects: realm_access.roles.
func claimAt(claims map[string]any, name string) any {
	if value, ok := claims[name]; ok {
		return value
	}
	first, rest, nested := strings.Cut(name, ".")
	if inner, ok := claims[first].(map[string]any); ok && nested {
		return claimAt(inner, rest)
	}
	return nil
}

const maxRunText = 256 // bytes of each part of a Run

// run reads a token's Run.
func (i *issuer) run(claims map[string]any) Run {
	text := func(key string) string {
		for name := range strings.SplitSeq(i.claimFor(key), "|") {
			value := scalar(claimAt(claims, name))
			if value != "" && len(value) <= maxRunText && !strings.ContainsFunc(value, isControl) {
				return value
			}
		}
		return ""
	}
	r := Run{Repository: text("repository"), Ref: text("ref"), Workflow: text("workflow"), Environment: text("environment"),
		Commit: text("commit"), Actor: text("actor"), URL: i.runURL(claims)}
	if named := text("run_url"); r.URL == "" {
		if u, err := url.Parse(named); err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil {
			r.URL = named
		}
	}
	return r
}

// groupsOf are the groups that the token itself names.
func (i *issuer) groupsOf(claims map[string]any) []string {
	for name := range strings.SplitSeq(i.claimFor("groups"), "|") {
		if groups := texts(claimAt(claims, name)); groups != nil {
			return groups
		}
	}
	return nil
}

// pathShape is what of a claim may stand in the path of a URL: names between slashes.
var pathShape = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$`)

// runURL is the page of a run, made of claims that have the shape of names.
func (i *issuer) runURL(claims map[string]any) string {
	p := presets[i.Preset]
	u, err := url.Parse(i.URL)
	if err != nil || p.web == nil || p.runURL == "" || u.Scheme != "https" {
		return ""
	}
	whole := true
	made := placeholderClaim.ReplaceAllStringFunc(p.runURL, func(name string) string {
		value := scalar(claims[strings.Trim(name, "{}")])
		whole = whole && len(value) <= maxRunText && pathShape.MatchString(value)
		return value
	})
	if web := p.web(u); whole && web != "" {
		return web + made
	}
	return ""
}

var placeholderClaim = regexp.MustCompile(`\{[a-z_]+\}`)
