// Package surface holds the cases of e2e/testdata/surface: every method of the API and every other
// form of asking for the same, what the gateway makes of it, and what may arrive at BigQuery. The
// end-to-end test TestSurface tries each on the real Envoy; docs/surface.md is made of them.
package surface

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// Case is one way of asking, and what must come of it.
type Case struct {
	Name      string          // of the file, without extension
	Method    bigquery.Method // for the case of a method, "" for another form
	Form      string          // for another form: what it is
	Treatment string          // what the gateway makes of it
	Request   string          // in the language of package rawhttp
	Want      []Want
}

// Want is one line of what must come of a case.
//
//	status 403 400     one of these statuses
//	says TEXT          the error's message holds it
//	has TEXT, not TEXT the body holds it, or does not
//	upstream none      nothing arrived at BigQuery under a token that was minted for a client
//	upstream VERB PATH a request that begins like this did
//	sent TEXT          such a request holds it; unsent TEXT: none does
//	asked VERB PATH    the gateway itself asked BigQuery for this
type Want struct{ Word, Text string }

var words = []string{"status", "says", "has", "not", "upstream", "sent", "unsent", "asked"}

// Load reads the cases of a folder, those of methods first.
func Load(dir string) ([]Case, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil {
		return nil, err
	}
	var all []Case
	for _, file := range files {
		c, err := load(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
		all = append(all, c)
	}
	slices.SortStableFunc(all, func(a, b Case) int { return strings.Compare(order(a), order(b)) })
	return all, nil
}

// order sorts methods as the route table does, then the forms by name.
func order(c Case) string {
	if c.Method == "" {
		return "b" + c.Name
	}
	i := slices.IndexFunc(bigquery.Routes(), func(r bigquery.Route) bool { return r.Method == c.Method })
	return fmt.Sprintf("a%03d", i)
}

func load(file string) (Case, error) {
	a, err := txtar.ParseFile(file)
	if err != nil {
		return Case{}, err
	}
	c := Case{Name: strings.TrimSuffix(filepath.Base(file), ".txtar")}
	for line := range strings.Lines(string(a.Comment)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "method":
			c.Method = bigquery.Method(value)
		case "form":
			c.Form = value
		case "treatment":
			c.Treatment = value
		default:
			return Case{}, fmt.Errorf("unknown line %q", line)
		}
	}
	if (c.Method == "") == (c.Form == "") || c.Treatment == "" || len(a.Files) != 2 || a.Files[0].Name != "request" ||
		a.Files[1].Name != "want" {
		return Case{}, fmt.Errorf("want a method or a form, a treatment, a request and what is wanted")
	}
	c.Request = string(a.Files[0].Data)
	var seen []string
	for line := range strings.Lines(string(a.Files[1].Data)) {
		word, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !slices.Contains(words, word) || text == "" {
			return Case{}, fmt.Errorf("unknown line %q", line)
		}
		c.Want, seen = append(c.Want, Want{word, text}), append(seen, word)
	}
	if !slices.Contains(seen, "status") || !slices.Contains(seen, "upstream") && !slices.Contains(seen, "unsent") {
		return Case{}, fmt.Errorf("say which status is wanted, and what may arrive upstream")
	}
	return c, nil
}

// Document is docs/surface.md.
func Document(cases []Case) string {
	var b strings.Builder
	b.WriteString(`# The REST surface

Every method of the BigQuery API v2 and every other form of asking for the same, what bqgate makes
of it, and the test that tries it on a real Envoy with a recorder behind it (` + "`e2e`" + `
TestSurface/NAME, ` + "`e2e/testdata/surface/NAME.txtar`" + `). What is not listed here is refused.
Written by ` + "`go test ./e2e/surface -update`" + `.

In all answers: "refused" is a 403 with BigQuery's error JSON and the reason, 400 where the request
itself is malformed; nothing of it reaches BigQuery. What a policy does not let its reader read is
not told apart from what does not exist. Answers are not compressed and carry no headers of
BigQuery's but ` + "`Content-Type` and `Cache-Control`" + `.

## Methods

| method | request | treatment | test |
|---|---|---|---|
`)
	routes := map[bigquery.Method]bigquery.Route{}
	for _, r := range bigquery.Routes() {
		routes[r.Method] = r
	}
	forms := false
	for _, c := range cases {
		if c.Method != "" {
			r := routes[c.Method]
			why := ""
			if r.Refusal != "" {
				why = ": " + r.Refusal
			}
			fmt.Fprintf(&b, "| %s | `%s %s` | %s%s | %s |\n", c.Method, r.Verb, r.Path, c.Treatment, why, c.Name)
			continue
		}
		if !forms {
			forms = true
			b.WriteString("\n## Other forms\n\n| form | treatment | test |\n|---|---|---|\n")
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", strings.ReplaceAll(c.Form, "|", "\\|"), c.Treatment, c.Name)
	}
	return b.String()
}
