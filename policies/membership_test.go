package policies

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// asked is a query of crm.orders by a subject with these claims, under this policy.
func asked(t *testing.T, policy, claims string, estimate int64) (*Set, Input) {
	t.Helper()
	archive, err := txtar.ParseFile("testdata/decide/approval-cannot-be-evaluated.txtar")
	if err != nil {
		t.Fatal(err)
	}
	_, r := readCase(t, archive)
	r.Subject.Claims = nil
	if err := json.Unmarshal([]byte(claims), &r.Subject.Claims); err != nil {
		t.Fatal(err)
	}
	r.Subject.Mapped = true
	r.Estimate = &Estimate{Bytes: estimate}
	return mustLoad(t, policy), r
}

const offsite = `version: bqgate/v1
groups:
  team: {issuer: demo, when: '"team" in claims.groups'}
  offsite: {issuer: demo, when: 'claims.site != "hq"'}
  owners: {issuer: demo, when: 'claims.owner == true'}
rules:
  - {name: team-reads, groups: [team], read: [demo.crm.*], for: 8h, max_bytes: 100GiB, max_rows: 1000}
  - {name: offsite-reads, groups: [offsite], read: [demo.crm.*, demo.hr.*], for: 1h, max_bytes: 10GiB, max_rows: 10, max_result_bytes: 1MiB, credential: special}
  - {name: offsite-elsewhere, groups: [offsite], read: [demo.finance.*], max_bytes: 1KiB}
approvals:
  - {name: away, when: 'true', groups: [offsite], reviewers: [owners]}
`

// A59: the restricting group's condition looks at a claim that the token lacks, or has as another
// type. Nothing of the group is given, and all of it holds.
func TestUnknownMemberIsRestricted(t *testing.T) {
	known := map[string]struct {
		claims string
		effect Effect
		groups []string
	}{
		"at the site":     {`{"groups": ["team"], "site": "hq"}`, Allow, []string{"team"}},
		"known elsewhere": {`{"groups": ["team"], "site": "lab"}`, Hold, []string{"offsite", "team"}},
	}
	for name, test := range known {
		t.Run(name, func(t *testing.T) {
			set, r := asked(t, strings.Replace(offsite, ", credential: special", "", 1), test.claims, 5)
			if d := set.decide(r); d.Effect != test.effect || !slices.Equal(d.Groups, test.groups) || len(unknownNames(d)) > 1 {
				t.Errorf("%s %q unknown %v: %s", d.Effect, d.Groups, d.Unknown, d.Message)
			}
		})
	}
	for name, claims := range map[string]string{
		"no site": `{"groups": ["team"]}`, "null": `{"groups": ["team"], "site": null}`, "list": `{"groups": ["team"], "site": ["hq"]}`,
		"number": `{"groups": ["team"], "site": 1}`,
		"true":   `{"groups": ["team"], "site": true}`, "object": `{"groups": ["team"], "site": {"hq": true}}`,
		"in another case": `{"groups": ["team"], "Site": "hq"}`,
	} {
		t.Run(name, func(t *testing.T) {
			set, r := asked(t, offsite, claims, 5)
			d := set.decide(r)
			if d.Effect != Hold || d.Approval.Rule.Name != "away" ||
				!strings.Contains(d.Approval.Why, "it is not known whether the requester is in group offsite (") {
				t.Fatalf("%s: %+v %s", d.Effect, d.Approval, d.Message)
			}
			if !slices.Equal(d.Groups, []string{"team"}) || !slices.Equal(unknownNames(d), []string{"offsite", "owners"}) {
				t.Errorf("groups %q, unknown %v", d.Groups, d.Unknown)
			}
			if d.Credential != "default" || d.Rule.Name != "away" {
				t.Errorf("an unknown group gave the credential %s", d.Credential)
			}
			if d.MaxBytes != 10<<30 || d.MaxRows != 10 || d.MaxResultBytes != 1<<20 || d.MaxSession.String() != "1h0m0s" {
				t.Errorf("limits are %d bytes, %d rows, %d result bytes, %s", d.MaxBytes, d.MaxRows, d.MaxResultBytes, d.MaxSession)
			}
			if reach := set.Reach(r.Subject, now); len(reach.Groups) != 1 {
				t.Errorf("reaches by %q", reach.Groups)
			} else if sight, _ := reach.Dataset("demo", "hr"); sight != Unseen {
				t.Error("an unknown group gave a dataset")
			}
			if set.MayReview(set.Groups(r.Subject)) {
				t.Error("an unknown reviewer reviews")
			}
			text := Explain(d).String()
			if !strings.Contains(text, "unknown     offsite: ") || !strings.Contains(text, "its restrictions hold, and it gives nothing") {
				t.Errorf("explain does not say it:\n%s", text)
			}
		})
	}
}

func unknownNames(d Decision) []string { return Membership{Unknown: d.Unknown}.unknown() }

// What a group gives is not given to who may be in it: tables, exemptions, row access, credentials.
func TestUnknownMemberIsGivenNothing(t *testing.T) {
	base := `version: bqgate/v1
groups:
  team: {issuer: demo, when: '"team" in claims.groups'}
  maybe: {issuer: demo, when: 'claims.site != "hq"'}
`
	t.Run("no rule of its own", func(t *testing.T) {
		set, r := asked(t, base+"rules: [{name: r, groups: [maybe], read: [demo.crm.*]}]", `{"groups": ["team"]}`, 5)
		d := set.decide(r)
		if d.Effect != Refuse || !strings.Contains(d.Message, "no policy lets") ||
			!strings.Contains(d.Remedy, "group maybe (there is no claim site)") {
			t.Errorf("%s: %s; %s", d.Effect, d.Message, d.Remedy)
		}
	})
	t.Run("a table", func(t *testing.T) {
		set, r := asked(t, base+"rules: [{name: a, groups: [team], read: [demo.hr.*]}, {name: r, groups: [maybe], read: [demo.crm.*]}]",
			`{"groups": ["team"]}`, 5)
		if d := set.decide(r); d.Effect != Refuse {
			t.Errorf("%s", d.Effect)
		}
	})
	t.Run("an exemption", func(t *testing.T) {
		set, r := asked(t, base+"columns: [{match: demo.crm.orders.id, mask: ALWAYS_NULL}]\nrules: [{name: a, groups: [team], read: "+
			"[demo.crm.*]}, "+
			"{name: r, groups: [maybe], read: [demo.crm.*], clear: [demo.crm.orders.id]}]", `{"groups": ["team"]}`, 5)
		if d := set.decide(r); d.Effect != Allow || d.Mask.Columns[0].Mask != "ALWAYS_NULL" {
			t.Errorf("%s: %+v", d.Effect, d.Mask.Columns)
		}
	})
	t.Run("a larger cap by its approval", func(t *testing.T) {
		// An approval that looks at the estimate lets a query over the cap through once it is
		// approved: only one that applies for certain does.
		policy := base + "rules: [{name: a, groups: [team], read: [demo.crm.*], max_bytes: 1KiB}]\napprovals: [{name: big, when: " +
			"'estimate.bytes > 1', groups: [maybe], reviewers: [team]}]"
		set, r := asked(t, policy, `{"groups": ["team"]}`, 1<<20)
		if d := set.decide(r); d.Effect != Refuse || !strings.Contains(d.Message, "at most 1 KiB") {
			t.Errorf("%s: %s", d.Effect, d.Message)
		}
		set, r = asked(t, policy, `{"groups": ["team"], "site": "lab"}`, 1<<20)
		if d := set.decide(r); d.Effect != Hold {
			t.Errorf("for a certain member: %s: %s", d.Effect, d.Message)
		}
	})
}

// A condition of an approval that looks at groups holds if it does in one of the cases that there
// may be.
func TestApprovalsThatLookAtGroups(t *testing.T) {
	policy := func(when string) string {
		return `version: bqgate/v1
groups:
  team: {issuer: demo, when: '"team" in claims.groups'}
  away: {issuer: demo, when: 'claims.site != "hq"'}
  trusted: {issuer: demo, when: 'claims.badge == "gold"'}
rules: [{name: a, groups: [team], read: [demo.crm.*]}]
approvals: [{name: g, when: '` + when + `', reviewers: [trusted]}]`
	}
	const nobodyKnows, all = `{"groups": ["team"]}`, `{"groups": ["team"], "site": "hq", "badge": "gold"}`
	for when, want := range map[string][2]Effect{ // where nobody knows, and where both are known: not away, and trusted
		`"away" in groups`:                           {Hold, Allow},
		`!("away" in groups)`:                        {Hold, Hold},
		`!("trusted" in groups)`:                     {Hold, Allow},
		`"trusted" in groups`:                        {Hold, Hold},
		`groups.exists(g, g == "away")`:              {Hold, Allow},
		`groups.all(g, g != "away")`:                 {Hold, Hold},
		`size(groups) == 3`:                          {Hold, Allow},
		`size(groups) == 2`:                          {Hold, Hold},
		`"away" in groups && !("trusted" in groups)`: {Hold, Allow},
		`groups == ["team"]`:                         {Hold, Allow},
		`"team" in groups`:                           {Hold, Hold},
		`!("team" in groups)`:                        {Allow, Allow},
		`size(groups) > 3`:                           {Allow, Allow},
	} {
		t.Run(when, func(t *testing.T) {
			for i, claims := range []string{nobodyKnows, all} {
				set, r := asked(t, policy(when), claims, 5)
				if d := set.decide(r); d.Effect != want[i] {
					t.Errorf("%s: %s (%s), want %s", claims, d.Effect, d.Message, want[i])
				}
			}
		})
	}
	t.Run("more groups than can be tried", func(t *testing.T) {
		text := "version: bqgate/v1\ngroups:\n  team: {issuer: demo, when: '\"team\" in claims.groups'}\n"
		for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
			text += "  " + name + ": {issuer: demo, when: 'claims." + name + " == 1'}\n"
		}
		set, r := asked(t, text+"rules: [{name: r, groups: [team], read: [demo.crm.*]}]\napprovals: [{name: p, when: 'size(groups) > "+
			"100', reviewers: [team]}]", nobodyKnows, 5)
		if d := set.decide(r); d.Effect != Hold {
			t.Errorf("%s: %s", d.Effect, d.Message)
		}
	})
}

// Whoever is unknown needs a second approval, person or workload: one of the reviewers may be the
// person (A61).
func TestUnknownRequesterNeedsTwo(t *testing.T) {
	for _, workload := range []bool{false, true} {
		for _, mapped := range []bool{false, true} {
			_, r := asked(t, offsite, `{"groups": ["team"], "site": "lab"}`, 5)
			r.Subject.Workload, r.Subject.Mapped = workload, mapped
			set := mustLoad(t, strings.Replace(offsite, ", credential: special", "", 1))
			want := map[bool]int{true: 1, false: 2}[mapped]
			if d := set.decide(r); d.Effect != Hold || d.Approval.Quorum != want {
				t.Errorf("workload %t, mapped %t: %s %+v, want a quorum of %d", workload, mapped, d.Effect, d.Approval, want)
			}
		}
	}
}

func TestLintUndecided(t *testing.T) {
	for name, test := range map[string]struct{ policy, want string }{
		"a restricting group": {offsite, "the condition of group offsite looks at claims.site without asking first: a token that lacks " +
			"it, or has it as another type, is held to what restricts the group " +
			"(approval away, limits of rule offsite-reads, limits of rule offsite-elsewhere)"},
		"one rule for both groups": {strings.Replace(offsite, "groups: [team], read", "groups: [team, offsite], read", 1),
			"the condition of group offsite looks at claims.site without asking first"},
		"asked first":    {strings.Replace(offsite, `'claims.site != "hq"'`, `'!has(claims.site) || claims.site != "hq"'`, 1), ""},
		"the same claim": {strings.Replace(offsite, `'claims.site != "hq"'`, `'"offsite" in claims.groups'`, 1), ""},
		"no restriction": {"version: bqgate/v1\ngroups:\n  team: {issuer: demo, when: '\"team\" in claims.groups'}\n  more: {issuer: " +
			"demo, when: 'claims.site != \"hq\"'}\n" +
			"rules: [{name: a, groups: [team], read: [demo.crm.*]}, {name: b, groups: [more], read: [demo.crm.*]}]\n", ""},
		"the restricted tables are nobody else's": {
			"version: bqgate/v1\ngroups:\n  team: {issuer: demo, when: '\"team\" in claims.groups'}\n  more: {issuer: demo, when: " +
				"'claims.site != \"hq\"'}\n" +
				"rules: [{name: a, groups: [team], read: [demo.crm.*]}, {name: b, groups: [more], read: [demo.hr.*], max_rows: 5}]\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			findings, _, err := mustLoad(t, test.policy).Lint("")
			if err != nil {
				t.Fatal(err)
			}
			var said []string
			for _, f := range findings {
				if strings.Contains(f.Message, "without asking first") && !strings.Contains(f.Message, "group team looks") {
					said = append(said, f.Message)
				}
			}
			switch {
			case test.want == "" && len(said) > 0:
				t.Errorf("found %q", said)
			case test.want != "" && (len(said) != 1 || !strings.HasPrefix(said[0], test.want)):
				t.Errorf("found %q, want %q", said, test.want)
			}
		})
	}
}

// subject.people in a condition: what a person may choose as a name, or nobody has verified, counts
// neither for the person nor against.
func TestNamesInConditions(t *testing.T) {
	policy := func(when, approval string) string {
		return `version: bqgate/v1
groups:
  team: {issuer: demo, when: '"team" in claims.groups'}
  named: {issuer: demo, when: '` + when + `'}
rules: [{name: a, groups: [team], read: [demo.crm.*]}, {name: b, groups: [named], read: [demo.crm.*], max_rows: 5}]
approvals: [{name: p, when: '` + approval + `', reviewers: [team]}]`
	}
	known, chosen := []string{"dana@acme.example"}, []string{"boss@acme.example", "dana@acme.example"}
	for _, test := range []struct {
		when          string
		people, known []string
		member        string // yes, no or ?
	}{
		{`"dana@acme.example" in subject.people`, known, known, "yes"},
		{`"dana@acme.example" in subject.people`, chosen, known, "yes"},
		{`"dana@acme.example" in subject.people`, known, nil, "?"},
		{`"boss@acme.example" in subject.people`, chosen, known, "?"},
		{`!("boss@acme.example" in subject.people)`, chosen, known, "?"},
		{`"boss@acme.example" in subject.people`, known, known, "no"},
		{`subject.people.exists(p, p.endsWith("@acme.example"))`, chosen, known, "yes"},
		{`subject.people.all(p, p != "boss@acme.example")`, chosen, known, "?"},
		{`size(subject.people) == 1`, chosen, known, "?"},
	} {
		t.Run(test.when+"/"+strings.Join(test.people, "+"), func(t *testing.T) {
			set, r := asked(t, policy(test.when, test.when), `{"groups": ["team"]}`, 5)
			r.Subject.People, r.Subject.Known, r.Subject.Mapped = test.people, test.known, len(test.known) > 0
			d := set.decide(r)
			member := "no"
			switch {
			case slices.Contains(d.Groups, "named"):
				member = "yes"
			case slices.Contains(unknownNames(d), "named"):
				member = "?"
			}
			if member != test.member {
				t.Errorf("member: %s, want %s (%+v)", member, test.member, d.Unknown)
			}
			// The same condition of an approval holds where it may.
			if want := map[bool]Effect{true: Allow, false: Hold}[test.member == "no"]; d.Effect != want {
				t.Errorf("%s, want %s: %s", d.Effect, want, d.Message)
			}
			if limited := d.MaxRows == 5; limited != (test.member != "no") {
				t.Errorf("at most %d rows", d.MaxRows)
			}
		})
	}
}

// What is remembered of a token is not believed of another, nor under another policy.
func TestMembershipIsRememberedByToken(t *testing.T) {
	set, r := asked(t, offsite, `{"groups": ["team"], "site": "hq"}`, 5)
	other, _ := asked(t, strings.ReplaceAll(offsite, `"team" in claims.groups`, `"crew" in claims.groups`), `{}`, 5)
	team, stranger := r.Subject, r.Subject
	team.Token, stranger.Token = "first", "second"
	stranger.Claims = map[string]any{"groups": []any{}, "site": "hq", "owner": false}
	for range 2 {
		if got := set.Groups(team); !slices.Equal(got, []string{"team"}) {
			t.Errorf("the first token is in %q, want team", got)
		}
		if got := set.Groups(stranger); len(got) > 0 {
			t.Errorf("the second token is in %q, want none", got)
		}
		if got := other.Groups(team); len(got) > 0 {
			t.Errorf("under another policy the first token is in %q, want none", got)
		}
	}
}
