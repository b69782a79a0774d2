package googlesql

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// A table that has changed since it was last looked at is not the one that the analysis is about.
func TestAheadOfAChangedTable(t *testing.T) {
	pool := startPool(t, PoolOptions{Workers: 1})
	analyzer, catalog := New(pool, Limits{Cache: -1}), &mutable{table: table("p.d.t", bigquery.Field{Name: "a", Type: "STRING"})}
	ask := func(sql string) *Analysis {
		t.Helper()
		a, err := analyzer.Analyze(t.Context(), Query{SQL: sql, Project: "p", Catalog: catalog})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	worker := next(pool)
	for i, want := range []int{2, 3} { // the second time in one question
		if a := ask(fmt.Sprintf("SELECT *, %d AS n FROM d.t", i)); a.Error != nil || len(a.Statements[0].Columns) != 2 ||
			worker.asked != want {
			t.Fatalf("analysis %d = %+v, %v, after %d questions, want %d", i, a.Statements, a.Error, worker.asked, want)
		}
	}
	catalog.table = table("p.d.t", bigquery.Field{Name: "a", Type: "STRING"}, bigquery.Field{Name: "ssn", Type: "STRING"})
	if a := ask("SELECT * FROM d.t"); a.Error != nil || len(a.Statements[0].Columns) != 2 || worker.asked != 5 {
		t.Errorf("analysis = %+v, %v, after %d questions, want both columns after 5", a.Statements, a.Error, worker.asked)
	}
	catalog.table = nil
	wantCode(t, ask("SELECT a FROM d.t"), ErrorNotFound)
}

// A bomb over known tables is answered ahead, and all the same by the deadline, with what its
// outline said.
func TestBombAhead(t *testing.T) {
	const deadline = 500 * time.Millisecond
	analyzer := New(startPool(t, PoolOptions{Workers: 2, Deadline: deadline}), Limits{Cache: -1})
	if a := analyze(t, analyzer, "SELECT ssn FROM crm.customers"); a.Error != nil {
		t.Fatal(a.Error)
	}
	begin := time.Now()
	a := analyze(t, analyzer, bomb(24)+", (SELECT ssn FROM crm.customers)")
	wantCode(t, a, ErrorDeadline)
	if took := time.Since(begin); took > deadline+3*time.Second {
		t.Errorf("the bomb was answered after %s", took)
	}
	if len(a.Statements) != 1 || !slices.Equal(a.Statements[0].Tables, []string{"demo.crm.customers"}) {
		t.Errorf("statements = %+v, want the outline", a.Statements)
	}
	if a := analyze(t, analyzer, "SELECT name FROM crm.customers"); a.Error != nil {
		t.Errorf("after the bomb: %v", a.Error)
	}
}

// Names are guessed from the text. Where the guess is wrong nothing is lost but time.
func TestMentioned(t *testing.T) {
	elsewhere := &bigquery.DatasetReference{ProjectID: "q", DatasetID: "d"}
	for text, want := range map[string]string{
		"":                         "",
		"SELECT 1":                 "",
		"SELECT a FROM d.t, e.t":   "p.d.t p.e.t",
		"FROM `p-1.d.t` x":         "p-1.d.t",
		"FROM `p-1`.d.`t`,p-1.d.t": "p-1.d.t p-1.d.t",
		"FROM d.`events_*`":        "p.d.events_*",
		"FROM d.é":                 "p.d.é",
		"FROM a.b.c.d":             "",
		"FROM `d.t":                "",
		"x.":                       "",
		".x.y..z":                  "p.x.y",
		"`` ``.``":                 "p..",
	} {
		t.Run(text, func(t *testing.T) {
			var found []string
			mentioned(text, "p", nil, func(id bigquery.TableID) { found = append(found, id.String()) })
			if got := strings.Join(found, " "); got != want {
				t.Errorf("%q: %q, want %q", text, got, want)
			}
		})
	}
	var found []string
	mentioned("FROM t, `u`", "p", elsewhere, func(id bigquery.TableID) { found = append(found, id.String()) })
	if got, want := strings.Join(found, " "), "q.d.FROM q.d.t q.d.u"; got != want {
		t.Errorf("with a dataset: %q, want %q", got, want)
	}
}

// A text may name no more tables ahead than it may read, however often it names them.
func TestAheadIsBounded(t *testing.T) {
	analyzer := New(testPool(t), Limits{Tables: 3})
	var text strings.Builder
	for i := range 10 {
		known := table(fmt.Sprintf("p.d.t%d", i), bigquery.Field{Name: "a", Type: "STRING"})
		if _, refused := analyzer.shelf.of(known); refused != nil {
			t.Fatal(refused)
		}
		fmt.Fprintf(&text, " d.t%d d.t%d", i, i)
	}
	j := &job{Analyzer: analyzer, query: Query{SQL: text.String(), Project: "p"}}
	if ask := j.foresee(); len(ask.Tables) != 3 || ask.Tables[0].Name != "p.d.t0" || ask.Tables[2].Name != "p.d.t2" {
		t.Errorf("foreseen: %+v", ask.Tables)
	}
}

func FuzzMentioned(f *testing.F) {
	for _, text := range corpusTexts(f) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		mentioned(text, "", &bigquery.DatasetReference{}, func(id bigquery.TableID) {
			for _, part := range []string{id.Project, id.Dataset, id.Table} {
				if !strings.Contains(text, part) || strings.ContainsAny(part, ".`") {
					t.Errorf("%q: found %q", text, part)
				}
			}
		})
	})
}

// The shelf keeps so many columns and no more: the tables that were used last.
func TestShelf(t *testing.T) {
	s := newShelf(10)
	wide := func(name string, columns int) *bigquery.Table {
		made := table(name)
		for i := range columns {
			made.Schema.Fields = append(made.Schema.Fields, bigquery.Field{Name: fmt.Sprint("c", i), Type: "STRING"})
		}
		return made
	}
	a, b, c := wide("p.d.a", 4), wide("p.d.b", 4), wide("p.d.c", 4)
	for _, made := range []*bigquery.Table{a, b, a, c} {
		if known, refused := s.of(made); refused != nil || known.digest != tableDigest(made) || len(known.description.Columns) != 4 {
			t.Fatalf("%s: %+v, %v", made.TableReference, known, refused)
		}
	}
	for made, want := range map[*bigquery.Table]bool{a: true, b: false, c: true} {
		t.Run(fmt.Sprint(made), func(t *testing.T) {
			if _, kept := s.described(made.TableReference); kept != want {
				t.Errorf("%s kept: %t, want %t", made.TableReference, kept, want)
			}
		})
	}
	changed := wide("p.d.a", 2)
	if known, refused := s.of(changed); refused != nil || len(known.description.Columns) != 2 || known.digest == tableDigest(a) {
		t.Errorf("another table of the same name: %+v, %v", known, refused)
	}
	if known, refused := s.of(wide("p.d.huge", 11)); refused != nil || len(known.description.Columns) != 11 || s.columns != 0 ||
		s.tables.Len() != 0 {
		t.Errorf("a table over the limit: %+v, %v; %d columns are kept", known, refused, s.columns)
	}
}
