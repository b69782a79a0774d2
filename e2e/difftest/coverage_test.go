package difftest

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// report counts what has happened, from several goroutines.
type report struct {
	mu      sync.Mutex
	made    int
	ran     int // accepted by both sides
	failing int // of these, failing while they ran
	rows    int // of these, with rows
	reruns  int
	// of these that ran, with set operations that the engine's driver was asked in other words, see
	// e2e/sqlengine/setoperations.go
	mended    int
	mendedOne string // the shortest of them
	lengths   int    // runs that told the length of an array by its elements alone
	unmended  int    // not run, since no other words were found
	why       map[string]int
	example   map[string]string
	nodes     map[string]int
	functions map[string]int
	findings  []string
	found     int
	small     int // of the first findings, how many are made smaller
}

func newReport() *report {
	return &report{small: maxSmall, why: map[string]int{}, example: map[string]string{}, nodes: map[string]int{},
		functions: map[string]int{}}
}

var particulars = regexp.MustCompile(`'[^']*'|"[^"]*"|\b[a-z]+[0-9]+\b|[0-9]+`)

func (r *report) refused(why string, q *query) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made++
	if strings.Contains(why, "could not be put in other words") {
		r.unmended++
	}
	why = particulars.ReplaceAllString(why, "#")
	if len(why) > 150 {
		why = why[:150]
	}
	r.why[why]++
	if old, ok := r.example[why]; !ok || len(q.sql) < len(old) {
		r.example[why] = q.sql
	}
}

func (r *report) accepted(q *query, nodes []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made++
	r.ran++
	switch {
	case q.base.Error != nil:
		r.failing++
	case len(q.base.Rows) > 0:
		r.rows++
	}
	if q.base.Mended > 0 {
		r.mended++
		if r.mendedOne == "" || len(q.sql) < len(r.mendedOne) {
			r.mendedOne = q.sql
		}
	}
	for _, n := range nodes {
		r.nodes[n]++
	}
	for _, f := range q.analysis.Functions {
		r.functions[f]++
	}
}

func (r *report) changed(*query) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reruns++
}

// room reports whether a finding is to be made smaller.
func (r *report) room() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.findings) < r.small
}

func (r *report) excused() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lengths++
}

func (r *report) soFar() (made, found int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.made, r.found
}

func (r *report) enough() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.found >= 200
}

func (r *report) failed(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.found++
	if len(r.findings) < maxShown {
		r.findings = append(r.findings, text)
	}
}

func (r *report) summary() string {
	var b strings.Builder
	analysis, engine := 0, 0
	for why, n := range r.why {
		if strings.HasPrefix(why, "engine") {
			engine += n
		} else {
			analysis += n
		}
	}
	fmt.Fprintf(&b, "%d queries: %d accepted by both (%.1f %%; %d of them fail while they run, %d have rows), %d refused by the "+
		"analysis, %d by the engine; %d runs with a changed cell; %d findings\n",
		r.made, r.ran, 100*float64(r.ran)/float64(max(1, r.made)), r.failing, r.rows, analysis, engine, r.reruns, r.found)
	fmt.Fprintf(&b, "the engine's driver would have answered %d of those wrongly, and was asked in other words; for %d more there were "+
		"none, and they count as refused by the engine\n", r.mended, r.unmended)
	if r.mended > 0 {
		fmt.Fprintf(&b, "  for example %s\n", r.mendedOne)
	}
	fmt.Fprintf(&b, "in %d runs the rows of an UNNEST told how long an array is, of which one element's column is named and another is "+
		"not\n", r.lengths)
	table := func(title string, counts map[string]int) {
		fmt.Fprintf(&b, "%s (%d):\n", title, len(counts))
		line := ""
		for _, name := range sortedKeys(counts) {
			if entry := fmt.Sprintf("  %s %d", name, counts[name]); len(line)+len(entry) > 160 {
				b.WriteString(line + "\n")
				line = entry
			} else {
				line += entry
			}
		}
		b.WriteString(line + "\n")
	}
	table("nodes in every third accepted query", r.nodes)
	table("functions in accepted queries", r.functions)
	return b.String()
}

// refusals lists why queries were refused.
func (r *report) refusals() string {
	var b strings.Builder
	reasons := sortedKeys(r.why)
	slices.SortStableFunc(reasons, func(a, b string) int { return cmp.Compare(r.why[b], r.why[a]) })
	for _, why := range reasons[:min(60, len(reasons))] {
		fmt.Fprintf(&b, "%5d %s\n      %s\n", r.why[why], why, r.example[why])
	}
	return b.String()
}

// unreached are kinds of nodes that the lineage walk handles and the generator cannot reach, with
// the reason.
var unreached = map[string]string{
	"BarrierScan":                "made by operators that BigQuery has not",
	"DeferredComputedColumn":     "made only with a language feature that is off",
	"Parameter":                  "the SQL engine takes no query parameters here; the corpus has them",
	"SystemVariable":             "refused, or a constant",
	"ArgumentRef":                "in bodies of functions; the corpus has them",
	"CreateFunctionStmt":         "in bodies of functions; the corpus has them",
	"CreateTableFunctionStmt":    "in bodies of functions; the corpus has them",
	"CreateTableAsSelectStmt":    changesData,
	"CreateViewStmt":             changesData,
	"ExportDataStmt":             changesData,
	"AssertStmt":                 changesData,
	"InsertStmt":                 changesData,
	"UpdateStmt":                 changesData,
	"DeleteStmt":                 changesData,
	"MergeStmt":                  changesData,
	"CreateMaterializedViewStmt": changesData,
}

const changesData = "returns no rows that could be compared; the corpus has it"

var handledCase = regexp.MustCompile(`gsql\.Resolved([A-Z]\w+)`)

// handledKinds are the kinds of scans and expressions that the lineage walk has a case for, read
// off its source.
func handledKinds(t *testing.T) []string {
	files, err := filepath.Glob("../../internal/googlesql/engine/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("the source of the lineage walk was not found: %v", err)
	}
	kinds := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			if !strings.HasPrefix(strings.TrimSpace(line), "case *gsql.Resolved") {
				continue
			}
			for _, m := range handledCase.FindAllStringSubmatch(line, -1) {
				kinds[m[1]] = true
			}
		}
	}
	return sortedKeys(kinds)
}

// check fails the test for every finding, for a generator that says nothing, and for kinds that
// were not met.
func (r *report) check(t *testing.T) {
	t.Helper()
	for _, f := range r.findings {
		t.Error(f)
	}
	if r.found > len(r.findings) {
		t.Errorf("%d more findings are not shown", r.found-len(r.findings))
	}
	if r.made < 2000 {
		return // too few to say more
	}
	if r.ran*10 < r.made*8 {
		t.Errorf("only %d of %d queries are accepted by both sides: the generator says too little", r.ran, r.made)
	}
	if r.unmended*1000 > r.made {
		t.Errorf("%d of %d queries cannot be compared, since the engine's driver would answer them wrongly: find more words for them",
			r.unmended, r.made)
	}
	for _, kind := range handledKinds(t) {
		if r.nodes[kind] == 0 && unreached[kind] == "" {
			t.Errorf("no accepted query has a %s, which the lineage walk handles: add a production that makes one", kind)
		}
	}
}
