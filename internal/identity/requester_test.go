package identity

import (
	"strings"
	"testing"
)

// Two subjects never have one principal: not by an equal `sub` of two issuers, nor by a `sub` that
// is written as another's digest or with another's name before it.
func TestEachSubjectHasItsOwnPrincipal(t *testing.T) {
	long := "repo:acme/" + strings.Repeat("x", 300)
	seen := map[string]string{}
	ask := func(name, sub string) string {
		r, err := Subject{Name: name, Sub: sub}.Requester()
		if err != nil {
			t.Fatalf("%s %s: %v", name, sub, err)
		}
		if len(r.Sub) > 127 || !plainSub.MatchString(strings.Replace(r.Sub, "~", "", 1)) {
			t.Errorf("%s %s: %q is no google.subject", name, sub, r.Sub)
		}
		if other, ok := seen[r.Sub]; ok {
			t.Errorf("%s %s has the principal of %s: %s", name, sub, other, r.Sub)
		}
		seen[r.Sub] = name + " " + sub
		return r.Sub
	}
	if got := ask("github", "repo:acme/app:ref:refs/heads/main"); got != "github:repo:acme/app:ref:refs/heads/main" {
		t.Errorf("%s", got)
	}
	for _, name := range []string{"gitlab", "git", "a"} {
		ask(name, "repo:acme/app:ref:refs/heads/main")
	}
	ask("git", "hub:repo:acme/app:ref:refs/heads/main")
	ask("github", "repo:acme/app:ref:refs/heads/Main")
	digest := ask("github", long)
	ask("gitlab", long)
	ask("github", long+"y")
	ask("github", digest)
	ask("github", strings.TrimPrefix(digest, "github"))
	ask("github", digest[len("github~"):])
	for _, odd := range []string{"a b", "a%20b", "ä", "a\u0308", "a?b", "a#b", "a*", `a"b`, "a'b"} {
		ask("okta", odd)
	}
}

// What is told of a subject is what was verified, as text, and nothing of one run.
func TestRequesterClaims(t *testing.T) {
	r, err := Subject{Name: "github", Sub: "s", Groups: []string{"b", "a", "b"}, Claims: map[string]any{
		"repository": "acme/app", "repository_id": "4411", "project_id": float64(7), "run_id": "9", "email": "a@b.example", "jti": "x",
		"ref_protected": true, "environment": strings.Repeat("e", 600), "iss": "https://evil.example",
	}}.Requester()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"issuer": "github", "subject": "s", "repository": "acme/app", "repository_id": "4411",
		"project_id": "7", "run_id": "", "email": "", "jti": "", "environment": "", "iss": ""} {
		if r.Claims[name] != want {
			t.Errorf("claim %s is %q, want %q", name, r.Claims[name], want)
		}
	}
	if strings.Join(r.Groups, " ") != "a b" {
		t.Errorf("groups %q", r.Groups)
	}
	more, _ := Subject{Name: "github", Sub: "s", Groups: []string{"a", "b", "c"}}.Requester()
	if more.Digest() == r.Digest() {
		t.Error("other groups have the same digest (A58)")
	}
}

// A subject that many share has no principal, however it is told.
func TestSharedSubjects(t *testing.T) {
	for name, c := range map[string]struct {
		subject Subject
		shared  bool
	}{
		"a branch":             {Subject{Name: "github", Sub: "repo:o/r:ref:refs/heads/main"}, false},
		"a branch of the name": {Subject{Name: "github", Sub: "repo:o/r:ref:refs/heads/pull_request"}, false},
		"a push": {Subject{Name: "github", Sub: "repo:o/r:ref:refs/heads/main", Claims: map[string]any{"event_name": "push"}},
			false},
		"pull requests":               {Subject{Name: "github", Sub: "repo:o/r:pull_request"}, true},
		"pull requests of a template": {Subject{Name: "github", Sub: "repository_id:1:context:pull_request"}, true},
		"an environment of one": {Subject{Name: "github", Sub: "repo:o/r:environment:prod",
			Claims: map[string]any{"event_name": "pull_request"}}, true},
		"on the target": {Subject{Name: "github", Sub: "repo:o/r:ref:refs/heads/main",
			Claims: map[string]any{"event_name": "pull_request_target"}}, true},
		"a merge request": {Subject{Name: "gitlab", Sub: "project_path:g/p:ref_type:branch:ref:main",
			Claims: map[string]any{"pipeline_source": "merge_request_event"}}, true},
		"in other letters": {Subject{Name: "github", Sub: "repo:o/r:Pull_Request"}, true},
		"a Buildkite pipeline": {Subject{Name: "buildkite", Sub: "organization:acme:pipeline:app:ref:refs/heads/main",
			Claims: map[string]any{"pipeline_slug": "app"}}, false},
		"a Buildkite job that chose its queue": {Subject{Name: "buildkite", Sub: "0184990a-0000-4000-8000-000000000000",
			Claims: map[string]any{"pipeline_slug": "app"}}, true},
		"a CircleCI project": {Subject{Name: "circleci", Sub: "org/o/project/p/user/u",
			Claims: map[string]any{"oidc.circleci.com/project-id": "p"}}, true},
		"no issuer":              {Subject{Sub: "s"}, true},
		"nobody":                 {Subject{Name: "github"}, true},
		"an issuer with a colon": {Subject{Name: "a:b", Sub: "s"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := c.subject.Requester()
			if (err != nil) != c.shared || c.shared && r.Sub != "" {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}
