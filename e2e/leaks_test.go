//go:build e2e

package e2e

import (
	"bytes"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/bqgate/bqgate/e2e/canaries"
	"github.com/bqgate/bqgate/e2e/rawhttp"
)

// leak is one way of e2e/testdata/leaks, tried by one persona.
type leak struct {
	name, persona string
	request       rawhttp.Request
	answer        rawhttp.Answer
	err           error
}

var leakers = []string{"agent", "analyst", "stranger"}

// Each way is tried by each persona on one demo through the real Envoy, while the stand-in for
// BigQuery repeats raw values in headers and trailers. Whatever comes back is searched for every
// canary in every form. What is asserted is that nothing leaks, not that a way is refused: many of
// them simply work, on masked values.
func TestLeaks(t *testing.T) {
	d := startDemo(t)
	leaks := readLeaks(t, d.leakVariables(t))
	d.fake(t, "/_fake/options", map[string]any{"noise": true})
	d.tryLeaks(leaks)

	ways, rows := map[string]bool{}, map[string]int{}
	var seen bytes.Buffer // what the analyst may see: the search must find it
	for _, l := range leaks {
		ways[l.name] = true
		if l.err != nil {
			t.Errorf("%s by the %s: %v", l.name, l.persona, l.err)
		}
		// A 5xx is BigQuery's own: the gateway's say that a decision could not be made, or an
		// answer not be checked.
		if l.answer.Status >= 500 && !strings.Contains(l.answer.Message(), ": bqgate: BigQuery failed at this.") {
			t.Errorf("%s by the %s: status %d %s", l.name, l.persona, l.answer.Status, l.answer.Message())
		}
		if bytes.Contains(l.answer.Body, []byte(`"rows":[`)) {
			rows[l.persona]++
		}
		if l.persona == "analyst" {
			seen.Write(l.answer.Body)
		}
	}
	t.Logf("%d ways, %d requests, answers with rows: %v", len(ways), len(leaks), rows)
	if len(ways) < 300 || rows["agent"] < 100 || rows["analyst"] < 100 || rows["stranger"] != 0 {
		t.Errorf("%d ways, answers with rows %v: want at least 300, and rows for the agent and the analyst alone", len(ways), rows)
	}
	for _, c := range d.Canaries {
		for form, v := range canaries.Forms(c.Value) {
			if c.Column == "crm.customers.email" {
				if form == "plain" && !bytes.Contains(seen.Bytes(), []byte(v)) {
					t.Errorf("the analyst does not see an e-mail address that analysts may see: the search would find nothing")
				}
				continue
			}
			for _, l := range leaks {
				if bytes.Contains(l.answer.Raw, []byte(v)) || bytes.Contains(l.answer.Body, []byte(v)) {
					t.Errorf("%s by the %s: canary of %s (%s)", l.name, l.persona, c.Column, form)
				}
			}
		}
	}
	for _, l := range leaks {
		if l.persona == "analyst" {
			continue
		}
		for _, c := range d.Canaries {
			for form, v := range canaries.Forms(c.Value) {
				if c.Column == "crm.customers.email" &&
					(bytes.Contains(l.answer.Raw, []byte(v)) || bytes.Contains(l.answer.Body, []byte(v))) {
					t.Errorf("%s by the %s: canary of %s (%s)", l.name, l.persona, c.Column, form)
				}
			}
		}
	}
	d.got = nil
	d.searchCanaries() // logs, the audit folder, configuration
}

func (d *demo) tryLeaks(leaks []leak) {
	const atOnce = 6
	tokens := map[string]string{}
	for _, p := range leakers {
		tokens[p] = d.token(p)
	}
	address := strings.TrimPrefix(d.REST, "http://")
	next := make(chan *leak)
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for l := range next {
				l.answer, l.err = rawhttp.Send(address, l.request.Bytes(address, tokens[l.persona]), 40*time.Second)
			}
		})
	}
	for i := range leaks {
		next <- &leaks[i]
	}
	close(next)
	wg.Wait()
}

// readLeaks reads the ways, each for each persona.
func readLeaks(t *testing.T, vars map[string]map[string]string) []leak {
	files, err := filepath.Glob("testdata/leaks/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no ways: %v", err)
	}
	var all []leak
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, way := range a.Files {
			name := strings.TrimSuffix(filepath.Base(file), ".txtar") + "/" + way.Name
			for _, persona := range leakers {
				r, err := rawhttp.Parse(string(way.Data), vars[persona])
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				all = append(all, leak{name: name, persona: persona, request: r})
			}
		}
	}
	return all
}

// leakVariables prepares what the ways ask about: a job and a result table of the asker's own, of
// somebody else's, and a job with raw rows from another life of the gateway.
func (d *demo) leakVariables(t *testing.T) map[string]map[string]string {
	job := map[string]string{}
	table := map[string]string{}
	for _, p := range []string{"agent", "analyst"} {
		job[p], table[p] = d.finished(t, p, "SELECT ssn, email, card_number, phones, id, created FROM crm.customers ORDER BY id")
		d.query(p, "SELECT employee, ssn, salary FROM finance.payroll -- held")
	}
	d.fake(t, "/_fake/plant", map[string]any{
		"account": "crm-reader@demo.iam.gserviceaccount.com", "job_id": "planted_job", "request_id": "planted-request",
		"sql": "SELECT ssn AS id FROM crm.customers",
	})
	dotted := func(path string) string {
		return strings.NewReplacer("projects/", "", "/datasets/", ".", "/tables/", ".").Replace(path)
	}
	vars := map[string]map[string]string{}
	for _, p := range leakers {
		own, other := p, "analyst"
		if p != "agent" {
			other = "agent"
		}
		if p == "stranger" {
			own = "analyst"
		}
		vars[p] = map[string]string{
			"project": d.Project, "job": job[own], "table": table[own], "others_job": job[other], "others_table": table[other],
			"hidden": dotted(table[own]), "others_hidden": dotted(table[other]),
		}
	}
	return vars
}
