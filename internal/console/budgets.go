package console

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/bqgate/bqgate/internal/budgets"
	"github.com/bqgate/bqgate/policies"
)

// budgets shows what is spent of the policy's budgets to those who decide by it.
func (u *ui) budgets(w http.ResponseWriter, r *http.Request, v *visitor) {
	if !v.reviews {
		u.problem(w, r, v, http.StatusForbidden, "The budgets are for reviewers", "You are in no group that reviews requests.")
		return
	}
	var lines []budgets.Line
	if u.Budgets != nil {
		var err error
		if lines, err = u.Budgets(r.Context()); err != nil {
			u.broken(w, r, v, err)
			return
		}
	}
	u.show(w, r, http.StatusOK, budgetsPage(shell{Title: "Budgets", Visitor: v, Here: "/budgets"}, lines[:min(len(lines), shownBudgets)],
		len(lines) > shownBudgets))
}

const shownBudgets = 200

// budgetSize writes an amount of a budget, exactly: reviewers see what the policy bounds.
func budgetSize(l budgets.Line, n int64) string {
	return policies.Budget{Unit: policies.Unit(l.Unit)}.Size(n)
}

// budgetWho is whose budget it is: the repository or person without the issuer's address.
func budgetWho(l budgets.Line) string {
	if l.Who == "" {
		return "everybody whose " + l.By + " is not known"
	}
	_, key, found := strings.Cut(l.Who, "#")
	if !found {
		return l.Who
	}
	return key
}

// budgetFull is how much of a budget is taken, in percent of it.
func budgetFull(l budgets.Line) string {
	if l.Limit <= 0 {
		return "100"
	}
	return strconv.FormatInt(min(100, (l.Used+l.Reserved)*100/l.Limit), 10)
}
