package policies

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
)

// Closed says whether a request names or reads what its subject may not know to exist, and how it
// is then refused. It looks at names alone, so that it can be asked before anything is looked up.
func (s *Set) Closed(r Input) (Decision, bool) {
	e := s.askEach(&r, []question{(*evaluation).who, (*evaluation).place, (*evaluation).kind, (*evaluation).cover, (*evaluation).age})
	if !e.refused {
		return Decision{}, false
	}
	return e.decision, true
}

// cover: each table is covered by a rule of the subject's groups. If anything that the text names
// is not, only that is said, in words that fit a name of nothing: what stands behind such a name,
// and what else is wrong with the text, must not tell it from one that nobody has ever used (A62).
// Only of a text whose every name may be read is it said what its views and functions lack.
func (e *evaluation) cover() error {
	var closed, behind []string
	seen := map[*rule]bool{}
	note := func(name string, into *[]string) {
		rules := coveringName(e.rules, name)
		if len(rules) == 0 && !slices.Contains(*into, name) {
			*into = append(*into, name)
		}
		for _, r := range rules {
			seen[r] = true
		}
	}
	a := e.input.Analysis
	for i := range a.Statements {
		st := &a.Statements[i]
		for _, name := range e.named(st) {
			note(name, &closed)
		}
	}
	if a.Error == nil {
		for i := range a.Statements {
			st := &a.Statements[i]
			for _, name := range st.Tables {
				note(name, &behind)
			}
			for _, name := range st.Routines {
				note(name+"()", &behind)
			}
		}
	}
	for _, name := range a.Behind {
		note(name, &behind)
	}
	switch {
	case len(closed) > 0:
		return e.closed(closed)
	case len(behind) > 0:
		return e.closedBehind(behind)
	case a.Error != nil && a.Error.Code == googlesql.ErrorClosed:
		return errClosed
	}
	for _, r := range e.rules {
		if seen[r] || len(seen) == 0 { // without a table every rule of the subject counts
			e.covering = append(e.covering, r)
		}
	}
	return nil
}

// errClosed is what is said where it is not known which name is meant.
var errClosed = errors.New("something that the SQL names does not exist or no policy lets you read it")

// named are the full names of a statement's own text, in its order. Where the analysis does not say
// which these are, all count that are names of tables or functions: of another, and of a view of
// INFORMATION_SCHEMA that is not served, the text's error says what is wrong with it, and nothing
// was looked up.
func (e *evaluation) named(st *googlesql.Statement) []string {
	if len(st.Named) > 0 {
		return st.Named
	}
	names := slices.Clone(st.Tables)
	for _, name := range st.Routines {
		names = append(names, name+"()")
	}
	if e.input.Analysis.Error == nil {
		return names
	}
	return slices.DeleteFunc(names, func(name string) bool {
		parts := split(strings.TrimSuffix(name, "()"))
		return len(parts) < tableParts || slices.Contains(parts, informationSchema) && e.input.Tables[name] == nil
	})
}

// closed refuses names, in the same words for what nobody may read and for what does not exist.
func (e *evaluation) closed(names []string) error {
	if !slices.ContainsFunc(names, func(name string) bool { return !showsTables(name) }) {
		return refuse(RuleRef{}, e.remedy(), "%s shows which tables there are, those that you may not read too; "+
			"a policy must name it by itself (read: %s), and none of yours does",
			e.input.short(names[0]), shortQuoted(names[0]))
	}
	verb := "does"
	if len(names) > 1 {
		verb = "do"
	}
	return refuse(RuleRef{}, e.remedy(), "%s %s not exist or no policy lets you read it", e.list(names), verb)
}

// showsTables says whether a name is that of a view of INFORMATION_SCHEMA.
func showsTables(name string) bool {
	id, ok := parseTable(name)
	return ok && metadata(id.Dataset, id.Table)
}

// closedBehind refuses what views and functions read that the text names, and that a policy covers.
func (e *evaluation) closedBehind(names []string) error {
	list := e.list(names)
	return refuse(RuleRef{}, "the query under a policy that covers "+list+" too",
		"%s is behind a view or a function that the query names, and no policy lets you read it; a policy must cover both", list)
}

// list is the names as a refusal shows them.
func (e *evaluation) list(names []string) string {
	short := make([]string, len(names))
	for i, name := range names {
		short[i] = e.input.short(name)
	}
	return strings.Join(short, ", ")
}

// coveringName is covering for a name of an analysis. A function ("project.dataset.function()") is
// covered as a table of its name would be.
func coveringName(rules []*rule, name string) []*rule {
	id, ok := parseTable(strings.TrimSuffix(name, "()"))
	if !ok {
		return nil
	}
	return covering(rules, id)
}

// covering are the rules that read a table. No pattern reads a hidden dataset: BigQuery keeps the
// results of others there, unmasked (A5).
func covering(rules []*rule, id bigquery.TableID) []*rule {
	if strings.HasPrefix(id.Dataset, "_") {
		return nil
	}
	var all []*rule
	for _, r := range rules {
		if slices.ContainsFunc(r.read, func(p pattern) bool { return p.coversTable(id) }) {
			all = append(all, r)
		}
	}
	return all
}

func shortQuoted(name string) string { return fmt.Sprintf("[%q]", shorten(name)) }
