package policies

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Check loads policy files as `bqgate policy check` does and writes what was loaded, or every
// problem. The code is the command's exit code: 0 fine, 1 problems found, 2 no file given.
func Check(w io.Writer, files []string, o Options) (code int, err error) {
	set, err := Load(files, o)
	switch {
	case len(files) == 0:
		_, werr := fmt.Fprintln(w, err)
		return 2, werr
	case err != nil:
		_, werr := fmt.Fprintln(w, err)
		return 1, werr
	}
	return 0, set.Describe(w)
}

// Describe writes the policy as a table: one line an entry, with its place.
func (s *Set) Describe(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(kind, name, what string, ref RuleRef) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s:%d\n", kind, name, what, ref.File, ref.Line)
	}
	for _, g := range s.groups {
		issuer := g.issuer
		if issuer == "" {
			issuer = "the only configured issuer"
		}
		row("group", g.name, fmt.Sprintf("of %s when %s", issuer, oneLine(g.when.text)), g.ref)
	}
	for _, c := range s.columns {
		what := "not sensitive"
		if c.mask != "" {
			what = string(c.mask)
		}
		row("column", c.match.text, what, c.ref)
	}
	for _, t := range s.tables {
		var what []string
		if t.highValue {
			what = append(what, "high value")
		}
		if t.unlisted != "" {
			what = append(what, "unlisted columns: "+t.unlisted)
		}
		row("table", t.match.text, strings.Join(what, ", "), t.ref)
	}
	for _, r := range s.rules {
		what := strings.Join(r.groups, ", ") + " read " + texts(r.read)
		if len(r.clear) > 0 {
			what += ", clear " + texts(r.clear)
		}
		if len(r.rowAccess) > 0 {
			what += ", in spite of row access policies " + texts(r.rowAccess)
		}
		if r.maxBytes > 0 {
			what += ", at most " + formatSize(r.maxBytes)
		}
		if r.session > 0 {
			what += ", for " + r.session.String()
		}
		if r.namedJobs {
			what += ", jobs in " + strings.Join(r.jobsIn, ", ")
		}
		row("rule", r.ref.Name, what+", with credential "+r.credential, r.ref)
	}
	for _, a := range s.approvals {
		who := "everybody"
		if len(a.groups) > 0 {
			who = strings.Join(a.groups, ", ")
		}
		row("approval", a.ref.Name, fmt.Sprintf("%s need %s when %s", who, describeNeeds(a.needs, a.quorum), oneLine(a.when.text)), a.ref)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write policy table: %w", err)
	}
	if _, err := fmt.Fprintf(out, "%d %s, digest %s\n", len(s.files), plural("file", len(s.files)), s.digest); err != nil {
		return fmt.Errorf("write policy digest: %w", err)
	}
	return nil
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func texts(patterns []pattern) string {
	all := make([]string, len(patterns))
	for i, p := range patterns {
		all[i] = p.text
	}
	return strings.Join(all, ", ")
}
