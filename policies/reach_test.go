package policies

import (
	"slices"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/masking"
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
		return set.Reach(identity.Subject{Name: "demo", Sub: "s", Claims: map[string]any{"groups": groups}})
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
		{(*Set)(nil).Reach(identity.Subject{Name: "demo"}), table("demo", "crm", "customers"), false},
	} {
		if _, got := c.r.Table(c.id); got != c.want {
			t.Errorf("%v reaches %s: %t", c.r.Groups, c.id, got)
		}
	}
	for dataset, want := range map[string]bool{"crm": true, "log_7": true, "hr": false, "_hidden": false, "": false} {
		if _, got := reach("a").Dataset("demo", dataset); got != want {
			t.Errorf("a reaches dataset %q: %t", dataset, got)
		}
	}
	if _, got := reach("b").Dataset("demo", "_hidden"); got {
		t.Error("demo.*.* reaches a hidden dataset")
	}
	if got := reach("a", "b").Projects(); !slices.Equal(got, []string{"demo", "other"}) {
		t.Errorf("projects %q", got)
	}
	if !reach("c").Nothing() || reach("a").Nothing() || !(Reach{}).Nothing() {
		t.Error("who reaches nothing is not told")
	}
	if _, got := reach("a").Project("elsewhere"); got {
		t.Error("a project of no rule is reached")
	}
}

func TestNamesOfAResultAreTold(t *testing.T) {
	if err := namedOnce([]masking.Column{{Name: "a"}, {Name: "b"}}); err != nil {
		t.Error(err)
	}
	if err := namedOnce([]masking.Column{{Name: "a"}, {Name: "b"}, {Name: "A"}}); err == nil {
		t.Error("a and A passed as two names")
	}
}
