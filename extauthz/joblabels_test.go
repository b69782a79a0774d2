package extauthz

import (
	"regexp"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/policies"
)

// Whose a job is stands on it, in what BigQuery takes for labels, and the record has what each of
// them stands for. Nobody's address does, unless the rule names the person.
func TestJobLabels(t *testing.T) {
	const rule = "version: bqgate/v1\ngroups: {ai: {issuer: ci, when: 'true'}}\n" +
		"rules: [{name: r, groups: [ai], read: [p.d.*], jobs_in: [p]LABELS}]\n"
	subject := identity.Subject{
		Issuer: "https://ci.example", Name: "ci", Sub: "alice@corp.example", Person: "alice@corp.example",
		Claims: map[string]any{"repository": "Acme/App", "sha": "0a1b2c", "run_id": 77.0},
	}
	value := regexp.MustCompile(`^[a-z0-9_-]{1,63}$`)
	digest, readable := regexp.MustCompile(`^[0-9a-f]{16}$`), regexp.MustCompile(`^acme_app-[0-9a-f]{16}$`)
	is := func(want string) *regexp.Regexp { return regexp.MustCompile("^" + want + "$") }
	for name, c := range map[string]struct {
		labels  string
		subject func(*identity.Subject)
		want    map[string]*regexp.Regexp
	}{
		"what a rule has by itself": {"", nil, map[string]*regexp.Regexp{
			"owner": digest, "group": is("ai"), "repository": readable, "commit": is("0a1b2c"), "run": is("77"), "rule": nil,
			"request": is("01jz"),
		}},
		"those that it names": {", labels: [commit, rule]", nil, map[string]*regexp.Regexp{"commit": is("0a1b2c"), "rule": nil}},
		"the person":          {", labels: [person]", nil, map[string]*regexp.Regexp{"person": is("alice_corp_example-[0-9a-f]{16}")}},
		"none":                {", labels: [none]", nil, map[string]*regexp.Regexp{}},
		"an address elsewhere": {", labels: [repository]", func(s *identity.Subject) {
			s.Claims = map[string]any{"repository": "bob@corp.example"}
		}, map[string]*regexp.Regexp{"repository": digest}},
		"a long one": {", labels: [repository]", func(s *identity.Subject) {
			s.Claims = map[string]any{"repository": strings.Repeat("ab/", 200)}
		}, map[string]*regexp.Regexp{"repository": nil}},
		"another script": {", labels: [repository]", func(s *identity.Subject) {
			s.Claims = map[string]any{"repository": "проект/код"}
		}, map[string]*regexp.Regexp{"repository": is("x-[0-9a-f]{16}")}},
		"no such claim": {", labels: [repository]", func(s *identity.Subject) { s.Claims = nil }, map[string]*regexp.Regexp{}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newParts(t)
			set, err := policies.LoadBytes("crm.yaml", []byte(strings.Replace(rule, "LABELS", c.labels, 1)),
				policies.Options{Issuers: []string{"ci"}})
			if err != nil {
				t.Fatal(err)
			}
			a := asked{subject: subject, policy: set}
			if c.subject != nil {
				c.subject(&a.subject)
			}
			j := &judged{
				decision: policies.Decision{
					Rule:   policies.RuleRef{Policy: "crm", Name: "r", File: "crm.yaml", Line: 3},
					Groups: []string{"ai"},
				},
				approval: "01JZ",
			}
			labels, of := p.s.jobLabels(a, j)
			if len(labels) != len(c.want) || len(of) != len(labels) {
				t.Fatalf("labels %v of %+v, want %d", labels, of, len(c.want))
			}
			for key, want := range c.want {
				got := labels[bigquery.LabelPrefix+"_"+key]
				if !value.MatchString(got) || want != nil && !want.MatchString(got) {
					t.Errorf("%s is %q, want %v", key, got, want)
				}
			}
			for _, one := range of {
				if labels[one.Key] != one.Value || one.Of == "" {
					t.Errorf("recorded %+v", one)
				}
			}
		})
	}
}

// Two values that look alike as labels are told apart, and a digest is of one gateway's keys.
func TestJobLabelsDiffer(t *testing.T) {
	p := newParts(t)
	seen := map[string]string{}
	for _, repository := range []string{"acme/app", "acme_app", "Acme/App", "acme//app", "acme-app"} {
		v := p.s.labelValue(policies.LabelRepository, repository)
		if other, ok := seen[v]; ok {
			t.Errorf("%q and %q are both %q", other, repository, v)
		}
		seen[v] = repository
	}
}
