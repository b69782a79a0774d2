package policies

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/cel"

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
