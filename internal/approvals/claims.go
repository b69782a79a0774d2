package approvals

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// shownClaims are the claims of tokens of GitHub Actions, GitLab, Buildkite and CircleCI that tell
// a reviewer where a request comes from. Others may hold what is not the reviewers' business.
var shownClaims = []string{
	"repository", "repository_id", "repository_owner", "ref", "sha", "head_ref", "base_ref", "workflow", "workflow_ref", "job_workflow_ref",
	"environment",
	"event_name", "run_id", "run_number", "run_attempt", "actor", "actor_id",
	"project_path", "project_id", "namespace_path", "pipeline_id", "pipeline_source", "job_id", "ref_path", "user_login", "user_email",
	"organization_slug", "pipeline_slug", "build_number", "build_branch", "build_tag", "build_commit", "build_source", "step_key",
	"oidc.circleci.com/project-id", "oidc.circleci.com/vcs-origin", "oidc.circleci.com/vcs-ref",
	"email", "name",
}

const maxClaim = 256 // bytes of a claim that are shown

func summary(claims map[string]any) map[string]string {
	out := map[string]string{}
	for _, name := range shownClaims {
		var text string
		switch v := claims[name].(type) {
		case string:
			text = v
		case json.Number:
			text = v.String()
		case float64:
			text = strconv.FormatFloat(v, 'f', -1, 64)
		case bool:
			text = strconv.FormatBool(v)
		}
		if text != "" {
			out[name] = clip(text, maxClaim)
		}
	}
	return out
}

func clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit] + "…"
}
