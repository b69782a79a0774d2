package policies

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/golden"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/identity"
)

// TestDecide reads testdata/decide: the SQL, who asks, what it means, and what is decided, as
// `bqgate policy explain` prints it. A new case is a new file; -update writes what is decided, to
// be read before it is kept.
func TestDecide(t *testing.T) {
	files, err := filepath.Glob("testdata/decide/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			set, request := readCase(t, archive)
			d := set.decide(request)
			checkSound(t, d)
			if proof := section(archive, "proof.json"); proof != "" { // the tables are masked first, and it is asked again
				if len(d.Transforms) == 0 || d.Effect != Refuse {
					t.Fatalf("nothing has to be masked first: %+v", d)
				}
				request.Transformed = &Transformed{Transforms: d.Transforms, Proof: &googlesql.Analysis{}}
				mustJSON(t, proof, request.Transformed.Proof)
				d = set.decide(request)
				checkSound(t, d)
			}
			if needs := set.needsEstimate(request); needs && request.Estimate == nil && d.Effect != Refuse {
				t.Error("decided without the estimate that the policy needs")
			}
			got := Explain(d).String()
			if golden.Update() {
				for i := range archive.Files {
					if archive.Files[i].Name == "want" {
						archive.Files[i].Data = []byte(got)
					}
				}
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want := section(archive, "want"); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// checkSound holds for every decision, whatever it is.
func checkSound(t *testing.T, d Decision) {
	t.Helper()
	switch d.Effect {
	case Refuse:
		if d.Message == "" || d.Credential != "" || d.Approval != nil || len(d.Mask.Columns) != 0 || d.MaxBytes != 0 {
			t.Errorf("a refusal without words or with means: %+v", d)
		}
	case Hold, Allow:
		if d.Credential == "" || d.Rule.ID() == "" || len(d.Mask.Columns) == 0 || d.Mask.Check() != nil || d.Message != "" {
			t.Errorf("%s without credential, rule or complete plan: %+v", d.Effect, d)
		}
		if (d.Effect == Hold) != (d.Approval != nil) {
			t.Errorf("%s with approval %v", d.Effect, d.Approval)
		}
		if d.Approval != nil && (d.Approval.Quorum < 1 || len(d.Approval.Reviewers) == 0 || d.Approval.Expires <= 0) {
			t.Errorf("nobody can decide: %+v", d.Approval)
		}
	}
}

func section(a *txtar.Archive, name string) string {
	for _, f := range a.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func readCase(t testing.TB, a *txtar.Archive) (*Set, Input) {
	t.Helper()
	set := demoSet(t)
	if policy := section(a, "policy.yaml"); policy != "" {
		set = mustLoad(t, policy)
	}
	var who struct {
		Sub              string
		Groups           []string
		Workload, Mapped bool
	}
	mustJSON(t, section(a, "subject.json"), &who)
	var analysis googlesql.Analysis
	mustJSON(t, section(a, "analysis.json"), &analysis)
	sql := strings.TrimSuffix(string(a.Comment), "\n")
	locate(sql, &analysis)
	r := Input{
		Subject: subject(who.Sub, who.Groups...), Now: now, Method: "jobs.query", Project: "demo", SQL: sql, Analysis: &analysis,
		Tables:    map[string]*bigquery.Table{},
		RowAccess: map[string]bigquery.RowAccess{},
	}
	for _, st := range analysis.Statements {
		for _, name := range st.Tables {
			if table := catalog(t)[name]; table != nil {
				r.Tables[name] = table
				r.RowAccess[name] = bigquery.RowAccessNone
			}
		}
	}
	r.Subject.Workload, r.Subject.Mapped = who.Workload, who.Mapped
	if text := strings.TrimSpace(section(a, "estimate")); text != "" {
		r.Estimate = &Estimate{Unknown: text == "unknown"}
		if !r.Estimate.Unknown {
			var err error
			if r.Estimate.Bytes, err = strconv.ParseInt(text, 10, 64); err != nil {
				t.Fatal(err)
			}
		}
	}
	return set, r
}

// locate gives each use the place where its column last stands in the text, and each statement the
// names that the text has, as the analyser would for these cases.
func locate(sql string, a *googlesql.Analysis) {
	for i := range a.Statements {
		st := &a.Statements[i]
		names := slices.Clone(st.Tables)
		for _, name := range st.Routines {
			names = append(names, name+"()")
		}
		at := func(name string) int {
			return strings.Index(sql, strings.TrimPrefix(strings.TrimSuffix(name, "()"), "demo."))
		}
		st.Named = slices.DeleteFunc(names, func(name string) bool { return at(name) < 0 || strings.Count(name, ".") < tableParts-1 })
		slices.SortStableFunc(st.Named, func(a, b string) int { return at(a) - at(b) })
		for j := range a.Statements[i].Uses {
			use := &a.Statements[i].Uses[j]
			use.Offset = strings.LastIndex(sql, use.Column[strings.LastIndexByte(use.Column, '.')+1:])
		}
	}
}

func mustJSON(t testing.TB, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// subject is a person or workload of the issuer "demo" with a groups claim.
func subject(sub string, groups ...string) identity.Subject {
	list := make([]any, len(groups))
	for i, g := range groups {
		list[i] = g
	}
	return identity.Subject{
		Issued: now.Add(-time.Minute), Issuer: "http://127.0.0.1/demo", Name: "demo", Sub: sub, Owner: "demo/" + sub, Mapped: true,
		People: []string{sub}, Claims: map[string]any{"sub": sub, "groups": list},
	}
}

func demoSet(t testing.TB) *Set {
	t.Helper()
	set, err := Load([]string{"examples/demo.yaml"}, Options{Issuers: []string{"demo"}, Credentials: []string{"default"}})
	if err != nil {
		t.Fatal(err)
	}
	return set.in("demo")
}

func mustLoad(t testing.TB, text string) *Set {
	t.Helper()
	set, err := LoadBytes("policy.yaml", []byte(text), Options{Issuers: []string{"demo"}})
	if err != nil {
		t.Fatal(err)
	}
	return set.in("demo")
}

// now is when these tests decide.
var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// catalog reads testdata/catalog.
func catalog(t testing.TB) map[string]*bigquery.Table {
	t.Helper()
	files, err := filepath.Glob("testdata/catalog/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	tables := map[string]*bigquery.Table{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var table bigquery.Table
		mustJSON(t, string(text), &table)
		tables[table.TableReference.String()] = &table
	}
	return tables
}
