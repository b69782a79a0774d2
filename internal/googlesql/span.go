package googlesql

import (
	"strings"
	"unicode/utf8"
)

// LineColumn is where the span starts in text: 1-based line, and 1-based column in characters. It
// is 0, 0 for a span that does not lie in text.
func (s Span) LineColumn(text string) (line, column int) {
	if s.Start < 0 || s.Start > len(text) {
		return 0, 0
	}
	before := text[:s.Start]
	line = 1 + strings.Count(before, "\n")
	column = 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
	return line, column
}
