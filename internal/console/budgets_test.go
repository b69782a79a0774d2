package console

import (
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/budgets"
)

func TestBudgetWords(t *testing.T) {
	free := time.Date(2026, 12, 2, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		line            budgets.Line
		who, full, left string
	}{
		"of a repository": {budgets.Line{Who: "https://ci.example#repository_id=7", Unit: "bytes", Limit: 4 << 30, Used: 1 << 30,
			Reserved: 1 << 30,
			Left:     2 << 30, Free: free}, "repository_id=7", "50", "2 GiB"},
		"of a group": {budgets.Line{Who: "agents", By: "group", Unit: "rows", Limit: 10, Used: 12}, "agents", "100", "0 rows"},
		"of whom nobody knows": {budgets.Line{By: "repository", Unit: "rows", Limit: 2, Used: 1, Left: 1},
			"everybody whose repository is not known", "50", "1 row"},
		"that was taken away": {budgets.Line{Who: "a", Unit: "rows", Used: 1}, "a", "100", "0 rows"},
	} {
		t.Run(name, func(t *testing.T) {
			if who, full, left := budgetWho(c.line), budgetFull(c.line), budgetSize(c.line,
				c.line.Left); who != c.who || full != c.full || left != c.left {
				t.Errorf("%q %q %q", who, full, left)
			}
		})
	}
}
