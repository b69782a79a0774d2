package policies

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/coarse"
	"github.com/bqgate/bqgate/internal/identity"
)

// Unit is what a budget counts.
type Unit string

// Units of budgets.
const (
	UnitBytes Unit = "bytes" // that BigQuery bills
	UnitRows  Unit = "rows"  // that are returned; a row that is read again counts again
)

// Budget is a budget as it applies to one request: of what, how much, in which time, and whose.
type Budget struct {
	Rule  RuleRef // the rule that has it, or the configuration's own entry
	Unit  Unit
	Limit int64
	Per   string // "hour" or "day", of the calendar and in UTC
	By    string // "owner", "group" or "repository": who shares it
	Who   string // the owner, group or repository; "" for all together of whom that is not known
	Holds bool   // beyond it a query waits for reviewers; otherwise it is refused
}

// Window is the hour or day, in UTC, that a time is in. The budget is free again at its end.
func (b Budget) Window(now time.Time) (start, end time.Time) {
	length := time.Hour
	if b.Per == perDay {
		length = 24 * time.Hour
	}
	start = now.UTC().Truncate(length)
	return start, start.Add(length)
}

// Size writes an amount of the budget's unit for people, bytes no more exactly than any other size
// that a client is told.
func (b Budget) Size(n int64) string {
	if b.Unit == UnitRows {
		return fmt.Sprintf("%d %s", n, map[bool]string{true: "row", false: "rows"}[n == 1])
	}
	return formatSize(n)
}

// String is "2 TiB a day for each repository (rule crm/agents)".
func (b Budget) String() string {
	return fmt.Sprintf("%s %s %s for each %s", b.Size(b.Limit), map[string]string{perDay: "a", perHour: "an"}[b.Per], b.Per, b.By)
}

// Left is what is left of a budget: see Facts.Left.
type Left struct {
	Amount int64     // below 0 where an approval let a query go beyond the budget
	Free   time.Time // when all of it is free again
}

// Charge is a budget that a query counts against, with what was left when it was decided on.
type Charge struct {
	Budget
	Left int64
}

const (
	perHour = "hour"
	perDay  = "day"

	byOwner      = "owner"
	byGroup      = "group"
	byRepository = "repository"
)

// budget is an entry as it was loaded.
type budget struct {
	unit  Unit
	limit int64
	per   string
	by    string
	hold  *approval // who lets a query go beyond it; nil where nobody may
	ref   RuleRef
}

// budgets are those that the request counts against: of the rules whose limits hold for it, and of
// the configuration. Each is there once.
func (e *evaluation) budgets() (all []Budget, holds []*approval) {
	add := func(list []budget, groups []string) {
		for i := range list {
			b := &list[i]
			for _, who := range e.spenders(b.by, groups) {
				one := Budget{Rule: b.ref, Unit: b.unit, Limit: b.limit, Per: b.per, By: b.by, Who: who, Holds: b.hold != nil}
				if !slices.Contains(all, one) {
					all, holds = append(all, one), append(holds, b.hold)
				}
			}
		}
	}
	for _, r := range e.restricting() {
		add(r.budgets, r.groups)
	}
	add(e.set.budgets, nil)
	return all, holds
}

// spenders are whose budgets a request counts against. Nobody gets a budget of their own by what a
// token lacks: those of whom a key is not known share one (A52).
func (e *evaluation) spenders(by string, groups []string) []string {
	s := e.input.Subject
	switch by {
	case byOwner:
		return []string{s.Budget}
	case byRepository:
		return []string{repository(s)}
	}
	var mine []string
	for _, g := range e.membership.possible() {
		if groups == nil || slices.Contains(groups, g) {
			mine = append(mine, g)
		}
	}
	if len(mine) == 0 {
		return []string{""}
	}
	slices.Sort(mine)
	return slices.Compact(mine)
}

// repositoryClaims name the repository of a token, that which cannot be renamed first: GitHub's,
// then GitLab's.
// https://docs.github.com/actions/reference/openid-connect-reference
// https://docs.gitlab.com/ci/secrets/id_token_authentication/
var repositoryClaims = []string{"repository_id", "project_id", "repository"}

// repository is the issuer and the repository that a token is of; "" where it says none.
func repository(s identity.Subject) string {
	for _, name := range repositoryClaims {
		if v, ok := s.Claims[name]; ok {
			if text := fmt.Sprint(v); text != "" && v != nil {
				return s.Issuer + "#" + name + "=" + text
			}
		}
	}
	return ""
}

// spending says whether what is decided is a query that would be billed: not the reading of what
// one has found.
func (e *evaluation) spending() bool {
	switch bigquery.Method(e.input.Method) {
	case bigquery.MethodQuery, bigquery.MethodInsert:
		return e.input.Credential == ""
	default:
		return false
	}
}

// billed says whether a budget of bytes has to be asked.
func (e *evaluation) billed() bool {
	all, _ := e.budgets()
	return e.spending() && slices.ContainsFunc(all, func(b Budget) bool { return b.Unit == UnitBytes })
}

// least is what a query is billed at least, as far as is known: by tables, and rounded up to MiB.
// https://cloud.google.com/bigquery/pricing#on_demand_pricing
func (e *evaluation) least(bytes int64) int64 {
	if len(e.tables) == 0 {
		return 0
	}
	floor := int64(len(e.tables)) * TableFloor
	if e.sizeUnknown() {
		return floor // maximumBytesBilled bounds the rest
	}
	const mib = 1 << 20
	return max(floor, (bytes+mib-1)/mib*mib)
}

// spend: whether the query fits what is left of its budgets. Of those that it does not fit, any
// that nobody may exceed refuses; the others need a person.
func (e *evaluation) spend(bytes int64) (held []*approval, err error) {
	all, holds := e.budgets()
	e.decision.Budgets, e.decision.Bills = nil, e.least(bytes)
	if len(all) == 0 {
		return nil, nil
	}
	if !e.spending() {
		for _, b := range all {
			e.decision.Budgets = append(e.decision.Budgets, Charge{Budget: b, Left: b.Limit})
		}
		return nil, nil
	}
	e.needsLeft = e.input.Left == nil
	if e.input.Left != nil && len(e.input.Left) != len(all) {
		return nil, errors.New("what is left of the budgets is not known")
	}
	var over []error
	for i, b := range all {
		_, end := b.Window(e.input.Now)
		left := Left{Amount: b.Limit, Free: end}
		if e.input.Left != nil {
			left = e.input.Left[i]
		}
		e.decision.Budgets = append(e.decision.Budgets, Charge{Budget: b, Left: left.Amount})
		need := e.least(bytes)
		if b.Unit == UnitRows {
			need = 1
		}
		switch {
		case need <= left.Amount || need == 0:
		case b.Holds:
			held = append(held, holds[i])
			e.beyond = append(e.beyond, e.beyondWords(b, left))
		default:
			over = append(over, e.exceeded(b, left, bytes))
		}
	}
	return held, errors.Join(over[:min(1, len(over))]...)
}

// exceeded is the refusal of a query that does not fit.
func (e *evaluation) exceeded(b Budget, left Left, bytes int64) error {
	what := "the query would bill about " + formatSize(coarse.Bytes(e.least(bytes)))
	switch {
	case b.Unit == UnitRows:
		what = "the query would return rows"
	case e.sizeUnknown():
		what = "the query would bill at least " + formatSize(e.least(bytes))
	}
	err := Exceeded(b, left, what)
	return &objection{message: err.Message, remedy: err.Remedy, rule: b.Rule, exceeded: b.Unit}
}

// Beyond is why something is beyond a budget, and what would pass.
type Beyond struct{ Message, Remedy string }

// Exceeded words that what is asked does not fit what is left of a budget: of what, how much is
// left, and when it is free again.
func Exceeded(b Budget, left Left, what string) Beyond {
	rest := "nothing is left"
	if left.Amount > 0 && (b.Unit == UnitRows || left.Amount >= TableFloor) {
		rest = b.Size(b.coarse(left.Amount)) + " are left"
	}
	remedy := "a smaller query, or the same one after " + left.Free.UTC().Format(time.RFC3339)
	if rest == "nothing is left" {
		remedy = "the same query after " + left.Free.UTC().Format(time.RFC3339)
	}
	return Beyond{fmt.Sprintf("%s, and of the budget of %s %s; it is free again at %s", what, b, rest,
		left.Free.UTC().Format(time.RFC3339)), remedy}
}

// Beyond says whether the query runs only because somebody let it go beyond a budget.
func (d Decision) Beyond() bool { return slices.ContainsFunc(d.Budgets, d.Over) }

// Over says whether the query needs somebody to let it go beyond this budget.
func (d Decision) Over(c Charge) bool {
	return c.Holds && (c.Unit == UnitBytes && c.Left < d.Bills || c.Unit == UnitRows && c.Left < 1)
}

// coarse rounds what is left down, so that nobody is told to ask for more than there is.
func (b Budget) coarse(n int64) int64 {
	if b.Unit == UnitRows {
		return n
	}
	return n / TableFloor * TableFloor
}

func (e *evaluation) beyondWords(b Budget, left Left) string {
	rest := "nothing"
	if left.Amount > 0 {
		rest = b.Size(b.coarse(left.Amount))
	}
	return fmt.Sprintf("goes beyond the budget of %s, of which %s is left until %s", b, rest, left.Free.UTC().Format(time.RFC3339))
}

// left asks for what is left of the budgets that a request counts against, once.
func (s *Set) left(ctx context.Context, e *evaluation, r *Input, facts Facts) (*evaluation, error) {
	if !e.needsLeft || e.refused || facts.Left == nil {
		return e, nil
	}
	var all []Budget
	for _, c := range e.decision.Budgets {
		all = append(all, c.Budget)
	}
	left, err := facts.Left(ctx, all)
	if err != nil {
		return e, fmt.Errorf("ask what is left of the budgets: %w", err)
	}
	r.Left = left
	return s.evaluate(r), nil
}

// HasBudgets says whether anything of the policy or of the configuration counts.
func (s *Set) HasBudgets() bool {
	return s != nil && (len(s.budgets) > 0 || slices.ContainsFunc(s.rules, func(r rule) bool { return len(r.budgets) > 0 }))
}

// beyondBudgets are the approvals by which queries may go beyond budgets.
func (s *Set) beyondBudgets() (all []*approval) {
	add := func(list []budget) {
		for _, b := range list {
			if b.hold != nil {
				all = append(all, b.hold)
			}
		}
	}
	add(s.budgets)
	for i := range s.rules {
		add(s.rules[i].budgets)
	}
	return all
}

// Budgets lists the budgets that are written down, without whose they are.
func (s *Set) Budgets() []Budget {
	if s == nil {
		return nil
	}
	var all []Budget
	add := func(list []budget) {
		for _, b := range list {
			all = append(all, Budget{Rule: b.ref, Unit: b.unit, Limit: b.limit, Per: b.per, By: b.by, Holds: b.hold != nil})
		}
	}
	add(s.budgets)
	for i := range s.rules {
		add(s.rules[i].budgets)
	}
	return all
}

// budgetWords are the budgets of an entry in few words, for who looks a policy over.
func budgetWords(list []budget) string {
	var all []string
	for _, b := range list {
		all = append(all, "budget "+Budget{Unit: b.unit, Limit: b.limit, Per: b.per, By: b.by}.String())
	}
	return strings.Join(all, ", ")
}

// parseLeft reads what a test says is left of budgets: sizes, or numbers of rows.
func parseLeft(texts []string) (all []int64, err error) {
	for _, text := range texts {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			if n, err = parseSize(text); err != nil {
				return nil, fmt.Errorf("budget_left: %w; or write a number of rows", err)
			}
		}
		all = append(all, n)
	}
	return all, nil
}

// saidLeft gives what a test says is left.
func saidLeft(said []int64, now time.Time) func(context.Context, []Budget) ([]Left, error) {
	if said == nil {
		return nil
	}
	return func(_ context.Context, all []Budget) ([]Left, error) {
		if len(all) != len(said) {
			return nil, fmt.Errorf("budget_left has %d entries, and the query counts against %d budgets", len(said), len(all))
		}
		left := make([]Left, len(all))
		for i, b := range all {
			_, free := b.Window(now)
			left[i] = Left{said[i], free}
		}
		return left, nil
	}
}
