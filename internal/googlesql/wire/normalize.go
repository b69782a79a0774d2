package wire

import (
	"slices"
	"strings"
)

// Within reports whether an outline can be that of a text of so many bytes: the gateway cuts the text by what a worker says of it.
func (s *Script) Within(size int) bool {
	fits := func(start, end int) bool { return 0 <= start && start <= end && end <= size }
	for i := range s.Statements {
		statement := &s.Statements[i]
		if !fits(statement.Start, statement.End) {
			return false
		}
		for j := range statement.Paths {
			p := &statement.Paths[j]
			if len(p.Parts) == 0 || !fits(p.Start, p.End) || p.Place != nil && !p.Place.within(fits) {
				return false
			}
			for _, q := range p.Quoted {
				if !fits(q.Start, q.End) || q.Start < statement.Start || q.End > statement.End {
					return false
				}
			}
		}
	}
	return true
}

func (p *Place) within(fits func(start, end int) bool) bool {
	for _, s := range []*Span{&p.Whole, p.AliasSpan, p.Hint, p.SystemTime, p.Sample, p.Offset, p.Pivot, p.Unpivot} {
		if s != nil && !fits(s.Start, s.End) {
			return false
		}
	}
	return true
}

// Hides reports whether a table's name may be that of a WITH query, or an array of an aliased row.
func (s *Statement) Hides(p *Path) bool {
	return len(p.Parts) < 3 && slices.Contains(s.Names, strings.ToLower(p.Parts[0]))
}

// Plain reports whether the back-quoted name is written without escapes: only then can it be taken apart.
func (q *Quoted) Plain(text string) bool {
	return !strings.ContainsAny(q.Name, "`\\\n\r") && text[q.Start:q.End] == "`"+q.Name+"`"
}

// Normalized is a statement's text with back-quoted dotted names split into their parts: BigQuery reads `p.d.t` as three names, the engine as one.
type Normalized struct {
	SQL   string
	start int // of the statement in the author's text
	edits []edit
}

// edit replaced the author's text at [start, end) by a text that stands at [from, to) of the statement.
type edit struct{ start, end, from, to int }

// Normalize cuts a statement out of a text. Both sides do it, so that they speak of the same SQL. All quoted names must be plain.
func Normalize(text string, s *Statement) Normalized {
	var quoted []Quoted
	for i := range s.Paths {
		quoted = append(quoted, s.Paths[i].Quoted...)
	}
	slices.SortFunc(quoted, func(a, b Quoted) int { return a.Start - b.Start })
	n := Normalized{start: s.Start}
	var b strings.Builder
	at := s.Start
	for _, q := range quoted {
		if q.Start < at { // the same name in two roles
			continue
		}
		b.WriteString(text[at:q.Start])
		e := edit{start: q.Start, end: q.End, from: b.Len()}
		b.WriteString("`" + strings.ReplaceAll(q.Name, ".", "`.`") + "`")
		e.to = b.Len()
		n.edits = append(n.edits, e)
		at = q.End
	}
	b.WriteString(text[at:s.End])
	n.SQL = b.String()
	return n
}

// Original is the place in the author's text of an offset in the statement.
func (n Normalized) Original(offset int) int {
	shift := n.start
	for _, e := range n.edits {
		switch {
		case offset < e.from:
			return offset + shift
		case offset < e.to:
			return e.start
		}
		shift = e.end - e.to
	}
	return offset + shift
}
