package policies

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/coarse"
)

// hold: the byte limit, the budgets, and what holds the query for reviewers. It is the last
// question and sets the effect. A new reason to hold joins held.
func (e *evaluation) hold() error {
	applying := e.applying()
	bytes, err := e.bytes(applying)
	if err != nil {
		return err
	}
	held, certain, err := e.holding(applying, bytes)
	if err != nil {
		return err
	}
	exceeding, err := e.spend(bytes)
	if err != nil {
		return err
	}
	held = append(held, exceeding...)
	d := &e.decision
	if d.MaxBytes > 0 && bytes > d.MaxBytes {
		decided := slices.ContainsFunc(certain, func(a *approval) bool { return a.when.estimate })
		switch {
		case !decided && e.sizeUnknown():
			return refuse(e.limiting(),
				"a query of tables without row access policies, or the same one where an approval asks for estimate.bytes",
				"%s, and at most %s are allowed", sizeUnknown, formatSize(d.MaxBytes))
		case !decided:
			return refuse(e.limiting(), fmt.Sprintf("a query that reads at most %s: fewer columns, or a condition on the partition",
				formatSize(d.MaxBytes)),
				"the query would read %s, and at most %s are allowed", formatSize(coarse.Bytes(bytes)), formatSize(d.MaxBytes))
		case !e.sizeUnknown():
			d.MaxBytes = 0 // the reviewers decide on the estimate, which bounds what is forwarded
		}
	}
	if e.ask && !slices.ContainsFunc(certain, func(a *approval) bool { return a.when.otherUse }) {
		i := slices.IndexFunc(e.asked, func(d demand) bool { return d.leaf.other == useApprove })
		return refuse(e.asked[i].leaf.ref, e.asked[i].err.remedy, "%s; its rule is `approve`, and no approval holds this query",
			e.asked[i].err.message)
	}
	if len(held) == 0 {
		d.Effect = Allow
		return nil
	}
	merged, err := e.merge(held, bytes)
	if err != nil {
		return err
	}
	if perhaps := e.perhaps(held, certain); len(perhaps) > 0 {
		merged.Why += "; " + describeUnknown(perhaps)
	}
	e.cite(d.Rule)
	d.Rule, d.Approval, d.Effect = merged.Rule, &merged, Hold
	return nil
}

// applying are the approvals that ask for this subject's groups, also for those that it may be in.
func (e *evaluation) applying() []*approval {
	var all []*approval
	groups := e.membership.possible()
	for i := range e.set.approvals {
		a := &e.set.approvals[i]
		if len(a.groups) == 0 || anyOf(a.groups, groups) {
			all = append(all, a)
		}
	}
	return all
}

// bytes is the estimate. A query that reads no table reads nothing.
func (e *evaluation) bytes(applying []*approval) (int64, error) {
	estimate := e.input.Estimate
	switch {
	case estimate != nil && estimate.Bytes < 0:
		return 0, fmt.Errorf("the estimate of %d bytes is not one", estimate.Bytes)
	case estimate != nil:
		return estimate.size(), nil
	case len(e.tables) == 0:
		return 0, nil
	case e.decision.MaxBytes > 0 || e.billed() || slices.ContainsFunc(applying, func(a *approval) bool { return a.when.estimate }) ||
		len(e.highValue()) > 0:
		return 0, errEstimate
	default:
		return 0, nil
	}
}

// sizeUnknown are the words for a query that counts as above every bound.
const sizeUnknown = "BigQuery does not say beforehand how much the query would read"

func (e *evaluation) sizeUnknown() bool {
	estimate := e.input.Estimate
	return estimate != nil && estimate.Unknown
}

// otherUse lists the columns whose other_use is approve and that are used so, sorted.
func (e *evaluation) otherUse() []string {
	columns := []string{}
	for _, d := range e.asked {
		if d.leaf.other == useApprove {
			columns = append(columns, d.column)
		}
	}
	slices.Sort(columns)
	return slices.Compact(columns)
}

// otherUseNames are these columns by every name that they have: in a wildcard's members too, and in
// the tables that their own shows the rows of.
func (e *evaluation) otherUseNames() []string {
	names := []string{}
	for _, column := range e.otherUse() {
		names = append(names, e.alike(column)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (e *evaluation) highValue() []string {
	var names []string
	for _, v := range e.tables {
		if v.highValue {
			names = append(names, e.input.short(v.name))
		}
	}
	return names
}

// holding are the approvals whose condition is true. One that cannot be evaluated refuses. Only
// those that hold for certain let through what is refused without an approval.
func (e *evaluation) holding(applying []*approval, bytes int64) (held, certain []*approval, err error) {
	if len(applying) == 0 {
		return nil, nil, nil
	}
	readings := e.readings()
	values := e.approvalValues(readings[0], bytes)
	for _, a := range applying {
		holds, surely := false, false
		for i, tables := range readings {
			values["tables"] = tables
			one, certainly, err := e.holds(a, values)
			if err != nil {
				return nil, nil, refuse(a.ref, "", "the condition of approval %s could not be evaluated", a.ref.Name)
			}
			holds = holds || one
			if i == 0 {
				surely = certainly
			}
			if !a.when.tableSubject {
				break
			}
		}
		if holds {
			held = append(held, a)
		}
		if surely {
			certain = append(certain, a)
		}
	}
	return held, certain, nil
}

func (e *evaluation) approvalValues(tables []Table, bytes int64) map[string]any {
	values := subjectValues(e.input.Subject)
	maps.Copy(values, map[string]any{"tables": tables, "estimate.bytes": bytes, "kinds": []string{selectKind}, "groups": e.decision.Groups,
		"other_use": e.otherUseNames()})
	return values
}

// limiting is the rule with the smallest byte limit.
func (e *evaluation) limiting() RuleRef {
	for _, r := range e.restricting() {
		if r.maxBytes == e.decision.MaxBytes {
			return r.ref
		}
	}
	return e.decision.Rule
}

// merge makes one approval of all that hold the query: what each of them needs, the largest quorum,
// the shortest wait, the freshest login. It stands for as many runs as all of them let it.
func (e *evaluation) merge(held []*approval, bytes int64) (Approval, error) {
	first := held[0]
	for _, a := range held[1:] {
		if a.quorum > first.quorum {
			first = a
		}
	}
	m := Approval{Rule: first.ref, Quorum: first.quorum, Expires: first.expires, Standing: first.standing, Why: e.why(held, bytes)}
	for _, a := range held {
		m.Expires = min(m.Expires, a.expires)
		m.Needs = append(m.Needs, a.needs...)
		m.NoWait = m.NoWait || a.noWait
		if a.authAge > 0 && (m.MaxAuthAge == 0 || a.authAge < m.MaxAuthAge) {
			m.MaxAuthAge = a.authAge
		}
		m.Standing.MaxUses, m.Standing.MaxHours = min(m.Standing.MaxUses, a.standing.MaxUses), min(m.Standing.MaxHours, a.standing.MaxHours)
		if a != first {
			e.cite(a.ref)
		}
	}
	m.Needs, m.Reviewers = tidyNeeds(m.Needs)
	if !e.input.Subject.Mapped {
		m.Quorum = max(m.Quorum, 2) // nobody knows who asks, and one of the reviewers may be: a second person must look (A7, A61)
	}
	if m.Quorum < 1 || m.Expires < time.Second || len(m.Reviewers) == 0 {
		return m, refuse(first.ref, "", "approval %s has no quorum, no reviewers or no time", first.ref.Name)
	}
	return m, nil
}

// tidyNeeds drops needs that are met whenever another is, and returns the groups that play a part.
func tidyNeeds(needs []Need) (tidy []Need, groups []string) {
	for i := range needs {
		needs[i].Groups = slices.Compact(slices.Sorted(slices.Values(needs[i].Groups)))
		groups = append(groups, needs[i].Groups...)
	}
	for i, n := range needs {
		implied := slices.ContainsFunc(needs[:i], func(o Need) bool { return o.implies(n) }) ||
			slices.ContainsFunc(needs[i+1:], func(o Need) bool { return o.implies(n) && !n.implies(o) })
		if !implied {
			tidy = append(tidy, n)
		}
	}
	slices.Sort(groups)
	return tidy, slices.Compact(groups)
}

// implies says that whoever meets n meets o.
func (n Need) implies(o Need) bool {
	return n.Quorum >= o.Quorum && !slices.ContainsFunc(n.Groups, func(g string) bool { return !slices.Contains(o.Groups, g) })
}

// describeNeeds is "2 of owners", or "1 of owners and 1 of privacy, 2 people in all".
func describeNeeds(needs []Need, quorum int) string {
	if len(needs) == 1 {
		return fmt.Sprintf("%d of %s", max(quorum, needs[0].Quorum), strings.Join(needs[0].Groups, ", "))
	}
	var parts []string
	for _, n := range needs {
		parts = append(parts, fmt.Sprintf("%d of %s", n.Quorum, strings.Join(n.Groups, ", ")))
	}
	return fmt.Sprintf("%s; %d %s in all", strings.Join(parts, " and "), quorum,
		map[bool]string{true: "person", false: "people"}[quorum == 1])
}

// names is "approval payroll holds" or "approvals payroll and big-scans hold".
func names(held []*approval) string {
	all := make([]string, len(held))
	for i, a := range held {
		all[i] = a.ref.Name
		if a.budget {
			all[i] = "the budget of " + a.ref.Name
		}
	}
	if len(all) == 1 && held[0].budget {
		return all[0] + " holds"
	}
	if len(all) == 1 {
		return "approval " + all[0] + " holds"
	}
	return "approvals " + strings.Join(all, " and ") + " hold"
}

// why is one sentence for the reviewer: what of the query each condition looks at.
func (e *evaluation) why(held []*approval, bytes int64) string {
	var facts []string
	if high := e.highValue(); len(high) > 0 && slices.ContainsFunc(held, func(a *approval) bool { return a.when.tableSubject }) {
		facts = append(facts, "reads the high-value "+plural("table", len(high))+" "+strings.Join(high, ", "))
	}
	if slices.ContainsFunc(held, func(a *approval) bool { return a.when.estimate }) {
		if e.sizeUnknown() {
			facts = append(facts, "may read any amount: "+sizeUnknown)
		} else {
			facts = append(facts, "is estimated to read "+formatSize(coarse.Bytes(bytes)))
		}
	}
	if used := e.otherUse(); len(used) > 0 && slices.ContainsFunc(held, func(a *approval) bool { return a.when.otherUse }) {
		for i := range used {
			used[i] = e.input.short(used[i])
		}
		facts = append(facts, "computes on the masked "+plural("value", len(used))+" of "+strings.Join(used, ", "))
	}
	facts = append(facts, e.beyond...)
	if len(facts) == 0 {
		return names(held) + " this query"
	}
	return fmt.Sprintf("%s this query: it %s", names(held), strings.Join(facts, " and "))
}

func plural(word string, n int) string {
	if n == 1 {
		return word
	}
	return word + "s"
}
