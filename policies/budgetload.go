package policies

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/bqgate/bqgate/internal/spelling"
)

// budgets reads the budgets of a rule.
func (l *loader) budgets(d *document, entries BudgetEntries, ref RuleRef, path ...any) (all []budget) {
	if d.at(path...) == nil {
		return nil
	}
	listed := d.at(append(path, 0)...) != nil
	if len(entries) == 0 {
		l.add(d.wrong(path, "budget is an empty list: leave it out, or say how much"))
	}
	for i, entry := range entries {
		at := slices.Clone(path)
		if listed {
			at = append(at, i)
		}
		wrong := func(key string, format string, args ...any) {
			place := at
			if key != "" {
				place = append(slices.Clone(at), key)
			}
			l.add(d.wrong(place, format, args...))
		}
		all = append(all, l.budget(entry, ref, all, func(key string) bool { return d.at(append(slices.Clone(at), key)...) != nil },
			wrong)...)
	}
	return all
}

// ownBudgets reads the budgets of the configuration, which count for everybody.
func (l *loader) ownBudgets() {
	file := cmp.Or(l.options.File, "configuration")
	ref := RuleRef{Policy: "configuration", Name: "budgets", File: file, Line: 1}
	for i, entry := range l.options.Budgets {
		wrong := func(key string, format string, args ...any) {
			at := fmt.Sprintf("budgets[%d]", i)
			if key != "" {
				at += "." + key
			}
			l.add(&Problem{File: file, Message: at + ": " + fmt.Sprintf(format, args...)})
		}
		said := func(key string) bool { return key == "bytes" && entry.Bytes != "" || key == "rows" && entry.Rows != 0 }
		l.set.budgets = append(l.set.budgets, l.budget(entry, ref, l.set.budgets, said, wrong)...)
	}
}

// budget reads one entry: a budget for each unit that it names. A second one of the same kind in
// the same place would share the first one's counter.
func (l *loader) budget(
	entry BudgetEntry, ref RuleRef, others []budget, said func(key string) bool, wrong func(key, format string, args ...any),
) (made []budget) {
	b := budget{per: entry.Per, by: entry.By, ref: ref}
	if entry.Per != perHour && entry.Per != perDay {
		wrong("per", "per%s; write hour or day", notKnown(entry.Per))
	}
	if !slices.Contains([]string{byOwner, byGroup, byRepository}, entry.By) {
		wrong("by", "by%s; write owner, group or repository", notKnown(entry.By))
	}
	b.hold = l.beyond(entry, ref, wrong)
	if !said("bytes") && !said("rows") {
		wrong("", "this budget says neither bytes nor rows")
	}
	add := func(unit Unit, limit int64) {
		same := func(o budget) bool { return o.unit == unit && o.per == b.per && o.by == b.by }
		if slices.ContainsFunc(others, same) {
			wrong(string(unit), "there is another budget of %s per %s by %s beside this one; write one of them", unit, b.per, b.by)
		}
		one := b
		one.unit, one.limit = unit, limit
		made = append(made, one)
	}
	if said("bytes") {
		limit, err := parseSize(entry.Bytes)
		switch {
		case err != nil:
			wrong("bytes", "%v", err)
		case limit < TableFloor:
			wrong("bytes", "a budget of %s lets nothing run: BigQuery bills at least %s for a query of a table", formatSize(limit),
				formatSize(TableFloor))
		}
		add(UnitBytes, limit)
	}
	if said("rows") {
		if entry.Rows < 1 {
			wrong("rows", "rows must be at least 1")
		}
		add(UnitRows, int64(entry.Rows))
	}
	return made
}

// beyond reads who may let a query go beyond a budget; nil where nobody may.
func (l *loader) beyond(entry BudgetEntry, ref RuleRef, wrong func(key, format string, args ...any)) *approval {
	switch entry.Over {
	case "", "refuse":
		if len(entry.Reviewers) > 0 {
			wrong("reviewers", "reviewers are for over: hold; this budget refuses what goes beyond it")
		}
		return nil
	case "hold":
	default:
		wrong("over", "over %s is not known; write refuse (the default) or hold", shorten(entry.Over))
		return nil
	}
	if len(entry.Reviewers) == 0 {
		wrong("over", "over: hold needs reviewers: [GROUP…], who may let a query go beyond the budget")
	}
	for _, name := range entry.Reviewers {
		if _, ok := l.groups[name]; !ok {
			wrong("reviewers", "group %s is not defined%s", shorten(name), spelling.DidYouMean(name, slices.Sorted(maps.Keys(l.groups))))
		}
	}
	a := &approval{quorum: 1, expires: defaultExpires, budget: true, needs: []Need{{Groups: entry.Reviewers, Quorum: 1}}, ref: ref}
	a.needs, a.reviewers = tidyNeeds(a.needs)
	return a
}

func notKnown(s string) string {
	if s == "" {
		return " is missing"
	}
	return " " + shorten(s) + " is not known"
}
