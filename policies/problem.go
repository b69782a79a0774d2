package policies

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Problem is one mistake in a policy file.
type Problem struct {
	File    string
	Line    int // 1-based; 0 where the whole file is meant
	Column  int // 1-based, in characters
	Width   int // characters that are wrong, at least 1
	Message string

	excerpt string
}

// Error is "file:line:column: message" and the place in the source.
func (p *Problem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s%s", p.File, p.Line, p.Column, p.Message, p.excerpt)
}

// Problems are all mistakes that were found, in the order of files and lines.
type Problems []*Problem

// Error lists the problems, each with its place.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.Is and errors.As each problem.
func (p Problems) Unwrap() []error {
	all := make([]error, len(p))
	for i, one := range p {
		all[i] = one
	}
	return all
}

// asError sorts the problems; none is nil.
func (p Problems) asError() error {
	if len(p) == 0 {
		return nil
	}
	slices.SortStableFunc(p, func(a, b *Problem) int {
		if a.File != b.File {
			return 0 // files stay in the order in which they were given
		}
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return p
}

// place is where something stands in a file.
type place struct{ line, column, width int }

// problem makes a Problem of a place in the text, with the line before it and a mark below it.
func (d *document) problem(at place, format string, args ...any) *Problem {
	p := &Problem{File: d.name, Line: at.line, Column: at.column, Width: max(1, at.width), Message: fmt.Sprintf(format, args...)}
	if at.line < 1 || at.line > len(d.lines) {
		return p
	}
	line := printable(d.lines[at.line-1])
	var b strings.Builder
	if at.line > 1 {
		if before := printable(d.lines[at.line-2]); strings.TrimSpace(before) != "" {
			fmt.Fprintf(&b, "\n %4d | %s", at.line-1, before)
		}
	}
	column := min(max(1, at.column), utf8.RuneCountInString(line)+1)
	width := max(1, min(p.Width, utf8.RuneCountInString(line)-column+1))
	fmt.Fprintf(&b, "\n>%4d | %s\n      | %s%s", at.line, line, strings.Repeat(" ", column-1), strings.Repeat("^", width))
	p.excerpt = b.String()
	return p
}

// printable keeps an excerpt on its line and in its columns.
func printable(line string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, line)
}

// errNoFiles is returned by Load without files: an empty policy is a mistake more often than a
// wish.
var errNoFiles = errors.New("no policy file was given: without a policy everything is refused; name at least one")
