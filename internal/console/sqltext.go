package console

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/chroma/v2"
	"github.com/alecthomas/chroma/v2/lexers"

	"github.com/bqgate/bqgate/internal/approvals"
)

// maxHighlight bounds what is highlighted, in bytes; longer SQL is shown plain. The lexer works
// with backtracking expressions, and the SQL is a stranger's.
const (
	maxHighlight  = 64 << 10
	highlightTime = 200 * time.Millisecond
)

// run is a piece of a line of SQL in one style.
type run struct {
	Class  string // of the lexer: "k", "s" …
	Pieces []piece
	Note   string // what is sensitive here, in words; "" where nothing is
}

// sqlLine is one line, with its runs in order.
type sqlLine struct{ Runs []run }

// mark is where the text reads something sensitive: bytes [start, end).
type mark struct {
	start, end int
	note       string
}

// sqlLines cuts SQL into lines of highlighted runs. Every byte of the text is in exactly one run,
// in order.
func sqlLines(sql string, marks []mark) []sqlLine {
	lines := []sqlLine{{}}
	at := 0
	for _, t := range lex(sql) {
		for _, cut := range cuts(at, at+len(t.text), marks) {
			note := noteOf(cut, marks)
			for i, part := range strings.Split(sql[cut.start:cut.end], "\n") {
				if i > 0 {
					lines = append(lines, sqlLine{})
				}
				if part = strings.TrimSuffix(part, "\r"); part != "" {
					last := &lines[len(lines)-1]
					last.Runs = append(last.Runs, run{Class: t.class, Pieces: pieces(part), Note: note})
				}
			}
		}
		at += len(t.text)
	}
	return lines
}

type lexed struct{ class, text string }

// lex is the text in tokens. Where the lexer gives up, takes too long or loses a byte, it is one
// plain token.
func lex(sql string) []lexed {
	whole := []lexed{{"", sql}}
	lexer := lexers.Get("sql")
	if len(sql) > maxHighlight || lexer == nil {
		return whole
	}
	next, err := lexer.Tokenise(&chroma.TokeniseOptions{State: "root"}, sql)
	if err != nil {
		return whole
	}
	var all []lexed
	var text strings.Builder
	deadline := time.Now().Add(highlightTime)
	for t := next(); t != chroma.EOF; t = next() {
		if time.Now().After(deadline) {
			return whole
		}
		if t.Value == "" {
			continue
		}
		text.WriteString(t.Value)
		all = append(all, lexed{class(t.Type), t.Value})
	}
	if text.String() != sql {
		return whole
	}
	return all
}

// class groups the lexer's types into the few that are styled.
func class(t chroma.TokenType) string {
	switch {
	case t.InCategory(chroma.Comment):
		return "c"
	case t.InCategory(chroma.Keyword):
		return "k"
	case t.InSubCategory(chroma.LiteralString):
		return "s"
	case t.InCategory(chroma.Literal):
		return "m"
	case t.InCategory(chroma.Operator):
		return "o"
	default:
		return ""
	}
}

// cuts splits [from, to) where marks begin and end.
func cuts(from, to int, marks []mark) []mark {
	edges := []int{from, to}
	for _, m := range marks {
		for _, e := range []int{m.start, m.end} {
			if e > from && e < to {
				edges = append(edges, e)
			}
		}
	}
	slices.Sort(edges)
	edges = slices.Compact(edges)
	var all []mark
	for i := 1; i < len(edges); i++ {
		all = append(all, mark{start: edges[i-1], end: edges[i]})
	}
	return all
}

func noteOf(part mark, marks []mark) string {
	var notes []string
	for _, m := range marks {
		if m.start <= part.start && part.end <= m.end && !slices.Contains(notes, m.note) {
			notes = append(notes, m.note)
		}
	}
	return strings.Join(notes, "; ")
}

// marksOf says where the SQL reads what is sensitive: the name of the column wherever it stands,
// the places where the analysis says it steers the result, and the table where the text never names
// it (SELECT *).
func marksOf(q approvals.Request) []mark {
	var all []mark
	words := wordsOf(q.SQL)
	named := map[string]bool{}
	for _, column := range q.SensitiveColumns {
		name := column[strings.LastIndexByte(column, '.')+1:]
		for _, w := range words {
			if strings.EqualFold(q.SQL[w.start:w.end], name) {
				named[column] = true
				all = append(all, mark{w.start, w.end, short(column, q.Project) + " is sensitive"})
			}
		}
	}
	for _, m := range q.Review.Marks {
		if m.Start < 0 || m.End > len(q.SQL) || m.Start > m.End {
			continue
		}
		switch {
		case m.Use != "":
			if i := slices.IndexFunc(words, func(w mark) bool { return w.start <= m.Start && m.Start < w.end }); i >= 0 {
				all = append(all, mark{words[i].start, words[i].end, short(m.Column, q.Project) + " decides the result (" + m.Use + ")"})
			}
		case !named[m.Column] && m.Start < m.End:
			all = append(all, mark{m.Start, m.End, "brings in " + short(m.Column, q.Project) + ", which is sensitive"})
		}
	}
	slices.SortStableFunc(all, func(a, b mark) int { return cmp.Compare(a.start, b.start) })
	return slices.Compact(all)
}

// wordsOf finds names in the text outside comments and string literals.
func wordsOf(sql string) []mark {
	var all []mark
	at := 0
	for _, t := range lex(sql) {
		if t.class != "c" && (t.class != "s" || strings.HasPrefix(t.text, "`")) {
			start := -1
			for i := 0; i <= len(t.text); i++ {
				letter := i < len(t.text) && (t.text[i] == '_' || t.text[i] >= 0x80 || '0' <= t.text[i] && t.text[i] <= '9' ||
					'a' <= t.text[i]|0x20 && t.text[i]|0x20 <= 'z')
				switch {
				case letter && start < 0:
					start = i
				case !letter && start >= 0:
					all = append(all, mark{start: at + start, end: at + i})
					start = -1
				}
			}
		}
		at += len(t.text)
	}
	return all
}

// short leaves the project of the request out of a name: people know where they are.
func short(name, project string) string {
	if rest, ok := strings.CutPrefix(name, project+"."); ok && project != "" {
		return rest
	}
	return name
}
