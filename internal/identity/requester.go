package identity

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Requester is a subject as a workload identity pool of Google's gets to know it: what the gateway,
// which is the pool's issuer, signs of it. The zero Requester is nobody.
type Requester struct {
	// Sub is the canonical subject, "github:repo:acme/app:ref:refs/heads/main": the issuer's name
	// in the configuration, and the token's `sub`. Issuers' names have no colon, so that no two
	// subjects share one.
	Sub string `json:"sub,omitempty"`
	// Claims are those of the token that a pool may map to attributes, as text.
	Claims map[string]string `json:"claims,omitempty"`
	// Groups are the token's own `groups`, sorted.
	Groups []string `json:"groups,omitempty"`
}

// Digest is of all that the pool is told: a token that was had for one requester may be used for
// another only where they are the same.
func (r Requester) Digest() string {
	h := sha256.New()
	part := func(text string) { fmt.Fprintf(h, "%d:%s", len(text), text) }
	part(r.Sub)
	for _, name := range slices.Sorted(maps.Keys(r.Claims)) {
		part(name)
		part(r.Claims[name])
	}
	part("groups")
	for _, group := range r.Groups {
		part(group)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

const (
	// maxCanonicalSub is Google's limit for google.subject, in bytes.
	// https://cloud.google.com/iam/docs/reference/rest/v1/projects.locations.workloadIdentityPools.providers
	maxCanonicalSub = 127
	// maxAttribute bounds the value of one claim, in bytes, and maxGroups their number: a token
	// that has more is not cut, but had none of them.
	maxAttribute = 512
	maxGroups    = 100
)

// attributes are the claims that are handed on. None of them is of one run, or each run would need
// an exchange of its own.
var attributes = []string{
	"repository", "repository_id", "repository_owner", "repository_owner_id", "repository_visibility", "ref", "ref_type", "ref_protected",
	"environment", "workflow_ref", "job_workflow_ref", "event_name", "project_path", "project_id", "namespace_path", "namespace_id",
	"ref_path", "pipeline_source", "ci_config_ref_uri",
}

// plainSub has what stands in a principal's name as it is.
var plainSub = regexp.MustCompile(`^[A-Za-z0-9._~:/@+=-]+$`)

// errShared says that a subject is not one that a principal of its own can stand for.
var errShared = errors.New("everybody who can open one shares the subject")

// Requester says who the subject is to Google. An error says, in words for the agent, why the
// subject cannot have a principal of its own.
func (s Subject) Requester() (Requester, error) {
	switch {
	case s.Name == "" || s.Sub == "":
		return Requester{}, errors.New("the token's subject is not known")
	case strings.Contains(s.Name, ":") || strings.Contains(s.Name, "~"):
		return Requester{}, fmt.Errorf("the issuer's name %q has a character that separates it from a subject", s.Name)
	}
	if what := s.shared(); what != "" {
		return Requester{}, fmt.Errorf("the token is of a %s, and %w %q", what, errShared, clip(s.Sub))
	}
	r := Requester{Sub: canonicalSub(s.Name, s.Sub), Claims: map[string]string{"issuer": s.Name, "subject": clip(s.Sub)}}
	for _, name := range attributes {
		if value := text(s.Claims[name]); value != "" && len(value) <= maxAttribute {
			r.Claims[name] = value
		}
	}
	if len(s.Groups) <= maxGroups && !slices.ContainsFunc(s.Groups, func(g string) bool { return len(g) > maxAttribute }) {
		r.Groups = slices.Compact(slices.Sorted(slices.Values(s.Groups)))
	}
	return r, nil
}

// canonicalSub is "NAME:SUB", or, where that is longer than Google allows or has characters that a
// principal's name does not have as they are, "NAME~DIGEST" with the SHA-256 of it in base64url.
// The digest is behind another separator, so that no `sub` can be written that passes for one.
func canonicalSub(name, sub string) string {
	whole := name + ":" + sub
	if len(whole) <= maxCanonicalSub && plainSub.MatchString(whole) {
		return whole
	}
	sum := sha256.Sum256([]byte(whole))
	return name + "~" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// shared names what makes a subject one that many share, "" where nothing does. The code of a pull
// request is that of whoever opened it: at GitHub all of a repository have the `sub`
// "repo:o/r:pull_request", and those that run in the base's context (pull_request_target) that of
// its main branch; at GitLab the branch of a fork may have any name. A Buildkite job chooses which
// claim its `sub` is, and a CircleCI project has one for all refs and for builds of forks.
// https://docs.github.com/actions/reference/openid-connect-reference
func (s Subject) shared() string {
	event, _ := s.Claims["event_name"].(string)
	source, _ := s.Claims["pipeline_source"].(string)
	_, buildkite := s.Claims["pipeline_slug"]
	_, circleci := s.Claims[circle+"project-id"]
	switch {
	case buildkite && !strings.Contains(s.Sub, ":pipeline:"): // request-token --subject-claim
		return "Buildkite job that chose another sub than that of its pipeline"
	case circleci: // builds of forks have it, where a project passes secrets to them
		return "CircleCI job"
	case slices.ContainsFunc(strings.Split(s.Sub, ":"), func(part string) bool { return strings.EqualFold(part, "pull_request") }),
		strings.HasPrefix(strings.ToLower(event), "pull_request"):
		return "pull request"
	case source == "merge_request_event", source == "external_pull_request_event":
		return "merge request"
	}
	return ""
}

// text is a claim as an attribute's value.
func text(v any) string {
	if f, ok := v.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return scalar(v)
}
