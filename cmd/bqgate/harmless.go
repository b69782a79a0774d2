package main

import (
	"strings"
	"unicode"
)

// harmless makes text of others fit for a terminal: an agent's SQL must not be able to move the
// cursor, hide itself or turn the direction of what a reviewer reads. Line breaks and tabs are
// blanks.
func harmless(s string) string { return strings.Map(harmlessRune(false), s) }

// harmlessLines keeps line breaks and tabs.
func harmlessLines(s string) string {
	return strings.Map(harmlessRune(true), strings.ReplaceAll(s, "\r\n", "\n"))
}

func harmlessRune(lines bool) func(rune) rune {
	return func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			if lines {
				return r
			}
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.In(r, unicode.Zl, unicode.Zp),
			unicode.Is(unicode.Variation_Selector, r):
			return unicode.ReplacementChar
		}
		return r
	}
}
