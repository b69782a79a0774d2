package console

import (
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/approvals"
)

// join is the text of lines, hidden characters as their labels.
func join(lines []sqlLine) string {
	var b strings.Builder
	for i, line := range lines {
		if i > 0 {
			b.WriteByte('\n')
		}
		for _, r := range line.Runs {
			for _, p := range r.Pieces {
				b.WriteString(p.Text + p.Hidden)
			}
		}
	}
	return b.String()
}

// slow spells hidden characters one by one, as plain code would.
func slow(sql string) string {
	var b strings.Builder
	for _, line := range strings.SplitAfter(sql, "\n") {
		end := strings.HasSuffix(line, "\n")
		line = strings.TrimSuffix(line, "\n")
		for _, p := range pieces(line) {
			b.WriteString(p.Text + p.Hidden)
		}
		if end {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func FuzzSQLLines(f *testing.F) {
	for _, sql := range []string{
		"", "SELECT 1", "SELECT `a`.b, 'x\ny' -- c\nFROM t", "/* \u202e */ SELECT \"\u200b\"", "\xff\xfe", "'''\n",
		"SELECT salary\r\nFROM t", "\n\n", strings.Repeat("(", 500),
	} {
		f.Add(sql, 3, 7)
	}
	f.Fuzz(func(t *testing.T, sql string, start, end int) {
		sql = strings.ReplaceAll(sql, "\r", " ") // ends of lines are normalised
		marks := marksOf(approvals.Request{SQL: sql, Project: "p", SensitiveColumns: []string{"p.d.t.salary"},
			Review: approvals.Review{Marks: []approvals.Mark{
				{Start: start, End: end, Column: "p.d.t.x"}, {Start: start, End: start, Column: "p.d.t.y", Use: "filter"},
			}}})
		if got, want := join(sqlLines(sql, marks)), slow(sql); got != want && len(marks) == 0 {
			t.Errorf("%q shows as %q, want %q", sql, got, want)
		}
		for _, line := range sqlLines(sql, marks) {
			for _, r := range line.Runs {
				for _, p := range r.Pieces {
					for _, c := range p.Text {
						if hidden, _ := hides(c, 2); hidden {
							t.Fatalf("%q is shown as it is", c)
						}
					}
				}
			}
		}
	})
}

// Sensitive columns are marked where the text names them, in any case, in backticks, and not in
// comments or strings; where no name stands, the table is marked.
func TestMarks(t *testing.T) {
	for _, c := range []struct {
		sql   string
		marks []approvals.Mark
		want  []string // marked text
	}{
		{"SELECT salary, t.SALARY, `salary` FROM d.t", nil, []string{"salary", "SALARY", "salary"}},
		{"SELECT `d.t`.`salary` FROM t", nil, []string{"salary"}},
		{"SELECT 'salary' -- salary\nFROM t /* salary */", nil, nil},
		{"SELECT salary_total, my_salary FROM t", nil, nil},
		{"SELECT * FROM d.t", []approvals.Mark{{Start: 14, End: 17, Column: "p.d.t.salary"}}, []string{"d.t"}},
		{"SELECT salary FROM d.t", []approvals.Mark{{Start: 19, End: 22, Column: "p.d.t.salary"}}, []string{"salary"}},
		{"SELECT 1 FROM d.t WHERE x > 5", []approvals.Mark{{Start: 24, End: 24, Column: "p.d.t.salary", Use: "filter"}}, []string{"x"}},
		{"SELECT 1", []approvals.Mark{{Start: 5, End: 4000, Column: "p.d.t.salary"}, {Start: -1, End: 3, Column: "p.d.t.salary"}}, nil},
	} {
		t.Run(c.sql, func(t *testing.T) {
			r := approvals.Request{SQL: c.sql, Project: "p", SensitiveColumns: []string{"p.d.t.salary"},
				Review: approvals.Review{Marks: c.marks}}
			var got []string
			for _, line := range sqlLines(c.sql, marksOf(r)) {
				for i, run := range line.Runs {
					if i > 0 && run.Note != "" && run.Note == line.Runs[i-1].Note {
						got[len(got)-1] += run.Pieces[0].Text
					} else if run.Note != "" {
						if !strings.Contains(run.Note, "d.t.salary") {
							t.Errorf("%s: note %q", c.sql, run.Note)
						}
						got = append(got, run.Pieces[0].Text)
					}
				}
			}
			if strings.Join(got, "|") != strings.Join(c.want, "|") {
				t.Errorf("%s: marked %q, want %q", c.sql, got, c.want)
			}
		})
	}
}

// A stranger's SQL must not hold up the page, however it is written.
func TestHighlightIsBounded(t *testing.T) {
	for name, sql := range map[string]string{
		"quotes": strings.Repeat("'", 60_000), "backslashes": "'" + strings.Repeat(`\`, 60_000),
		"open comment": "/*" + strings.Repeat("*", 60_000), "words": strings.Repeat("a ", 30_000),
		"huge": strings.Repeat("SELECT ", 300_000), "brackets": strings.Repeat("(", 60_000), "spaces": strings.Repeat(" ", 60_000),
		"newlines": strings.Repeat("\n", 60_000),
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			lines := sqlLines(sql, marksOf(approvals.Request{SQL: sql}))
			if took := time.Since(begin); took > time.Minute {
				t.Errorf("%s took %s", name, took)
			}
			if join(lines) != sql {
				t.Errorf("%s is not shown as it is", name)
			}
		})
	}
}

func TestOrigin(t *testing.T) {
	sha := "0123456789abcdef0123456789abcdef01234567"
	for _, c := range []struct {
		issuer string
		claims map[string]string
		want   []string // label, text, URL
	}{
		{"https://token.actions.githubusercontent.com", map[string]string{"repository": "a/b", "sha": sha, "run_id": "5"},
			[]string{"repository a/b https://github.com/a/b", "commit " + sha + " https://github.com/a/b/commit/" + sha,
				"run 5 https://github.com/a/b/actions/runs/5"}},
		{"https://ghe.example/_services/token", map[string]string{"repository": "a/b"}, []string{"repository a/b https://ghe.example/a/b"}},
		{"https://gitlab.example", map[string]string{"project_path": "g/s/p", "sha": sha, "pipeline_id": "7", "job_id": "8"},
			[]string{"project g/s/p https://gitlab.example/g/s/p", "commit " + sha + " https://gitlab.example/g/s/p/-/commit/" + sha,
				"pipeline 7 https://gitlab.example/g/s/p/-/pipelines/7", "job 8 https://gitlab.example/g/s/p/-/jobs/8"}},
		{"https://login.example/tenant", map[string]string{"repository": "a/b"}, []string{"repository a/b "}},
		{"http://gitlab.example", map[string]string{"project_path": "g/p"}, []string{"project g/p "}},
		{"https://gitlab.example", map[string]string{"project_path": "g/../../x", "sha": sha},
			[]string{"project g/../../x ", "commit " + sha + " "}},
		{"https://token.actions.githubusercontent.com", map[string]string{"repository": "//evil.example", "run_id": "1?x"},
			[]string{"repository //evil.example ", "run 1?x "}},
		{"https://login.example", map[string]string{"email": "x"}, nil},
	} {
		t.Run(c.issuer, func(t *testing.T) {
			var got []string
			for _, l := range origin(approvals.Request{Issuer: c.issuer, Claims: c.claims}) {
				got = append(got, l.Label+" "+l.Text+" "+string(l.URL))
			}
			if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("%s %v:\n%s\nwant\n%s", c.issuer, c.claims, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}
