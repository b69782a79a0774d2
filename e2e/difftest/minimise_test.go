package difftest

import (
	"regexp"
	"strings"
)

var word = regexp.MustCompile("'(?:[^'\\\\]|\\\\.)*'|`[^`]*`|[A-Za-z_@][A-Za-z0-9_]*|[0-9]+(?:\\.[0-9]+)?|\\|>|\\|\\||->|<=|>=|!=|<<|" +
	"\\s+|.")

const maxTrials = 700

// minimise drops parts of a query for as long as the same rule is broken.
func (l *lab) minimise(q *query, f *finding) *query {
	best := *q
	best.last = f
	words := words(q.sql)
	trials := 0
	try := func(candidate []string) bool {
		trials++
		next := &query{number: q.number, sql: strings.TrimSpace(strings.Join(candidate, "")), project: q.project}
		broken := l.breaks(next, f)
		if broken == nil {
			return false
		}
		best, words = *next, candidate
		best.last = broken
		return true
	}
	for again := true; again && trials < maxTrials; {
		again = false
		// An expression in parentheses in place of all that it stands in, then nothing in place of
		// any run of words, long runs first.
		for i := 0; i < len(words) && trials < maxTrials; i++ {
			if words[i] != "(" {
				continue
			}
			end := closing(words, i)
			inner := words[i+1 : min(end, len(words))]
			for from := max(0, i-4); from <= i; from++ {
				candidate := append(append(append([]string{}, words[:from]...), inner...), words[min(end+1, len(words)):]...)
				if len(candidate) < len(words) && try(candidate) {
					again = true
					break
				}
			}
		}
		for size := len(words) / 2; size > 0 && trials < maxTrials; size = min(size-1, size*2/3) {
			for i := 0; i+size <= len(words) && trials < maxTrials; {
				candidate := append(append([]string{}, words[:i]...), words[i+size:]...)
				if balanced(words[i:i+size]) && try(candidate) {
					again = true
				} else {
					i++
				}
			}
		}
	}
	return &best
}

func words(sql string) []string { return word.FindAllString(sql, -1) }

func closing(words []string, open int) int {
	depth := 0
	for i := open; i < len(words); i++ {
		switch words[i] {
		case "(":
			depth++
		case ")":
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(words)
}

func balanced(words []string) bool {
	depth := 0
	for _, w := range words {
		switch w {
		case "(", "[":
			depth++
		case ")", "]":
			if depth--; depth < 0 {
				return false
			}
		}
	}
	return depth == 0
}

// breaks reports whether a query breaks the same rule.
func (l *lab) breaks(q *query, f *finding) *finding {
	ok, _, own := l.look(q)
	if own != nil && own.what == f.what {
		return own
	}
	if !ok || own != nil || f.change == nil {
		return nil
	}
	l.alter(f.change, false)
	changed := l.rows(q)
	l.alter(f.change, true)
	changed.spread(q.analysis)
	if f.what == "canary" {
		if q.base.Error != nil {
			return nil
		}
		for _, s := range q.canaries(l.known) {
			if s.cell == f.change.cell {
				return &finding{what: f.what, detail: s.window, change: f.change, changed: changed}
			}
		}
		return nil
	}
	if changed.Error != nil && !runTime(changed.Error) {
		return nil
	}
	if found := l.compare(q, f.change, changed); found != nil && found.what == f.what {
		return found
	}
	return nil
}
