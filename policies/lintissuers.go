package policies

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/identity"
)

// Pitfalls are what Lint finds by the issuers' presets alone: for `serve --check`.
func (s *Set) Pitfalls(issuers []identity.Issuer) []Finding {
	l := &linter{set: s}
	l.pitfalls(issuers)
	return l.done()
}

// pitfalls: conditions that let a token through which the group was hardly meant for. Each pitfall
// of an issuer's preset is a token; it is tried with every combination of the values that the
// condition itself speaks of.
func (l *linter) pitfalls(issuers []identity.Issuer) {
	for _, issuer := range issuers {
		for i := range l.set.groups {
			if g := &l.set.groups[i]; g.issuer == issuer.Name && l.gives(g.name) {
				for _, p := range issuer.Pitfalls() {
					if said := g.when.fallsInto(p); said != "" {
						l.find(g.ref, "the condition of group %s %s: %s; write %s (preset %s, %s)", g.name, said, p.Why, p.Cure,
							issuer.Preset, p.Name)
					}
				}
			}
		}
	}
}

// gives says whether anything is given to the members of a group.
func (l *linter) gives(group string) bool {
	return slices.ContainsFunc(l.set.rules, func(r rule) bool { return slices.Contains(r.groups, group) }) ||
		l.set.MayReview([]string{group})
}

// fallsInto says what a condition does with a pitfall's token; "" where it does not let it through.
func (c condition) fallsInto(p identity.Pitfall) string {
	reads := func(claims []string) bool {
		return slices.ContainsFunc(c.looks, func(l look) bool { return slices.Contains(claims, l.claim()) })
	}
	switch {
	case p.Missing != "":
		if slices.Contains(c.unsure, p.Missing) {
			return fmt.Sprintf("looks at claims.%s, and a token may lack it: it is then of %s", p.Missing, p.Whose)
		}
		return ""
	case p.Compared != "":
		if word := c.comparesOddly(p.Compared, regexp.MustCompile(p.Shape)); word != "" {
			return fmt.Sprintf("compares claims.%s with %q, which is %s", p.Compared, shorten(word), p.Whose)
		}
		return ""
	case len(p.Reads) > 0 && !reads(p.Reads), reads(p.Unless):
		return ""
	}
	if claims := c.through(p); claims != nil {
		return "takes a token of " + p.Whose
	}
	return ""
}

func (c condition) comparesOddly(claim string, shape *regexp.Regexp) string {
	for _, l := range c.looks {
		if l.claim() != claim {
			continue
		}
		for _, v := range l.values {
			if text, ok := v.(string); ok && !shape.MatchString(text) {
				return text
			}
		}
	}
	return ""
}

// maxTokens bounds the tokens that one condition is tried with.
const maxTokens = 20_000

// through are claims of the pitfall's token with which the condition holds; nil where none are
// found.
func (c condition) through(p identity.Pitfall) map[string]any {
	free := map[string][]any{} // by path
	paths := map[string][]string{}
	for _, l := range c.looks {
		if _, fixed := p.Claims[l.claim()]; fixed || p.Alone || l.path[0] == "subject.workload" {
			continue
		}
		path := append([]string{l.claim()}, l.path[1:]...)
		key := strings.Join(path, "\x00")
		paths[key] = path
		candidates := l.values
		if l.list && len(l.values) > 0 {
			candidates = []any{slices.Clone(l.values)}
		}
		free[key] = append(free[key], candidates...)
	}
	keys := slices.Sorted(maps.Keys(free))
	combinations := 1
	for _, key := range keys {
		free[key] = append(free[key], "another", true, nil)
		if combinations *= len(free[key]); combinations > maxTokens {
			return nil
		}
	}
	for n := range combinations {
		claims := map[string]any{"sub": "another"}
		for _, key := range keys {
			set(claims, paths[key], free[key][n%len(free[key])])
			n /= len(free[key])
		}
		for name, value := range p.Claims {
			set(claims, []string{name}, value)
		}
		if holds, err := c.eval(valuesOf(claims, p.Workload)); err == nil && holds {
			return claims
		}
	}
	return nil
}

// set puts a value into claims; nil: there is none.
func set(claims map[string]any, path []string, value any) {
	for len(path) > 1 {
		inner, ok := claims[path[0]].(map[string]any)
		if !ok {
			inner = map[string]any{}
			claims[path[0]] = inner
		}
		claims, path = inner, path[1:]
	}
	if value == nil {
		delete(claims, path[0])
		return
	}
	claims[path[0]] = value
}

// valuesOf are the variables of a condition for a token with these claims.
func valuesOf(claims map[string]any, workload bool) map[string]any {
	sub, _ := claims["sub"].(string)
	subject := identity.Subject{Sub: sub, Workload: workload, Mapped: true, Claims: claims}
	subject.Name, _ = claims["subject.issuer"].(string)
	for _, v := range listOfAny(claims[peopleName]) {
		if text, ok := v.(string); ok {
			subject.Known = append(subject.Known, text)
		}
	}
	values := subjectValues(subject)
	values[claimsName] = claims
	return values
}

func listOfAny(v any) []any {
	list, _ := v.([]any)
	return list
}
