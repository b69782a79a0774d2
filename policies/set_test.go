package policies

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/masking"
)

func TestGroups(t *testing.T) {
	text := `version: bqgate/v1
groups:
  ci: {issuer: github, when: claims.repository_owner_id == "4411" && claims.environment == "ci"}
  not-main: {issuer: github, when: 'claims.ref != "refs/heads/main"'}
  number: {issuer: github, when: claims.run_attempt == 1}
  people: {issuer: okta, when: '"data" in claims.groups && !subject.workload'}
  dana: {issuer: okta, when: 'subject.sub == "dana" && subject.issuer == "okta" && "dana@acme.example" in subject.people'}
`
	set, err := LoadBytes("p.yaml", []byte(text), Options{Issuers: []string{"github", "okta"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		subject identity.Subject
		want    string
	}{
		{"nobody", identity.Subject{}, ""},
		{"ci", identity.Subject{Name: "github", Claims: map[string]any{"repository_owner_id": "4411", "environment": "ci"}}, "ci"},
		{"other owner", identity.Subject{Name: "github", Claims: map[string]any{"repository_owner_id": "4412", "environment": "ci"}}, ""},
		{"claim missing", identity.Subject{Name: "github", Claims: map[string]any{"repository_owner_id": "4411"}}, ""},
		{"claim of another type",
			identity.Subject{Name: "github", Claims: map[string]any{"repository_owner_id": 4411.0, "environment": "ci"}}, ""},
		{"negation and a missing claim", identity.Subject{Name: "github", Claims: map[string]any{}}, ""},
		{"negation", identity.Subject{Name: "github", Claims: map[string]any{"ref": "refs/heads/x"}}, "not-main"},
		{"number of JSON", identity.Subject{Name: "github", Claims: map[string]any{"run_attempt": 1.0}}, "number"},
		{"claims of the wrong issuer",
			identity.Subject{Name: "okta", Claims: map[string]any{"repository_owner_id": "4411", "environment": "ci"}}, ""},
		{"issuer in other letters",
			identity.Subject{Name: "GitHub", Claims: map[string]any{"repository_owner_id": "4411", "environment": "ci"}}, ""},
		{"person", identity.Subject{Name: "okta", Sub: "dana", People: []string{"dana@acme.example"}, Known: []string{"dana@acme.example"},
			Claims: map[string]any{"groups": []any{"data"}}}, "dana people"},
		{"person under a name that nobody has verified",
			identity.Subject{Name: "okta", Sub: "7", People: []string{"7", "dana@acme.example"},
				Claims: map[string]any{"groups": []any{"data"}}}, "people"},
		{"workload", identity.Subject{Name: "okta", Workload: true, Claims: map[string]any{"groups": []any{"data"}}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(set.Groups(c.subject), " "); got != c.want {
				t.Errorf("%s: %q, want %q", c.name, got, c.want)
			}
		})
	}
}

// TestGroupWithoutIssuer: the one configured issuer is meant, and nobody where none is known.
func TestGroupWithoutIssuer(t *testing.T) {
	text := []byte("version: bqgate/v1\ngroups: {g: {when: 'true'}}\n")
	for _, c := range []struct {
		issuers []string
		want    int
	}{{nil, 0}, {[]string{"demo"}, 1}, {[]string{"other"}, 0}} {
		t.Run(fmt.Sprint(c.issuers), func(t *testing.T) {
			set, err := LoadBytes("p.yaml", text, Options{Issuers: c.issuers})
			if err != nil {
				t.Fatal(err)
			}
			if got := set.Groups(subject("x")); len(got) != c.want {
				t.Errorf("issuers %v: groups %v", c.issuers, got)
			}
		})
	}
	if _, err := LoadBytes("p.yaml", text, Options{Issuers: []string{"a", "b"}}); err == nil {
		t.Error("a group without an issuer was loaded beside two issuers")
	}
}

func TestReviewersAndKnown(t *testing.T) {
	set := demoSet(t)
	for _, c := range []struct {
		groups        []string
		review, known bool
	}{
		{nil, false, false}, {[]string{"visitors"}, false, false}, {[]string{"ai-agents"}, false, true},
		{[]string{"analysts"}, false, true},
		{[]string{"x", "data-owners"}, true, true},
	} {
		t.Run(fmt.Sprint(c.groups), func(t *testing.T) {
			if set.MayReview(c.groups) != c.review || set.Known(c.groups) != c.known {
				t.Errorf("%v: review %v, known %v", c.groups, set.MayReview(c.groups), set.Known(c.groups))
			}
		})
	}
	var nobody *Set
	if nobody.MayReview([]string{"data-owners"}) || nobody.Known([]string{"data-owners"}) ||
		nobody.Groups(subject("x", "data-owners")) != nil || nobody.Digest() != "" {
		t.Error("the nil Set knows somebody")
	}
}

// TestDemoSensitiveColumns is what the demo's canaries are made of.
func TestDemoSensitiveColumns(t *testing.T) {
	set, tables := demoSet(t), catalog(t)
	want := map[string][]SensitiveColumn{
		"demo.crm.customers": {
			{"demo.crm.customers.email", masking.EmailMask}, {"demo.crm.customers.ssn", masking.LastFourCharacters},
			{"demo.crm.customers.card_number", masking.AlwaysNull}, {"demo.crm.customers.phones.number", masking.DefaultMaskingValue},
		},
		"demo.finance.payroll": {{"demo.finance.payroll.ssn", masking.LastFourCharacters},
			{"demo.finance.payroll.salary", masking.AlwaysNull}},
		"demo.hr.reviews": {{"demo.hr.reviews.note", masking.AlwaysNull}},
		"demo.crm.orders": nil,
		"demo.crm.events": nil,
	}
	for name, columns := range want {
		t.Run(name, func(t *testing.T) {
			if got := set.SensitiveColumns(tables[name]); !slices.Equal(got, columns) {
				t.Errorf("%s: %v, want %v", name, got, columns)
			}
		})
	}
	if set.SensitiveColumns(nil) != nil {
		t.Error("columns of no table")
	}
}

func TestNeedsEstimate(t *testing.T) {
	set := demoSet(t)
	for _, c := range []struct {
		name  string
		who   identity.Subject
		table string
		want  bool
	}{
		{"an approval looks at the size", subject("a", "ai-agents"), "demo.crm.orders", true},
		{"no approval does for this group", subject("a", "analysts"), "demo.crm.orders", false},
		{"high value", subject("a", "data-owners"), "demo.finance.payroll", true},
		{"closed", subject("a", "ai-agents"), "demo.hr.reviews", false},
		{"stranger", subject("a", "visitors"), "demo.crm.orders", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := ask(c.who, selects(c.table, firstColumn(t, c.table)))
			r.Tables = catalog(t)
			r.RowAccess = noRowAccess(r.Tables)
			if got := set.needsEstimate(r); got != c.want {
				t.Errorf("%s: %v", c.name, got)
			}
		})
	}
}

func firstColumn(t *testing.T, table string) string {
	return catalog(t)[table].Schema.Fields[0].Name
}

func TestSeveralFiles(t *testing.T) {
	groups := Source{"policies/groups.yaml", []byte("version: bqgate/v1\ngroups: {g: {issuer: demo, when: 'true'}}\n")}
	rules := Source{"/etc/bqgate/policies/rules.yaml",
		[]byte("version: bqgate/v1\nrules:\n  - {name: r, groups: [g], read: [demo.crm.*]}\n")}
	o := Options{Issuers: []string{"demo"}, Projects: map[string]string{"default": "demo"}}
	set, err := LoadSources([]Source{rules, groups}, o)
	if err != nil {
		t.Fatal(err)
	}
	d := set.decide(ask(subject("x"), selects("demo.crm.t", "a"), tableOf("demo.crm.t", "a")))
	if d.Effect != Allow || d.Rule != (RuleRef{Policy: "rules", Name: "r", File: "policies/rules.yaml", Line: 3}) {
		t.Errorf("%s by %+v: an agent must not read folders of the machine", d.Effect, d.Rule)
	}
	for name, twice := range map[string][]Source{"group": {groups, groups, rules}, "rule": {groups, rules, rules}} {
		t.Run(name, func(t *testing.T) {
			if _, err := LoadSources(twice, o); err == nil || !strings.Contains(err.Error(), "already defined") &&
				!strings.Contains(err.Error(), "is taken") {
				t.Errorf("the same %s in two files: %v", name, err)
			}
		})
	}
	if _, err := Load(nil, o); err == nil {
		t.Error("no file at all was loaded")
	}
	if _, err := Load([]string{filepath.Join(t.TempDir(), "absent.yaml")}, o); err == nil || !strings.Contains(err.Error(), "absent.yaml") {
		t.Errorf("an absent file: %v", err)
	}
}

// TestDigest: whatever changes the policy changes the digest, since approvals hang on it.
func TestDigest(t *testing.T) {
	seen := map[string]string{}
	load := func(name, file, text string, o Options) string {
		set, err := LoadBytes(file, []byte(text), o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return set.Digest()
	}
	demo := Options{Issuers: []string{"demo"}}
	first := load("first", "p.yaml", readAll, demo)
	if again := load("again", "p.yaml", readAll, demo); again != first || len(first) != 64 {
		t.Errorf("%s, then %s", first, again)
	}
	for name, digest := range map[string]string{
		"first": first, "comment": load("", "p.yaml", readAll+"# x\n", demo), "file": load("", "q.yaml", readAll, demo),
		"issuers":     load("", "p.yaml", readAll, Options{}),
		"credentials": load("", "p.yaml", readAll, Options{Issuers: demo.Issuers, Credentials: []string{"default"}}),
		"swapped":     load("", "p.yaml", readAll, Options{Credentials: []string{"demo", "default"}}),
	} {
		t.Run(name, func(t *testing.T) {
			if other, ok := seen[digest]; ok {
				t.Errorf("%s and %s have one digest", name, other)
			}
			seen[digest] = name
		})
	}
}

func TestExamplesLoad(t *testing.T) {
	files, err := filepath.Glob("examples/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("%v %v", files, err)
	}
	for _, file := range files {
		if _, err := Load([]string{file}, Options{}); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(text, []byte("# yaml-language-server: $schema=../policy.schema.json\n")) {
			t.Errorf("%s does not name the schema", file)
		}
	}
}

// What was loaded can be looked over, and what cannot be loaded says why.
func TestWhatWasLoaded(t *testing.T) {
	if _, err := Load([]string{"testdata/errors/mask-typo.yaml"}, Options{}); err == nil ||
		!strings.Contains(err.Error(), "did you mean LAST_FOUR_CHARACTERS?") {
		t.Errorf("a wrong mask: %v", err)
	}
	if _, err := Load(nil, Options{}); err == nil {
		t.Error("loaded without files")
	}
	set, err := Load([]string{"examples/demo.yaml"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	out := fmt.Sprint(set.Outline())
	for _, want := range []string{"data-owners", "demo.crm.customers.ssn", "LAST_FOUR_CHARACTERS", "high value", "big-scans"} {
		t.Run(want, func(t *testing.T) {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing in:\n%s", want, out)
			}
		})
	}
	if set.Files() != 1 || set.Digest() == "" {
		t.Errorf("%d files, digest %q", set.Files(), set.Digest())
	}
}

func TestExplanationJSON(t *testing.T) {
	d := Decision{
		Effect: Hold, Rule: RuleRef{"p", "r", "p.yaml", 7}, Groups: []string{"g"}, Credential: "c", MaxBytes: 5, MaxSession: time.Hour,
		Mask: masking.Plan{Columns: []masking.Column{
			{Name: "a", Type: "STRUCT", Fields: []masking.Column{{Name: "b", Type: "INT64", Repeated: true, Mask: masking.AlwaysNull}}},
		}},
		Approval: &Approval{Why: "w", Reviewers: []string{"h"}, Quorum: 2, Expires: time.Minute},
	}
	got, err := json.Marshal(Explain(d))
	want := `{"effect":"hold","rule":"p/r","at":"p.yaml:7","groups":["g"],"credential":"c","max_bytes":5,"session":"1h0m0s",` +
		`"columns":[{"name":"a.b","type":"ARRAY\u003cINT64\u003e","mask":"ALWAYS_NULL"}],"approval":{"why":"w","reviewers":["h"],` +
		`"quorum":2,"expires":"1m0s"}}`
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
}

// TestDecideConcurrently is for the race detector.
func TestDecideConcurrently(t *testing.T) {
	set, tables := demoSet(t), catalog(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				r := ask(subject("a", "analysts"), selects("demo.crm.customers", "ssn", "email"))
				r.Tables, r.RowAccess = tables, noRowAccess(tables)
				if d := set.decide(r); d.Effect != Allow || d.Mask.Columns[0].Mask != masking.LastFourCharacters ||
					d.Mask.Columns[1].Mask != masking.Clear {
					t.Errorf("%s %s", d.Effect, d.Message)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkDecide(b *testing.B) {
	set, tables := demoSet(b), catalog(b)
	for name, who := range map[string]identity.Subject{"agent": subject("a", "ai-agents"), "analyst": subject("a", "analysts")} {
		b.Run(name, func(b *testing.B) {
			r := ask(who, selects("demo.crm.customers", "id", "name", "ssn", "card_number", "email"))
			r.Tables, r.RowAccess, r.Estimate = tables, noRowAccess(tables), &Estimate{Bytes: 1000}
			b.ReportAllocs()
			for b.Loop() {
				if set.decide(r).Effect != Allow {
					b.Fatal("not allowed")
				}
			}
		})
	}
}
