package policies

import (
	"cmp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Entry is one entry of a loaded policy as it is written, for people who look it up.
type Entry struct {
	Section string  // "groups", "columns", "tables", "rules" or "approvals"
	Name    string  // of a group, a rule or an approval; what the others match
	Text    string  // the lines of the file
	Ref     RuleRef // where it stands: file and the line of its first line
}

// Entries lists everything that the policy says, file by file, in the order of the text.
func (s *Set) Entries() []Entry {
	if s == nil {
		return nil
	}
	return slices.Clone(s.entries)
}

// Lookup finds the entry that a reference names, as decisions carry it.
func (s *Set) Lookup(ref RuleRef) (Entry, bool) {
	if s == nil {
		return Entry{}, false
	}
	i := slices.IndexFunc(s.entries, func(e Entry) bool {
		return e.Ref.File == ref.File && e.Ref.Line == ref.Line && e.Ref.Policy == ref.Policy
	})
	if i < 0 {
		return Entry{}, false
	}
	return s.entries[i], true
}

// outline cuts a file into its entries. An entry ends where the next one, or the next section,
// begins.
func (d *document) outline() []Entry {
	var all []Entry
	add := func(section, name string, ref RuleRef) {
		all = append(all, Entry{Section: section, Name: name, Ref: ref})
	}
	for name := range d.file.Groups {
		ref := d.rule(name, "groups")
		ref.Line = d.key(name, "groups").line
		add("groups", name, ref)
	}
	for i, e := range d.file.Columns {
		add("columns", e.Match, d.rule("columns", "columns", i))
	}
	for i, e := range d.file.Tables {
		add("tables", e.Match, d.rule("tables", "tables", i))
	}
	for i, e := range d.file.Rules {
		add("rules", e.Name, d.rule(e.Name, "rules", i))
	}
	for i, e := range d.file.Approvals {
		add("approvals", e.Name, d.rule(e.Name, "approvals", i))
	}
	slices.SortStableFunc(all, func(a, b Entry) int { return cmp.Compare(a.Ref.Line, b.Ref.Line) })
	starts := []int{len(d.lines) + 1}
	for _, e := range all {
		starts = append(starts, e.Ref.Line)
	}
	if m, ok := d.root.(ast.MapNode); ok {
		for pairs := m.MapRange(); pairs.Next(); {
			starts = append(starts, placeOf(pairs.Key()).line)
		}
	}
	slices.Sort(starts)
	for i := range all {
		next, _ := slices.BinarySearch(starts, all[i].Ref.Line+1)
		all[i].Text = d.excerpt(all[i].Ref.Line, starts[next])
	}
	return all
}

// excerpt is the lines [from, to) without the blank lines and comments at their end, which belong
// to what follows.
func (d *document) excerpt(from, to int) string {
	if from < 1 || to > len(d.lines)+1 || from >= to {
		return ""
	}
	lines := d.lines[from-1 : to-1]
	for len(lines) > 1 {
		last := strings.TrimSpace(lines[len(lines)-1])
		if last != "" && !strings.HasPrefix(last, "#") {
			break
		}
		lines = lines[:len(lines)-1]
	}
	return strings.Join(lines, "\n")
}
