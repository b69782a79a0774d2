package policies

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/masking"
)

const usePolicy = `version: bqgate/v1
groups:
  g: {issuer: demo, when: '"g" in claims.groups'}
  r: {issuer: demo, when: '"r" in claims.groups'}
columns:
  - {match: demo.crm.customers.ssn, mask: LAST_FOUR_CHARACTERS}
  - {match: demo.crm.customers.email, mask: EMAIL_MASK, other_use: deny}
  - {match: demo.crm.customers.card_number, mask: ALWAYS_NULL, other_use: approve}
  - {match: demo.crm.customers.phones.number, mask: DEFAULT_MASKING_VALUE}
tables:
  - {match: demo.crm.customers, unlisted: clear}
rules:
  - {name: read, groups: [g], read: [demo.crm.*]}
approvals:
  - {name: other-use, when: size(other_use) > 0, reviewers: [r]}
`

// using is a request of a query over crm.customers that selects id and uses a column in a filter.
func using(t *testing.T, columns ...string) Input {
	t.Helper()
	s := googlesql.Statement{
		Kind: "SELECT", Tables: []string{"demo.crm.customers"},
		Columns: []googlesql.Column{
			{Name: "id", Type: "INT64", Sources: []googlesql.Source{{Column: "demo.crm.customers.id", Carry: googlesql.CarryDirect}}},
		},
	}
	for _, c := range columns {
		s.Uses = append(s.Uses, googlesql.Use{Column: "demo.crm.customers." + c, In: googlesql.UseFilter, Offset: -1})
	}
	return Input{
		Subject: subject("agent", "g"), Now: now, Method: "jobs.query", Project: "demo", SQL: "SELECT id FROM crm.customers WHERE true",
		Analysis:  &googlesql.Analysis{Statements: []googlesql.Statement{s}},
		Tables:    map[string]*bigquery.Table{"demo.crm.customers": catalog(t)["demo.crm.customers"]},
		RowAccess: map[string]bigquery.RowAccess{"demo.crm.customers": bigquery.RowAccessNone},
	}
}

// without is the proof of such a request in which these columns are gone.
func without(r Input, columns ...string) *googlesql.Analysis {
	s := r.Analysis.Statements[0]
	s.Uses = nil
	for _, u := range r.Analysis.Statements[0].Uses {
		gone := false
		for _, c := range columns {
			gone = gone || u.Column == "demo.crm.customers."+c
		}
		if !gone {
			s.Uses = append(s.Uses, u)
		}
	}
	return &googlesql.Analysis{Statements: []googlesql.Statement{s}}
}

// TestOtherUse: what a column's other_use makes of a query that filters by it, once its table was
// masked first.
func TestOtherUse(t *testing.T) {
	set := mustLoad(t, usePolicy)
	for _, c := range []struct {
		columns []string
		effect  Effect
		says    string
		rewrite string
	}{
		{[]string{"ssn"}, Allow, "", "ssn"},
		{[]string{"phones.number"}, Allow, "", "phones"},
		{[]string{"ssn", "phones.number"}, Allow, "", "ssn phones"},
		{[]string{"card_number"}, Hold, "approval other-use holds this query: it computes on the masked value of crm.customers.card_number",
			"card_number"},
		{[]string{"ssn", "card_number"}, Hold, "", "ssn card_number"},
		{[]string{"email"}, Refuse, "its rule is `deny` outside the select list", ""},
		{[]string{"ssn", "email"}, Refuse, "crm.customers.email", ""},
		{[]string{"id"}, Allow, "", ""},
	} {
		t.Run(c.says, func(t *testing.T) {
			r := using(t, c.columns...)
			demanded := ""
			d, err := set.judge(r, func(all []googlesql.Transform) (*googlesql.Rewritten, error) {
				for _, column := range all[0].(googlesql.TableMask).Columns {
					demanded = strings.TrimSpace(demanded + " " + column.Column)
				}
				return &googlesql.Rewritten{Proof: without(r, c.columns...)}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			checkSound(t, d)
			said := d.Message
			if d.Approval != nil {
				said = d.Approval.Why
			}
			if d.Effect != c.effect || !strings.Contains(said, c.says) || demanded != c.rewrite {
				t.Errorf("%v: %s, masked first %q, %q", c.columns, d.Effect, demanded, said)
			}
			if d.Effect != Refuse && (len(d.MaskedFirst) == 0) != (c.rewrite == "") {
				t.Errorf("%v: masked first: %v", c.columns, d.MaskedFirst)
			}
			if d.Effect != Refuse && c.rewrite != "" && (!d.Mask.Sensitive || len(d.Sensitive) == 0) {
				t.Errorf("%v: nobody learns that it touches sensitive columns: %+v", c.columns, d)
			}
		})
	}
}

// TestNoApprovalForOtherUse: a condition that does not hold is a refusal, never a query without a
// person.
func TestNoApprovalForOtherUse(t *testing.T) {
	set := mustLoad(t, strings.Replace(usePolicy, "size(other_use) > 0", "size(other_use) > 7", 1))
	r := using(t, "card_number")
	d, err := set.judge(r, func([]googlesql.Transform) (*googlesql.Rewritten, error) {
		return &googlesql.Rewritten{Proof: without(r, "card_number")}, nil
	})
	if err != nil || d.Effect != Refuse || !strings.Contains(d.Message, "its rule is `approve`, and no approval holds this query") {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestProofIsChecked: a second demand, a proof of something else, or none, is a refusal.
func TestProofIsChecked(t *testing.T) {
	set := mustLoad(t, usePolicy)
	r := using(t, "ssn", "phones.number")
	two := without(r, "ssn", "phones.number")
	two.Statements = append(two.Statements, two.Statements[0])
	wide := without(r, "ssn", "phones.number")
	wide.Statements[0].Columns = append(wide.Statements[0].Columns, wide.Statements[0].Columns[0])
	derived := without(r, "ssn", "phones.number")
	derived.Statements[0].Columns = []googlesql.Column{
		{Name: "id", Type: "STRING", Sources: []googlesql.Source{{Column: "demo.crm.customers.ssn", Carry: googlesql.CarryDerived}}},
	}
	direct := without(r, "ssn", "phones.number")
	direct.Statements[0].Columns = []googlesql.Column{
		{Name: "id", Type: "STRING", Sources: []googlesql.Source{{Column: "demo.crm.customers.ssn", Carry: googlesql.CarryDirect}}},
	}
	elsewhere := without(r, "ssn", "phones.number")
	elsewhere.Statements[0].Uses = []googlesql.Use{{Column: "demo.crm.customers.card_number", In: googlesql.UseFilter}}
	for name, proof := range map[string]*googlesql.Analysis{
		"none": nil, "empty": {},
		"with an error":    {Statements: without(r, "ssn").Statements, Error: &googlesql.Error{Code: googlesql.ErrorLimit, Message: "m"}},
		"one column stays": without(r, "ssn"), "both stay": without(r), "two statements": two, "another width": wide, "derived": derived,
		"direct": direct, "another sensitive column": elsewhere,
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			d, err := set.judge(r, func([]googlesql.Transform) (*googlesql.Rewritten, error) {
				asked++
				return &googlesql.Rewritten{Proof: proof}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			checkSound(t, d)
			if d.Effect != Refuse || asked != 1 || len(d.Transforms) != 0 {
				t.Errorf("%s: %s %q after %d rewritings, %v", name, d.Effect, d.Message, asked, d.Transforms)
			}
		})
	}
	// Why a text cannot be rewritten is said; a fault stays a fault.
	d, err := set.judge(r, func([]googlesql.Transform) (*googlesql.Rewritten, error) {
		return nil, &googlesql.Error{Code: googlesql.ErrorUnsupported, Message: "the reason."}
	})
	if err != nil || d.Effect != Refuse || len(d.Transforms) != 0 ||
		!strings.HasSuffix(d.Message, "and the query cannot be rewritten to compute on masked values: the reason") || d.Remedy == "" {
		t.Errorf("%+v, %v", d, err)
	}
	for _, fault := range []error{errors.New("broken"), &googlesql.Error{Code: googlesql.ErrorUnavailable, Message: "later"}} {
		d, err := set.judge(r, func([]googlesql.Transform) (*googlesql.Rewritten, error) { return nil, fault })
		if !errors.Is(err, fault) || d.Effect != Refuse {
			t.Errorf("%+v, %v", d, err)
		}
	}
}

// TestPolicyChangedAfterRewriting is attack A17: the result of a rewritten query is read again
// under today's policy. What was masked less than today's rule wants, or not at all, is not shown.
func TestPolicyChangedAfterRewriting(t *testing.T) {
	then := mustLoad(t, usePolicy)
	r := using(t, "ssn", "phones.number")
	proof := without(r, "ssn", "phones.number")
	_, r, err := then.Decide(t.Context(), r, Facts{Rewrite: func(context.Context, []googlesql.Transform) (*googlesql.Rewritten, error) {
		return &googlesql.Rewritten{Proof: proof}, nil
	}})
	if err != nil || r.Transformed == nil || r.Transformed.Proof != proof {
		t.Fatal(err, r.Transformed)
	}
	made := r.Transformed.Transforms
	for name, c := range map[string]struct {
		from, to string
		effect   Effect
	}{
		"as it was": {"", "", Allow},
		"a weaker rule": {"phones.number, mask: DEFAULT_MASKING_VALUE", "phones.number, mask: LAST_FOUR_CHARACTERS",
			Allow},
		"a stricter rule":                {"ssn, mask: LAST_FOUR_CHARACTERS", "ssn, mask: ALWAYS_NULL", Refuse},
		"another partial rule":           {"ssn, mask: LAST_FOUR_CHARACTERS", "ssn, mask: FIRST_FOUR_CHARACTERS", Refuse},
		"its use denied":                 {"ssn, mask: LAST_FOUR_CHARACTERS", "ssn, mask: LAST_FOUR_CHARACTERS, other_use: deny", Refuse},
		"its use approved by nobody":     {"ssn, mask: LAST_FOUR_CHARACTERS", "ssn, mask: LAST_FOUR_CHARACTERS, other_use: approve", Hold},
		"the selected column":            {"crm.customers.email", "crm.customers.id", Allow}, // still carried alone: masked in flight
		"a field that passed beside one": {"demo.crm.customers.email", "demo.crm.customers.phones.kind", Allow},
	} {
		t.Run(name, func(t *testing.T) {
			today := mustLoad(t, strings.Replace(usePolicy, c.from, c.to, 1))
			d := today.decide(r)
			checkSound(t, d)
			if d.Effect != c.effect {
				t.Errorf("%s: %s %q", name, d.Effect, d.Message)
			}
			if name == "the selected column" && d.Mask.Columns[0].Mask == masking.Clear {
				t.Errorf("%s: it is shown as it is", name)
			}
		})
	}
	// The kind of a phone went through unmasked inside the masked column; the query touches it, and
	// today it is sensitive.
	r = using(t, "phones.number", "phones.kind")
	r.Transformed = &Transformed{Transforms: made, Proof: without(r, "phones.number", "phones.kind")}
	today := mustLoad(t, strings.Replace(usePolicy, "demo.crm.customers.email", "demo.crm.customers.phones.kind", 1))
	if d := today.decide(r); d.Effect != Refuse {
		t.Errorf("a field that passed is sensitive today: %s %v", d.Effect, d.MaskedFirst)
	}
	today = mustLoad(t, strings.Replace(usePolicy, "crm.customers.email, mask: EMAIL_MASK, other_use: deny",
		"crm.customers.phones.kind, mask: EMAIL_MASK", 1))
	if d := today.decide(r); d.Effect != Refuse || !strings.Contains(d.Message, "the policy has changed") {
		t.Errorf("a field that passed is sensitive today: %s %q", d.Effect, d.Message)
	}
}
