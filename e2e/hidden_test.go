//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var decisionIDs = regexp.MustCompile(`d-[0-9A-HJKMNP-TV-Z]{26}`)

// hiddenForms are ways to ask for DATASET.NAME: SQL, which is sent by each method that takes SQL,
// or "VERB PATH".
var hiddenForms = map[string]string{
	"a table":             "SELECT * FROM DATASET.NAME",
	"with its project":    "SELECT * FROM demo.DATASET.NAME",
	"quoted":              "SELECT * FROM `demo.DATASET.NAME`",
	"an unknown column":   "SELECT marker_colum FROM DATASET.NAME",
	"a join":              "SELECT p.name FROM crm.people AS p JOIN DATASET.NAME AS n ON p.id = n.id",
	"beside an open view": "SELECT 1 FROM crm.over, DATASET.NAME",
	"beside a fault":      "SELECT nosuch FROM crm.people, DATASET.NAME",
	"beside nothing":      "SELECT 1 FROM crm.nosuch, DATASET.NAME",
	"a subquery":          "SELECT (SELECT COUNT(*) FROM DATASET.NAME) AS n FROM crm.people",
	"WITH":                "WITH w AS (SELECT * FROM DATASET.NAME) SELECT * FROM w",
	"an array":            "SELECT 1 FROM crm.people, DATASET.NAME.tags",
	"an older state":      "SELECT * FROM DATASET.NAME FOR SYSTEM_TIME AS OF TIMESTAMP '2026-01-01 00:00:00+00'",
	"a wildcard":          "SELECT * FROM `demo.DATASET.NAME*`",
	"a function":          "SELECT DATASET.NAME(name) FROM crm.people",
	"a table function":    "SELECT * FROM DATASET.NAME(0)",
	"tables of a dataset": "SELECT * FROM DATASET.INFORMATION_SCHEMA.TABLES",
	"columns of it":       "SELECT * FROM demo.DATASET.INFORMATION_SCHEMA.COLUMNS WHERE table_name = 'NAME'",
	"SQL of its views":    "SELECT * FROM DATASET.INFORMATION_SCHEMA.VIEWS",
	"INSERT":              "INSERT INTO DATASET.NAME (id) VALUES (1)",
	"DROP":                "DROP TABLE DATASET.NAME",
	"CREATE AS":           "CREATE TABLE crm.copy AS SELECT * FROM DATASET.NAME",
	"tables.get":          "GET /datasets/DATASET/tables/NAME",
	"tabledata.list":      "GET /datasets/DATASET/tables/NAME/data",
	"tables.list":         "GET /datasets/DATASET/tables",
	"datasets.get":        "GET /datasets/DATASET",
	"routines.get":        "GET /datasets/DATASET/routines/NAME",
	"routines.list":       "GET /datasets/DATASET/routines",
	"models.list":         "GET /datasets/DATASET/models",
	"access policies":     "GET /datasets/DATASET/tables/NAME/rowAccessPolicies",
}

// A62: whatever an agent does with a name that it may not know of, the answer is that to a name of
// nothing, with the name in its place, and Google is asked about neither.
func TestHiddenNames(t *testing.T) {
	t.Parallel()
	d := startDemo(t, "--policy", "e2e/testdata/hidden/policy.yaml", "--seed", "e2e/testdata/hidden/data.sql")
	// Others know these tables, and so does the gateway by now.
	for _, sql := range []string{"SELECT * FROM hr.v2", "SELECT * FROM hr.notes", "SELECT * FROM part.shut", "SELECT * FROM hr.tf(0)",
		"SELECT * FROM `demo.hr.notes_*`"} {
		t.Run(sql, func(t *testing.T) {
			owner := d.mint(map[string]any{"subject": "repo:acme/owner", "groups": []string{"owners"}})
			if a := d.sql(owner, sql, false); a.Status >= 500 {
				t.Fatalf("%s: status %d %s", sql, a.Status, a.message())
			}
			d.exempt()
		})
	}
	d.forget(t)
	caller := 0
	agent := func() string { // another one each time: how many questions one may ask is limited
		caller++
		return d.mint(map[string]any{"subject": fmt.Sprintf("repo:acme/agent-%d", caller), "groups": []string{"ai-agents"}})
	}
	hidden := [][2]string{{"hr", "notes"}, {"hr", "v2"}, {"hr", "fn"}, {"hr", "tf"}, {"part", "shut"}, {"quiet", "other"},
		{"north", "other"}, {"none", "nosuch"}}
	for form, request := range hiddenForms {
		t.Run(form, func(t *testing.T) {
			for _, name := range hidden {
				// As long as the name, so that places stay; of a dataset that is known to the agent
				// only the table is another.
				other := [2]string{strings.Repeat("z", len(name[0])), strings.Repeat("q", len(name[1]))}
				if name[0] == "part" || name[0] == "north" {
					if !strings.Contains(request, "NAME") || strings.Contains(request, "INFORMATION_SCHEMA") {
						continue
					}
					other[0] = name[0]
				}
				put := func(n [2]string) string { return strings.NewReplacer("DATASET", n[0], "NAME", n[1]).Replace(request) }
				send := []func(string) answer{
					func(r string) answer { return d.sql(agent(), r, false) }, func(r string) answer { return d.sql(agent(), r, true) },
					func(r string) answer { return d.insert(agent(), r, false) }, func(r string) answer {
						return d.insert(agent(), r, true)
					}}
				if verb, path, ok := strings.Cut(request, " "); ok && verb == http.MethodGet {
					send = []func(string) answer{func(string) answer {
						return d.call(verb, "/bigquery/v2/projects/demo"+strings.NewReplacer("DATASET", name[0], "NAME",
							name[1]).Replace(path), agent(), nil)
					}, func(string) answer {
						return d.call(verb, "/bigquery/v2/projects/demo"+strings.NewReplacer("DATASET", other[0], "NAME",
							other[1]).Replace(path), agent(), nil)
					}}
					got, want := send[0](""), send[1]("")
					sameAnswer(t, put(name), got, want, name, other)
					continue
				}
				for _, one := range send {
					sameAnswer(t, put(name), one(put(name)), one(put(other)), name, other)
				}
			}
		})
	}
	for _, r := range d.arrived() {
		for _, part := range []string{"/datasets/hr", "/datasets/none", "/datasets/zz", "/datasets/part/tables/shut",
			"/datasets/north/tables/other", "/tables/qq"} {
			t.Run(part, func(t *testing.T) {
				// "pay" is a table that the agent may read, wherever it is.
				if r.Service == "bigquery" && strings.Contains(r.Path, part) && !strings.HasSuffix(r.Path, "/tables/pay") {
					t.Errorf("Google was asked %s %s", r.Method, r.Path)
				}
			})
		}
	}
	t.Run("datasets.list", func(t *testing.T) {
		a := d.call("GET", "/bigquery/v2/projects/demo/datasets", agent(), nil)
		for name, want := range map[string]bool{"crm": true, "part": true, "north": true, "hr": false, "quiet": false} {
			t.Run(name, func(t *testing.T) {
				if got := strings.Contains(string(a.Body), `"datasetId":"`+name+`"`); got != want {
					t.Errorf("it shows %s: %t, want %t", name, got, want)
				}
			})
		}
	})
	t.Run("behind an open view", func(t *testing.T) {
		d.forget(t)
		a := d.sql(agent(), "SELECT * FROM crm.over", true)
		if a.Status != 403 || !strings.Contains(a.message(), "hr.v2 is behind a view or a function that the query names") ||
			strings.Contains(a.message(), "notes") {
			t.Errorf("status %d %s", a.Status, a.message())
		}
		if slices.ContainsFunc(d.arrived(), func(r arrival) bool { return strings.Contains(r.Path, "/datasets/hr") }) {
			t.Error("Google was asked about what is behind it")
		}
	})
	d.searchCanaries()
}

// sameAnswer holds two answers against each other, the one to a name and the one to a name of
// nothing.
func sameAnswer(t *testing.T, request string, got, want answer, name, other [2]string) {
	t.Helper()
	plain := func(a answer, n [2]string) string {
		text := decisionIDs.ReplaceAllString(string(a.Body), "d-")
		text = strings.NewReplacer(n[0]+"."+n[1], "DATASET.NAME", n[0]+".INFORMATION", "DATASET.INFORMATION", "dataset "+n[0],
			"dataset DATASET").Replace(text)
		return fmt.Sprintf("%d %s", a.Status, text)
	}
	if got.Status < 400 || got.Status >= 500 {
		t.Errorf("%s: status %d %s", request, got.Status, got.Body)
	}
	if g, w := plain(got, name), plain(want, other); g != w {
		t.Errorf("%s:\n%s\nbut for a name of nothing\n%s", request, g, w)
	}
	for _, told := range []string{"marker_column", "notes", "v1"} {
		if told != name[1] && strings.Contains(string(got.Body), told) {
			t.Errorf("%s tells of %s: %s", request, told, got.Body)
		}
	}
}

// sql sends jobs.query.
func (d *demo) sql(bearer, sql string, dryRun bool) answer {
	d.t.Helper()
	return d.call("POST", "/bigquery/v2/projects/"+d.Project+"/queries", bearer,
		map[string]any{"query": sql, "useLegacySql": false, "dryRun": dryRun})
}

// insert sends jobs.insert.
func (d *demo) insert(bearer, sql string, dryRun bool) answer {
	d.t.Helper()
	return d.call("POST", "/bigquery/v2/projects/"+d.Project+"/jobs", bearer, map[string]any{
		"configuration": map[string]any{"dryRun": dryRun, "query": map[string]any{"query": sql, "useLegacySql": false}},
	})
}
