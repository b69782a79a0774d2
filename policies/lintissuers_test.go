package policies

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/identity"
)

// pitfallsOf are the names of what lint finds in the condition of a group that reads something.
func pitfallsOf(t *testing.T, issuer identity.Issuer, when string) []string {
	t.Helper()
	issuer.Name = "demo"
	set := mustLoad(t, fmt.Sprintf("version: bqgate/v1\ngroups:\n  g: {issuer: demo, when: '%s'}\nrules:\n  - {name: r, groups: [g], "+
		"read: [p.d.*]}\n",
		strings.ReplaceAll(when, "'", "''")))
	findings, _, err := set.Lint("", issuer)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range findings {
		head, _ := strings.CutSuffix(f.Message, ")")
		if _, name, ok := strings.Cut(head, "(preset "+issuer.Preset+", "); ok {
			names = append(names, name)
			if !strings.Contains(f.Message, "; write ") || f.Line != 3 {
				t.Errorf("a finding without a cure or a place: %+v", f)
			}
		}
	}
	slices.Sort(names)
	return names
}

// TestPitfalls: each pitfall of a vendor is found in the condition that falls into it, and in none
// that was written as its cure says.
func TestPitfalls(t *testing.T) {
	const (
		repo  = `claims.repository_id == "74"`
		quiet = `claims.repository_id == "74" && claims.event_name == "push"`
		job   = `claims.project_id == "22" && claims.pipeline_source == "push"`
		cp    = `claims["oidc.circleci.com/project-id"] == "a"`
		cq    = cp + ` && claims["oidc.circleci.com/vcs-origin"] == "github.com/acme/app"`
		cr    = cq + ` && claims["oidc.circleci.com/ssh-rerun"] == false`
		oid   = `claims.oid == "2c1f0a3e-1111-4222-8333-0123456789ab"`
		guid  = `has(claims.groups) && "2c1f0a3e-1111-4222-8333-0123456789ab" in claims.groups`
	)
	for _, c := range []struct {
		preset, name, when string
		want               string // the names of findings, sorted
	}{
		{"github-actions", "everybody", `true`, "fork stranger"},
		{"github-actions", "an environment alone", `claims.environment == "prod"`, "environment fork stranger"},
		{"github-actions", "one repository", repo, "fork"},
		{"github-actions", "one repository's pushes", quiet, ""},
		{"github-actions", "all events but one", repo + ` && claims.event_name != "pull_request_target"`, ""},
		{"github-actions", "listed events", repo + ` && claims.event_name in ["push", "schedule"]`, ""},
		{"github-actions", "one of two ways in", quiet + ` || claims.actor == "alice"`, "fork stranger"},
		{"github-actions", "an owner", `claims.repository_owner_id == "1" && claims.event_name == "push"`, ""},
		{"github-actions", "an enterprise", `claims.enterprise_id == "1" && claims.event_name == "push"`, ""},
		{"github-actions", "sub", `claims.sub == "repo:acme/app:ref:refs/heads/main"`, "fork names"},
		{"github-actions", "sub as the subject's", `subject.sub.startsWith("repo:acme/app:")`, "fork names"},
		{"github-actions", "sub by a pattern", `claims.sub.matches("^repo:acme/[a-z]+:environment:prod$")`, "fork names"},
		{"github-actions", "a repository's name", `claims.repository == "acme/app" && claims.event_name == "push"`, "names"},
		{"github-actions", "a name beside an id", quiet + ` && claims.repository == "acme/app"`, ""},
		{"github-actions", "somebody's reusable workflow",
			`claims.job_workflow_ref == "acme/flows/.github/workflows/q.yml@refs/heads/main" && claims.event_name == "push"`, "stranger"},
		{"github-actions", "an environment of a repository", quiet + ` && claims.environment == "prod"`, "environment"},
		{"github-actions", "an environment at a ref", quiet + ` && claims.environment == "prod" && claims.ref == "refs/heads/main"`, ""},
		{"github-actions", "an environment at a protected ref", quiet +
			` && claims.environment == "prod" && claims.ref_protected == "true"`, ""},

		{"gitlab", "everybody", `true`, "fork stranger"},
		{"gitlab", "one project", `claims.project_id == "22"`, "fork"},
		{"gitlab", "one project's pushes", job, ""},
		{"gitlab", "protected refs", `claims.project_id == "22" && claims.ref_protected == "true"`, ""},
		{"gitlab", "a path", `claims.project_path == "acme/app" && claims.pipeline_source == "push"`, "names"},
		{"gitlab", "sub", `claims.sub == "project_path:acme/app:ref_type:branch:ref:main" && claims.pipeline_source == "push"`, "names"},
		{"gitlab", "an environment", job + ` && claims.environment == "prod"`, "environment"},
		{"gitlab", "a protected environment", job + ` && claims.environment == "prod" && claims.environment_protected == "true"`, ""},

		{"buildkite", "everybody", `true`, "stranger"},
		{"buildkite", "a pipeline's name", `claims.pipeline_slug == "app"`, "stranger"},
		{"buildkite", "a pipeline", `claims.organization_slug == "acme" && claims.pipeline_slug == "app"`, ""},
		{"buildkite", "sub", `claims.sub.startsWith("organization:acme:pipeline:app:")`, "sub"},

		{"circleci", "everybody", `true`, "ssh stranger"},
		{"circleci", "a project", cp, "fork ssh"},
		{"circleci", "a project's own repository", cq, "ssh"},
		{"circleci", "without SSH", cr, ""},

		{"google", "everybody", `true`, "stranger"},
		{"google", "verified addresses", `claims.email_verified == true`, "stranger"},
		{"google", "an address's end", `claims.email.endsWith("@acme.example")`, "hd"},
		{"google", "a Workspace", `claims.hd == "acme.example"`, ""},
		{"google", "a Workspace's person", `has(claims.hd) && claims.hd == "acme.example" && claims.email == "a@acme.example"`, ""},
		{"google", "groups", `claims.hd == "acme.example" && "x" in claims.groups`, "groups"},

		{"okta", "everybody", `true`, "application"},
		{"okta", "groups", `"data" in claims.groups`, "groups"},
		{"okta", "groups that may be missing", `has(claims.groups) && "data" in claims.groups`, ""},
		{"okta", "people", `!subject.workload`, ""},

		{"entra", "everybody", `true`, "application"},
		{"entra", "sub", `claims.sub == "x"`, "sub"},
		{"entra", "an address", `claims.email == "a@acme.example"`, "email"},
		{"entra", "a login", `claims.preferred_username == "a@acme.example"`, "email"},
		{"entra", "a verified address", `claims.email == "a@acme.example" && claims.xms_edov == true`, ""},
		{"entra", "an account", oid, ""},
		{"entra", "groups", `"2c1f0a3e-1111-4222-8333-0123456789ab" in claims.groups`, "groups"},
		{"entra", "groups by id", guid, ""},
		{"entra", "groups by name", `has(claims.groups) && claims.groups.exists(g, g == "data")`, "group-ids"},

		{"auth0", "everybody", `true`, "application stranger"},
		{"auth0", "an address", `claims.email == "a@acme.example"`, "email"},
		{"auth0", "a verified address", `claims.email == "a@acme.example" && claims.email_verified == true`, ""},
		{"auth0", "groups", `"data" in claims.groups`, "groups"},
		{"auth0", "an Action's claim", `"data" in claims["https://acme.example/groups"]`, ""},

		{"keycloak", "everybody", `true`, "application"},
		{"keycloak", "an address", `claims.email == "a@acme.example"`, "email"},
		{"keycloak", "groups", `"/data" in claims.groups`, "groups"},
		{"keycloak", "a role", `"data" in claims.realm_access.roles`, ""},

		{"dex", "groups", `"acme:data" in claims.groups`, "connector"},
		{"dex", "a connector's groups", `claims.federated_claims.connector_id == "github" && "acme:data" in claims.groups`, ""},
		{"dex", "an address", `claims.email == "a@acme.example"`, "connector email"},
	} {
		t.Run(c.preset+"/"+c.name, func(t *testing.T) {
			if got := strings.Join(pitfallsOf(t, identity.Issuer{Preset: c.preset}, c.when), " "); got != c.want {
				t.Errorf("%s: found %q, want %q", c.when, got, c.want)
			}
		})
	}
}

// TestPitfallsOfTheConfiguration: what the configuration says of an issuer changes what is a
// pitfall.
func TestPitfallsOfTheConfiguration(t *testing.T) {
	people := identity.Issuer{Preset: "gitlab", WithPeople: true}
	for name, c := range map[string]struct {
		issuer identity.Issuer
		when   string
		want   string
	}{
		"groups that somebody has set up": {identity.Issuer{Preset: "okta", Claims: map[string]string{"groups": "groups"}},
			`"data" in claims.groups`, ""},
		"groups of another name": {identity.Issuer{Preset: "okta", Claims: map[string]string{"groups": "teams"}},
			`"data" in claims.groups`, "groups"},
		"GitLab's people":          {people, `"acme/data" in claims.groups_direct && claims.pipeline_source == "push"`, "stranger"},
		"GitLab's people or jobs":  {people, `"acme/data" in claims.groups_direct`, "fork people stranger"},
		"GitLab's people alone":    {people, `!subject.workload && "acme/data" in claims.groups_direct`, ""},
		"no people at GitLab":      {identity.Issuer{Preset: "gitlab"}, `"acme/data" in claims.groups_direct`, "fork stranger"},
		"an issuer without preset": {identity.Issuer{}, `true`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(pitfallsOf(t, c.issuer, c.when), " "); got != c.want {
				t.Errorf("%s: found %q, want %q", c.when, got, c.want)
			}
		})
	}
}

// A condition too large to be tried whole is not tried at all, and lint still ends.
func TestPitfallsOfALargeCondition(t *testing.T) {
	var parts []string
	for i := range 40 {
		parts = append(parts, fmt.Sprintf(`claims.c%d in ["a", "b", "c", "d"]`, i))
	}
	if got := pitfallsOf(t, identity.Issuer{Preset: "github-actions"}, strings.Join(parts, " && ")); len(got) > 0 {
		t.Errorf("found %q", got)
	}
}
