package policies

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/spelling"
)

// A policy that masks demo.crm.customers.snn means a column that the table has under another name,
// and with `unlisted: clear` that one would be shown. So a table of which the policy masks a column
// that is not there is not read until the policy, or the table, is mended. It does not matter
// whether somebody mistyped the name or renamed the column.

// mended refuses such a table. The agent is told that the policy is wrong, the operator what is
// wrong with it.
func (e *evaluation) mended(v *view) error {
	i := slices.IndexFunc(v.entries, v.lacks)
	if i < 0 {
		return nil
	}
	entry := v.entries[i]
	return &objection{
		message: fmt.Sprintf("%s is not readable until its policy is mended: what the policy says of its columns does not fit them",
			e.input.short(v.name)),
		remedy: "the same query, after the gateway's operators have mended the policy, or a query of other tables",
		rule:   entry.ref,
		cause:  fmt.Sprintf("%s:%d: %s", entry.ref.File, entry.ref.Line, v.missing(entry)),
	}
}

// lacks says whether an entry masks a column by its full name that the table does not have, in none
// of the forms that it may have. A pattern names no particular table or column, and a name that
// leads into a column masks all of that. An entry of the table that this one shows the rows of may
// speak of a column that only one of the two has.
func (v *view) lacks(entry *columnRule) bool {
	if entry.mask == "" || !entry.match.literal() || pseudoColumn(entry.match.parts[tableParts]) || v.speaksOf(entry.match) {
		return false
	}
	return v.namedBy(entry.match) || slices.ContainsFunc(v.origins, func(o *view) bool { return o.lacks(entry) })
}

// namedBy says whether a pattern of one table names this one, or a member of this wildcard table.
func (v *view) namedBy(p pattern) bool {
	if !strings.HasSuffix(v.id.Table, "*") {
		return p.touchesTable(v.id)
	}
	return slices.ContainsFunc(v.members, func(name string) bool {
		return p.touchesTable(bigquery.TableID{Project: v.id.Project, Dataset: v.id.Dataset, Table: name})
	})
}

// speaksOf says whether a pattern names a column of the table, something above it or something in
// it.
func (v *view) speaksOf(p pattern) bool {
	found := false
	for _, schema := range v.schemas() {
		v.walk(schema, nil, func(path []string, _ string) bool {
			covered, below := p.columnDepth(foldAll(path))
			found = found || covered || below
			return !found
		})
	}
	return found
}

// missing says for operators what an entry names, and what it may have meant.
func (v *view) missing(entry *columnRule) string {
	column := strings.Join(entry.match.parts[tableParts:], ".")
	return fmt.Sprintf("columns entry %s: %s has no column %s%s", entry.match.text, v.name, column, spelling.DidYouMean(column, v.paths()))
}

// paths are the dotted names of the table's columns and of their fields.
func (v *view) paths() []string {
	var all []string
	for _, schema := range v.schemas() {
		v.walk(schema, nil, func(path []string, _ string) bool {
			for i := range path {
				all = append(all, strings.Join(path[:i+1], "."))
			}
			return true
		})
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// literal says whether the pattern has no wildcard.
func (p pattern) literal() bool { return !strings.Contains(strings.Join(p.parts, ""), "*") }

// pseudoColumn says whether BigQuery adds a column of this name to tables. It is in no schema.
func pseudoColumn(name string) bool {
	switch strings.ToUpper(name) {
	case "_PARTITIONTIME", "_PARTITIONDATE", "_TABLE_SUFFIX", "_FILE_NAME":
		return true
	}
	return false
}

// Datasets are those that entries name whose tables have names too, sorted: what Absent wants to
// know of.
func (s *Set) Datasets() []bigquery.DatasetReference {
	var all []bigquery.DatasetReference
	for _, n := range s.tableNames() {
		all = append(all, bigquery.DatasetReference{ProjectID: n.match.parts[0], DatasetID: n.match.parts[1]})
	}
	slices.SortFunc(all, func(a, b bigquery.DatasetReference) int {
		return cmp.Or(strings.Compare(a.ProjectID, b.ProjectID), strings.Compare(a.DatasetID, b.DatasetID))
	})
	return slices.Compact(all)
}

// Absent finds the entries that name a table which is not among those of its dataset: what they say
// of it holds for no table, and the one that was meant is perhaps shown. A dataset that is not
// there has no tables.
func (s *Set) Absent(dataset bigquery.DatasetReference, tables []string) []Finding {
	var findings []Finding
	for _, n := range s.tableNames() {
		if n.match.parts[0] != dataset.ProjectID || n.match.parts[1] != dataset.DatasetID {
			continue
		}
		name := n.match.parts[2]
		if slices.ContainsFunc(tables, func(t string) bool { return fold(t) == fold(name) }) {
			continue
		}
		findings = append(findings, Finding{n.ref.File, n.ref.Line, fmt.Sprintf("%s: there is no table %s in %s.%s%s",
			n.what, name, dataset.ProjectID, dataset.DatasetID, spelling.DidYouMean(name, tables))})
	}
	return findings
}

// namedTable is an entry that names one table. What a rule reads is not among them: that may be a
// function.
type namedTable struct {
	match pattern
	what  string // the entry, for people
	ref   RuleRef
}

func (s *Set) tableNames() []namedTable {
	if s == nil {
		return nil
	}
	var all []namedTable
	add := func(p pattern, ref RuleRef, format string, args ...any) {
		if p.literalTable() && !metadata(p.parts[1], p.parts[2]) {
			all = append(all, namedTable{p, fmt.Sprintf(format, args...), ref})
		}
	}
	for _, c := range s.columns {
		add(c.match, c.ref, "columns entry %s", c.match.text)
	}
	for _, t := range s.tables {
		add(t.match, t.ref, "tables entry %s", t.match.text)
	}
	for i := range s.rules {
		r := &s.rules[i]
		for _, p := range r.clear {
			add(p, r.ref, "rule %s clears %s", r.ref.Name, p.text)
		}
		for _, p := range r.rowAccess {
			add(p, r.ref, "rule %s names %s under row_access_policies", r.ref.Name, p.text)
		}
	}
	return all
}
