package policies

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// Where a job runs says who pays for it. A client names the project of its jobs in every request,
// so a rule says which it may name: those of its `jobs_in`, and without that the project of its
// credential's own account.

// projects are where a rule lets jobs run. None: it is not known which project the credential
// belongs to, and no job may run.
func (s *Set) projects(r *rule) []string {
	if len(r.jobsIn) == 0 && s.ownProject != "" {
		return []string{s.ownProject}
	}
	return r.jobsIn
}

// in is the Set for a question that is asked without the gateway's configuration: credentials whose
// project the Set does not know are taken to be of this one.
func (s *Set) in(project string) *Set {
	if s == nil || s.ownProject != "" {
		return s
	}
	asked := *s
	asked.ownProject = project
	return &asked
}

// JobsIn says whether a rule for the subject lets some jobs run in the project. It asks nobody
// whether there is such a project.
func (r Reach) JobsIn(project string) bool {
	return slices.ContainsFunc(r.rules, func(rule *rule) bool { return slices.Contains(r.set.projects(rule), project) })
}

// NoJobsIn are the words for a project in which the subject may not run jobs. They are the same for
// one that does not exist.
func (r Reach) NoJobsIn(project string) (message, remedy string) {
	return noJobsIn(r.set, r.rules, project)
}

func noJobsIn(s *Set, rules []*rule, project string) (message, remedy string) {
	var all []string
	for _, rule := range rules {
		all = append(all, s.projects(rule)...)
	}
	slices.Sort(all)
	if all = slices.Compact(all); len(all) > 0 {
		remedy = "the same request in project " + strings.Join(all, " or ")
	}
	return fmt.Sprintf("project %s does not exist or no policy lets you run jobs in it", shorten(project)), remedy
}

// place: some rule must let jobs run in the request's project, whatever they read. It comes before
// anything that depends on the tables, which are other ones in another project.
func (e *evaluation) place() error {
	if slices.ContainsFunc(e.rules, func(r *rule) bool { return e.runsHere(r) }) {
		return nil
	}
	message, remedy := noJobsIn(e.set, e.rules, e.input.Project)
	return refuse(RuleRef{}, remedy, "%s", message)
}

func (e *evaluation) runsHere(r *rule) bool {
	return slices.Contains(e.set.projects(r), e.input.Project)
}

// run: of the rules with the query's credential, every table must be covered by one that lets jobs
// run in the request's project. It returns the first such rule.
func (e *evaluation) run(credential string) (*rule, error) {
	here := func(r *rule) bool { return r.credential == credential && e.runsHere(r) }
	i := slices.IndexFunc(e.covering, here)
	if i < 0 || !e.reads(here) {
		var rules []*rule
		for _, r := range e.covering {
			if r.credential == credential {
				rules = append(rules, r)
			}
		}
		message, remedy := noJobsIn(e.set, rules, e.input.Project)
		return nil, refuse(RuleRef{}, remedy, "%s", message)
	}
	return e.covering[i], nil
}

// checkProject says what is wrong with a project that a policy names. Jobs run in one project, so
// nothing stands for many, and BigQuery's other spellings (a number, a project of a domain) would
// be second names of one.
func checkProject(name string) error {
	switch {
	case strings.Contains(name, "*"):
		return fmt.Errorf("%s stands for many projects; jobs_in names each one, since a project that somebody makes later would pay too",
			shorten(name))
	case !bigquery.IsProject(name):
		return fmt.Errorf("%q is not the id of a project: lower-case letters, digits and -, such as acme-warehouse", shorten(name))
	}
	return nil
}
