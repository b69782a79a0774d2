package approvals

import (
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/policies"
)

// Review is what reviewers see of a held query beside the operation itself: evidence. Nothing is
// decided by it.
type Review struct {
	Columns []ReviewColumn // leaves of the result, in order
	Marks   []Mark         // where the text reads what is sensitive, in the order of the text
	Rules   []policies.RuleRef
	Policy  string // digest of the policy that held the query

	// Forwarded is the SQL that will run, where it differs from what was asked; "" where it is the
	// same.
	Forwarded string
}

// ReviewColumn is a leaf of the result: what it carries, and how it is shown to the requester.
type ReviewColumn struct {
	Name    string // dotted path, "f0_" for an anonymous column
	Type    string // "STRING", "ARRAY<INT64>"
	Mask    masking.Rule
	Sources []ReviewSource // empty: made of constants only
}

// ReviewSource is a stored column that reaches the result; Column is "" for a constant, a parameter
// or a generated value.
type ReviewSource struct {
	Column  string // "project.dataset.table.column[.field…]"
	Derived bool   // computed from it, not carried as it is
}

// Mark is a place in the SQL where something sensitive is read: bytes [Start, End).
type Mark struct {
	Start, End int
	Column     string // "project.dataset.table.column"
	Use        string // "filter", "join" … where it steers the result; "" where it is read from the table
}
