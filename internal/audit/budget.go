package audit

import "time"

// Events of a Budget.
const (
	BudgetReserved = "reserved" // the bytes that a query may bill, before it is sent
	BudgetRan      = "ran"      // the job that they were reserved for is known
	BudgetSettled  = "settled"  // what it did not bill is free again
	BudgetSpent    = "spent"    // rows that are about to be released
	BudgetTold     = "told"     // what another replica has counted
)

// Budget is what counters of budgets have come to. It is durable before what was counted may
// happen, and before what was not used is given back.
type Budget struct {
	Time     time.Time       `json:"time"`
	Event    string          `json:"event"`
	Replica  string          `json:"replica"`            // whose counters these are
	Decision string          `json:"decision,omitempty"` // what was counted for
	Amount   int64           `json:"amount,omitempty"`   // reserved, billed or spent, by the event
	Job      Job             `json:"job,omitzero"`
	Counters []BudgetCounter `json:"counters,omitempty"`
}

// BudgetCounter is one counter of one replica: both numbers only grow.
type BudgetCounter struct {
	Slot     string    `json:"slot"` // names the budget, who spends it, and the window
	Rule     string    `json:"rule"` // "policy/rule"
	Unit     string    `json:"unit"` // bytes or rows
	Per      string    `json:"per"`  // hour or day
	By       string    `json:"by"`
	Who      string    `json:"who"` // "" for all of whom that is not known
	Until    time.Time `json:"until"`
	Version  int64     `json:"version"`
	Reserved int64     `json:"reserved"`
	Released int64     `json:"released,omitempty"` // of Reserved, what was not used after all
}
