package console

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// piece is a run of text, or one character that a reader could not see or that would move others,
// spelt out.
type piece struct {
	Text   string
	Hidden string // "U+202E" for such a character; Text is "" then
	Name   string // what it does, in words
}

// blank are letters and marks that print as nothing, beside what unicode.IsPrint leaves out.
var blank = []rune{'\u034f', '\u115f', '\u1160', '\u17b4', '\u17b5', '\u180b', '\u180c', '\u180d', '\u180f', '\u2800', '\u3164', '\uffa0',
	'\ufffc'}

// pieces cuts text at every character that hides (zero width, filler, tag), moves what stands
// around it (bidi controls), or is none.
func pieces(text string) []piece {
	var all []piece
	from := 0
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if hidden, name := hides(r, size); hidden {
			if from < i {
				all = append(all, piece{Text: text[from:i]})
			}
			label := fmt.Sprintf("%U", r)
			if r == utf8.RuneError && size == 1 {
				label = fmt.Sprintf("0x%02X", text[i])
			}
			all = append(all, piece{Hidden: label, Name: name})
			from = i + size
		}
		i += size
	}
	if from < len(text) {
		all = append(all, piece{Text: text[from:]})
	}
	return all
}

func hides(r rune, size int) (bool, string) {
	switch {
	case r == utf8.RuneError && size == 1:
		return true, "not UTF-8"
	case r == '\n' || r == '\t':
		return false, ""
	case unicode.Is(unicode.Bidi_Control, r):
		return true, "changes the direction of the text"
	case unicode.Is(unicode.Variation_Selector, r) || slices.Contains(blank, r):
		return true, "prints as nothing"
	case unicode.IsControl(r):
		return true, "control character"
	case unicode.Is(unicode.Zs, r) && r != ' ':
		return true, "a space that is not a plain one"
	case !unicode.IsPrint(r):
		return true, "hidden character"
	default:
		return false, ""
	}
}

// plain is text for where no markup can stand: hidden characters are spelt out in brackets.
func plain(text string) string {
	var b strings.Builder
	for _, p := range pieces(text) {
		if p.Hidden != "" {
			b.WriteString("[" + p.Hidden + "]")
		}
		b.WriteString(p.Text)
	}
	return b.String()
}
