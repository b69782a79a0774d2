package console

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/masking"
)

// requestView is one request as its page shows it.
type requestView struct {
	approvals.Request
	Who      string
	Reads    string
	Origin   []link
	Lines    []sqlLine
	Marked   bool
	Forward  []sqlLine // nil where what runs is what was asked
	Columns  []columnView
	Rules    []ruleView
	Outdated bool // the policy has changed since: an approval would be void
	Others   []item
	Acts     []act // what the same subject did without a person
	Now      time.Time

	MayDecide bool
	WhyNot    string // why the visitor may not decide on a request that waits
	Stale     bool
	Voted     bool
	Answered  answered
	Visitor   *visitor
}

// Title says where the request stands, and nothing of what it holds.
func (v requestView) Title() string {
	return "Request " + map[bool]string{true: "waiting", false: string(v.State)}[v.State == approvals.StatePending]
}

// Verb is what the requester does, or did.
func (v requestView) Verb() string {
	if v.State == approvals.StatePending {
		return "asks to read"
	}
	return "asked to read"
}

// Allows is what a live approval lets happen, up to the time when it ends.
func (v requestView) Allows() string {
	switch {
	case v.Uses > 1:
		return fmt.Sprintf("%d of %d runs used; it ends in", v.Used, v.Uses)
	case v.NoWait:
		return "The query runs, once, when it is tried again; unused the approval lapses in"
	default:
		return "It runs, once, when its client next asks; unused the approval lapses in"
	}
}

// Revocable says that there is an approval to take back.
func (v requestView) Revocable() bool {
	_, ok := v.Grant()
	return ok && !v.Revoked && v.Now.Before(v.Until) &&
		(v.State == approvals.StateApproved && !v.Releasing || v.State == approvals.StateUsed && v.Uses > 1)
}

// Approved counts the approvals.
func (v requestView) Approved() int { return approvalsOf(v.Request) }

// Cost is what it would read, and what that costs.
func (v requestView) Cost() string { return costOf(v.Request) }

// Caps say how much of the result may be read, "" where nothing bounds it.
func (v requestView) Caps() string {
	var parts []string
	if v.MaximumRows > 0 {
		parts = append(parts, fmt.Sprintf("%d rows", v.MaximumRows))
	}
	if v.MaximumResultBytes > 0 {
		parts = append(parts, sizeOf(v.MaximumResultBytes))
	}
	if len(parts) == 0 {
		return ""
	}
	return "at most " + strings.Join(parts, ", at most ")
}

// Share is the estimate as parts of a thousand of the cap; -1 where there is nothing to compare.
func (v requestView) Share() int {
	if v.EstimatedBytes == nil || v.MaximumBytes <= 0 {
		return -1
	}
	return int(min(1000, max(1, *v.EstimatedBytes*1000/v.MaximumBytes)))
}

// Last is the vote that ended it.
func (v requestView) Last() (d approvals.Vote) {
	if n := len(v.Votes); n > 0 {
		d = v.Votes[n-1]
	}
	return d
}

// sensitiveOf are the sensitive columns of a table that the query touches, without the table's
// name.
func (v requestView) sensitiveOf(table string) []string {
	var names []string
	for _, c := range v.SensitiveColumns {
		if name, ok := strings.CutPrefix(c, table+"."); ok {
			names = append(names, name)
		}
	}
	return names
}

// Masks says that some column of the result is masked.
func (v requestView) Masks() bool {
	return slices.ContainsFunc(v.Columns, func(c columnView) bool { return c.Example != "" })
}

func (u *ui) requestOf(r approvals.Request, v *visitor, a answered) requestView {
	set := u.Policies()
	page := requestView{
		Request: r, Who: r.Person, Reads: tablesOf(r), Origin: origin(r), Now: u.now(), Stale: !r.Fresh(v.decider, u.now()), Answered: a,
		Visitor: v,
		Outdated: r.Review.Policy != "" && r.Review.Policy != set.Digest() &&
			(r.State == approvals.StatePending || r.State == approvals.StateApproved),
	}
	marks := marksOf(r)
	page.Lines, page.Marked = sqlLines(r.SQL, marks), len(marks) > 0
	if r.Review.Forwarded != "" && r.Review.Forwarded != r.SQL {
		page.Forward = sqlLines(r.Review.Forwarded, nil)
	}
	for _, c := range r.Review.Columns {
		view := columnView{Name: c.Name, Type: c.Type, Mask: c.Mask, Example: masking.Example(c.Mask, scalar(c.Type))}
		for _, s := range c.Sources {
			view.Computed = view.Computed || view.Example == "" && page.Forward != nil && slices.Contains(r.SensitiveColumns, s.Column)
			view.From = append(view.From, sourceWords(s, r.Project))
		}
		page.Columns = append(page.Columns, view)
	}
	page.Rules = rulesOf(r, set)
	page.Voted = slices.ContainsFunc(r.Votes, func(d approvals.Vote) bool { return d.By == v.name })
	if r.State == approvals.StatePending {
		err := r.MayDecide(v.decider)
		page.MayDecide = err == nil && !page.Voted
		switch {
		case err != nil && r.MadeBy(v.decider):
			page.WhyNot = "This is your own request. Somebody else decides on it."
		case err != nil:
			page.WhyNot = sentence(err)
		case page.Voted:
			page.WhyNot = "You have approved. It waits for somebody else, too."
		}
	}
	return page
}

func (u *ui) request(w http.ResponseWriter, r *http.Request, v *visitor) {
	q, ok := u.find(w, r, v)
	if ok {
		u.showRequest(w, r, v, http.StatusOK, q, answered{})
	}
}

// find returns the request of the path if the visitor may see it; otherwise it has answered.
func (u *ui) find(w http.ResponseWriter, r *http.Request, v *visitor) (approvals.Request, bool) {
	q, err := u.Approvals.Get(r.Context(), r.PathValue("id"))
	if err == nil && !q.VisibleTo(v.decider) {
		err = approvals.ErrNotFound
	}
	if errors.Is(err, approvals.ErrNotFound) {
		u.problem(w, r, v, http.StatusNotFound, "There is no such request",
			"It is not among those you may see, or it was forgotten: requests are kept for about a day after they end.")
		return q, false
	}
	if err != nil {
		u.broken(w, r, v, err)
		return q, false
	}
	return q, true
}

func (u *ui) showRequest(w http.ResponseWriter, r *http.Request, v *visitor, status int, q approvals.Request, a answered) {
	others, err := u.Approvals.History(r.Context(), q.ID, 20)
	if err != nil {
		u.broken(w, r, v, err)
		return
	}
	page := u.requestOf(q, v, a)
	if v.reviews {
		page.Acts = u.Activity.of(q.Issuer, q.Subject)
	}
	for _, o := range others {
		if o.VisibleTo(v.decider) {
			page.Others = append(page.Others, u.itemOf(o, v))
		}
	}
	u.show(w, r, status, requestPage(shell{Title: page.Title(), Visitor: v, Live: true}, page))
}

// answered is what became of a decision that could not be taken.
type answered struct {
	Problem string // in words; "" for none
	Reason  string // what the reviewer had written
}
