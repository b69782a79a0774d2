package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/bqgate/bqgate/policies"
)

// writeOutline writes a policy as a table: one line an entry, with its place.
func writeOutline(out io.Writer, set *policies.Set) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, l := range set.Outline() {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s:%d\n", l.Kind, l.Name, l.What, l.Ref.File, l.Ref.Line)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write policy table: %w", err)
	}
	if _, err := fmt.Fprintf(out, "%s, digest %s\n", counted(set.Files(), "file"), set.Digest()); err != nil {
		return fmt.Errorf("write policy digest: %w", err)
	}
	return nil
}

func writeFailures(out io.Writer, failed []policies.Failure) error {
	for _, f := range failed {
		if _, err := fmt.Fprintf(out, "%s:%d: %s\n    %s\n", f.File, f.Line, f.Name, strings.Join(f.Differs, "\n    ")); err != nil {
			return fmt.Errorf("write results: %w", err)
		}
	}
	return nil
}

// writeLint writes the answer of Lint as people read it.
func writeLint(out io.Writer, findings []policies.Finding, columns []policies.ClearColumn) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(columns) > 0 {
		fmt.Fprintln(w, "SEEN AS IT IS\tBY\tBECAUSE")
	}
	for _, c := range columns {
		fmt.Fprintf(w, "%s\t%s\t%s\n", c.Column, strings.Join(c.Groups, ", "), c.Why)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write clear columns: %w", err)
	}
	for _, f := range findings {
		if _, err := fmt.Fprintf(out, "%s:%d: %s\n", f.File, f.Line, f.Message); err != nil {
			return fmt.Errorf("write findings: %w", err)
		}
	}
	summary := "nothing found"
	if n := len(findings); n > 0 {
		summary = counted(n, "finding")
	}
	if _, err := fmt.Fprintln(out, summary); err != nil {
		return fmt.Errorf("write findings: %w", err)
	}
	return nil
}

// counted is "1 file", "2 files".
func counted(n int, word string) string {
	if n != 1 {
		word += "s"
	}
	return fmt.Sprintf("%d %s", n, word)
}
