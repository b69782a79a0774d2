package console

import (
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/a-h/templ"
)

// text shows what a stranger wrote: escaped, with hidden characters spelt out, and unable to turn
// the text around it.
func text(s string) templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		var b strings.Builder
		b.WriteString("<bdi>")
		writePieces(&b, pieces(s))
		b.WriteString("</bdi>")
		_, err := io.WriteString(w, b.String())
		return err
	})
}

func writePieces(b *strings.Builder, all []piece) {
	for _, p := range all {
		if p.Hidden != "" {
			b.WriteString(`<span class="hid" title="` + templ.EscapeString(p.Name) + `">` + templ.EscapeString(p.Hidden) + `</span>`)
			continue
		}
		b.WriteString(templ.EscapeString(p.Text))
	}
}

// sqlText is SQL as a block of code: nothing stands between the lines but what the text has.
func sqlText(lines []sqlLine) templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		var b strings.Builder
		for i, line := range lines {
			b.WriteString(`<span class="ln" data-n="` + strconv.Itoa(i+1) + `">`)
			for i, r := range line.Runs {
				writeRun(&b, r, i > 0 && line.Runs[i-1].Note == r.Note, i+1 < len(line.Runs) && line.Runs[i+1].Note == r.Note)
			}
			b.WriteString("\n</span>")
		}
		_, err := io.WriteString(w, b.String())
		return err
	})
}

// writeRun writes one run. Neighbours with the same note share one mark.
func writeRun(b *strings.Builder, r run, goesOn, continues bool) {
	if r.Note != "" && !goesOn {
		b.WriteString(`<mark class="sens" tabindex="0">`)
	}
	b.WriteString(`<span class="t` + r.Class + `">`)
	writePieces(b, r.Pieces)
	b.WriteString(`</span>`)
	if r.Note != "" && !continues {
		b.WriteString(`<span class="note" aria-hidden="true">` + templ.EscapeString(plain(r.Note)) + `</span></mark>`)
	}
}

// numbered shows lines of a file with the numbers that they have there, moved to the left as far as
// they go together.
func numbered(text string, first int) templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		indent := len(text)
		for _, line := range lines {
			if trimmed := strings.TrimLeft(line, " "); trimmed != "" {
				indent = min(indent, len(line)-len(trimmed))
			}
		}
		var b strings.Builder
		for i, line := range lines {
			b.WriteString(`<span class="ln" data-n="` + strconv.Itoa(first+i) + `">`)
			writePieces(&b, pieces(line[min(indent, len(line)):]))
			b.WriteString("\n</span>")
		}
		_, err := io.WriteString(w, b.String())
		return err
	})
}
