package main

import "strings"

// tokenEnd returns where the string, comment, quoted name or single byte at i ends.
func tokenEnd(s string, i int) int {
	switch c := s[i]; {
	case c == '\'' || c == '"':
		return quoteEnd(s, i)
	case c == '`':
		for j := i + 1; j < len(s); j++ {
			switch s[j] {
			case '\\':
				j++
			case '`':
				return j + 1
			}
		}
		return len(s)
	case c == '#' || strings.HasPrefix(s[i:], "--"):
		if n := strings.IndexByte(s[i:], '\n'); n >= 0 {
			return i + n + 1
		}
		return len(s)
	case strings.HasPrefix(s[i:], "/*"):
		if n := strings.Index(s[i+2:], "*/"); n >= 0 {
			return i + 2 + n + 2
		}
		return len(s)
	}
	return i + 1
}

// quoteEnd finds the end of a string literal, single or triple quoted. In a raw string a backslash
// still keeps the next quote from ending it.
func quoteEnd(s string, i int) int {
	q := s[i : i+1]
	if strings.HasPrefix(s[i:], strings.Repeat(q, 3)) {
		q = strings.Repeat(q, 3)
	}
	for j := i + len(q); j < len(s); j++ {
		if s[j] == '\\' {
			j++
			continue
		}
		if strings.HasPrefix(s[j:], q) {
			return j + len(q)
		}
	}
	return len(s)
}
