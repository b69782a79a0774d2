package policies

import (
	"time"
)

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
