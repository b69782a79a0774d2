package policies

import (
	"fmt"
	"slices"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/identity"
)

const reachPolicy = `version: bqgate/v1
groups:
  a: {issuer: demo, when: '"a" in claims.groups'}
  b: {issuer: demo, when: '"b" in claims.groups'}
rules:
  - {name: some, groups: [a], read: [demo.crm.*, demo.log_*.ev*, other.x.y]}
  - {name: all, groups: [b], read: ["demo.*.*", "*.open.t"]}
`

func TestReach(t *testing.T) {
	set, err := LoadBytes("p.yaml", []byte(reachPolicy), Options{Issuers: []string{"demo"}})
	if err != nil {
		t.Fatal(err)
	}
	reach := func(groups ...any) Reach {
		return set.Reach(identity.Subject{Name: "demo", Sub: "s", Claims: map[string]any{"groups": groups}}, now)
	}
	table := func(p, d, t string) bigquery.TableID { return bigquery.TableID{Project: p, Dataset: d, Table: t} }
	for _, c := range []struct {
		r    Reach
		id   bigquery.TableID
		want bool
	}{
		{reach("a"), table("demo", "crm", "customers"), true},
		{reach("a"), table("demo", "CRM", "customers"), false},
		{reach("a"), table("demo", "log_1", "events"), true},
		{reach("a"), table("demo", "log_1", "other"), false},
		{reach("a"), table("demo", "hr", "reviews"), false},
		{reach("a"), table("demo", "crm", "*"), false}, // no name of one table
		{reach("a"), table("", "", ""), false},
		{reach("b"), table("demo", "hr", "reviews"), true},
		{reach("b"), table("demo", "_hidden", "anon1"), false}, // results of others
		{reach("c"), table("demo", "crm", "customers"), false},
		{Reach{}, table("demo", "crm", "customers"), false},
		{(*Set)(nil).Reach(identity.Subject{Name: "demo"}, now), table("demo", "crm", "customers"), false},
	} {
		t.Run(c.id.String(), func(t *testing.T) {
			if _, got := c.r.Table(c.id); got != c.want {
				t.Errorf("%v reaches %s: %t", c.r.Groups, c.id, got)
			}
		})
	}
	for dataset, want := range map[string]Sight{"crm": Seen, "log_7": SeenByName, "hr": Unseen, "_hidden": Unseen, "": Unseen} {
		t.Run(dataset, func(t *testing.T) {
			if got, _ := reach("a").Dataset("demo", dataset); got != want {
				t.Errorf("a reaches dataset %q: %v", dataset, got)
			}
		})
	}
	if got, _ := reach("b").Dataset("demo", "_hidden"); got != Unseen {
		t.Error("demo.*.* reaches a hidden dataset")
	}
	if got := reach("a", "b").Projects(); !slices.Equal(got, []string{"demo", "other"}) {
		t.Errorf("projects %q", got)
	}
	if !reach("c").Nothing() || reach("a").Nothing() || !(Reach{}).Nothing() {
		t.Error("who reaches nothing is not told")
	}
	for _, c := range []struct {
		group, project string
		named, ok      bool
	}{{"a", "elsewhere", false, false}, {"a", "demo", true, true}, {"a", "other", true, true}, {"b", "elsewhere", false, true},
		{"b", "demo", true, true}} {
		t.Run(c.group, func(t *testing.T) {
			if _, named, ok := reach(c.group).Project(c.project); named != c.named || ok != c.ok {
				t.Errorf("%s reaches project %s: named %t, %t", c.group, c.project, named, ok)
			}
		})
	}
}

// A pattern that stands for many datasets and for some tables of them shows no dataset by itself.
func TestDatasetsOfPatterns(t *testing.T) {
	for _, c := range []struct {
		read, dataset string
		want          Sight
		tables        string // that are looked for
		all           bool
	}{
		{"demo.crm.pay", "crm", Seen, "[pay]", true},
		{"demo.crm.pay", "hr", Unseen, "[]", true},
		{"demo.crm.*", "crm", Seen, "[]", false},
		{"demo.crm.p*", "crm", Seen, "[]", false},
		{"demo.*.*", "hr", Seen, "[]", false},
		{"'*.*.*'", "hr", Seen, "[]", false},
		{"demo.*.pay", "hr", SeenByName, "[pay]", true},
		{"demo.h*.pay", "hr", SeenByName, "[pay]", true},
		{"demo.h*.pay", "crm", Unseen, "[]", true},
		{"demo.*.p*", "hr", SeenByName, "[]", false},
		{"'*.hr.pay'", "hr", SeenByName, "[pay]", true}, // of which project, nobody says
		{"'*.hr.*'", "hr", Seen, "[]", false},
		{"demo.*.pay, demo.*.sal*", "hr", SeenByName, "[pay]", false},
		{"demo.*.pay, demo.hr.x", "hr", Seen, "[pay x]", true},
		{"demo.*.pay, demo.*.old", "hr", SeenByName, "[old pay]", true},
		{"demo.*.pay", "_hidden", Unseen, "[]", true},
		{"demo.*.INFORMATION_SCHEMA.TABLES", "hr", Seen, "[]", true}, // it shows all tables of each
		{"demo.*.pay", "HR", SeenByName, "[pay]", true},
		{"demo.H*.pay", "hr", Unseen, "[]", true},
	} {
		t.Run(c.read, func(t *testing.T) {
			set := mustLoad(t, "version: bqgate/v1\ngroups: {g: {issuer: demo, when: 'true'}}\nrules:\n  - {name: r, groups: [g], read: ["+
				c.read+"]}\n")
			reach := set.Reach(subject("x"), now)
			if got, _ := reach.Dataset("demo", c.dataset); got != c.want {
				t.Errorf("%s shows %s: %v, want %v", c.read, c.dataset, got, c.want)
			}
			if names, all := reach.Tables("demo", c.dataset); fmt.Sprint(names) != c.tables || all != c.all {
				t.Errorf("%s names of %s: %v, all %t, want %s %t", c.read, c.dataset, names, all, c.tables, c.all)
			}
		})
	}
}
