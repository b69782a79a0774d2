package policies

import (
	"cmp"
	"slices"

	"github.com/bqgate/bqgate/internal/spelling"
)

func (l *loader) rule(d *document, i int) {
	entry := d.file.Rules[i]
	r := rule{groups: entry.Groups, credential: cmp.Or(entry.Credential, defaultCredential), ref: l.named(d, entry.Name, "rules", i)}
	l.knownGroups(d, "a rule", entry.Groups, true, "rules", i, "groups")
	if len(entry.Read) == 0 {
		l.add(d.wrong([]any{"rules", i, "read"}, "rule %s reads nothing; name tables under read", entry.Name))
	}
	for j, text := range entry.Read {
		if p, ok := l.pattern(d, text, false, "rules", i, "read", j); ok {
			r.read = append(r.read, p)
		}
	}
	for j, text := range entry.Clear {
		p, ok := l.pattern(d, text, true, "rules", i, "clear", j)
		if ok && !slices.ContainsFunc(r.read, func(read pattern) bool { return overlap(read, p) }) {
			l.add(d.wrong([]any{"rules", i, "clear", j}, "rule %s does not read the table of %s, so it cannot clear its columns",
				entry.Name, text))
		}
		if ok {
			r.clear = append(r.clear, p)
		}
	}
	for j, text := range entry.RowAccess {
		p, ok := l.pattern(d, text, false, "rules", i, "row_access_policies", j)
		if ok && !slices.ContainsFunc(r.read, func(read pattern) bool { return overlap(read, p) }) {
			l.add(d.wrong([]any{"rules", i, "row_access_policies", j}, "rule %s does not read %s, so it cannot show its rows", entry.Name,
				text))
		}
		if ok {
			r.rowAccess = append(r.rowAccess, p)
		}
	}
	r.session = l.duration(d, 0, entry.For, "rules", i, "for")
	l.jobsIn(d, &r, i)
	if d.at("rules", i, "max_bytes") != nil {
		bytes, err := parseSize(entry.MaxBytes)
		if err != nil {
			l.add(d.wrong([]any{"rules", i, "max_bytes"}, "%v", err))
		}
		r.maxBytes = bytes
	}
	if d.at("rules", i, "max_rows") != nil {
		if r.maxRows = int64(entry.MaxRows); r.maxRows < 1 {
			l.add(d.wrong([]any{"rules", i, "max_rows"}, "max_rows must be at least 1"))
		}
	}
	if d.at("rules", i, "max_result_bytes") != nil {
		bytes, err := parseSize(entry.MaxResult)
		if err != nil {
			l.add(d.wrong([]any{"rules", i, "max_result_bytes"}, "%v", err))
		}
		r.maxResultBytes = bytes
	}
	r.labels = l.labels(d, i, entry)
	if len(l.options.Credentials) > 0 && !slices.Contains(l.options.Credentials, r.credential) {
		l.add(d.wrong([]any{"rules", i, "credential"}, "credential %s is not configured%s", r.credential,
			spelling.DidYouMean(r.credential, l.options.Credentials)))
	}
	r.budgets = l.budgets(d, entry.Budget, r.ref, "rules", i, "budget")
	l.set.rules = append(l.set.rules, r)
}

// jobsIn reads where a rule lets jobs run.
func (l *loader) jobsIn(d *document, r *rule, i int) {
	entry, at := d.file.Rules[i], []any{"rules", i, "jobs_in"}
	if r.namedJobs = d.at(at...) != nil; r.namedJobs {
		if len(entry.JobsIn) == 0 {
			l.add(d.wrong(at, "jobs_in of rule %s names no project, so nothing could run; leave it out for the project of the credential",
				entry.Name))
		}
		for j, project := range entry.JobsIn {
			if err := checkProject(project); err != nil {
				l.add(d.wrong(append(at[:len(at):len(at)], j), "%v", err))
			}
			if slices.Contains(entry.JobsIn[:j], project) {
				l.add(d.wrong(append(at[:len(at):len(at)], j), "project %s stands here twice", project))
			}
		}
		r.jobsIn = slices.Sorted(slices.Values(entry.JobsIn))
		return
	}
	own := l.options.Projects[r.credential]
	if own != "" {
		r.jobsIn = []string{own}
		return
	}
	known := len(l.options.Credentials) == 0 || slices.Contains(l.options.Credentials, r.credential)
	if l.options.Projects != nil && known {
		l.add(d.wrong([]any{"rules", i}, "rule %s does not say where its jobs run, and the account of credential %s does not tell its "+
			"project: write jobs_in: [PROJECT], or `project` beside the account in the configuration", entry.Name, r.credential))
	}
}

// overlap says whether a table pattern and another one, or the table part of a column pattern, have
// any table in common.
func overlap(table, other pattern) bool {
	for i := range tableParts {
		if !touches(table.folded[i], other.folded[i]) {
			return false
		}
	}
	return true
}
