package policies

import (
	"slices"
	"strings"
)

// inEveryToken are claims that a condition need not ask for first: those without which no token is
// taken, and those that every job's token has at GitHub Actions
// (https://docs.github.com/actions/reference/openid-connect-reference) and at GitLab
// (https://docs.gitlab.com/ci/secrets/id_token_authentication/).
var inEveryToken = []string{
	"iss", "sub", "aud", "exp", "iat",
	"repository", "repository_id", "repository_owner", "repository_owner_id", "repository_visibility",
	"workflow", "workflow_ref", "workflow_sha", "job_workflow_ref", "ref", "ref_type", "sha", "event_name",
	"run_id", "run_number", "run_attempt", "runner_environment", "actor", "actor_id",
	"project_id", "project_path", "namespace_id", "namespace_path", "pipeline_id", "pipeline_source",
	"job_id", "user_id", "user_login", "user_email", "ref_path", "ref_protected",
}

// undecided: groups that restrict, and whose condition a token of another group may leave without
// an answer. Who is in the other group is then held to the restrictions of this one, which is safe
// and may not be meant.
func (l *linter) undecided() {
	for i := range l.set.groups {
		g := &l.set.groups[i]
		var claims []string
		for _, name := range g.when.unsure {
			others := slices.ContainsFunc(l.set.groups, func(other group) bool {
				return other.issuer == g.issuer && !slices.Contains(other.when.unsure, name) && l.meets(g.name, other.name)
			})
			if others {
				claims = append(claims, "claims."+name)
			}
		}
		if len(claims) == 0 {
			continue
		}
		first := strings.TrimPrefix(claims[0], "claims.")
		l.find(g.ref, "the condition of group %s looks at %s without asking first: a token that lacks it, "+
			"or has it as another type, is held to what restricts the group (%s) and gets nothing that the group gives; say what such a "+
			"token is: has(claims.%s) && …, or !has(claims.%s) || …",
			g.name, strings.Join(claims, ", "), strings.Join(l.restrictions(g.name), ", "), first, first)
	}
}

// restrictions are what membership in a group forbids or makes wait: approvals that name it, and
// rules of it with limits.
func (l *linter) restrictions(name string) []string {
	var all []string
	for _, a := range l.set.approvals {
		if slices.Contains(a.groups, name) {
			all = append(all, "approval "+a.ref.Name)
		}
	}
	for _, r := range l.set.rules {
		if slices.Contains(r.groups, name) && r.limits() {
			all = append(all, "limits of rule "+r.ref.Name)
		}
	}
	return all
}

func (r *rule) limits() bool {
	return r.maxBytes > 0 || r.maxRows > 0 || r.maxResultBytes > 0 || r.session > 0
}

// meets says whether a restriction of one group can be felt by somebody who reads by the rules of
// another.
func (l *linter) meets(restricting, reading string) bool {
	all := l.set.rulesOf([]string{reading})
	if len(all) == 0 || restricting == reading {
		return false
	}
	own := slices.DeleteFunc(slices.Clone(all), func(r *rule) bool { return slices.Contains(r.groups, restricting) })
	if slices.ContainsFunc(l.set.approvals, func(a approval) bool {
		return slices.Contains(a.groups, restricting) && !slices.Contains(a.groups, reading)
	}) {
		return true
	}
	return slices.ContainsFunc(l.set.rulesOf([]string{restricting}), func(r *rule) bool {
		return r.limits() && slices.ContainsFunc(own, func(o *rule) bool {
			return slices.ContainsFunc(r.read, func(p pattern) bool {
				return slices.ContainsFunc(o.read, func(q pattern) bool { return overlap(p, q) })
			})
		})
	})
}
