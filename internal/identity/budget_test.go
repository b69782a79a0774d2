package identity

import (
	"strings"
	"testing"
)

// A52: whatever of a token its bearer can vary from run to run, the budget is the same; and another
// repository, project or person has another one.
func TestBudgets(t *testing.T) {
	person := claims{"sub": "00u1", "email": "alice@corp.example", "email_verified": true}
	own := Issuer{Workload: true, Owner: []string{"build"}, Grant: []string{"ref"}, Budget: []string{"pipeline"}}
	unsaid := Issuer{Workload: true, Owner: []string{"build"}, Grant: []string{"ref"}}
	build := func(changes claims) claims {
		all := claims{"sub": "org:acme:ref:main", "email": nil, "build": "1", "ref": "main", "pipeline": "app"}
		for name, value := range changes {
			all[name] = value
		}
		return all
	}
	for _, c := range []struct {
		name   string
		issuer Issuer
		a, b   claims
		shared bool
	}{
		{"GitHub: another run", Issuer{}, githubRun(nil), githubRun(claims{"run_id": "1002", "run_number": "9"}), true},
		{"GitHub: another attempt", Issuer{}, githubRun(nil), githubRun(claims{"run_attempt": "2"}), true},
		{"GitHub: another ref, and the sub with it", Issuer{}, githubRun(nil),
			githubRun(claims{"ref": "refs/heads/x", "sub": "repo:acme/app:ref:refs/heads/x"}), true},
		{"GitHub: an environment, and the sub with it", Issuer{}, githubRun(nil),
			githubRun(claims{"environment": "prod", "sub": "repo:acme/app:environment:prod"}), true},
		{"GitHub: another workflow and job of a matrix", Issuer{}, githubRun(nil),
			githubRun(claims{"workflow_ref": "acme/app/.github/workflows/b.yml@refs/heads/main", "job_workflow_ref": "x",
				"check_run_id": "7"}),
			true},
		{"GitHub: another actor", Issuer{}, githubRun(nil), githubRun(claims{"actor": "bob-gh", "actor_id": "13"}), true},
		{"GitHub: renamed", Issuer{}, githubRun(nil),
			githubRun(claims{"repository": "acme/app2", "sub": "repo:acme/app2:ref:refs/heads/main"}),
			true},
		{"GitHub: another repository", Issuer{}, githubRun(nil), githubRun(claims{"repository_id": "75"}), false},
		{"GitHub: other owner claims", Issuer{Owner: []string{"run_id"}, Grant: []string{"ref"}}, githubRun(nil),
			githubRun(claims{"run_id": "2", "ref": "refs/heads/x"}), true},
		{"GitLab: another pipeline, job and ref", Issuer{}, gitlabJob(nil),
			gitlabJob(claims{"pipeline_id": "9", "job_id": "9", "ref": "x", "ref_path": "refs/heads/x",
				"sub": "project_path:acme/app:ref:x"}), true},
		{"GitLab: another user", Issuer{}, gitlabJob(nil), gitlabJob(claims{"user_login": "bob", "user_email": "bob@corp.example"}), true},
		{"GitLab: another project", Issuer{}, gitlabJob(nil), gitlabJob(claims{"project_id": "23"}), false},
		{"a workload with a claim of its own: another build", own, build(nil), build(claims{"build": "2", "ref": "x", "sub": "y"}), true},
		{"a workload with a claim of its own: another pipeline", own, build(nil), build(claims{"pipeline": "b"}), false},
		{"a workload with a claim of its own: all that lack it", own, build(claims{"pipeline": nil}),
			build(claims{"pipeline": nil, "sub": "y", "build": "2"}), true},
		{"a workload with a claim of its own: with it and without", own, build(nil), build(claims{"pipeline": nil}), false},
		{"a workload of which nothing is said: all share one", unsaid,
			build(nil), build(claims{"pipeline": "b", "sub": "y", "build": "2"}), true},
		{"a person: another token", Issuer{}, person,
			claims{"sub": "00u1", "email": "alice@corp.example", "email_verified": true, "jti": "2"},
			true},
		{"a person: two accounts of one address", Issuer{}, person,
			claims{"sub": "00u2", "email": "alice@corp.example", "email_verified": true}, true},
		{"a person: a tag in the address", Issuer{EmailsVerified: true}, claims{"sub": "alice+1@corp.example", "email": nil},
			claims{"sub": "alice+2@corp.example", "email": nil}, true},
		{"a person: somebody else", Issuer{}, person, claims{"sub": "00u3", "email": "bob@corp.example", "email_verified": true}, false},
		{"a person nobody knows: a name of their own choice", Issuer{}, claims{"sub": "00u1", "email": nil, "preferred_username": "a"},
			claims{"sub": "00u1", "email": nil, "preferred_username": "b"}, true},
		{"a person nobody knows: somebody else", Issuer{}, claims{"sub": "00u1", "email": nil}, claims{"sub": "00u2", "email": nil}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := subjectOf(t, c.issuer, c.a)
			if err != nil {
				t.Fatal(err)
			}
			b, err := subjectOf(t, c.issuer, c.b)
			if err != nil {
				t.Fatal(err)
			}
			if (a.Budget == b.Budget) != c.shared || !strings.HasPrefix(a.Budget, "https://ci.example#") {
				t.Errorf("budgets %s and %s, want shared: %v", a.Budget, b.Budget, c.shared)
			}
		})
	}
}

// A budget by a claim of the run is a mistake of the configuration.
func TestBudgetOfARun(t *testing.T) {
	for _, entry := range []string{"run_id", "repository_id|ref", "jti", "sha"} {
		i := Issuer{Name: "ci", URL: "https://ci.example", Budget: []string{entry}}
		err := Config{Issuers: []Issuer{i}}.Validate()
		if err == nil || !strings.Contains(err.Error(), "budget: ") || !strings.Contains(err.Error(), "changes with each run") {
			t.Errorf("%s: %v", entry, err)
		}
	}
}
