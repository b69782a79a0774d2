package policies

import (
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/masking"
)

// unheld refuses other_use: approve where no approval looks at it: such a query could only be
// refused.
func (l *loader) unheld(d *document) {
	if slices.ContainsFunc(l.set.approvals, func(a approval) bool { return a.when.otherUse }) {
		return
	}
	for i, entry := range d.file.Columns {
		if entry.OtherUse == useApprove {
			l.add(d.wrong([]any{"columns", i, "other_use"}, "other_use: approve needs an approval whose condition looks at other_use, "+
				"such as when: size(other_use) > 0"))
		}
	}
}

func (l *loader) column(d *document, i int) {
	entry, path := d.file.Columns[i], []any{"columns", i}
	at := func(key string) []any { return append(path[:2:2], key) }
	match, ok := l.pattern(d, entry.Match, true, at("match")...)
	c := columnRule{match: match, ref: d.rule("columns", path...)}
	switch {
	case entry.Clear && (entry.Mask != "" || entry.OtherUse != "" || entry.ReversibleByDictionary != ""):
		l.add(d.wrong(at("clear"), "clear: true says that the column is not sensitive; it cannot stand beside mask, other_use or "+
			"reversible_by_dictionary"))
	case !entry.Clear && d.at(at("clear")...) != nil:
		l.add(d.wrong(at("clear"), "clear: false says nothing; write mask, or clear: true"))
	case !entry.Clear && entry.Mask == "":
		l.add(d.wrong(path, "this entry says neither mask nor clear: true"))
	case !entry.Clear:
		c.mask = l.mask(d, entry, at)
	}
	switch entry.OtherUse {
	case "":
		c.otherUse = useRewrite
	case useRewrite, useApprove, useDeny:
		c.otherUse = entry.OtherUse
	default:
		l.add(d.wrong(at("other_use"), "other_use %s is not known; write rewrite (the default), approve or deny", entry.OtherUse))
	}
	if !ok {
		return
	}
	l.contradiction(d, entry, match, c.ref, path)
	l.set.columns = append(l.set.columns, c)
}

func (l *loader) mask(d *document, entry ColumnEntry, at func(string) []any) masking.Rule {
	mask, err := masking.Valid(entry.Mask)
	if err != nil {
		l.add(d.wrong(at("mask"), "%v", err))
		return ""
	}
	switch {
	case entry.ReversibleByDictionary != "" && entry.ReversibleByDictionary != "accepted":
		l.add(d.wrong(at("reversible_by_dictionary"), "reversible_by_dictionary %s is not known; the only value is accepted",
			entry.ReversibleByDictionary))
	case entry.ReversibleByDictionary != "" && mask != masking.SHA256:
		l.add(d.wrong(at("reversible_by_dictionary"), "reversible_by_dictionary is for SHA256 only; %s is not reversed by a dictionary",
			mask))
	case mask == masking.SHA256 && entry.ReversibleByDictionary == "":
		l.add(d.wrong(at("mask"), "SHA256 can be reversed by hashing guesses, as for numbers and names; write reversible_by_dictionary: "+
			"accepted, or take RANDOM_HASH or DEFAULT_MASKING_VALUE"))
	}
	return mask
}

// contradiction refuses two entries that say the opposite of the very same columns.
func (l *loader) contradiction(d *document, entry ColumnEntry, match pattern, ref RuleRef, path []any) {
	if l.masked == nil {
		l.masked, l.cleared = map[string]RuleRef{}, map[string]RuleRef{}
	}
	own, opposite := l.masked, l.cleared
	if entry.Clear {
		own, opposite = l.cleared, l.masked
	}
	name := strings.Join(match.folded, ".")
	if other, ok := opposite[name]; ok {
		l.add(d.wrong(path, "%s is said to be sensitive and not to be (%s:%d)", match.text, other.File, other.Line))
	}
	own[name] = ref
}

func (l *loader) table(d *document, i int) {
	entry, path := d.file.Tables[i], []any{"tables", i}
	match, ok := l.pattern(d, entry.Match, false, "tables", i, "match")
	if d.at("tables", i, "unlisted") != nil && entry.Unlisted != "mask" && entry.Unlisted != "clear" {
		l.add(d.wrong([]any{"tables", i, "unlisted"}, "unlisted %s is not known; write mask or clear", entry.Unlisted))
	}
	if d.at("tables", i, "high_value") == nil && d.at("tables", i, "unlisted") == nil {
		l.add(d.wrong(path, "this entry says nothing; write high_value or unlisted"))
	}
	if ok {
		l.set.tables = append(l.set.tables, tableRule{match, entry.HighValue, entry.Unlisted, d.rule("tables", path...)})
	}
}
