package googlesql

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Explain writes an analysis for a person, or as the JSON document of `bqgate sql explain`. Either
// way it is written whole or not at all.
func Explain(ctx context.Context, w io.Writer, analysis *Analysis, asJSON bool) error {
	var b bytes.Buffer
	if asJSON {
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false) // types have angle brackets
		e.SetIndent("", "  ")
		if err := e.Encode(analysis); err != nil {
			return fmt.Errorf("explaining SQL: %w", err)
		}
	} else {
		explainText(&b, analysis)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("explaining SQL: %w", err)
	}
	return nil
}

func explainText(b *bytes.Buffer, analysis *Analysis) {
	for i, s := range analysis.Statements {
		fmt.Fprintf(b, "%d  %s", i+1, s.Kind)
		for _, list := range []struct {
			verb  string
			names []string
		}{{"reads", s.Tables}, {"changes", s.Targets}, {"calls", s.Routines}} {
			if len(list.names) > 0 {
				fmt.Fprintf(b, "   %s %s", list.verb, strings.Join(list.names, ", "))
			}
		}
		b.WriteByte('\n')
		explainColumns(b, s.Columns)
		explainUses(b, s.Uses)
		for _, u := range s.Uncertain {
			fmt.Fprintf(b, "   may have other columns than are known here: %s (%s)\n", u.Table, u.Why)
		}
	}
	if e := analysis.Error; e != nil {
		b.WriteString("not understood")
		if e.Line > 0 {
			fmt.Fprintf(b, " (line %d, column %d)", e.Line, e.Column)
		}
		fmt.Fprintf(b, ": %s\n", e.Message)
	}
}

func explainColumns(b *bytes.Buffer, columns []Column) {
	if len(columns) == 0 {
		return
	}
	t := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "   column\ttype\tcomes from\t")
	for _, c := range columns {
		name := c.Name
		if name == "" {
			name = "(no name)"
		}
		if len(c.Sources) == 0 {
			fmt.Fprintf(t, "   %s\t%s\tno column\t\n", name, c.Type)
		}
		for i, s := range c.Sources {
			first, kind := name, c.Type
			if i > 0 {
				first, kind = "", ""
			}
			from := s.Column
			if from == "" {
				from = "a value in the SQL"
			}
			if s.Path != "" {
				from = s.Path + " from " + from
			}
			so := "as it is"
			if s.Carry != CarryDirect {
				so = "derived"
			}
			fmt.Fprintf(t, "   %s\t%s\t%s\t%s\n", first, kind, from, so)
		}
	}
	_ = t.Flush() // into a buffer
}

func explainUses(b *bytes.Buffer, uses []Use) {
	var words []string
	for _, u := range uses {
		words = append(words, fmt.Sprintf("%s (%s)", u.Column, u.In))
	}
	slices.Sort(words)
	if len(words) > 0 {
		fmt.Fprintf(b, "   used to decide the result: %s\n", strings.Join(words, ", "))
	}
}
