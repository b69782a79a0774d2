package console

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/a-h/templ"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/policies"
)

// link is a fact with a place to look at it; URL is "" where none is known for sure.
type link struct {
	Label, Text string
	URL         templ.SafeURL
}

var (
	repoName = regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)+$`)
	hexSHA   = regexp.MustCompile(`^[0-9a-f]{7,64}$`)
	number   = regexp.MustCompile(`^[0-9]{1,20}$`)
)

// origin leads from the claims of a CI run to the repository, the commit and the run. A link is
// made only of claims of the shape that they have at that CI system, on the host that signed them.
func origin(r approvals.Request) []link {
	c := r.Claims
	var all []link
	add := func(label, text, base string, shape *regexp.Regexp, path ...string) {
		if text == "" {
			return
		}
		l := link{Label: label, Text: text}
		if base != "" && shape.MatchString(text) && !strings.Contains(text, "..") {
			l.URL = templ.SafeURL(base + strings.Join(path, "/"))
		}
		all = append(all, l)
	}
	switch base := hostOf(r.Issuer); {
	case c["repository"] != "":
		repo := c["repository"]
		if !repoName.MatchString(repo) || strings.Contains(repo, "..") {
			base = ""
		}
		add("repository", repo, base, repoName, "", repo)
		add("commit", c["sha"], base, hexSHA, "", repo, "commit", c["sha"])
		add("run", c["run_id"], base, number, "", repo, "actions/runs", c["run_id"])
		add("workflow", c["workflow"], "", number)
		add("branch", c["ref"], "", number)
	case c["project_path"] != "":
		project := c["project_path"]
		if !repoName.MatchString(project) || strings.Contains(project, "..") {
			base = ""
		}
		add("project", project, base, repoName, "", project)
		add("commit", c["sha"], base, hexSHA, "", project, "-/commit", c["sha"])
		add("pipeline", c["pipeline_id"], base, number, "", project, "-/pipelines", c["pipeline_id"])
		add("job", c["job_id"], base, number, "", project, "-/jobs", c["job_id"])
		add("branch", c["ref"], "", number)
	}
	return all
}

// hostOf is where the CI system of an issuer shows its repositories; "" where that is not sure.
func hostOf(issuer string) string {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil:
		return ""
	case u.Host == "token.actions.githubusercontent.com":
		return "https://github.com"
	case u.Path == "" || u.Path == "/" || u.Path == "/_services/token": // GitLab; GitHub Enterprise Server
		return "https://" + u.Host
	default:
		return ""
	}
}

// columnView is a leaf of the result.
type columnView struct {
	Name, Type string
	From       []string
	Mask       masking.Rule
	Example    string // "" where it is shown as it is
	Computed   bool   // of something sensitive that is masked before the query computes on it
}

// ruleView is an entry of the policy that took part.
type ruleView struct {
	Name, At, Text string
	Line           int // of the first line of Text
}

// scalar is the element type of an array.
func scalar(typ string) string {
	if inner, ok := strings.CutPrefix(typ, "ARRAY<"); ok {
		return strings.TrimSuffix(inner, ">")
	}
	return typ
}

func sourceWords(s approvals.ReviewSource, project string) string {
	switch {
	case s.Column == "":
		return "a constant"
	case s.Derived:
		return "computed from " + short(s.Column, project)
	default:
		return short(s.Column, project)
	}
}

// rulesOf are the lines of the policy that took part, the one that held the query first. Lines are
// shown only of the policy that held it.
func rulesOf(r approvals.Request, set *policies.Set) []ruleView {
	var all []ruleView
	known := r.Review.Policy == set.Digest()
	seen := map[string]bool{}
	add := func(name, at string, e policies.Entry) {
		if name == "" || seen[at+" "+name] {
			return
		}
		seen[at+" "+name] = true
		all = append(all, ruleView{name, at, e.Text, e.Ref.Line})
	}
	if known {
		for _, e := range set.Entries() {
			if at := place(e.Ref); at == r.RuleAt {
				add(r.Rule, at, e)
			}
		}
	}
	if len(all) == 0 {
		add(r.Rule, r.RuleAt, policies.Entry{})
	}
	for _, ref := range r.Review.Rules {
		var entry policies.Entry
		if known {
			entry, _ = set.Lookup(ref)
		}
		add(ref.ID(), place(ref), entry)
	}
	return all
}

func place(ref policies.RuleRef) string { return fmt.Sprintf("%s:%d", ref.File, ref.Line) }

// notes are the marks of a query in words, by line.
func notes(v requestView) []string {
	var all []string
	for i, line := range v.Lines {
		for _, r := range line.Runs {
			if r.Note == "" {
				continue
			}
			if n := fmt.Sprintf("Line %d: %s.", i+1, r.Note); !slices.Contains(all, n) {
				all = append(all, n)
			}
		}
	}
	return all
}

func claimNames(claims map[string]string) []string { return slices.Sorted(maps.Keys(claims)) }
