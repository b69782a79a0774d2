package policies

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
)

const standsForPolicy = `version: bqgate/v1
groups:
  g: {issuer: demo, when: '"g" in claims.groups'}
  r: {issuer: demo, when: '"r" in claims.groups'}
rules:
  - {name: read, groups: [g], read: [demo.finance.*, demo.crm.*]}
`

// renamedTables are ways to read demo.finance.payroll under another name, by that name.
func renamedTables() map[string]*bigquery.Table {
	payroll := tableOf("demo.finance.payroll", "employee", "salary")
	wildcard := func(prefix string, members ...string) *bigquery.Table {
		t := tableOf("demo.finance."+prefix+"*", "employee", "salary")
		t.Members = members
		return t
	}
	of := func(name, kind string, origins ...bigquery.Origin) *bigquery.Table {
		t := tableOf(name, "employee", "salary")
		t.Type, t.Origins = kind, origins
		return t
	}
	base := bigquery.Origin{ID: payroll.TableReference, Table: payroll}
	chain := of("demo.finance.first", "SNAPSHOT", base)
	members := wildcard("copy_", "copy_1", "copy_2")
	members.Origins = []bigquery.Origin{base}
	return map[string]*bigquery.Table{
		"the table itself":           payroll,
		"a wildcard":                 wildcard("payrol", "payroll"),
		"a shorter wildcard":         wildcard("p", "pay", "payroll", "people"),
		"any table of the dataset":   wildcard("", "orders", "payroll"),
		"a snapshot":                 of("demo.crm.harmless", "SNAPSHOT", base),
		"a clone":                    of("demo.crm.harmless", "TABLE", base),
		"a clone of a snapshot":      of("demo.crm.harmless", "TABLE", bigquery.Origin{ID: chain.TableReference, Table: chain}),
		"a snapshot of a gone table": of("demo.crm.harmless", "SNAPSHOT", bigquery.Origin{ID: payroll.TableReference}),
		"a wildcard over clones":     members,
	}
}

// A60: an approval that names a table holds every query that reads it, by whatever name, and
// however the condition is written.
func TestApprovalsByNameAreNotEvaded(t *testing.T) {
	other := tableOf("demo.crm.orders", "id")
	for _, when := range []string{
		`tables.exists(t, t.table == "payroll")`,
		`tables.exists(t, t.name == "demo.finance.payroll")`,
		`tables.exists(t, t.table in ["payroll", "bonus"])`,
		`tables.exists(t, t.dataset == "finance" && t.table.endsWith("roll"))`,
		`tables.exists(t, t.name.matches("^demo[.]finance[.]payroll$"))`,
		`tables.map(t, t.name).exists(n, n == "demo.finance.payroll")`,
		`tables.filter(t, t.table == "payroll").size() > 0`,
		`!tables.all(t, t.table != "payroll")`,
		`"demo.finance.payroll" in tables.map(t, t.name)`,
		`tables.exists(t, t.high_value && t.table == "payroll")`,
		`tables.exists(t, t.table == "payroll") && !tables.exists(t, t.table == "nothing")`,
	} {
		set := mustLoad(t, standsForPolicy+"tables:\n  - {match: demo.finance.payroll, high_value: true, unlisted: clear}\n  - {match: "+
			"demo.*.*, unlisted: clear}\n  - {match: demo.crm.harmless, unlisted: clear}\napprovals:\n  - {name: a, when: '"+when+
			"', reviewers: [r]}\n")
		for name, table := range renamedTables() {
			t.Run(when+" "+name, func(t *testing.T) {
				r := ask(subject("x", "g"), selects(table.TableReference.String(), "employee"), tableOf("demo.finance.payroll", "employee"),
					tableOf("demo.finance.first", "employee"), table)
				r.Estimate = &Estimate{Bytes: 1}
				d := set.decide(r)
				if d.Effect != Hold {
					t.Fatalf("%s %s, want it held", d.Effect, d.Message)
				}
				checkSound(t, d)
			})
		}
		t.Run(when+" another table", func(t *testing.T) {
			r := ask(subject("x", "g"), selects("demo.crm.orders", "id"), other)
			r.Estimate = &Estimate{Bytes: 1}
			if d := set.decide(r); d.Effect != Allow {
				t.Errorf("%s %s", d.Effect, d.Message)
			}
		})
	}
}

// Conditions that more names make false are asked about the tables as the query has them, and about
// those that hold the rows, too.
func TestApprovalsThatWantAllTables(t *testing.T) {
	members := tableOf("demo.finance.pay*", "employee")
	members.Members = []string{"payroll"}
	view, behind := tableOf("demo.crm.v", "employee"), selects("demo.finance.payroll", "employee")
	view.Type, view.View = "VIEW", &bigquery.View{}
	behind.Statements[0].Tables = []string{"demo.crm.v", "demo.finance.payroll"}
	for _, c := range []struct {
		when     string
		analysis *googlesql.Analysis
		want     Effect
	}{
		{`tables.all(t, t.table == "payroll")`, selects("demo.finance.pay*", "employee"), Hold},
		{`size(tables) == 1 && tables[0].table == "payroll"`, selects("demo.finance.pay*", "employee"), Hold},
		{`tables.all(t, t.table.endsWith("*"))`, selects("demo.finance.pay*", "employee"), Hold},
		{`size(tables) == 1`, selects("demo.finance.pay*", "employee"), Hold},
		{`tables.exists_one(t, t.dataset == "finance")`, selects("demo.finance.pay*", "employee"), Hold},
		{`tables.all(t, t.dataset == "finance")`, behind, Hold},
		{`tables.all(t, t.dataset == "crm")`, behind, Allow},
		{`tables.all(t, t.table == "bonus")`, selects("demo.finance.pay*", "employee"), Allow},
		{`size(tables) > 2`, selects("demo.finance.pay*", "employee"), Allow},
	} {
		t.Run(c.when, func(t *testing.T) {
			set := mustLoad(t, standsForPolicy+"approvals:\n  - {name: a, when: '"+c.when+"', reviewers: [r]}\n")
			if d := set.decide(ask(subject("x", "g"), c.analysis, members, view,
				tableOf("demo.finance.payroll", "employee"))); d.Effect != c.want {
				t.Errorf("%s %s, want %s", d.Effect, d.Message, c.want)
			}
		})
	}
}

// The limits of a rule for one table hold for a wildcard that takes it in and for what was made of
// it; what the rule grants does not.
func TestLimitsOfMembersHold(t *testing.T) {
	policy := strings.Replace(standsForPolicy, "rules:\n",
		"rules:\n  - {name: tight, groups: [g], read: [demo.finance.payroll], max_rows: 7, max_result_bytes: 1MiB, max_bytes: 1GiB, "+
			"credential: other}\n", 1)
	set := mustLoad(t, policy)
	for name, table := range renamedTables() {
		t.Run(name, func(t *testing.T) {
			r := ask(subject("x", "g"), selects(table.TableReference.String(), "employee"), tableOf("demo.finance.payroll", "employee"),
				tableOf("demo.finance.first", "employee"), table)
			r.Estimate = &Estimate{Bytes: 1}
			d := set.decide(r)
			switch {
			case name == "a snapshot of a gone table":
				return // nobody answers for it
			case d.Effect != Allow || d.MaxRows != 7 || d.MaxResultBytes != 1<<20 || d.MaxBytes != 1<<30:
				t.Errorf("%s %s, %d rows, %d bytes of result, %d bytes", d.Effect, d.Message, d.MaxRows, d.MaxResultBytes, d.MaxBytes)
			case name != "the table itself" && d.Credential != "default":
				t.Errorf("it runs with credential %s", d.Credential)
			}
			r.Estimate = &Estimate{Bytes: 2 << 30}
			if d := set.decide(r); d.Effect != Refuse || !strings.Contains(d.Message, "at most 1 GiB") {
				t.Errorf("over the limit: %s %s", d.Effect, d.Message)
			}
		})
	}
}

// A column of a member is one of the wildcard's: an approval that compares other_use by name holds
// it.
func TestOtherUseByName(t *testing.T) {
	set := mustLoad(t, standsForPolicy+`columns:
  - {match: demo.finance.payroll.salary, mask: ALWAYS_NULL, other_use: approve}
tables:
  - {match: demo.*.*, unlisted: clear}
approvals:
  - {name: a, when: '"demo.finance.payroll.salary" in other_use', reviewers: [r]}
`)
	for name, table := range renamedTables() {
		if name == "a snapshot of a gone table" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			full := table.TableReference.String()
			a := selects(full, "employee")
			a.Statements[0].Uses = []googlesql.Use{{Column: full + ".salary", In: googlesql.UseFilter, Offset: -1}}
			r := ask(subject("x", "g"), a, tableOf("demo.finance.payroll", "employee", "salary"),
				tableOf("demo.finance.first", "employee", "salary"), table)
			d := set.decide(r)
			if len(d.Transforms) == 0 {
				t.Fatalf("nothing has to be masked first: %s %s", d.Effect, d.Message)
			}
			proof := selects(full, "employee")
			r.Transformed = &Transformed{Transforms: d.Transforms, Proof: proof}
			if d = set.decide(r); d.Effect != Hold {
				t.Errorf("%s %s, want it held", d.Effect, d.Message)
			}
		})
	}
}

// A wildcard over as many tables as BigQuery allows is within the cost of usual conditions; one
// that costs more refuses.
func TestConditionsOverManyMembers(t *testing.T) {
	table := tableOf("demo.finance.d_*", "employee")
	for i := range 1000 {
		table.Members = append(table.Members, fmt.Sprintf("d_%d", i))
	}
	for when, want := range map[string]Effect{
		`tables.exists(t, t.table == "d_999" || t.name.startsWith("demo.hr.") || t.dataset in ["a", "b"])`: Hold,
		`tables.exists(t, t.table == "payroll")`:                                                           Allow,
		`tables.exists(t, tables.exists(u, u.table == t.table + "x"))`:                                     Refuse,
	} {
		t.Run(when, func(t *testing.T) {
			set := mustLoad(t, standsForPolicy+"approvals:\n  - {name: a, when: '"+when+"', reviewers: [r]}\n")
			if d := set.decide(ask(subject("x", "g"), selects("demo.finance.d_*", "employee"), table)); d.Effect != want {
				t.Errorf("%s: %s %s, want %s", when, d.Effect, d.Message, want)
			}
		})
	}
}
