package policies

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/masking"
)

// Explanation is a Decision for people and tools: what would happen, by which rules, and what the
// answer would show.
type Explanation struct {
	// "allow", "hold" or "refuse"; "rewrite" where transforms must be made first and Facts.Rewrite
	// was nil
	Effect  string   `json:"effect"`
	Rule    string   `json:"rule,omitempty"`
	At      string   `json:"at,omitempty"` // file:line of the rule
	Message string   `json:"message,omitempty"`
	Remedy  string   `json:"remedy,omitempty"`
	Cause   string   `json:"cause,omitempty"` // a fault of the policy that has to be mended; agents are not told
	Groups  []string `json:"groups"`
	// of which nobody can say whether the subject is in them: all their restrictions hold, and they
	// give nothing
	Unknown    []UnknownGroup    `json:"unknown_groups,omitempty"`
	Also       []string          `json:"also,omitempty"` // other rules that took part, "policy/rule (file:line)"
	Credential string            `json:"credential,omitempty"`
	MaxBytes   int64             `json:"max_bytes,omitempty"`
	MaxRows    int64             `json:"max_rows,omitempty"`
	MaxResult  int64             `json:"max_result_bytes,omitempty"`
	Session    string            `json:"session,omitempty"` // how long after the identity token's iat access ends
	JobsIn     []string          `json:"jobs_in,omitempty"` // projects in which the rule lets jobs run
	Columns    []ExplainedColumn `json:"columns,omitempty"` // leaves of the result, in order
	Sensitive  []string          `json:"sensitive_columns,omitempty"`
	// MaskedFirst are columns that the query computes on after they were masked.
	MaskedFirst []ExplainedMask      `json:"masked_first,omitempty"`
	Approval    *ExplanationApproval `json:"approval,omitempty"`
	// Budgets are what the query counts against.
	Budgets []ExplainedBudget `json:"budgets,omitempty"`
}

// ExplainedBudget is a budget and whose it is.
type ExplainedBudget struct {
	Rule  string `json:"rule"`
	Unit  string `json:"unit"`
	Limit int64  `json:"limit"`
	Per   string `json:"per"`
	By    string `json:"by"`
	Who   string `json:"who"` // "" for all of whom that is not known
	Holds bool   `json:"holds,omitempty"`
	Left  int64  `json:"left"`
}

// ExplainedColumn is a leaf of the result and the rule that masks it, in flight or before the query
// reads it; CLEAR passes as it is.
type ExplainedColumn struct {
	Name string       `json:"name"` // dotted path
	Type string       `json:"type"`
	Mask masking.Rule `json:"mask"`
}

// ExplainedMask is a column and the rule that masks it before the query reads it.
type ExplainedMask struct {
	Column string       `json:"column"` // project.dataset.table.column
	Mask   masking.Rule `json:"mask"`
}

// ExplanationApproval is who must approve.
type ExplanationApproval struct {
	Why       string   `json:"why"`
	Reviewers []string `json:"reviewers"`
	Quorum    int      `json:"quorum"`
	Needs     []Need   `json:"needs,omitempty"`
	Expires   string   `json:"expires"`
	LoginAge  string   `json:"max_auth_age,omitempty"`
	NoWait    bool     `json:"no_wait,omitempty"`
	MaxUses   int      `json:"max_uses,omitempty"` // of a standing approval
	MaxHours  int      `json:"max_hours,omitempty"`
}

// Explain puts a Decision into words. Its String is what `bqgate policy explain` prints on a
// terminal, its JSON what it prints otherwise.
func Explain(d Decision) Explanation {
	e := Explanation{
		Effect: d.Effect.String(), Rule: d.Rule.ID(), Message: d.Message, Remedy: d.Remedy, Cause: d.Cause,
		Groups: append([]string{}, d.Groups...), Unknown: slices.Clone(d.Unknown), Credential: d.Credential,
		MaxBytes: d.MaxBytes, MaxRows: d.MaxRows, MaxResult: d.MaxResultBytes, JobsIn: slices.Clone(d.JobsIn),
		Sensitive: slices.Clone(d.Sensitive),
	}
	if e.Rule != "" {
		e.At = fmt.Sprintf("%s:%d", d.Rule.File, d.Rule.Line)
	}
	for _, ref := range d.Cites {
		e.Also = append(e.Also, ref.describe())
	}
	if d.MaxSession > 0 {
		e.Session = d.MaxSession.String()
	}
	for _, c := range d.Budgets {
		e.Budgets = append(e.Budgets, ExplainedBudget{c.Rule.ID(), string(c.Unit), c.Limit, c.Per, c.By, c.Who, c.Holds, c.Left})
	}
	e.columns("", d.Mask.Columns)
	masks := d.MaskedFirst
	if len(d.Transforms) > 0 {
		e.Effect, masks = "rewrite", d.Transforms.masked()
	}
	for _, leaf := range masks {
		e.MaskedFirst = append(e.MaskedFirst, ExplainedMask{leaf.Column, leaf.Rule})
	}
	if a := d.Approval; a != nil {
		e.Approval = &ExplanationApproval{Why: a.Why, Reviewers: slices.Clone(a.Reviewers), Quorum: a.Quorum, Needs: slices.Clone(a.Needs),
			Expires: a.Expires.String(),
			NoWait:  a.NoWait, MaxUses: a.Standing.MaxUses, MaxHours: a.Standing.MaxHours}
		if a.MaxAuthAge > 0 {
			e.Approval.LoginAge = a.MaxAuthAge.String()
		}
	}
	return e
}

func (e *Explanation) columns(prefix string, columns []masking.Column) {
	for _, c := range columns {
		if len(c.Fields) > 0 {
			e.columns(prefix+c.Name+".", c.Fields)
			continue
		}
		typ := c.Type
		if c.Repeated {
			typ = "ARRAY<" + typ + ">"
		}
		e.Columns = append(e.Columns, ExplainedColumn{prefix + c.Name, typ, cmp.Or(c.Expect, c.Mask)})
	}
}

// describe is "policy/rule (file:line)".
func (r RuleRef) describe() string { return fmt.Sprintf("%s (%s:%d)", r.ID(), r.File, r.Line) }

// String is the explanation as lines of text.
func (e Explanation) String() string {
	var b strings.Builder
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s", label)
		fmt.Fprintf(&b, format, args...)
		b.WriteByte('\n')
	}
	line("decision", "%s", e.Effect)
	if e.Message != "" {
		line("because", "%s", e.Message)
	}
	if e.Rule != "" {
		line("rule", "%s (%s)", e.Rule, e.At)
	}
	if e.Remedy != "" {
		line("would pass", "%s", e.Remedy)
	}
	if e.Cause != "" {
		line("to mend", "%s", e.Cause)
	}
	if len(e.Groups) > 0 {
		line("groups", "%s", strings.Join(e.Groups, ", "))
	} else {
		line("groups", "none")
	}
	for i, g := range e.Unknown {
		line(map[bool]string{true: "unknown"}[i == 0], "%s: %s; its restrictions hold, and it gives nothing", g.Name, g.Why)
	}
	if a := e.Approval; a != nil {
		line("approval", "%s", a.Why)
		line("", "%s, within %s", describeNeeds(a.Needs, a.Quorum), a.Expires)
		if a.LoginAge != "" {
			line("", "by reviewers who logged in within %s", a.LoginAge)
		}
		if a.NoWait {
			line("", "refused at once; runs at the next try once it is approved")
		}
		if a.MaxUses > 0 {
			line("", "or standing: up to %d runs within %d hours", a.MaxUses, a.MaxHours)
		}
	}
	if e.Credential != "" {
		line("credential", "%s", e.Credential)
	}
	if len(e.JobsIn) > 0 {
		line("jobs in", "%s", strings.Join(e.JobsIn, ", "))
	}
	if e.MaxRows > 0 {
		line("rows", "at most %d", e.MaxRows)
	}
	if e.MaxResult > 0 {
		line("result", "at most %s", formatSize(e.MaxResult))
	}
	if e.MaxBytes > 0 {
		line("at most", "%s", formatSize(e.MaxBytes))
	}
	for i, b := range e.Budgets {
		whose := b.By + " " + b.Who
		if b.Who == "" {
			whose = "everybody whose " + b.By + " is not known"
		}
		line(map[bool]string{true: "budget"}[i == 0], "%s a %s for %s, by %s; beyond it the query is %s",
			Budget{Unit: Unit(b.Unit)}.Size(b.Limit), b.Per, whose, b.Rule, map[bool]string{true: "held", false: "refused"}[b.Holds])
	}
	if e.Session != "" {
		line("for", "%s after the identity token was issued (iat)", e.Session)
	}
	for i, c := range e.Columns {
		label, shown := "", string(c.Mask)
		if i == 0 {
			label = "result"
		}
		if c.Mask == masking.Clear {
			shown = "as it is"
		}
		line(label, "%-30s %-16s %s", c.Name, c.Type, shown)
	}
	for i, m := range e.MaskedFirst {
		label := ""
		if i == 0 {
			label = "mask first"
		}
		line(label, "%-30s %s", m.Column, m.Mask)
	}
	if len(e.Sensitive) > 0 {
		line("sensitive", "%s", strings.Join(e.Sensitive, ", "))
	}
	if len(e.Also) > 0 {
		line("also by", "%s", strings.Join(e.Also, ", "))
	}
	return b.String()
}
