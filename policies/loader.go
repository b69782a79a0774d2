package policies

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/cel"

	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/spelling"
)

// loader checks what the files say and turns it into a Set. It goes on after a mistake, so that one
// run shows all of them.
type loader struct {
	options  Options
	set      *Set
	names    map[string]RuleRef // of rules and approvals: unique, since refusals and reviewers name them
	groups   map[string]RuleRef
	masked   map[string]RuleRef // column patterns with a mask, by folded text
	cleared  map[string]RuleRef // column patterns with clear: true
	problems Problems
}

const (
	defaultCredential = "default"
	defaultExpires    = time.Hour
	maxQuorum         = 10
)

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

func (l *loader) add(p *Problem) { l.problems = append(l.problems, p) }

// defineGroups goes first, over all files: a rule may name a group of another file.
func (l *loader) defineGroups(d *document) {
	for _, name := range slices.Sorted(maps.Keys(d.file.Groups)) {
		entry := d.file.Groups[name]
		at := d.key(name, "groups")
		if !validName.MatchString(name) {
			l.add(d.problem(at, "group name %q may hold letters, digits, - _ and . only", name))
		}
		if other, ok := l.groups[name]; ok {
			l.add(d.problem(at, "group %s is already defined in %s:%d", name, other.File, other.Line))
			continue
		}
		g := group{name: name, issuer: entry.Issuer, ref: RuleRef{Policy: d.policy, Name: name, File: d.shown, Line: at.line}}
		l.groups[name] = g.ref
		switch {
		case entry.Issuer != "":
			if len(l.options.Issuers) > 0 && !slices.Contains(l.options.Issuers, entry.Issuer) {
				l.add(d.wrong([]any{"groups", name, "issuer"}, "issuer %s is not configured%s", entry.Issuer,
					spelling.DidYouMean(entry.Issuer, l.options.Issuers)))
			}
		case len(l.options.Issuers) == 1:
			g.issuer = l.options.Issuers[0]
		case len(l.options.Issuers) > 1:
			l.add(d.problem(at, "group %s does not say whose tokens it means; add issuer: one of %s", name,
				strings.Join(l.options.Issuers, ", ")))
		}
		g.when = l.condition(d, groupEnv, entry.When, "groups", name, "when")
		l.set.groups = append(l.set.groups, g)
	}
}

func (l *loader) document(d *document) {
	if d.file.Version != Version {
		l.add(d.wrong([]any{"version"}, "version must be %s", Version))
	}
	for i := range d.file.Columns {
		l.column(d, i)
	}
	for i := range d.file.Tables {
		l.table(d, i)
	}
	for i := range d.file.Rules {
		l.rule(d, i)
	}
	for i := range d.file.Approvals {
		l.approval(d, i)
	}
}

// unheld refuses other_use: approve where no approval looks at it: such a query could only be
// refused.
func (l *loader) unheld(d *document) {
	if slices.ContainsFunc(l.set.approvals, func(a approval) bool { return a.when.otherUse }) {
		return
	}
	for i, entry := range d.file.Columns {
		if entry.OtherUse == useApprove {
			l.add(d.wrong([]any{"columns", i, "other_use"}, "other_use: approve needs an approval whose condition looks at other_use, "+
				"such as when: size(other_use) > 0"))
		}
	}
}

// condition compiles CEL and shows a mistake at its place inside the text.
func (l *loader) condition(d *document, env func() (*cel.Env, error), text string, path ...any) condition {
	e, err := env()
	if err != nil {
		l.add(d.wrong(path, "%v", err))
		return condition{}
	}
	c, err := compile(e, text)
	var wrong *conditionError
	switch {
	case err == nil:
		return c
	case errors.As(err, &wrong) && wrong.offset >= 0:
		word := identifier([]rune(text), wrong.offset)
		l.add(d.problem(d.inside(d.at(path...), wrong.offset, word), "%v", err))
	default:
		l.add(d.wrong(path, "%v", err))
	}
	return condition{}
}

// identifier is the length of the word at an offset.
func identifier(text []rune, offset int) int {
	end := offset
	for end < len(text) && (text[end] == '_' || text[end] >= '0' && text[end] <= '9' || text[end] >= 'A' && text[end] <= 'Z' ||
		text[end] >= 'a' && text[end] <= 'z') {
		end++
	}
	return max(1, end-offset)
}

func (l *loader) pattern(d *document, text string, column bool, path ...any) (pattern, bool) {
	p, err := parsePattern(text, column)
	if err != nil {
		l.add(d.wrong(path, "%v", err))
	}
	return p, err == nil
}

func (l *loader) column(d *document, i int) {
	entry, path := d.file.Columns[i], []any{"columns", i}
	at := func(key string) []any { return append(path[:2:2], key) }
	match, ok := l.pattern(d, entry.Match, true, at("match")...)
	c := columnRule{match: match, ref: d.rule("columns", path...)}
	switch {
	case entry.Clear && (entry.Mask != "" || entry.OtherUse != "" || entry.ReversibleByDictionary != ""):
		l.add(d.wrong(at("clear"), "clear: true says that the column is not sensitive; it cannot stand beside mask, other_use or "+
			"reversible_by_dictionary"))
	case !entry.Clear && d.at(at("clear")...) != nil:
		l.add(d.wrong(at("clear"), "clear: false says nothing; write mask, or clear: true"))
	case !entry.Clear && entry.Mask == "":
		l.add(d.wrong(path, "this entry says neither mask nor clear: true"))
	case !entry.Clear:
		c.mask = l.mask(d, entry, at)
	}
	switch entry.OtherUse {
	case "":
		c.otherUse = useRewrite
	case useRewrite, useApprove, useDeny:
		c.otherUse = entry.OtherUse
	default:
		l.add(d.wrong(at("other_use"), "other_use %s is not known; write rewrite (the default), approve or deny", entry.OtherUse))
	}
	if !ok {
		return
	}
	l.contradiction(d, entry, match, c.ref, path)
	l.set.columns = append(l.set.columns, c)
}

func (l *loader) mask(d *document, entry ColumnEntry, at func(string) []any) masking.Rule {
	mask, err := masking.Valid(entry.Mask)
	if err != nil {
		l.add(d.wrong(at("mask"), "%v", err))
		return ""
	}
	switch {
	case entry.ReversibleByDictionary != "" && entry.ReversibleByDictionary != "accepted":
		l.add(d.wrong(at("reversible_by_dictionary"), "reversible_by_dictionary %s is not known; the only value is accepted",
			entry.ReversibleByDictionary))
	case entry.ReversibleByDictionary != "" && mask != masking.SHA256:
		l.add(d.wrong(at("reversible_by_dictionary"), "reversible_by_dictionary is for SHA256 only; %s is not reversed by a dictionary",
			mask))
	case mask == masking.SHA256 && entry.ReversibleByDictionary == "":
		l.add(d.wrong(at("mask"), "SHA256 can be reversed by hashing guesses, as for numbers and names; write reversible_by_dictionary: "+
			"accepted, or take RANDOM_HASH or DEFAULT_MASKING_VALUE"))
	}
	return mask
}

// contradiction refuses two entries that say the opposite of the very same columns.
func (l *loader) contradiction(d *document, entry ColumnEntry, match pattern, ref RuleRef, path []any) {
	if l.masked == nil {
		l.masked, l.cleared = map[string]RuleRef{}, map[string]RuleRef{}
	}
	own, opposite := l.masked, l.cleared
	if entry.Clear {
		own, opposite = l.cleared, l.masked
	}
	name := strings.Join(match.folded, ".")
	if other, ok := opposite[name]; ok {
		l.add(d.wrong(path, "%s is said to be sensitive and not to be (%s:%d)", match.text, other.File, other.Line))
	}
	own[name] = ref
}

func (l *loader) table(d *document, i int) {
	entry, path := d.file.Tables[i], []any{"tables", i}
	match, ok := l.pattern(d, entry.Match, false, "tables", i, "match")
	if d.at("tables", i, "unlisted") != nil && entry.Unlisted != "mask" && entry.Unlisted != "clear" {
		l.add(d.wrong([]any{"tables", i, "unlisted"}, "unlisted %s is not known; write mask or clear", entry.Unlisted))
	}
	if d.at("tables", i, "high_value") == nil && d.at("tables", i, "unlisted") == nil {
		l.add(d.wrong(path, "this entry says nothing; write high_value or unlisted"))
	}
	if ok {
		l.set.tables = append(l.set.tables, tableRule{match, entry.HighValue, entry.Unlisted, d.rule("tables", path...)})
	}
}

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
	if len(l.options.Credentials) > 0 && !slices.Contains(l.options.Credentials, r.credential) {
		l.add(d.wrong([]any{"rules", i, "credential"}, "credential %s is not configured%s", r.credential,
			spelling.DidYouMean(r.credential, l.options.Credentials)))
	}
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

func (l *loader) approval(d *document, i int) {
	entry := d.file.Approvals[i]
	a := approval{groups: entry.Groups, quorum: entry.Quorum, noWait: entry.Wait == "no", ref: l.named(d, entry.Name, "approvals", i)}
	a.when = l.condition(d, approvalEnv, entry.When, "approvals", i, "when")
	l.knownGroups(d, "an approval", entry.Groups, false, "approvals", i, "groups")
	people := l.needs(d, &a, i)
	if d.at("approvals", i, "quorum") == nil {
		a.quorum = people
	} else if a.quorum < 1 || a.quorum > maxQuorum {
		l.add(d.wrong([]any{"approvals", i, "quorum"}, "quorum must be between 1 and %d", maxQuorum))
	}
	a.expires = l.duration(d, defaultExpires, entry.Expires, "approvals", i, "expires")
	if at := []any{"approvals", i, "wait"}; d.at(at...) != nil && entry.Wait != "yes" && entry.Wait != "no" {
		l.add(d.wrong(at, "wait must be yes or no"))
	}
	if at := []any{"approvals", i, "max_auth_age"}; d.at(at...) != nil {
		a.authAge = l.duration(d, 0, entry.MaxAuthAge, at...)
		if a.authAge > 0 && a.authAge < time.Minute {
			l.add(d.wrong(at, "max_auth_age is %s; nobody decides so fast after a login: want at least 1m", a.authAge))
		}
	}
	l.standing(d, &a, i)
	l.set.approvals = append(l.set.approvals, a)
}

// needs reads who must approve, and returns how many people that takes where the entry does not
// say.
func (l *loader) needs(d *document, a *approval, i int) (people int) {
	entry := d.file.Approvals[i]
	l.knownGroups(d, "an approval", entry.AllOf, false, "approvals", i, "all_of")
	l.knownGroups(d, "an approval", entry.AnyOf, false, "approvals", i, "any_of")
	grouped := len(entry.AllOf) > 0 || len(entry.AnyOf) > 0
	switch {
	case !grouped:
		l.knownGroups(d, "an approval", entry.Reviewers, true, "approvals", i, "reviewers")
		a.needs = []Need{{Groups: entry.Reviewers, Quorum: 1}}
	case d.at("approvals", i, "reviewers") != nil:
		l.add(d.wrong([]any{"approvals", i, "reviewers"}, "an approval has either reviewers, or all_of and any_of"))
	}
	for _, group := range entry.AllOf {
		a.needs = append(a.needs, Need{Groups: []string{group}, Quorum: 1})
	}
	if len(entry.AnyOf) > 0 {
		a.needs = append(a.needs, Need{Groups: entry.AnyOf, Quorum: 1})
	}
	a.needs, a.reviewers = tidyNeeds(a.needs)
	return len(a.needs)
}

func (l *loader) standing(d *document, a *approval, i int) {
	entry := d.file.Approvals[i].Standing
	if d.at("approvals", i, "standing") == nil {
		return
	}
	for _, bound := range []struct {
		key         string
		value       int
		least, most int
	}{{"max_uses", entry.MaxUses, 2, 1000}, {"max_hours", entry.MaxHours, 1, 720}} {
		if bound.value < bound.least || bound.value > bound.most {
			l.add(d.wrong([]any{"approvals", i, "standing", bound.key}, "%s must be between %d and %d", bound.key, bound.least, bound.most))
		}
	}
	a.standing = Standing(entry)
}

func (l *loader) duration(d *document, absent time.Duration, text string, path ...any) time.Duration {
	if d.at(path...) == nil {
		return absent
	}
	v, err := parseDuration(text)
	if err != nil {
		l.add(d.wrong(path, "%v", err))
	}
	return v
}

// named checks the name of a rule or an approval and makes its reference.
func (l *loader) named(d *document, name string, path ...any) RuleRef {
	ref, at := d.rule(name, path...), append(path[:len(path):len(path)], "name")
	switch other, taken := l.names[name]; {
	case name == "":
		l.add(d.wrong(path, "this entry of %s has no name", path[0]))
	case !validName.MatchString(name):
		l.add(d.wrong(at, "name %q may hold letters, digits, - _ and . only", name))
	case taken:
		l.add(d.wrong(at, "the name %s is taken by %s:%d; names of rules and approvals are unique", name, other.File, other.Line))
	default:
		l.names[name] = ref
	}
	return ref
}

// knownGroups refuses groups that nobody defined: a typo in a rule would shut people out, one in an
// approval would let queries through.
func (l *loader) knownGroups(d *document, what string, names []string, needed bool, path ...any) {
	if len(names) == 0 && (needed || d.at(path...) != nil) {
		l.add(d.wrong(path, "%s needs at least one group under %s", what, path[len(path)-1]))
	}
	for i, name := range names {
		if _, ok := l.groups[name]; !ok {
			l.add(d.wrong(append(path[:len(path):len(path)], i), "group %s is not defined%s", shorten(name),
				spelling.DidYouMean(name, slices.Sorted(maps.Keys(l.groups)))))
		}
	}
}

// shorten keeps text that others chose from filling a message.
func shorten(s string) string {
	const limit = 200
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return fmt.Sprintf("%s…", string([]rune(s)[:limit]))
}
