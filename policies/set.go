package policies

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/bqgate/bqgate/internal/masking"
)

// Options says what the policy's names may refer to.
type Options struct {
	// Issuers are the names of the configured issuers. Empty means that they are not known, as when
	// a file is only checked: names are then not compared, and a group that names no issuer has no
	// members.
	Issuers []string
	// Credentials are the names of the configured credentials. Empty means that they are not known:
	// names are then not compared.
	Credentials []string
	// Projects are the projects that the credentials' own accounts belong to, by the credentials'
	// names. Nil means that they are not known; otherwise a rule whose credential has none must say
	// where its jobs run.
	Projects map[string]string
	// Federated are the credentials that run as the requester's own principal at Google: true where
	// BigQuery sees that principal, false where one account that it impersonates stands between.
	Federated map[string]bool
	// Budgets are those of the configuration, which count for everybody; File names it in what is
	// said of them.
	Budgets BudgetEntries
	File    string
}

// Set is a loaded policy. It does not change, but for what it remembers of tokens; the nil Set
// refuses everything.
type Set struct {
	groups    []group // by name
	columns   []columnRule
	tables    []tableRule
	rules     []rule
	approvals []approval
	budgets   []budget // of the configuration
	files     []string
	entries   []Entry
	digest    string
	members   *lru.Cache[string, Membership] // by token
	federated map[string]bool                // Options.Federated

	ownProject string // of credentials whose project is not known: set by in
}

type group struct {
	name   string
	issuer string // "" matches nobody
	when   condition
	ref    RuleRef
}

type columnRule struct {
	match pattern
	mask  masking.Rule // "" for an entry with clear: true
	// otherUse is useRewrite, useApprove or useDeny.
	otherUse string
	ref      RuleRef
}

type tableRule struct {
	match     pattern
	highValue bool
	unlisted  string // "", "mask" or "clear"
	ref       RuleRef
}

type rule struct {
	groups []string
	read   []pattern
	clear  []pattern
	// rowAccess are tables whose rows may show as the credential's account sees them.
	rowAccess []pattern
	jobsIn    []string // projects, sorted; those of the credential where the rule names none, and none where they are not known
	namedJobs bool     // the rule names them
	session   time.Duration
	maxBytes  int64
	maxRows   int64
	// maxResultBytes is of all answers about one job together.
	maxResultBytes int64
	budgets        []budget
	credential     string
	labels         []string // those of the jobs; DefaultLabels where the rule names none
	ref            RuleRef
}

type approval struct {
	when      condition
	groups    []string // empty: everybody
	reviewers []string // of all needs
	needs     []Need
	quorum    int
	noWait    bool
	standing  Standing
	expires   time.Duration
	authAge   time.Duration // 0: any
	budget    bool          // who lets a query go beyond a budget, and no entry of approvals
	ref       RuleRef
}

// Load reads policy files into one Set. The error is a Problems where the files themselves are
// wrong; nothing is loaded then.
func Load(files []string, o Options) (*Set, error) {
	if len(files) == 0 {
		return nil, errNoFiles
	}
	sources := make([]Source, len(files))
	var problems Problems
	for i, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			problems = append(problems, readError(name, err))
		}
		sources[i] = Source{Name: name, Text: text}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return LoadSources(sources, o)
}

// Source is a policy file in memory.
type Source struct {
	Name string // as problems and refusals show it
	Text []byte
}

// LoadBytes reads one policy file in memory.
func LoadBytes(name string, text []byte, o Options) (*Set, error) {
	return LoadSources([]Source{{name, text}}, o)
}

// LoadSources reads policy files in memory into one Set.
func LoadSources(sources []Source, o Options) (*Set, error) {
	if len(sources) == 0 {
		return nil, errNoFiles
	}
	var documents []*document
	var problems Problems
	entries := 0
	for _, source := range sources {
		d, wrong := parse(source.Name, source.Text)
		documents, problems = append(documents, d), append(problems, wrong...)
		before := entries
		if entries += d.file.size(); before <= maxEntries && entries > maxEntries {
			problems = append(problems, d.problem(place{},
				"with this file there are %d groups, columns, tables, rules and approvals; the limit is %d: let patterns name more of them",
				entries, maxEntries))
		}
	}
	if len(problems) > 0 {
		return nil, problems.asError()
	}
	l := loader{options: o, set: &Set{}, names: map[string]RuleRef{}, groups: map[string]RuleRef{}}
	for _, d := range documents {
		l.defineGroups(d)
	}
	for _, d := range documents {
		l.document(d)
		l.set.entries = append(l.set.entries, d.outline()...)
	}
	for _, d := range documents {
		l.unheld(d)
	}
	l.ownBudgets()
	if err := l.problems.asError(); err != nil {
		return nil, err
	}
	slices.SortFunc(l.set.groups, func(a, b group) int { return strings.Compare(a.name, b.name) })
	for _, source := range sources {
		l.set.files = append(l.set.files, source.Name)
	}
	l.set.digest, l.set.federated = digest(sources, o), o.Federated
	l.set.members, _ = lru.New[string, Membership](membersKept) // an error is of a size below 1 alone
	return l.set, nil
}

// digest is over everything that the Set was made of, each part with its length before it.
func digest(sources []Source, o Options) string {
	h := sha256.New()
	part := func(s string) { fmt.Fprintf(h, "%d:%s", len(s), s) }
	part(Version)
	for _, list := range [][]string{o.Issuers, o.Credentials} {
		part(fmt.Sprint(len(list)))
		for _, name := range list {
			part(name)
		}
	}
	part(fmt.Sprint(len(o.Projects)))
	for _, name := range slices.Sorted(maps.Keys(o.Projects)) {
		part(name)
		part(o.Projects[name])
	}
	for _, name := range slices.Sorted(maps.Keys(o.Federated)) {
		part(fmt.Sprint("federated ", name, " ", o.Federated[name]))
	}
	if len(o.Budgets) > 0 {
		part(fmt.Sprint(o.Budgets))
	}
	for _, source := range sources {
		part(source.Name)
		part(string(source.Text))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Digest identifies the policy: SHA-256, in hex, of its files and of the names it was loaded with.
// What was decided under another digest was decided under another policy.
func (s *Set) Digest() string {
	if s == nil {
		return ""
	}
	return s.digest
}

// Credentials names the credentials that the rules run with, sorted.
func (s *Set) Credentials() []string {
	if s == nil {
		return nil
	}
	var names []string
	for i := range s.rules {
		names = append(names, s.rules[i].credential)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
