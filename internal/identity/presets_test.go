package identity

import (
	"slices"
	"strings"
	"testing"
)

const anID = "2c1f0a3e-1111-4222-8333-0123456789ab"

// TestPresetURLs: a preset makes the issuer's URL of its parameters, letter by letter as tokens
// have it, and refuses what cannot be that vendor's, with what would be.
func TestPresetURLs(t *testing.T) {
	for _, c := range []struct {
		name   string
		issuer Issuer
		url    string // what it makes; "" where says is
		says   []string
	}{
		{"GitHub", Issuer{Preset: "github-actions"}, "https://token.actions.githubusercontent.com", nil},
		{"an enterprise's issuer", Issuer{Preset: "github-actions", Org: "acme"}, "https://token.actions.githubusercontent.com/acme", nil},
		{"GitHub Enterprise Server", Issuer{Preset: "github-actions", Host: "github.acme.example"},
			"https://github.acme.example/_services/token", nil},
		{"ghe.com", Issuer{Preset: "github-actions", URL: "https://token.actions.acme.ghe.com"}, "https://token.actions.acme.ghe.com", nil},
		{"GitLab.com", Issuer{Preset: "gitlab"}, "https://gitlab.com", nil},
		{"an own GitLab", Issuer{Preset: "gitlab", Host: "git.acme.example:8443"}, "https://git.acme.example:8443", nil},
		{"Google", Issuer{Preset: "google"}, "https://accounts.google.com", nil},
		{"Okta", Issuer{Preset: "okta", Host: "acme.okta.com"}, "https://acme.okta.com/oauth2/default", nil},
		{"another server at Okta", Issuer{Preset: "okta", URL: "https://acme.okta.com/oauth2/aus1"}, "https://acme.okta.com/oauth2/aus1",
			nil},
		{"Entra ID", Issuer{Preset: "entra", Tenant: anID}, "https://login.microsoftonline.com/" + anID + "/v2.0", nil},
		{"Entra ID, tokens of version 1", Issuer{Preset: "entra", URL: "https://sts.windows.net/" + anID + "/"},
			"https://sts.windows.net/" + anID + "/", nil},
		{"Auth0", Issuer{Preset: "auth0", Host: "acme.eu.auth0.com"}, "https://acme.eu.auth0.com/", nil},
		{"Keycloak", Issuer{Preset: "keycloak", Host: "sso.acme.example", Realm: "acme"}, "https://sso.acme.example/realms/acme", nil},
		{"an old Keycloak", Issuer{Preset: "keycloak", URL: "https://sso.acme.example/auth/realms/acme"},
			"https://sso.acme.example/auth/realms/acme", nil},
		{"Dex", Issuer{Preset: "dex", Host: "sso.acme.example"}, "https://sso.acme.example/dex", nil},
		{"Buildkite", Issuer{Preset: "buildkite"}, "https://agent.buildkite.com", nil},
		{"CircleCI", Issuer{Preset: "circleci", Org: anID}, "https://oidc.circleci.com/org/" + anID, nil},
		{"a stand-in", Issuer{Preset: "circleci", URL: "http://127.0.0.1:4711"}, "http://127.0.0.1:4711", nil},

		{"no such preset", Issuer{Preset: "github-action", URL: "https://x.example"}, "", []string{`"github-action"`, "github-actions"}},
		{"GitHub with a slash", Issuer{Preset: "github-actions", URL: "https://token.actions.githubusercontent.com/"}, "",
			[]string{"its tokens say https://token.actions.githubusercontent.com, to the letter"}},
		{"Auth0 without one", Issuer{Preset: "auth0", URL: "https://acme.eu.auth0.com"}, "",
			[]string{"its tokens say https://acme.eu.auth0.com/, to the letter"}},
		{"another vendor's URL", Issuer{Preset: "github-actions", URL: "https://gitlab.com"}, "",
			[]string{"none of preset github-actions", "https://{host}/_services/token"}},
		{"a host that begins like the vendor's", Issuer{Preset: "buildkite", URL: "https://agent.buildkite.com.evil.example"}, "",
			[]string{"none of preset buildkite"}},
		{"every tenant", Issuer{Preset: "entra", Tenant: "common"}, "", []string{`tenant is "common"`, "an id"}},
		{"every tenant, written out", Issuer{Preset: "entra", URL: "https://login.microsoftonline.com/common/v2.0"}, "",
			[]string{"none of preset entra"}},
		{"no tenant", Issuer{Preset: "entra"}, "", []string{"{tenant}"}},
		{"an organisation's name", Issuer{Preset: "circleci", Org: "acme"}, "", []string{"an id"}},
		{"all organisations", Issuer{Preset: "circleci", URL: "https://oidc.circleci.com"}, "", []string{"none of preset circleci"}},
		{"a parameter too many", Issuer{Preset: "keycloak", Host: "a.example", Realm: "b", Org: "c"}, "",
			[]string{"host and org and realm"}},
		{"a host that is more", Issuer{Preset: "okta", Host: "acme.okta.com/x"}, "", []string{`host is "acme.okta.com/x"`}},
		{"two answers", Issuer{Preset: "okta", Host: "acme.okta.com", URL: "https://b.okta.com"}, "", []string{"leave out one"}},
		{"a parameter without preset", Issuer{URL: "https://x.example", Tenant: "x"}, "", []string{"there is no preset"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.issuer.Name = "ci"
			config := Config{Issuers: []Issuer{c.issuer}}
			err := config.Validate()
			if c.url == "" {
				for _, word := range c.says {
					if err == nil || !strings.Contains(err.Error(), word) {
						t.Errorf("error %v, want one that says %q", err, word)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := config.WithDefaults().Issuers[0].URL; got != c.url {
				t.Errorf("URL %s, want %s", got, c.url)
			}
		})
	}
}

// TestPresetContradictions: what is written beside a preset counts, unless it cannot be right.
func TestPresetContradictions(t *testing.T) {
	for _, c := range []struct {
		name   string
		issuer Issuer
		says   string // "" where it is taken
	}{
		{"people who log in, at a CI system", Issuer{Preset: "github-actions", People: []string{"email"}}, "name actor"},
		{"sub as a person, at a CI system", Issuer{Preset: "github-actions", People: []string{"actor|sub"}}, "name actor"},
		{"verified addresses of jobs", Issuer{Preset: "gitlab", EmailsVerified: true}, "people_domains"},
		{"verified addresses at Entra ID", Issuer{Preset: "entra", Tenant: anID, EmailsVerified: true}, "xms_edov"},
		{"people as workloads", Issuer{Preset: "okta", Host: "acme.okta.com", Workload: true}, "owner and grant"},
		{"people at a CI system without any", Issuer{Preset: "buildkite", WithPeople: true}, "with_people is for preset gitlab"},
		{"people without preset", Issuer{URL: "https://x.example", WithPeople: true}, "with_people is for preset gitlab"},
		{"a key of claims that there is not", Issuer{Preset: "gitlab", Claims: map[string]string{"repo": "x"}}, `"repo" is none of`},
		{"a claim that is none", Issuer{Preset: "gitlab", Claims: map[string]string{"ref": "a b"}}, "not a claim name"},
		{"a run in the budget", Issuer{Preset: "buildkite", Budget: []string{"job_id"}}, "changes with each run"},
		{"another owner", Issuer{Preset: "circleci", Org: anID, Owner: []string{"jti"}, Grant: []string{"sub"}}, ""},
		{"people and jobs of GitLab", Issuer{Preset: "gitlab", WithPeople: true}, ""},
		{"people as workloads, by their claims", Issuer{Preset: "okta", Host: "acme.okta.com", Workload: true, Owner: []string{"jti"},
			Grant: []string{"cid"}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.issuer.Name = "ci"
			err := Config{Issuers: []Issuer{c.issuer}}.Validate()
			if c.says == "" && err != nil {
				t.Error(err)
			}
			if c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
}

// TestForPeople: who may log in at the console.
func TestForPeople(t *testing.T) {
	for name, c := range map[string]struct {
		issuer Issuer
		want   bool
	}{
		"no preset": {Issuer{}, true}, "workload": {Issuer{Workload: true}, false}, "GitHub": {Issuer{Preset: "github-actions"}, false},
		"GitLab": {Issuer{Preset: "gitlab"}, false}, "GitLab with people": {Issuer{Preset: "gitlab", WithPeople: true}, true},
		"Okta": {Issuer{Preset: "okta"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if c.issuer.ForPeople() != c.want {
				t.Errorf("want %v", c.want)
			}
		})
	}
}

// TestKindsOfTokens: at an issuer of people an application stands for a workload, which never
// decides; at a CI system whoever is no job is refused.
func TestKindsOfTokens(t *testing.T) {
	for _, c := range []struct {
		name     string
		issuer   Issuer
		claims   claims
		workload bool
		code     Code // of the refusal
	}{
		{"GitHub's job", Issuer{Preset: "github-actions"}, githubRun(nil), true, ""},
		{"a person at GitHub's issuer", Issuer{Preset: "github-actions"}, nil, false, CodeClaims},
		{"a GitLab job at GitHub's", Issuer{Preset: "github-actions"}, gitlabJob(nil), false, CodeClaims},
		{"a person at GitLab", Issuer{Preset: "gitlab"}, nil, false, CodeClaims},
		{"a person at GitLab, let in", Issuer{Preset: "gitlab", WithPeople: true}, nil, false, ""},
		{"a job at such a GitLab", Issuer{Preset: "gitlab", WithPeople: true}, gitlabJob(nil), true, ""},
		{"a Google account", Issuer{Preset: "google"}, claims{"email": "alice@acme.example"}, false, ""},
		{"a service account", Issuer{Preset: "google"}, claims{"email": "x@p.iam.gserviceaccount.com", "azp": "1"}, true, ""},
		{"a person at Okta", Issuer{Preset: "okta"}, claims{"cid": "0oa1", "uid": "00u1"}, false, ""},
		{"client credentials at Okta", Issuer{Preset: "okta"}, claims{"cid": "0oa1", "sub": "0oa1"}, true, ""},
		{"a person at Entra ID", Issuer{Preset: "entra"}, claims{"oid": anID}, false, ""},
		{"an application at Entra ID", Issuer{Preset: "entra"}, claims{"oid": anID, "sub": anID}, true, ""},
		{"an application that says so", Issuer{Preset: "entra"}, claims{"oid": anID, "idtyp": "app"}, true, ""},
		{"client credentials at Auth0", Issuer{Preset: "auth0"}, claims{"sub": "abc@clients"}, true, ""},
		{"a service account at Keycloak", Issuer{Preset: "keycloak"}, claims{"preferred_username": "service-account-ci"}, true, ""},
		{"a service account without its name", Issuer{Preset: "keycloak"}, claims{"client_id": "ci"}, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			subject, err := subjectOf(t, c.issuer, c.claims)
			if c.code != "" {
				wantCode(t, err, c.code, 403, "")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if subject.Workload != c.workload {
				t.Errorf("workload %v, want %v", subject.Workload, c.workload)
			}
			if c.workload && subject.Owner == subject.Budget {
				t.Errorf("owner and budget are one: %s", subject.Owner)
			}
		})
	}
}

// TestEntraAddresses: an address at Entra ID counts where xms_edov says that it is verified, and
// oid, mapped, names a person always (A7, A42).
func TestEntraAddresses(t *testing.T) {
	mapped := Issuer{Preset: "entra", PeopleMap: map[string]string{anID: "alice@acme.example"}}
	for _, c := range []struct {
		name   string
		issuer Issuer
		claims claims
		person string
	}{
		{"an address alone", Issuer{Preset: "entra"}, claims{"email": "alice@acme.example"}, ""},
		{"a verified domain", Issuer{Preset: "entra"}, claims{"email": "alice@acme.example", "xms_edov": true}, "alice@acme.example"},
		{"a verified domain, as text", Issuer{Preset: "entra"}, claims{"email": "alice@acme.example", "xms_edov": "1"},
			"alice@acme.example"},
		{"not verified, and says so", Issuer{Preset: "entra"}, claims{"email": "alice@acme.example", "xms_edov": false}, ""},
		{"two answers", Issuer{Preset: "entra"}, claims{"email": "alice@acme.example", "xms_edov": true, "email_verified": false}, ""},
		{"xms_edov of another vendor", Issuer{Preset: "okta"}, claims{"email": "alice@acme.example", "xms_edov": true}, ""},
		{"a mapped account", mapped, claims{"oid": anID, "email": "mallory@evil.example"}, "alice@acme.example"},
		{"a mapped address that is not verified", Issuer{Preset: "entra",
			PeopleMap: map[string]string{"a@x.example": "alice@acme.example"}},
			claims{"email": "a@x.example"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := claims{"sub": "AAAApairwise", "email_verified": nil}
			for name, value := range c.claims {
				all[name] = value
			}
			subject, err := subjectOf(t, c.issuer, all)
			if err != nil {
				t.Fatal(err)
			}
			if subject.Person != c.person || subject.Mapped != (c.person != "") {
				t.Errorf("person %q (mapped %v), want %q", subject.Person, subject.Mapped, c.person)
			}
			if unknown := c.person == ""; unknown != (subject.Email == "") && c.issuer.PeopleMap == nil {
				t.Errorf("email %q of person %q", subject.Email, c.person)
			}
		})
	}
}

// TestRunsAreMadeOfNames: the page of a run is made of claims that have the shape of names, and of
// nothing that would lead elsewhere.
func TestRunsAreMadeOfNames(t *testing.T) {
	for _, c := range []struct {
		name    string
		changes claims
		url     string
	}{
		{"a run", nil, "https://github.com/acme/app/actions/runs/1001"},
		{"a way up", claims{"repository": "acme/../evil"}, ""},
		{"another host", claims{"repository": "//evil.example"}, ""},
		{"a query", claims{"run_id": "1?x=1"}, ""},
		{"no repository", claims{"repository": nil}, ""},
		{"a long one", claims{"repository": strings.Repeat("a", 300)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := issuer{Issuer: Issuer{Preset: "github-actions", URL: "https://token.actions.githubusercontent.com"}}
			all := map[string]any{"repository": "acme/app", "run_id": "1001", "sha": "abc\n"}
			for name, value := range c.changes {
				all[name] = value
			}
			run := i.run(all)
			if run.URL != c.url || run.Commit != "" {
				t.Errorf("run %+v, want URL %q", run, c.url)
			}
		})
	}
}

func TestPresetsAreListed(t *testing.T) {
	want := []string{"auth0", "buildkite", "circleci", "dex", "entra", "github-actions", "gitlab", "google", "keycloak", "okta"}
	if got := Presets(); !slices.Equal(got, want) {
		t.Errorf("presets %q", got)
	}
}
