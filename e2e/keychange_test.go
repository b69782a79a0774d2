//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/keyfile"
)

// Both keys of the gateway's own are changed while it runs: no query is refused, and what was
// sealed before is known after: a session, a page of a result, a held query and its approval, and
// every record of the journal. What the old key sealed opens nothing once it is taken out.
func TestKeysAreChangedUnderLoad(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	d.healthy(t)
	files := map[string]string{"sealing key": filepath.Join(d.dir, "sealing.key"), "audit key": d.AuditKeyFile}
	loaded := func(file string) (least int) { // by the gateway and by the console
		for i, log := range []string{"bqgate.log", "console.log"} {
			text, err := os.ReadFile(filepath.Join(d.dir, log))
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for line := range strings.Lines(string(text)) {
				if strings.Contains(line, "the keys were loaded again") && strings.Contains(line, file) {
					n++
				}
			}
			if least = min(least, n); i == 0 {
				least = n
			}
		}
		return least
	}
	change := func(change func(keyfile.Set) (keyfile.Set, error)) {
		t.Helper()
		for what, path := range files {
			set, err := keyfile.Read(path, what)
			if err == nil {
				set, err = change(set)
			}
			before := loaded(what)
			if err == nil {
				err = set.Write(path)
			}
			if err != nil {
				t.Fatal(err)
			}
			comes(t, what+" loaded again", func() (bool, string) {
				n := loaded(what)
				return n > before, fmt.Sprintf("%d times", n)
			})
		}
	}
	session := d.exchange(t, "agent")
	asks := func(method, path string, body any) answer { return d.call(method, path, session, body) }
	page := func(a answer) (id, token string) {
		t.Helper()
		if a.Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.message())
		}
		v := a.json(t)
		token, _ = v["pageToken"].(string)
		return v["jobReference"].(map[string]any)["jobId"].(string), token
	}
	job, next := page(asks("POST", "/bigquery/v2/projects/demo/queries",
		map[string]any{"query": "SELECT id, ssn FROM crm.customers ORDER BY id", "useLegacySql": false, "maxResults": 5}))
	if next == "" {
		t.Fatal("the result has one page")
	}
	held := d.hold(t, "agent", payroll)
	results := "/bigquery/v2/projects/demo/queries/" + job + "?maxResults=5"

	finish := d.honestLoad(t)
	ids := map[keyfile.ID]keyfile.ID{} // by that of the first
	change(func(s keyfile.Set) (keyfile.Set, error) {
		two, id, err := s.Add()
		ids[s.Keys[0].ID()] = id
		return two, err
	})
	known := func(step string) {
		t.Helper()
		a := asks("GET", results+"&pageToken="+next, nil)
		if a.Status != http.StatusOK || len(a.json(t)["rows"].([]any)) != 5 {
			t.Errorf("%s: the next page: %d %s", step, a.Status, a.message())
		}
		if _, again := page(asks("GET", results, nil)); again == "" {
			t.Errorf("%s: no page token", step)
		} else if a := asks("GET", results+"&pageToken="+again, nil); a.Status != http.StatusOK {
			t.Errorf("%s: the page of a token of now: %d %s", step, a.Status, a.message())
		}
	}
	known("added")
	change(func(s keyfile.Set) (keyfile.Set, error) {
		return s.Activate(ids[s.Keys[0].ID()], keyfile.Forever)
	})
	known("active")
	d.approve(t, held)
	if a := d.poll(t, d.token("agent"), held); a.Status != http.StatusOK {
		t.Errorf("the query that was held before: %d %s", a.Status, a.message())
	}
	finish()
	if len(d.recorded()) == 0 {
		t.Error("no record opens with the keys of now")
	}
	for what, path := range files {
		if what != "sealing key" {
			continue
		}
		set, err := keyfile.Read(path, what)
		if err != nil {
			t.Fatal(err)
		}
		before := loaded(what)
		if set, err = set.Drop(set.Keys[1].ID(), time.Now(), true); err == nil {
			err = set.Write(path)
		}
		if err != nil {
			t.Fatal(err)
		}
		comes(t, "the old key dropped", func() (bool, string) { return loaded(what) > before, "not loaded" })
	}
	if a := asks("GET", results+"&pageToken="+next, nil); a.Status < 400 || a.Status > 404 {
		t.Errorf("with a session and a job of the dropped key: %d %s", a.Status, a.message())
	}
	if a := d.query("agent", "SELECT id FROM crm.orders LIMIT 1"); a.Status != http.StatusOK {
		t.Errorf("a query of now: %d %s", a.Status, a.message())
	}
	d.searchCanaries()
}
