package policies

// budgets: those that never count, since another limit of the same rule is reached before.
func (l *linter) budgets() {
	for i := range l.set.rules {
		r := &l.set.rules[i]
		for _, b := range r.budgets {
			said := Budget{Unit: b.unit, Limit: b.limit, Per: b.per, By: b.by}
			for _, o := range r.budgets {
				if b.per == perHour && o.per == perDay && b.unit == o.unit && b.by == o.by && b.limit >= o.limit {
					l.find(r.ref, "rule %s: its budget of %s never counts, since that of %s is used up before", r.ref.Name, said,
						Budget{Unit: o.unit, Limit: o.limit, Per: o.per, By: o.by})
				}
			}
			if b.unit == UnitBytes && r.maxBytes > b.limit && b.hold == nil {
				l.find(r.ref, "rule %s: its max_bytes of %s never counts, since its budget is %s", r.ref.Name, formatSize(r.maxBytes), said)
			}
			if b.unit == UnitRows && r.maxRows > b.limit && b.hold == nil {
				l.find(r.ref, "rule %s: its max_rows of %d never counts, since its budget is %s", r.ref.Name, r.maxRows, said)
			}
		}
	}
}
