package policies

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// pattern is a dotted name of a table or a column. `*` stands for any text within one part. Parts 0
// to 2 name the table, further parts the column and its fields.
type pattern struct {
	text   string
	parts  []string
	folded []string
}

const tableParts = 3

// parsePattern reads a table pattern (column false) or a column pattern.
func parsePattern(text string, column bool) (pattern, error) {
	want := "project.dataset.table"
	if column {
		want = "project.dataset.table.column"
	}
	if len(text) > 2048 {
		return pattern{}, errors.New("this name is too long")
	}
	for _, r := range text {
		if unicode.IsControl(r) || strings.ContainsRune("`?[]{}\"'\\", r) || r == unicode.ReplacementChar {
			return pattern{}, fmt.Errorf("%q cannot stand in a name; write %s, where * stands for any text within one part", r, want)
		}
	}
	parts := split(text)
	if !column && len(parts) == tableParts+1 && parts[2] == informationSchema {
		parts = append(parts[:2:2], parts[2]+"."+parts[3])
	}
	if err := wellFormed(text, parts, want); err != nil {
		return pattern{}, err
	}
	switch {
	case len(parts) == 1 && strings.Contains(text, ":"), column && len(parts) < tableParts && strings.Contains(text, ":"):
		return pattern{}, legacyColon(text)
	case !column && len(parts) == tableParts-1:
		return pattern{}, fmt.Errorf("%q names a dataset; write %s.* for all its tables", text, text)
	case column && len(parts) == tableParts:
		return pattern{}, fmt.Errorf("%q names a table; write %s.* for all its columns", text, text)
	case !column && len(parts) != tableParts, column && len(parts) < tableParts:
		return pattern{}, fmt.Errorf("%q is not a full name; write %s", text, want)
	case len(parts) > tableParts+16:
		return pattern{}, errors.New("BigQuery has no columns nested this deep")
	}
	folded := make([]string, len(parts))
	for i, part := range parts {
		folded[i] = fold(part)
	}
	return pattern{text: text, parts: parts, folded: folded}, nil
}

// What a name's parts may be made of, beside *. A pattern with anything else would load and match
// nothing: BigQuery has no such name, or spells it otherwise.
var (
	projectPart = regexp.MustCompile(`^([A-Za-z0-9*-]+(\.[A-Za-z0-9*-]+)+:)?[A-Za-z0-9*-]+$`)
	datasetPart = regexp.MustCompile(`^[A-Za-z0-9_*-]+$`)
	tablePart   = regexp.MustCompile(`^[\pL\pM\pN\p{Pc}\p{Pd} *]+$`)
	// https://cloud.google.com/bigquery/docs/schemas#flexible-column-names
	columnPart = regexp.MustCompile("^[^!\"$()*,./;?@[\\\\\\]^`{}~]+$")
)

// wellFormed refuses parts that are no names.
func wellFormed(text string, parts []string, want string) error {
	for i, part := range parts {
		switch {
		case part == "" || strings.TrimSpace(part) != part:
			return fmt.Errorf("%q has an empty part; write %s", text, want)
		case i < tableParts && strings.Contains(part, ":") && !projectPart.MatchString(part):
			return legacyColon(text)
		case i == 0 && !projectPart.MatchString(part):
			return fmt.Errorf("%q is not the name of a project; write %s", part, want)
		case i == 1 && !datasetPart.MatchString(part):
			return fmt.Errorf("%q is not the name of a dataset; write %s", part, want)
		case i == 2 && !tablePart.MatchString(strings.TrimPrefix(part, informationSchema+".")):
			return fmt.Errorf("%q is not the name of a table; write %s", part, want)
		case i >= tableParts && !columnPart.MatchString(strings.ReplaceAll(part, "*", "x")):
			return fmt.Errorf("%q is not the name of a column; write %s", part, want)
		}
	}
	return nil
}

func legacyColon(text string) error {
	return fmt.Errorf("%q has the colon of legacy SQL; write %s: a colon only stands behind a domain, as in example.com:project",
		text, strings.Replace(text, ":", ".", 1))
}

// split cuts a dotted name. A project of the old form "example.com:name" keeps its dots. Behind the
// domain a colon is one of a column's name.
func split(text string) []string {
	parts := strings.Split(text, ".")
	colon := strings.IndexByte(text, ':')
	if colon < 0 || !strings.Contains(text[:colon], ".") {
		return parts
	}
	dot := strings.IndexByte(text[colon:], '.')
	if behind := strings.Count(text[colon:], "."); behind < tableParts-1 && strings.Count(text[:colon], ".") >= tableParts-1 {
		return parts
	}
	if dot < 0 {
		return []string{text}
	}
	dot += colon
	return append([]string{text[:dot]}, strings.Split(text[dot+1:], ".")...)
}

// literalTable says whether the pattern names one table.
func (p pattern) literalTable() bool {
	return !strings.Contains(strings.Join(p.parts[:tableParts], ""), "*")
}

const informationSchema = "INFORMATION_SCHEMA"

// metadata says whether the name is that of a view of INFORMATION_SCHEMA: of a dataset, or of a
// project.
func metadata(dataset, table string) bool {
	return dataset == informationSchema || strings.HasPrefix(table, informationSchema+".")
}

// coversTable says whether the pattern covers all of what the name stands for, in the same case of
// letters. The name may be a wildcard table: "events_*" is covered by "*" and "ev*" and not by
// "events_2026" (A33). A view of INFORMATION_SCHEMA shows what the dataset's other tables are, so
// "*" does not cover it: the pattern must say INFORMATION_SCHEMA itself. It is the reading for what
// a policy grants.
func (p pattern) coversTable(id bigquery.TableID) bool {
	if metadata(id.Dataset, id.Table) && !metadata(p.parts[1], p.parts[2]) {
		return false
	}
	return covers(p.parts[0], id.Project) && covers(p.parts[1], id.Dataset) && covers(p.parts[2], id.Table)
}

// touchesTable says whether the pattern and the name have any table in common, in any case of
// letters: datasets may be case-insensitive. It is the reading for what a policy restricts.
func (p pattern) touchesTable(id bigquery.TableID) bool {
	return touches(p.folded[0], fold(id.Project)) && touches(p.folded[1], fold(id.Dataset)) && touches(p.folded[2], fold(id.Table))
}

// columnDepth says how the pattern's column parts stand to a folded path: covers if the pattern
// names the path or something above it, below if it names something below it. Column names have no
// case.
func (p pattern) columnDepth(path []string) (covered, below bool) {
	parts := p.folded[tableParts:]
	for i := range min(len(parts), len(path)) {
		if !covers(parts[i], path[i]) { //nolint:gosec // G602: i is below the length of both
			return false, false
		}
	}
	return len(parts) <= len(path), len(parts) > len(path)
}

// covers matches one part. A `*` in name is only matched by a `*` in glob, so that every name that
// name stands for is matched too.
func covers(glob, name string) bool {
	if glob == "*" || glob == name && !strings.Contains(glob, "*") {
		return true
	}
	g, n, star, mark := 0, 0, -1, 0
	for n < len(name) {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, mark = g, n
			g++
		case g < len(glob) && glob[g] == name[n]:
			g++
			n++
		case star >= 0:
			mark++
			g, n = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(glob[g:], "*") == ""
}

// touches says whether any text matches both globs.
func touches(a, b string) bool {
	if !strings.Contains(b, "*") {
		return covers(a, b)
	}
	if !strings.Contains(a, "*") {
		return covers(b, a)
	}
	// row[j] says whether a[i:] and b[j:] have a text in common; filled from the end.
	row, next := make([]bool, len(b)+1), make([]bool, len(b)+1)
	for i := len(a); i >= 0; i-- {
		for j := len(b); j >= 0; j-- {
			switch {
			case i == len(a) && j == len(b):
				row[j] = true
			case i < len(a) && a[i] == '*':
				row[j] = next[j] || j < len(b) && row[j+1]
			case j < len(b) && b[j] == '*':
				row[j] = row[j+1] || i < len(a) && next[j]
			default:
				row[j] = i < len(a) && j < len(b) && a[i] == b[j] && next[j+1]
			}
		}
		row, next = next, row
	}
	return next[0]
}

// fold makes names that differ only in the case of letters the same.
func fold(s string) string {
	plain := true
	for i := range len(s) {
		if c := s[i]; c >= 0x80 || c >= 'A' && c <= 'Z' {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r < 0x80 {
			return unicode.ToLower(r)
		}
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return unicode.ToLower(least)
	}, s)
}

// parseTable splits the full name of a table as analyses spell it.
func parseTable(name string) (bigquery.TableID, bool) {
	parts := split(name)
	if len(parts) == tableParts+1 && parts[2] == informationSchema {
		parts = append(parts[:2:2], parts[2]+"."+parts[3])
	}
	if len(parts) != tableParts || parts[0] == "" || parts[1] == "" || parts[2] == "" || strings.EqualFold(parts[1], informationSchema) &&
		parts[1] != informationSchema {
		return bigquery.TableID{}, false
	}
	return bigquery.TableID{Project: parts[0], Dataset: parts[1], Table: parts[2]}, true
}
