package identity

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// githubRun are the claims of a GitHub Actions job.
func githubRun(changes claims) claims {
	all := claims{
		"sub": "repo:acme/app:ref:refs/heads/main", "email": nil,
		"repository": "acme/app", "repository_id": "74", "repository_owner_id": "4411", "run_id": "1001", "run_attempt": "1",
		"workflow_ref": "acme/app/.github/workflows/ci.yml@refs/heads/main", "ref": "refs/heads/main", "actor": "alice-gh",
		"actor_id": "12",
	}
	for name, value := range changes {
		all[name] = value
	}
	return all
}

// gitlabJob are the claims of a GitLab job.
func gitlabJob(changes claims) claims {
	all := claims{
		"sub": "project_path:acme/app:ref_type:branch:ref:main", "email": nil,
		"project_id": "22", "pipeline_id": "1212", "job_id": "1", "ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main",
		"ci_config_ref_uri": "gitlab.example/acme/app//.gitlab-ci.yml@refs/heads/main", "user_login": "alice",
		"user_email": "alice@corp.example",
	}
	for name, value := range changes {
		all[name] = value
	}
	return all
}

func subjectOf(t testing.TB, issuer Issuer, changes claims) (Subject, error) {
	t.Helper()
	c, signer := newClock(), newIssuer(t)
	if issuer.Name == "" {
		issuer.Name = "ci"
	}
	issuer.URL, issuer.JWKS = "https://ci.example", signer.URL+"/keys"
	if issuer.Preset != "" {
		issuer.URL = "http://127.0.0.1" // a stand-in
	}
	changed := claims{"iss": issuer.URL}
	for name, value := range changes {
		changed[name] = value
	}
	return newTestVerifier(t, c, issuer).Verify(context.Background(), signer.mint(c.now(), changed), "bqgate")
}

func TestKeysTellRunsApart(t *testing.T) {
	// Two tokens share a key only where the list says so.
	tests := []struct {
		name         string
		a, b         claims
		owner, grant bool // shared
	}{
		{"the same run", githubRun(nil), githubRun(nil), true, true},
		{"another run", githubRun(nil), githubRun(claims{"run_id": "1002"}), false, true},
		{"another attempt", githubRun(nil), githubRun(claims{"run_attempt": "2"}), false, true},
		{"another workflow", githubRun(nil), githubRun(claims{"workflow_ref": "acme/app/.github/workflows/evil.yml@refs/heads/main"}), true,
			false},
		{"two pull requests of one repository share sub",
			githubRun(claims{"sub": "repo:acme/app:pull_request", "run_id": "1", "ref": "refs/pull/1/merge"}),
			githubRun(claims{"sub": "repo:acme/app:pull_request", "run_id": "2", "ref": "refs/pull/2/merge"}), false, false},
		{"an environment named like the branch", githubRun(nil), githubRun(claims{"environment": "refs/heads/main"}), true, false},
		{"a repository of another id", githubRun(nil), githubRun(claims{"repository_id": "75"}), false, false},
		{"values that run into each other", githubRun(claims{"repository_id": "7", "run_id": "4&run_id=1"}),
			githubRun(claims{"repository_id": "7&run_id=4", "run_id": "1"}), false, false},
		{"another GitLab pipeline", gitlabJob(nil), gitlabJob(claims{"pipeline_id": "1213"}), false, true},
		{"two jobs of one GitLab pipeline", gitlabJob(nil), gitlabJob(claims{"job_id": "2"}), true, true},
		{"a tag named like the branch", gitlabJob(nil), gitlabJob(claims{"ref_type": "tag", "ref_path": "refs/tags/main"}), true, false},
		{"two people", claims{"sub": "alice"}, claims{"sub": "bob"}, false, false},
		{"a person twice", claims{"sub": "alice", "jti": "1"}, claims{"sub": "alice", "jti": "2"}, true, true},
		{"sub in another case", claims{"sub": "alice"}, claims{"sub": "Alice"}, false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, err := subjectOf(t, Issuer{}, test.a)
			if err != nil {
				t.Fatal(err)
			}
			b, err := subjectOf(t, Issuer{}, test.b)
			if err != nil {
				t.Fatal(err)
			}
			if (a.Owner == b.Owner) != test.owner {
				t.Errorf("owners %s and %s", a.Owner, b.Owner)
			}
			if (a.Grant == b.Grant) != test.grant {
				t.Errorf("grants %s and %s", a.Grant, b.Grant)
			}
			if !strings.HasPrefix(a.Owner, "https://ci.example#sub=") {
				t.Errorf("owner %s lacks the issuer or the subject", a.Owner)
			}
		})
	}
}

func TestWorkloads(t *testing.T) {
	for _, run := range []claims{githubRun(nil), gitlabJob(nil)} {
		subject, err := subjectOf(t, Issuer{Workload: false}, run)
		if err != nil || !subject.Workload {
			t.Errorf("a pipeline's token is not a workload's: %+v, %v", subject, err)
		}
	}
	if subject, err := subjectOf(t, Issuer{}, nil); err != nil || subject.Workload {
		t.Errorf("a person is a workload: %+v, %v", subject, err)
	}
	refused := []struct {
		name   string
		issuer Issuer
		claims claims
	}{
		{"unknown kind of workload", Issuer{Workload: true}, nil},
		{"no run attempt", Issuer{}, githubRun(claims{"run_attempt": nil})},
		{"neither ref nor environment", Issuer{}, githubRun(claims{"ref": nil})},
		{"a claim that is a list", Issuer{}, githubRun(claims{"run_attempt": []string{"1"}})},
		{"a configured claim is missing", Issuer{Workload: true, Owner: []string{"pod"}, Grant: []string{"sub"}}, nil},
	}
	for _, test := range refused {
		t.Run(test.name, func(t *testing.T) {
			_, err := subjectOf(t, test.issuer, test.claims)
			wantCode(t, err, CodeClaims, 403, "")
		})
	}
	subject, err := subjectOf(t, Issuer{Workload: true, Owner: []string{"kubernetes.io/pod|sub"}, Grant: []string{"sub"}},
		claims{"kubernetes.io/pod": 12345678901234567})
	if err != nil || subject.Owner != "https://ci.example#sub=alice&kubernetes.io%2Fpod=12345678901234567" {
		t.Errorf("configured keys: %+v, %v", subject, err)
	}
}

func TestPeople(t *testing.T) {
	byMap := map[string]string{"Alice-GH": "Alice@corp.example", "00u1": "alice@corp.example"}
	tests := []struct {
		name   string
		issuer Issuer
		claims claims
		people []string
		mapped bool
	}{
		{"actor unmapped", Issuer{}, githubRun(nil), []string{"alice-gh"}, false},
		{"actor mapped", Issuer{PeopleMap: byMap}, githubRun(nil), []string{"alice-gh", "alice@corp.example"}, true},
		{"actor in another case", Issuer{PeopleMap: byMap}, githubRun(claims{"actor": "ALICE-gh"}),
			[]string{"alice-gh", "alice@corp.example"}, true},
		{"no actor", Issuer{PeopleMap: byMap}, githubRun(claims{"actor": nil}), nil, false},
		{"two humans, one unmapped", Issuer{PeopleMap: byMap, People: []string{"actor", "pusher"}}, githubRun(claims{"pusher": "mallory"}),
			[]string{"alice-gh", "alice@corp.example", "mallory"}, false},
		{"authors as a list, one unmapped", Issuer{PeopleMap: byMap, People: []string{"authors"}},
			githubRun(claims{"authors": []string{"alice-gh", "mallory"}}), []string{"alice-gh", "alice@corp.example", "mallory"}, false},
		{"a second human is missing", Issuer{PeopleMap: byMap, People: []string{"actor", "pusher"}}, githubRun(nil),
			[]string{"alice-gh", "alice@corp.example"}, false},
		{"GitLab, private address", Issuer{PeopleDomains: []string{"corp.example"}}, gitlabJob(claims{"user_email": "alice@gmail.example"}),
			[]string{"alice", "alice@gmail.example"}, false},
		{"GitLab, no domain configured", Issuer{}, gitlabJob(nil), []string{"alice", "alice@corp.example"}, false},
		{"GitLab, corporate address", Issuer{PeopleDomains: []string{"Corp.example"}}, gitlabJob(nil),
			[]string{"alice", "alice@corp.example"}, true},
		{"GitLab, domain as a prefix", Issuer{PeopleDomains: []string{"corp.example"}},
			gitlabJob(claims{"user_email": "alice@corp.example.evil"}), []string{"alice", "alice@corp.example.evil"}, false},
		{"GitLab, tagged address", Issuer{PeopleDomains: []string{"corp.example"}},
			gitlabJob(claims{"user_email": "Alice+ci@corp.example"}), []string{"alice", "alice+ci@corp.example", "alice@corp.example"},
			true},
		{"GitLab, address that it has not verified", Issuer{PeopleDomains: []string{"corp.example"}},
			gitlabJob(claims{"email_verified": false}), []string{"alice", "alice@corp.example"}, false},
		{"GitHub, an app", Issuer{}, githubRun(claims{"actor": "dependabot[bot]"}), []string{"dependabot[bot]"}, false},

		// A61: who is unknown.
		{"a person with a verified address", Issuer{}, claims{"sub": "00U2", "preferred_username": "alice", "email_verified": true},
			[]string{"00u2", "alice", "alice@corp.example"}, true},
		{"verified as text", Issuer{}, claims{"email_verified": "true"}, []string{"alice", "alice@corp.example"}, true},
		{"nothing said of the address", Issuer{}, nil, []string{"alice", "alice@corp.example"}, false},
		{"the operator says that all are verified", Issuer{EmailsVerified: true}, nil, []string{"alice", "alice@corp.example"}, true},
		{"an address that is not verified", Issuer{}, claims{"email_verified": false}, []string{"alice", "alice@corp.example"}, false},
		{"not verified, whatever the operator says of all", Issuer{EmailsVerified: true}, claims{"email_verified": false},
			[]string{"alice", "alice@corp.example"}, false},
		{"not verified, as text", Issuer{EmailsVerified: true}, claims{"email_verified": "false"}, []string{"alice", "alice@corp.example"},
			false},
		{"verified is null", Issuer{EmailsVerified: true}, claims{"email_verified": json.RawMessage("null")},
			[]string{"alice", "alice@corp.example"}, false},
		{"verified is a number", Issuer{EmailsVerified: true}, claims{"email_verified": 1}, []string{"alice", "alice@corp.example"}, false},
		{"not verified, and in the map", Issuer{PeopleMap: map[string]string{"x@mail.example": "alice@corp.example"}},
			claims{"sub": "7", "email": "x@mail.example", "email_verified": false},
			[]string{"7", "alice@corp.example", "x@mail.example"}, false},
		{"in the map, and nobody says that it is verified", Issuer{PeopleMap: map[string]string{"x@mail.example": "alice@corp.example"}},
			claims{"sub": "7", "email": "x@mail.example"}, []string{"7", "alice@corp.example", "x@mail.example"}, false},
		{"in the map, and verified", Issuer{PeopleMap: map[string]string{"x@mail.example": "alice@corp.example"}},
			claims{"sub": "7", "email": "x@mail.example", "email_verified": true}, []string{"7", "alice@corp.example", "x@mail.example"},
			true},
		{"not verified, beside a sub that is an address", Issuer{}, claims{"sub": "alice@corp.example", "email_verified": false},
			[]string{"alice@corp.example"}, false},
		{"a sub that is an address", Issuer{}, claims{"sub": "Alice@corp.example", "email": nil}, []string{"alice@corp.example"}, true},
		{"an opaque sub", Issuer{}, claims{"email": nil}, []string{"alice"}, false},
		{"a pairwise sub", Issuer{}, claims{"sub": "8f3c0a1e-5b7d-4a52-9c1e-0d5b7f2a9c11", "email": nil},
			[]string{"8f3c0a1e-5b7d-4a52-9c1e-0d5b7f2a9c11"}, false},
		{"a sub of several parts", Issuer{}, claims{"sub": "samlp|acme|lead@corp.example", "email": nil},
			[]string{"samlp|acme|lead@corp.example"}, false},
		{"a name that everybody chooses", Issuer{}, claims{"sub": "7", "email": nil, "preferred_username": "lead@corp.example"},
			[]string{"7", "lead@corp.example"}, false},
		{"a chosen name of the map", Issuer{PeopleMap: byMap}, claims{"sub": "7", "email": nil, "preferred_username": "alice-gh"},
			[]string{"7", "alice-gh", "alice@corp.example"}, false},
		{"the operator trusts the chosen name", Issuer{People: []string{"preferred_username"}},
			claims{"sub": "7", "email": nil, "preferred_username": "lead@corp.example"}, []string{"7", "lead@corp.example"}, true},
		{"a list of addresses", Issuer{}, claims{"sub": "7", "email": []string{"a@corp.example", "b@corp.example"}, "email_verified": true},
			[]string{"7", "a@corp.example", "b@corp.example"}, true},
		{"known by the map", Issuer{PeopleMap: byMap}, claims{"sub": "00u1", "email": nil}, []string{"00u1", "alice@corp.example"}, true},
		{"a sub of the map in another case is another account", Issuer{PeopleMap: byMap}, claims{"sub": "00U1", "email": nil},
			[]string{"00u1"}, false},
		{"other claims configured", Issuer{People: []string{"upn"}}, claims{"upn": "a.smith", "email_verified": true},
			[]string{"a.smith", "alice", "alice@corp.example"}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			subject, err := subjectOf(t, test.issuer, test.claims)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(subject.People, test.people) || subject.Mapped != test.mapped {
				t.Fatalf("people %q, mapped %t; want %q, %t", subject.People, subject.Mapped, test.people, test.mapped)
			}
			if known := len(subject.Known) > 0; !subject.Workload && known != test.mapped {
				t.Errorf("known as %q, mapped %t", subject.Known, subject.Mapped)
			}
			for _, name := range []string{"lead@corp.example", "alice-gh"} { // names of their own choice
				chosen := subject.Claims["preferred_username"] == name && len(test.issuer.People) == 0
				if chosen && (slices.Contains(subject.Known, name) || subject.Person == name) {
					t.Errorf("known as %q, shown as %q", subject.Known, subject.Person)
				}
			}
		})
	}
}

// TestOnePersonTwoSpellings is A7 as a property: whoever is behind a mapped workload is recognised
// as the reviewer, however the login and the address are spelt.
func TestOnePersonTwoSpellings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-zA-Z][a-zA-Z0-9-]{0,12}`)
		login, local := name.Draw(t, "login"), name.Draw(t, "local")
		email := local + "@corp.example"
		respell := func(s string) string {
			switch rapid.IntRange(0, 2).Draw(t, "spelling") {
			case 0:
				return strings.ToUpper(s)
			case 1:
				return strings.ToLower(s)
			default:
				return s
			}
		}
		people, _, wrong := Issuer{PeopleMap: map[string]string{login: email}}.people()
		if len(wrong) > 0 {
			t.Fatal(wrong)
		}
		ci, okta := &issuer{people: people}, &issuer{}
		behind, refused := ci.peopleOf(&token{claims: map[string]any{"actor": respell(login)}}, []string{"actor"}, true)
		if refused != nil || !behind.mapped || behind.person != strings.ToLower(email) {
			t.Fatalf("%q is not known as %q: %v", login, email, refused)
		}
		reviewer, refused := okta.peopleOf(&token{claims: map[string]any{"sub": "00u1", "email": respell(email)}}, person.people, false)
		if refused != nil {
			t.Fatal(refused)
		}
		if !slices.ContainsFunc(behind.people, func(p string) bool { return slices.Contains(reviewer.people, p) }) {
			t.Fatalf("%q and %q are one person", behind.people, reviewer.people)
		}
		if !slices.IsSorted(behind.people) || len(slices.Compact(slices.Clone(behind.people))) != len(behind.people) {
			t.Fatalf("people %q are not sorted and unique", behind.people)
		}
	})
}

func TestClaims(t *testing.T) {
	subject, err := subjectOf(t, Issuer{}, claims{
		"groups": []string{"a", "b"}, "level": 3, "big": json.Number("9007199254740993"), "half": 1.5, "nested": claims{"n": []any{1, "x"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(subject.Groups, []string{"a", "b"}) {
		t.Errorf("groups %q", subject.Groups)
	}
	for name, want := range map[string]any{"level": 3.0, "big": "9007199254740993", "half": 1.5,
		"nested": map[string]any{"n": []any{1.0, "x"}}} {
		t.Run(name, func(t *testing.T) {
			if got := subject.Claims[name]; !reflect.DeepEqual(got, want) {
				t.Errorf("claim %s = %#v, want %#v", name, got, want)
			}
		})
	}
	// A session gives the same claims as the token: its record goes through JSON.
	text, err := json.Marshal(subject)
	if err != nil {
		t.Fatal(err)
	}
	var back Subject
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(subject, back) {
		t.Errorf("subject changed on its way through JSON:\n%+v\n%+v", subject, back)
	}
	if single, err := subjectOf(t, Issuer{}, claims{"groups": "a"}); err != nil || !slices.Equal(single.Groups, []string{"a"}) {
		t.Errorf("one group as a string: %q, %v", single.Groups, err)
	}
	if odd, err := subjectOf(t, Issuer{}, claims{"groups": []any{"a", 1}}); err != nil || len(odd.Groups) != 0 {
		t.Errorf("groups that are no names: %q, %v", odd.Groups, err)
	}
	if subject.Expiry.Before(time.Now()) {
		t.Errorf("expiry %s", subject.Expiry)
	}
}
