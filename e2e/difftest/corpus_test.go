package difftest

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// corpusTexts are the statements of the corpus, with the project that their names are meant for.
var corpusTexts = sync.OnceValues(func() ([]query, error) {
	files, err := filepath.Glob("../../internal/googlesql/testdata/corpus/*.txtar")
	if err != nil {
		return nil, err
	}
	var all []query
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			return nil, err
		}
		q := query{project: "demo"}
		for line := range strings.Lines(string(archive.Comment)) {
			if name, ok := strings.CutPrefix(strings.TrimSpace(line), "default dataset: "); ok {
				q.project, _, _ = strings.Cut(name, ".")
			}
		}
		for _, f := range archive.Files {
			sql := strings.TrimSpace(string(f.Data))
			upper := strings.ToUpper(sql)
			if !strings.HasSuffix(f.Name, ".sql") || !strings.HasPrefix(upper, "SELECT") && !strings.HasPrefix(upper, "WITH") &&
				!strings.HasPrefix(upper, "FROM") {
				continue
			}
			q.sql = sql
			all = append(all, q)
		}
	}
	return all, nil
})

// mutant is a statement of the corpus, mostly with a few small changes: a name, a literal, an
// operator or a function for another one of the statement or of a short list, or a clause that is
// doubled or left out.
func mutant(t *testing.T, seed, number uint64) *query {
	texts, err := corpusTexts()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(seed^0xc0ffee, number))
	q := texts[r.IntN(len(texts))]
	q.number = int(number)
	words := words(q.sql)
	for range r.IntN(3) {
		var places []int
		for i, w := range words {
			if swaps(w) != nil || isName(w) {
				places = append(places, i)
			}
		}
		if len(places) == 0 {
			break
		}
		i := places[r.IntN(len(places))]
		if list := swaps(words[i]); list != nil {
			words[i] = list[r.IntN(len(list))]
			continue
		}
		if j := places[r.IntN(len(places))]; isName(words[j]) {
			words[i] = words[j]
		}
	}
	q.sql = strings.Join(words, "")
	return &q
}

func isName(w string) bool {
	return len(w) > 0 && (w[0] >= 'a' && w[0] <= 'z') && strings.ToLower(w) == w
}

var swapped = [][]string{
	{"=", "<", ">", "!=", "<=", ">="}, {"JOIN", "LEFT JOIN", "CROSS JOIN"}, {"MAX", "MIN", "ANY_VALUE", "COUNT"},
	{"UPPER", "LOWER", "REVERSE", "LENGTH", "MD5"}, {"AND", "OR"},
	{"WHERE", "WHERE NOT"}, {"SELECT", "SELECT DISTINCT"}, {"UNION ALL", "UNION DISTINCT"}, {"ALL", "DISTINCT"},
	{"INTERSECT", "EXCEPT", "UNION"}, {"OFFSET", "SAFE_OFFSET", "ORDINAL"},
	{"id", "ssn", "email", "name"}, {"ssn", "email", "name", "id"}, {"ROW_NUMBER", "RANK", "DENSE_RANK"}, {"SUM", "AVG", "MAX"},
	{"IS NULL", "IS NOT NULL"}, {"IN", "NOT IN"},
}

func swaps(w string) []string {
	for _, list := range swapped {
		for _, s := range list {
			if s == w {
				return list
			}
		}
	}
	return nil
}
