package difftest

import (
	"context"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/googlesql"
)

// weakenings are lineages with a bug, one sort of bug each.
var weakenings = map[string]func(*googlesql.Statement){
	"no use in filter":     withoutUses(googlesql.UseFilter),
	"no use in join":       withoutUses(googlesql.UseJoin),
	"no use in group":      withoutUses(googlesql.UseGroup),
	"no use in order":      withoutUses(googlesql.UseOrder),
	"no use in window":     withoutUses(googlesql.UseWindow),
	"no use in aggregate":  withoutUses(googlesql.UseAggregate),
	"no use in expression": withoutUses(googlesql.UseExpression),
	"nothing direct":       withSources(func(s *googlesql.Source) bool { return s.Carry != googlesql.CarryDirect }),
	"nothing derived":      withSources(func(s *googlesql.Source) bool { return s.Carry == googlesql.CarryDirect }),
	"all is direct": withSources(func(s *googlesql.Source) bool {
		s.Carry = googlesql.CarryDirect
		return true
	}),
	"one source a column": func(s *googlesql.Statement) {
		for i := range s.Columns {
			s.Columns[i].Sources = s.Columns[i].Sources[:min(1, len(s.Columns[i].Sources))]
		}
	},
}

func withoutUses(in googlesql.UseIn) func(*googlesql.Statement) {
	return func(s *googlesql.Statement) {
		s.Uses = slices.DeleteFunc(slices.Clone(s.Uses), func(u googlesql.Use) bool { return u.In == in })
	}
}

// withSources keeps those sources that the function wants to keep, as it has changed them.
func withSources(keep func(*googlesql.Source) bool) func(*googlesql.Statement) {
	return func(s *googlesql.Statement) {
		for i := range s.Columns {
			var kept []googlesql.Source
			for _, source := range s.Columns[i].Sources {
				if keep(&source) {
					kept = append(kept, source)
				}
			}
			s.Columns[i].Sources = kept
		}
	}
}

// TestAWrongLineageIsFound puts wrong lineages to the test that TestDifferential is: every one must
// be found out by generated queries, none of which was written for it. Queries are run once for
// all.
func TestAWrongLineageIsFound(t *testing.T) {
	const atMost, batch = 1000, 50
	l := newLab(t, "difftest", newAnalyzer(t), newReport())
	open := append(sortedKeys(weakenings), namesSplit)
	for first := uint64(0); first < atMost && len(open) > 0; first += batch {
		r := rand.New(rand.NewPCG(1, first))
		all := changes(r)
		wanted := make([][]*query, len(all)) // copies with a wrong analysis
		labs := map[*query]*lab{}
		reports := map[string]*report{}
		for _, name := range open {
			reports[name] = newReport()
			reports[name].small = 0
		}
		for number := range uint64(batch) {
			q := generate(1, first+number)
			if ok, _, f := l.look(q); !ok || f != nil || fickle(q) {
				continue
			}
			for _, name := range open {
				wrong, lab := *q, *l
				if wrong.analysis, lab.report = l.wrongly(q, name), reports[name]; wrong.analysis == nil {
					continue
				}
				labs[&wrong] = &lab
				if f := wrong.ownFinding(l.values); f != nil {
					lab.found(&wrong, f)
					continue
				}
				lab.suspicions(&wrong, r)
				if tied(&wrong) {
					continue
				}
				for _, i := range lab.relevant(&wrong, all, r) {
					wanted[i] = append(wanted[i], &wrong)
				}
			}
		}
		for i, list := range wanted {
			if len(list) == 0 {
				continue
			}
			l.alter(&all[i], false)
			answers := map[int]*response{}
			for _, q := range list {
				if answers[q.number] == nil {
					answers[q.number] = l.rows(q)
					answers[q.number].spread(q.analysis)
				}
				if f := labs[q].compare(q, &all[i], answers[q.number]); f != nil {
					labs[q].found(q, f)
				}
			}
			l.alter(&all[i], true)
		}
		open = slices.DeleteFunc(open, func(name string) bool {
			if found := reports[name].findings; len(found) > 0 {
				t.Logf("%s: found within %d queries: %.200s", name, first+batch, found[0])
			}
			return len(reports[name].findings) > 0
		})
	}
	for _, name := range open {
		t.Errorf("%s: %d queries did not show it", name, atMost)
	}
}

// wrongly is the analysis of a query with this bug, nil where it would be refused.
func (l *lab) wrongly(q *query, name string) *googlesql.Statement {
	if name != namesSplit {
		return weakened(q.analysis, weakenings[name])
	}
	text := splitNames(q.sql)
	if text == q.sql {
		return nil
	}
	a, err := l.analyzer.Analyze(context.Background(), googlesql.Query{SQL: text, Project: q.project, Catalog: catalog{}, Caller: l.name})
	if err != nil {
		l.t.Fatal(err)
	}
	if s, _ := statement(a); s != nil && len(s.Columns) == len(q.analysis.Columns) {
		return s
	}
	return nil
}

// namesSplit is the bug of taking names apart that are quoted as a whole, before they are resolved.
const namesSplit = "names are split"

var whole = regexp.MustCompile("(?:FROM|JOIN|,) `[^`]*\\.[^`]*`")

func splitNames(sql string) string {
	return whole.ReplaceAllStringFunc(sql, func(s string) string {
		i := strings.IndexByte(s, '`')
		return s[:i] + strings.ReplaceAll(s[i:], ".", "`.`")
	})
}

func weakened(s *googlesql.Statement, weaken func(*googlesql.Statement)) *googlesql.Statement {
	wrong := *s
	wrong.Columns = slices.Clone(s.Columns)
	weaken(&wrong)
	return &wrong
}

// ownFinding is what the answer itself shows to be wrong.
func (q *query) ownFinding(values rawValues) *finding {
	if q.base.Error != nil {
		return nil
	}
	return q.direct(values)
}
