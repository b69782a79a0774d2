package policies

import (
	"fmt"
	"strings"
	"testing"
)

const lintPolicy = `version: bqgate/v1
groups:
  g: {issuer: demo, when: '"g" in claims.groups'}
  h: {issuer: demo, when: '"h" in claims.groups'}
  o: {issuer: demo, when: '"o" in claims.groups'}
`

// TestLint: what is loaded and probably not meant is found, at its line, and nothing else is.
func TestLint(t *testing.T) {
	const (
		rules = "rules:\n  - {name: r, groups: [g], read: [demo.crm.*, demo.finance.*]}\n  - {name: rh, groups: [h], read: [demo.crm.*]}\n"
		high  = "tables:\n  - {match: demo.finance.payroll, high_value: true}\n"
		ssn   = "columns:\n  - {match: demo.crm.customers.ssn, mask: ALWAYS_NULL}\n"
	)
	approval := func(when, more string) string {
		return fmt.Sprintf("approvals:\n  - {name: a, when: %s, reviewers: [o]%s}\n", when, more)
	}
	for name, c := range map[string]struct {
		policy string
		want   []string // "line: what the finding says", nil for none
	}{
		"nothing to find": {rules + high + ssn + approval("'tables.exists(t, t.high_value)'", ""), nil},

		"high value without approvals": {rules + high,
			[]string{"10: tables entry demo.finance.payroll: high_value: true holds no query"}},
		"approvals that look at the size": {rules + high + approval("estimate.bytes > 1", ""),
			[]string{"10: tables entry demo.finance.payroll"}},
		"approvals that hold everything": {rules + high + approval("'true'", ""), []string{"10: tables entry demo.finance.payroll"}},
		"approvals by a table's name": {rules + high + approval("'tables.exists(t, t.table == \"payroll\")'", ""),
			[]string{"10: tables entry"}},
		"an approval of others' queries": {rules + high + approval("'tables.exists(t, t.high_value)'", ", groups: [h]"),
			[]string{"10: tables entry"}},
		"an approval of the readers' queries": {rules + high + approval("'tables.exists(t, t.high_value)'", ", groups: [g]"), nil},
		"high value of other tables": {rules + high + approval("'tables.exists(t, t.high_value && t.dataset == \"crm\")'", ""),
			[]string{"10: tables entry"}},
		"high value of these":    {rules + high + approval("'tables.exists(t, t.high_value && t.dataset == \"finance\")'", ""), nil},
		"high value and size":    {rules + high + approval("'estimate.bytes > GiB(1) && tables.exists(t, t.high_value)'", ""), nil},
		"high value that is not": {rules + high + approval("'estimate.bytes > 1 && !tables.exists(t, t.high_value)'", ""), nil},
		"counted":                {rules + high + approval("'tables.filter(t, t.high_value).size() > 0'", ""), nil},
		"of a pattern": {rules + strings.Replace(high, "payroll", "*", 1) +
			approval("'tables.exists(t, t.high_value && t.table == \"payroll\")'", ""), nil},
		"of nobody's tables": {rules + strings.Replace(high, "finance", "hr", 1), []string{"10: tables entry demo.hr.payroll"}},
		"high_value: false":  {rules + strings.Replace(high, "true", "false", 1), nil},

		"an exemption": {strings.Replace(rules, "read: [demo.crm.*]}", "read: [demo.crm.*], clear: [demo.crm.customers.ssn]}", 1) + ssn,
			nil},
		"an exemption of everything": {strings.Replace(rules, "read: [demo.crm.*]}", "read: [demo.crm.*], clear: ['demo.crm.*.*']}", 1) +
			ssn,
			[]string{"8: rule rh clears demo.crm.*.*, and with it what demo.crm.customers.ssn (policy.yaml:10) masks"}},
		"an exemption of a kind": {strings.Replace(rules, "read: [demo.crm.*]}",
			"read: [demo.crm.*], clear: [demo.crm.customers.s*]}", 1) +
			ssn,
			[]string{"8: rule rh clears demo.crm.customers.s*"}},
		"an exemption of another kind": {
			strings.Replace(rules, "read: [demo.crm.*]}", "read: [demo.crm.*], clear: [demo.crm.customers.e*]}", 1) + ssn, nil,
		},
		"an exemption in any table": {strings.Replace(rules, "read: [demo.crm.*]}", "read: [demo.crm.*], clear: ['demo.crm.*.ssn']}", 1) +
			ssn, nil},
		"one rule masks, another clears": {
			rules + "  - {name: more, groups: [h, g], read: [demo.crm.customers], clear: [demo.crm.customers.ssn]}\n" + ssn,
			[]string{"9: rule more clears demo.crm.customers.ssn for group g, and rule r (policy.yaml:7)",
				"9: rule more clears demo.crm.customers.ssn for group h, and rule rh (policy.yaml:8)"}},
		"of other groups": {rules + "  - {name: more, groups: [o], read: [demo.crm.customers], clear: [demo.crm.customers.ssn]}\n" + ssn,
			nil},
		"of other tables": {rules + "  - {name: more, groups: [h], read: [demo.finance.payroll], clear: " +
			"[demo.finance.payroll.ssn]}\ncolumns:\n  - {match: demo.finance.payroll.ssn, mask: ALWAYS_NULL}\n", nil},
		"both clear": {strings.Replace(rules, "read: [demo.crm.*]}", "read: [demo.crm.*], clear: [demo.crm.customers.ssn]}", 1) +
			"  - {name: more, groups: [h], read: [demo.crm.customers], clear: [demo.crm.customers.ssn]}\n" + ssn, nil},

		"an entry clears what one masks everywhere": {
			rules + "columns:\n  - {match: '*.*.*.ssn', mask: ALWAYS_NULL}\n  - {match: demo.crm.customers.ssn, clear: true}\n",
			[]string{"11: columns entry demo.crm.customers.ssn says clear: true, and *.*.*.ssn (policy.yaml:10) masks it or a part of " +
				"it: the mask holds"}},
		"an entry clears everything": {rules + ssn + "  - {match: demo.crm.customers.*, clear: true}\n",
			[]string{"11: columns entry demo.crm.customers.*"}},
		"an entry clears a STRUCT": {rules + "columns:\n  - {match: demo.crm.customers.phones.number, mask: ALWAYS_NULL}\n  - " +
			"{match: demo.crm.customers.phones, clear: true}\n", []string{"11: columns entry"}},
		"an entry clears a field": {rules + "columns:\n  - {match: demo.crm.customers.phones, mask: ALWAYS_NULL}\n  - {match: " +
			"demo.crm.customers.phones.kind, clear: true}\n", []string{"11: columns entry"}},
		"an entry in other letters":       {rules + ssn + "  - {match: 'demo.CRM.*.SSN', clear: true}\n", []string{"11: columns entry"}},
		"an entry clears another column":  {rules + ssn + "  - {match: demo.crm.customers.name, clear: true}\n", nil},
		"an entry clears another table's": {rules + ssn + "  - {match: demo.crm.orders.ssn, clear: true}\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			findings, _, err := mustLoad(t, lintPolicy+c.policy).Lint("")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range findings {
				if f.File != "policy.yaml" {
					t.Errorf("found in %s", f.File)
				}
				if !strings.Contains(f.Message, "plays no part") && !strings.Contains(f.Message, "reads nothing and reviews nothing") {
					got = append(got, fmt.Sprintf("%d: %s", f.Line, f.Message))
				}
			}
			if len(got) != len(c.want) {
				t.Fatalf("found %q, want %q", got, c.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], c.want[i]) {
					t.Errorf("found %q, want %q", got[i], c.want[i])
				}
			}
		})
	}
}

// With a catalog: names that match nothing, and what was perhaps meant.
func TestLintOfNamesThatAreNotThere(t *testing.T) {
	const policy = lintPolicy + `columns:
  - {match: demo.crm.custmers.ssn, mask: ALWAYS_NULL}
  - {match: demo.crm.customers.snn, mask: ALWAYS_NULL}
  - {match: demo.crm.customers.phones.numbr, mask: ALWAYS_NULL}
  - {match: demo.crm.customers.emial, clear: true}
  - {match: demo.crm.customers.card_number, mask: ALWAYS_NULL}
  - {match: demo.*.nothing.ssn, mask: ALWAYS_NULL}
tables:
  - {match: demo.crm.ordrs, unlisted: clear}
rules:
  - {name: r, groups: [g, h, o], read: [demo.*.*], clear: [demo.crm.customers.card_numbr]}
`
	findings, _, err := mustLoad(t, policy).Lint("testdata/catalog")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range findings {
		all = append(all, fmt.Sprintf("%d: %s", f.Line, f.Message))
	}
	for _, want := range []string{
		"7: columns entry demo.crm.custmers.ssn: no column of the catalog has such a name (did you mean demo.crm.customers?)",
		"8: columns entry demo.crm.customers.snn: no column of the catalog has such a name (did you mean ssn?); no query of the table is " +
			"answered until that is mended",
		"9: columns entry demo.crm.customers.phones.numbr: no column of the catalog has such a name (did you mean phones.number?); no " +
			"query",
		"10: columns entry demo.crm.customers.emial: no column of the catalog has such a name (did you mean email?)",
		"12: columns entry demo.*.nothing.ssn: no column of the catalog has such a name",
		"14: tables entry demo.crm.ordrs: no table of the catalog has such a name (did you mean demo.crm.orders?)",
		"16: rule r clears demo.crm.customers.card_numbr, and no column of the catalog has such a name (did you mean card_number?)",
	} {
		t.Run(want, func(t *testing.T) {
			found := false
			for _, got := range all {
				found = found || strings.HasPrefix(got, want)
			}
			if !found {
				t.Errorf("not found: %s", want)
			}
		})
	}
	for _, got := range all {
		if strings.HasPrefix(got, "11:") || strings.HasPrefix(got, "10:") && strings.Contains(got, "mended") {
			t.Errorf("found: %s", got)
		}
	}
	if t.Failed() {
		t.Logf("found:\n%s", strings.Join(all, "\n"))
	}
}

// Budgets that another limit of their rule always reaches before.
func TestLintBudgets(t *testing.T) {
	for name, c := range map[string]struct{ rule, says string }{
		"an hour like the day": {"budget: [{bytes: 2GiB, per: hour, by: owner}, {bytes: 2GiB, per: day, by: owner}]",
			"2 GiB an hour for each owner never counts"},
		"a cap above":       {"max_bytes: 3GiB, budget: {bytes: 2GiB, per: day, by: owner}", "its max_bytes of 3 GiB never counts"},
		"rows above":        {"max_rows: 30, budget: {rows: 20, per: day, by: owner}", "its max_rows of 30 never counts"},
		"an hour below":     {"max_bytes: 1GiB, budget: [{bytes: 1GiB, per: hour, by: owner}, {bytes: 2GiB, per: day, by: owner}]", ""},
		"beyond it one may": {"max_bytes: 3GiB, budget: {bytes: 2GiB, per: day, by: owner, over: hold, reviewers: [h]}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			set := mustLoad(t, strings.Replace(readAll, "read: [demo.crm.*]", "read: [demo.crm.*], "+c.rule, 1))
			found, _, err := set.Lint("")
			var said []string
			for _, f := range found {
				if strings.Contains(f.Message, "never counts") {
					said = append(said, f.Message)
				}
			}
			if err != nil || (len(said) > 0) != (c.says != "") || c.says != "" && !strings.Contains(said[0], c.says) {
				t.Errorf("%q, %v; want %q", said, err, c.says)
			}
		})
	}
}
