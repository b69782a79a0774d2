package identity

import (
	"net/url"
	"regexp"
	"strings"
)

// githubKind is a job of GitHub Actions.
var githubKind = kind{
	what: "a GitHub Actions job", marks: has("repository_id", "run_id"), workload: true,
	owner:  []string{"repository_id", "run_id", "run_attempt"},
	grant:  []string{"repository_id", "workflow_ref", "environment|ref"},
	budget: []string{"repository_id|repository"},
	people: []string{"actor"},
}

// githubActions is GitHub.com, with an enterprise's own issuer, ghe.com and GitHub Enterprise
// Server. https://docs.github.com/actions/reference/security/oidc has the claims, the issuers, what
// customisation makes of `sub`, and the form with ids that new repositories have since July 2026.
var githubActions = preset{
	urls: []string{
		"https://token.actions.githubusercontent.com", "https://token.actions.githubusercontent.com/{org}",
		"https://{host}/_services/token",
	},
	also:  regexp.MustCompile(`^https://token\.actions\.[a-z0-9-]+\.ghe\.com(/[A-Za-z0-9-]+)?$`),
	kinds: []kind{githubKind},
	claims: map[string]string{
		"repository": "repository", "ref": "ref", "workflow": "workflow_ref", "environment": "environment", "commit": "sha",
		"actor": "actor",
	},
	runURL: "/{repository}/actions/runs/{run_id}",
	web: func(u *url.URL) string {
		host := strings.TrimPrefix(u.Host, "token.actions.")
		switch {
		case u.Path == "/_services/token":
			return "https://" + u.Host
		case host == "githubusercontent.com":
			return "https://github.com"
		case strings.HasSuffix(host, ".ghe.com"):
			return "https://" + host
		}
		return ""
	},
	forbids: map[string]string{
		"email": noAddress, "preferred_username": noAddress, "upn": noAddress,
		"sub": "it is of a repository and a ref; name actor, and map it in people_map",
	},
	pitfalls: []Pitfall{
		{Name: "stranger", Workload: true, Claims: map[string]any{
			"repository": "somebody-else/app", "repository_id": "999000111", "repository_owner": "somebody-else",
			"repository_owner_id": "999000222", "enterprise": nil, "enterprise_id": nil,
			"sub":          "repo:somebody-else/app:ref:refs/heads/main",
			"workflow_ref": "somebody-else/app/.github/workflows/any.yml@refs/heads/main",
		}, Whose: "a repository of somebody else",
			Why:  "whoever has an account there can run such a job, and call a public reusable workflow of yours (job_workflow_ref)",
			Cure: `claims.repository_owner_id == "YOUR ORGANISATION'S ID"`},
		{Name: "names", Workload: true, Reads: []string{"sub", "repository", "repository_owner", "workflow_ref"},
			Unless: []string{"repository_id", "repository_owner_id", "enterprise_id"},
			Whose:  "whoever has your repository's name",
			Why: "names can be taken over after a rename or a deletion, and the form of sub is for each repository to choose, and for " +
				"its " +
				"organisation (customised, or with ids)",
			Cure: `claims.repository_id == "ID", or claims.repository_owner_id == "ID"`},
		{Name: "fork", Workload: true, Claims: map[string]any{
			"event_name": "pull_request_target", "ref": "refs/heads/main", "ref_type": "branch", "ref_protected": "true",
		}, Whose: "a pull request from a fork (event pull_request_target)",
			Why: "such a run has your repository's identity, the ref of its main branch, and may run what a stranger wrote",
			Cure: `claims.event_name != "pull_request_target", or better the events that are meant: claims.event_name in ` +
				`["push", "schedule", "workflow_dispatch"]`},
		{Name: "environment", Workload: true, Reads: []string{"environment"}, Claims: map[string]any{
			"ref": "refs/heads/any-branch", "ref_type": "branch", "ref_protected": "false",
		}, Whose: "a run of any branch that names the environment",
			Why: "an environment without deployment branches and reviewers is for everybody who can push, and GitHub makes it where " +
				"it is not there; no claim says that it is protected",
			Cure: `protect it, and ask for claims.ref too, or claims.ref_protected == "true"`},
	},
}

const noAddress = "GitHub sends no address; name actor, and map it in people_map"

// gitlabKind is a job of GitLab CI.
var gitlabKind = kind{
	what: "a GitLab CI job", marks: has("project_id", "pipeline_id"), workload: true,
	owner:  []string{"project_id", "pipeline_id"},
	grant:  []string{"project_id", "ci_config_ref_uri", "environment|ref_path|ref"},
	budget: []string{"project_id"},
	people: []string{"user_email|user_login"},
}

// gitlab is GitLab.com and GitLab of one's own. Jobs:
// https://docs.gitlab.com/ci/secrets/id_token_authentication/; people have tokens of the same
// issuer: https://docs.gitlab.com/integration/openid_connect_provider/.
var gitlab = preset{
	urls:       []string{"https://gitlab.com", "https://{host}"},
	also:       regexp.MustCompile(`^https://[^/?#]+(/[^/?#]+)*$`),
	kinds:      []kind{gitlabKind},
	alsoPeople: true,
	claims: map[string]string{
		"email": "user_email|email", "groups": "groups_direct|groups", "repository": "project_path", "ref": "ref_path|ref",
		"workflow": "ci_config_ref_uri", "environment": "environment", "commit": "sha", "actor": "user_login|preferred_username",
	},
	runURL: "/{project_path}/-/jobs/{job_id}",
	web:    func(u *url.URL) string { return "https://" + u.Host + u.Path },
	pitfalls: []Pitfall{
		{Name: "stranger", Workload: true, Claims: map[string]any{
			"project_id": "99900011", "project_path": "somebody-else/app", "namespace_id": "99900022", "namespace_path": "somebody-else",
			"sub":               "project_path:somebody-else/app:ref_type:branch:ref:main",
			"ci_config_ref_uri": "gitlab.com/somebody-else/app//.gitlab-ci.yml@refs/heads/main",
		}, Whose: "a project of somebody else", Why: "whoever has an account there can run such a job",
			Cure: `claims.project_id == "ID", or claims.namespace_id == "ID"`},
		{Name: "names", Workload: true, Reads: []string{"sub", "project_path", "namespace_path", "ci_config_ref_uri"},
			Unless: []string{"project_id", "namespace_id"},
			Whose:  "whoever has your project's path",
			Why:    "paths can be taken over after a rename or a deletion, and the form of sub is for each project to choose",
			Cure:   `claims.project_id == "ID", or claims.namespace_id == "ID"`},
		{Name: "fork", Workload: true, Claims: map[string]any{
			"pipeline_source": "merge_request_event", "ref_protected": "false", "environment_protected": "false",
		}, Whose: "a merge request's pipeline, from a fork too",
			Why:  "a member who starts it in the parent project runs what a stranger wrote, with the parent's identity",
			Cure: `claims.ref_protected == "true", or claims.pipeline_source in ["push", "schedule", "web"]`},
		{Name: "environment", Workload: true, Reads: []string{"environment"}, Claims: map[string]any{
			"environment_protected": "false", "ref_protected": "false",
		}, Whose: "a job that names an environment that nobody protects",
			Why: "whoever can push can name it", Cure: `claims.environment_protected == "true"`},
		{Name: "people", Claims: map[string]any{
			"project_id": nil, "project_path": nil, "namespace_id": nil, "namespace_path": nil, "pipeline_id": nil, "pipeline_source": nil,
			"job_id": nil, "ref": nil, "ref_path": nil, "ref_type": nil, "ref_protected": nil, "environment": nil, "user_login": nil,
			"user_email": nil, "user_id": nil, "ci_config_ref_uri": nil, "runner_id": nil,
		}, Unless: []string{"pipeline_id", "project_id", "subject.workload"}, Whose: "a person, and of a job as well",
			Why:  "GitLab signs people's tokens under the same issuer, and with_people lets them in",
			Cure: `subject.workload, or !subject.workload`},
	},
}

// buildkite is Buildkite. https://buildkite.com/docs/pipelines/security/oidc has the claims;
// `buildkite-agent oidc request-token` lets the job choose the claim that is its sub.
var buildkite = preset{
	urls: []string{"https://agent.buildkite.com"},
	kinds: []kind{{
		what: "a Buildkite job", marks: has("organization_slug", "pipeline_slug", "job_id"), workload: true,
		owner:  []string{"organization_slug", "pipeline_slug", "job_id"},
		grant:  []string{"organization_slug", "pipeline_slug", "step_key|pipeline_slug", "build_tag|build_branch"},
		budget: []string{"organization_slug", "pipeline_slug"},
	}},
	claims: map[string]string{
		"repository": "pipeline_slug", "ref": "build_tag|build_branch", "workflow": "step_key", "commit": "build_commit",
	},
	runURL: "/{organization_slug}/{pipeline_slug}/builds/{build_number}",
	web:    func(*url.URL) string { return "https://buildkite.com" },
	forbids: map[string]string{
		"email": "Buildkite's tokens name nobody; leave people out, and each request needs two approvals",
		"sub":   "it is of a pipeline; leave people out, and each request needs two approvals",
	},
	pitfalls: []Pitfall{
		{Name: "stranger", Workload: true, Claims: map[string]any{
			"organization_slug": "somebody-else", "organization_id": "0184990a-0000-4000-8000-000000000000",
			"pipeline_id": "0184990a-0000-4000-8000-000000000001",
			"sub": "organization:somebody-else:pipeline:app:ref:refs/heads/main:commit:0000000000000000000000000000000000000000:" +
				"step:",
		}, Whose: "a pipeline of somebody else", Why: "all organisations have one issuer, and slugs of pipelines repeat among them",
			Cure: `claims.organization_slug == "YOURS" && claims.pipeline_slug == "…"`},
		{Name: "sub", Workload: true, Reads: []string{"sub"}, Unless: []string{"organization_slug", "organization_id"},
			Whose: "a job that chose its own sub",
			Why:   "request-token --subject-claim puts another claim there, and the default one changes with commit and step",
			Cure:  `claims.organization_slug == "YOURS" && claims.pipeline_slug == "…"`},
	},
}

// circleci is CircleCI, whose organisations have an issuer each. The claims:
// https://circleci.com/docs/openid-connect-tokens/. That page names no claim of the run, though
// tokens have some (job-id, workflow-id, pipeline-id). Where they have none a token is the run: a
// job that fetches a second one does not see the jobs of the first.
var circleci = preset{
	urls: []string{"https://oidc.circleci.com/org/{org}"}, ids: true,
	also: regexp.MustCompile(`^https://[^/?#]+/org/` + uuidShape + `$`), // CircleCI server
	kinds: []kind{{
		what: "a CircleCI job", marks: has(circle + "project-id"), workload: true,
		owner:  []string{circle + "project-id", circle + "job-id|" + circle + "workflow-id|" + circle + "pipeline-id|jti|iat"},
		grant:  []string{circle + "project-id", circle + "vcs-origin", circle + "vcs-ref"},
		budget: []string{circle + "project-id"},
	}},
	claims: map[string]string{"repository": circle + "vcs-origin|" + circle + "project-id", "ref": circle + "vcs-ref"},
	forbids: map[string]string{
		"email": "CircleCI's tokens name nobody; leave people out, and each request needs two approvals",
		"sub":   "it is of a project and an account's id; leave people out, and each request needs two approvals",
	},
	pitfalls: []Pitfall{
		{Name: "stranger", Workload: true, Claims: map[string]any{
			circle + "project-id": "99900011-0000-4000-8000-000000000000", circle + "vcs-origin": "github.com/somebody-else/app",
			"sub": "org/99900000-0000-4000-8000-000000000000/project/99900011-0000-4000-8000-000000000000/user/" +
				"99900022-0000-4000-8000-000000000000",
		}, Whose: "any project of the organisation", Why: "the issuer is the organisation's, and whoever may add a project has its tokens",
			Cure: `claims["` + circle + `project-id"] == "ID"`},
		{Name: "fork", Workload: true, Reads: []string{circle + "project-id", "sub"}, Claims: map[string]any{
			circle + "vcs-origin": "github.com/somebody-else/app",
		}, Whose: "a pull request from a fork",
			Why:  "where a project passes secrets to builds of forks, these have tokens of the project",
			Cure: `claims["` + circle + `vcs-origin"] == "github.com/ACME/APP"`},
		{Name: "ssh", Workload: true, Claims: map[string]any{circle + "ssh-rerun": true}, Whose: "a job that was started again with SSH",
			Why:  "whoever did so has a shell in it, and its token",
			Cure: `claims["` + circle + `ssh-rerun"] == false`},
	},
}

// circle begins the names of CircleCI's own claims.
const circle = "oidc.circleci.com/"
