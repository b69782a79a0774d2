package policies

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"

	"github.com/bqgate/bqgate/internal/masking"
)

// caseSuffix marks files of policy tests, wherever they stand below the folder that `policy test`
// is given.
const caseSuffix = "_test.yaml"

// caseFile is one file of policy tests.
type caseFile struct {
	Policies       []string               `yaml:"policies"` // relative to the file, like catalog
	Catalog        string                 `yaml:"catalog"`  // folder of project.dataset.table.json files
	Issuers        []string               `yaml:"issuers"`  // configured names; needed only where a group names no issuer
	Project        string                 `yaml:"project"`  // of the queries; may be left out where the catalog has only one
	DefaultDataset string                 `yaml:"default_dataset"`
	Subjects       map[string]SubjectFile `yaml:"-"`
	Who            map[string]any         `yaml:"subjects"`
	Tests          []policyCase           `yaml:"tests"`

	path string
	line []int // of each test
}

// policyCase is one query and what must become of it.
type policyCase struct {
	Name    string `yaml:"name"`
	Subject string `yaml:"subject"` // a key of subjects
	SQL     string `yaml:"sql"`
	Bytes   string `yaml:"bytes"` // what a dry run says, such as 5GiB; needed where the policy asks
	// Left is what is left of each budget that the query counts against, in the order in which
	// explain lists them, such as [3GiB, 200]; none of it means all. Default: all.
	Left []string `yaml:"budget_left"`
	Want wanted   `yaml:"want"`
}

// wanted is what a test expects. Decision must be said; what else is left out is not compared.
type wanted struct {
	Decision  string        `yaml:"decision"` // allow, hold or refuse
	Rule      string        `yaml:"rule"`     // policy/rule
	Masks     yaml.MapSlice `yaml:"masks"`    // every column of the result, in order, with its mask or CLEAR
	Reviewers []string      `yaml:"reviewers"`
	Quorum    int           `yaml:"quorum"`
	MaxBytes  string        `yaml:"max_bytes"`
	Says      string        `yaml:"says"` // a part of a refusal's words, or of why it is held
}

// Failure is a policy test whose query did not become what the test expects.
type Failure struct {
	File    string
	Line    int
	Name    string
	Differs []string // what differs, a line each
}

// Test runs the policy tests of a folder, or of one file. An error says that there is nothing to
// run or that a file is wrong.
func Test(ctx context.Context, dir string, analyze Analyze) (ran int, failed []Failure, err error) {
	files, err := caseFiles(dir)
	if err != nil {
		return 0, nil, err
	}
	var loaded []*caseFile
	var wrong []error
	for _, path := range files {
		f, err := readCases(path)
		if err != nil {
			wrong = append(wrong, err)
		}
		loaded = append(loaded, f)
	}
	if err := errors.Join(wrong...); err != nil {
		return 0, nil, err
	}
	for _, f := range loaded {
		set, err := Load(f.Policies, Options{Issuers: f.Issuers})
		if err != nil {
			return ran, failed, err
		}
		for i, c := range f.Tests {
			ran++
			diff, err := f.run(ctx, set, c, analyze)
			if err != nil {
				return ran, failed, fmt.Errorf("%s:%d: %s: %w", f.path, f.line[i], c.Name, err)
			}
			if len(diff) > 0 {
				failed = append(failed, Failure{f.path, f.line[i], c.Name, diff})
			}
		}
	}
	return ran, failed, nil
}

func caseFiles(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (strings.HasSuffix(path, caseSuffix) || path == dir) {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find policy tests: %w", err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s holds no policy tests: their files end in %s", dir, caseSuffix)
	}
	return files, nil
}

// readCases reads a file strictly.
func readCases(path string) (*caseFile, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read policy tests: %w", err)
	}
	f := &caseFile{path: path}
	if err := yaml.UnmarshalWithOptions(text, f, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("%s: %s", path, yaml.FormatError(err, false, true))
	}
	tree, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for i := range f.Tests {
		at, err := yaml.PathString(fmt.Sprintf("$.tests[%d]", i))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		node, err := at.FilterFile(tree)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		f.line = append(f.line, node.GetToken().Position.Line)
	}
	if err := f.complete(); err != nil {
		return nil, err
	}
	return f, nil
}

// complete checks what must be there. A test that compares nothing could not fail, so it is a
// mistake.
func (f *caseFile) complete() error {
	var errs []error
	wrong := func(line int, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s:%d: %s", f.path, line, fmt.Sprintf(format, args...)))
	}
	if len(f.Policies) == 0 {
		wrong(1, "policies is missing: the policy files that the tests are about")
	}
	if f.Catalog == "" {
		wrong(1, "catalog is missing: a folder of project.dataset.table.json files, as `bq show --format=json` prints them")
	}
	if len(f.Tests) == 0 {
		wrong(1, "tests is empty")
	}
	relative := func(p *string) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(filepath.Dir(f.path), *p)
		}
	}
	relative(&f.Catalog)
	for i := range f.Policies {
		relative(&f.Policies[i])
	}
	f.Subjects = map[string]SubjectFile{}
	for name, v := range f.Who {
		text, err := json.Marshal(v) // claims are those of JSON tokens: numbers are read as a token's would be
		if err != nil {
			wrong(1, "subject %s: %v", name, err)
			continue
		}
		if f.Subjects[name], err = parseSubject(text); err != nil {
			wrong(1, "subject %s: %v", name, err)
		}
	}
	for i, c := range f.Tests {
		line := f.line[i]
		if c.Name == "" || c.SQL == "" {
			wrong(line, "a test needs name and sql")
		}
		if _, ok := f.Subjects[c.Subject]; !ok {
			wrong(line, "subject %q is not one of subjects", c.Subject)
		}
		if !slices.Contains([]string{"allow", "hold", "refuse"}, c.Want.Decision) {
			wrong(line, "want.decision must be allow, hold or refuse")
		}
		for _, m := range c.Want.Masks {
			if rule := masking.Rule(fmt.Sprint(m.Value)); rule != masking.Clear && !slices.Contains(masking.Rules(), rule) {
				wrong(line, "want.masks: %v is not a mask; write CLEAR for a column that is shown as it is", m.Value)
			}
		}
	}
	return errors.Join(errs...)
}

// run asks one test's question and says what differs, a line each.
func (f *caseFile) run(ctx context.Context, set *Set, c policyCase, analyze Analyze) ([]string, error) {
	q := WhatIf{Subject: f.Subjects[c.Subject], SQL: c.SQL, Project: f.Project, DefaultDataset: f.DefaultDataset, Catalog: f.Catalog}
	var err error
	if c.Bytes != "" {
		if q.Estimate, err = ParseEstimate(c.Bytes); err != nil {
			return nil, fmt.Errorf("bytes: %w", err)
		}
	}
	if q.Left, err = parseLeft(c.Left); err != nil {
		return nil, err
	}
	d, err := set.Ask(ctx, analyze, q)
	if errors.Is(err, ErrNeedsEstimate) {
		return nil, fmt.Errorf("%w: say bytes, as a dry run would", err)
	}
	if err != nil {
		return nil, err
	}
	return c.Want.compare(Explain(d))
}

func (w wanted) compare(e Explanation) (diff []string, err error) {
	add := func(what, want, got string) {
		if want != got {
			got = cmp.Or(got, "none")
			diff = append(diff, fmt.Sprintf("%-10s want %s", what, want), fmt.Sprintf("%-10s got  %s", "", got))
		}
	}
	got := e.Effect
	if got != w.Decision && e.Message != "" {
		got += ": " + e.Message
	}
	add("decision", w.Decision, got)
	if w.Rule != "" {
		add("rule", w.Rule, e.Rule)
	}
	if w.MaxBytes != "" {
		n, err := ParseSize(w.MaxBytes)
		if err != nil {
			return nil, fmt.Errorf("want.max_bytes: %w", err)
		}
		add("max_bytes", formatSize(n), formatSize(e.MaxBytes))
	}
	var approval ExplanationApproval
	if e.Approval != nil {
		approval = *e.Approval
	}
	if len(w.Reviewers) > 0 {
		add("reviewers", strings.Join(w.Reviewers, ", "), strings.Join(approval.Reviewers, ", "))
	}
	if w.Quorum > 0 {
		add("quorum", fmt.Sprint(w.Quorum), fmt.Sprint(approval.Quorum))
	}
	if said := e.Message + approval.Why; w.Says != "" && !strings.Contains(said, w.Says) {
		add("says", fmt.Sprintf("%q", w.Says), fmt.Sprintf("%q", said))
	}
	if w.Masks != nil {
		diff = append(diff, w.compareMasks(e.Columns)...)
	}
	return diff, nil
}

// compareMasks shows the columns that differ, "-" for what is wanted and "+" for what is.
func (w wanted) compareMasks(columns []ExplainedColumn) []string {
	var want, got []string
	for _, m := range w.Masks {
		want = append(want, fmt.Sprintf("%v: %v", m.Key, m.Value))
	}
	for _, c := range columns {
		got = append(got, fmt.Sprintf("%s: %s", c.Name, c.Mask))
	}
	if slices.Equal(want, got) {
		return nil
	}
	diff := []string{"masks"}
	for _, line := range want {
		if !slices.Contains(got, line) {
			diff = append(diff, "  - "+line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			diff = append(diff, "  + "+line)
		}
	}
	if len(diff) == 1 {
		return []string{"masks      want the order " + strings.Join(want, ", "), "           got  the order " + strings.Join(got, ", ")}
	}
	return diff
}
