package rewrite

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/policies"
)

const googlesqlData = "../../internal/googlesql/testdata/"

// TestCorpus: every statement of the SQL corpus that touches a sensitive column is refused, or
// answers through the gateway exactly as the same text does over tables whose columns were masked
// beforehand, unless it answers otherwise each time. The share of each is printed.
func TestCorpus(t *testing.T) {
	g := newGate(t, "testdata/corpus.yaml", googlesqlData+"catalog")
	tables := readCatalog(t, googlesqlData+"catalog")
	raw, masked := newDatabase(t), newDatabase(t)
	for _, sql := range tablesSQL(t, g, tables, false) {
		if _, err := raw.run(t.Context(), sql); err != nil {
			t.Logf("not in the database: %.80s: %v", sql, err)
		}
	}
	for _, sql := range tablesSQL(t, g, tables, true) {
		_, _ = masked.run(t.Context(), sql) // fails as the one above
	}
	files, err := filepath.Glob(googlesqlData + "corpus/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	count := map[string]int{}
	var refused, notRun []string
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		g.project, g.dataset = "demo", nil
		for line := range strings.Lines(string(archive.Comment)) {
			if name, ok := strings.CutPrefix(strings.TrimSpace(line), "default dataset: "); ok {
				project, dataset, _ := strings.Cut(name, ".")
				g.project, g.dataset = project, &bigquery.DatasetReference{ProjectID: project, DatasetID: dataset}
			}
		}
		for _, f := range archive.Files {
			name, ok := strings.CutSuffix(f.Name, ".sql")
			if !ok {
				continue
			}
			sql := strings.TrimSuffix(string(f.Data), "\n")
			sql = strings.ReplaceAll(sql, "999999", "99") // as many guesses as an attacker would make take the engine minutes
			name = filepath.Base(file) + "/" + name
			v, err := g.judge(t.Context(), sql)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			switch {
			case v.decision.Effect != policies.Allow && len(v.decision.Sensitive) == 0:
				continue // refused for another reason than a sensitive column
			case len(v.decision.Sensitive) == 0:
				continue
			case v.decision.Effect != policies.Allow:
				count["refused"]++
				refused = append(refused, name+": "+v.decision.Message)
				continue
			}
			if v.fickle {
				continue
			}
			how := "masked in flight"
			if v.masked {
				how = "rewritten"
			}
			got, err := g.sees(t.Context(), v, raw)
			if err != nil {
				t.Errorf("%s: %v\n%s", name, err, v.sql)
				continue
			}
			want, err := masked.runIn(t.Context(), g, sql)
			if err != nil {
				if !strings.HasPrefix(got, "error: ") {
					t.Errorf("%s: through the gateway it runs, over masked tables it does not: %v\n%s", name, err, sql)
				}
				count["not run by the engine"]++
				notRun = append(notRun, fmt.Sprintf("%s: %.150s", name, err))
				continue
			}
			if strings.HasPrefix(got, "error: ") {
				_, cause := raw.runIn(t.Context(), g, v.sql)
				t.Errorf("%s: over masked tables it runs, through the gateway it does not: %v\n%s", name, cause, v.sql)
				continue
			}
			if a, b := rowSet(got), rowSet(answer(want.Rows, want.Schema)); !slices.Equal(a, b) {
				t.Errorf("%s: %s\n%s\ngot  %s\nwant %s", name, how, v.sql, strings.Join(a, "\n     "), strings.Join(b, "\n     "))
				continue
			}
			count[how]++
		}
	}
	all := count["rewritten"] + count["masked in flight"] + count["refused"] + count["not run by the engine"]
	t.Logf("of %d statements that touch a sensitive column: %d rewritten, with the answer of the masked tables; %d masked in flight, the "+
		"same; %d refused; %d the engine cannot run",
		all, count["rewritten"], count["masked in flight"], count["refused"], count["not run by the engine"])
	for _, line := range append(refused, notRun...) {
		t.Log(line)
	}
	if count["rewritten"] < 40 || count["masked in flight"] < 20 {
		t.Errorf("too few were compared: %v", count)
	}
}

// answer is rows as sees has them, without masks.
func answer(rows [][]any, schema []bigquery.Field) string {
	var b strings.Builder
	b.WriteString(`{"totalRows":"` + fmt.Sprint(len(rows)) + `","rows":[`)
	for i, row := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"f":[`)
		for j, cell := range row {
			if j > 0 {
				b.WriteByte(',')
			}
			b.WriteString(`{"v":` + cellJSON(cell, schema[j]) + `}`)
		}
		b.WriteString(`]}`)
	}
	b.WriteString(`]}`)
	return b.String()
}

// rowSet splits an answer into its rows, sorted: without ORDER BY their order is the engine's
// choice.
func rowSet(answer string) []string {
	rows := strings.SplitAfter(answer, `]},{"f":`)
	for i := range rows {
		rows[i] = strings.TrimSuffix(strings.TrimPrefix(rows[i], `{"f":`), `]},{"f":`)
		if i == 0 {
			_, rows[i], _ = strings.Cut(rows[i], `"rows":[`)
			rows[i] = strings.TrimPrefix(rows[i], `{"f":`)
		}
		rows[i] = strings.TrimSuffix(rows[i], `]}]}`)
	}
	slices.Sort(rows)
	return rows
}
