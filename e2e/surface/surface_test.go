package surface

import (
	"strings"
	"testing"

	"github.com/bqgate/bqgate/e2e/rawhttp"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/golden"
)

// Each method of the route table has one case, which asks for it by its verb and its path;
// docs/surface.md shows them all.
func TestEveryMethodHasACase(t *testing.T) {
	cases, err := Load("../testdata/surface")
	if err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{"project": "demo", "job": "j1", "held": "j2", "others_job": "j3",
		"table": "projects/demo/datasets/_a/tables/anon1", "others_table": "projects/demo/datasets/_b/tables/anon2"}
	seen := map[bigquery.Method]bool{}
	for _, c := range cases {
		r, err := rawhttp.Parse(c.Request, vars)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		if c.Method == "" {
			continue
		}
		path, _, _ := strings.Cut(r.Target, "?")
		route, _, err := bigquery.Match(r.Method, path)
		if err != nil || route.Method != c.Method || seen[c.Method] {
			t.Errorf("%s asks for %s, %v (before: %t); want %s once", c.Name, route.Method, err, seen[c.Method], c.Method)
		}
		if refused := c.Treatment == "refused"; refused == route.Governed() {
			t.Errorf("%s: the treatment is %q, and the method governed: %t", c.Name, c.Treatment, route.Governed())
		}
		seen[c.Method] = true
	}
	for _, r := range bigquery.Routes() {
		if !seen[r.Method] {
			t.Errorf("%s has no case", r.Method)
		}
	}
	golden.File(t, "../../docs/surface.md", []byte(Document(cases)))
}
