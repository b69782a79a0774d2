package policies

import (
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
)

type tableID = bigquery.TableID

// remedyTables bounds how many patterns a remedy lists.
const remedyTables = 8

// remedy says what the subject may do instead: SELECT on the patterns of its own rules.
func (e *evaluation) remedy() string {
	var parts []string
	seen := map[string]bool{}
	for _, r := range e.rules {
		for _, p := range r.read {
			if seen[p.text] {
				continue
			}
			seen[p.text] = true
			if len(parts) == remedyTables {
				return "SELECT on " + strings.Join(parts, ", ") + " and more"
			}
			parts = append(parts, e.input.short(p.text)+e.withApproval(p))
		}
	}
	return "SELECT on " + strings.Join(parts, ", ")
}

// withApproval says that a query on such a table, however small, would wait for a person.
func (e *evaluation) withApproval(p pattern) string {
	waits := e.membership.waits
	if waits == nil || len(e.otherUseNames()) > 0 {
		return e.asksApproval(p)
	}
	if said, ok := waits.Load(p.text); ok {
		return said.(string)
	}
	said := e.asksApproval(p)
	waits.Store(p.text, said)
	return said
}

func (e *evaluation) asksApproval(p pattern) string {
	id := tableID{Project: p.parts[0], Dataset: p.parts[1], Table: p.parts[2]}
	high, all := false, false
	for i := range e.set.tables {
		if t := &e.set.tables[i]; t.highValue && t.match.touchesTable(id) {
			high, all = true, all || t.match.coversTable(id)
		}
	}
	held := false
	for _, a := range e.applying() {
		holds, _, err := e.holds(a,
			e.approvalValues([]Table{{Name: p.text, Project: id.Project, Dataset: id.Dataset, Table: id.Table, HighValue: high}}, 0))
		held = held || err != nil || holds
	}
	switch {
	case held && high && !all:
		return " (some with approval)"
	case held:
		return " (with approval)"
	default:
		return ""
	}
}
