//go:build e2e

package e2e

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// Nothing says what BigQuery's page tokens are made of. Every page arrives, once, by each way of
// asking for the next one, whatever they look like, through a real Envoy that writes the path anew.
func TestPageTokens(t *testing.T) {
	d := startDemo(t)
	const queries = "/bigquery/v2/projects/demo/queries"
	token := d.token("agent")
	whole := d.query("agent", "SELECT id FROM crm.orders ORDER BY id")
	want := fmt.Sprint(whole.rows(t))
	for name, strange := range map[string]string{
		"padding": "B==", "base64": "+/=", "escapes": "%2F%25%zz", "parameters": "&alt=proto&fields=x;y#frag?", "quotes": `"\'<>`,
		"space": " a b ", "other letters": "ß€😀", "control": "\n\t\x01", "zero": "a\x00b", "dots": "/../", "absolute": "https://x/",
		"long": strings.Repeat("A=/+", 900),
	} {
		t.Run(name, func(t *testing.T) {
			d.fake(t, "/_fake/options", map[string]any{"page_tokens": strange})
			first := d.call("POST", queries, token, map[string]any{"query": "SELECT id FROM crm.orders ORDER BY id", "useLegacySql": false,
				"maxResults": 7})
			if first.Status != 200 {
				t.Fatalf("%d %s", first.Status, first.message())
			}
			v := first.json(t)
			job := v["jobReference"].(map[string]any)["jobId"].(string)
			destination := d.call("GET", "/bigquery/v2/projects/demo/jobs/"+job, token, nil).json(t)
			table := destination["configuration"].(map[string]any)["query"].(map[string]any)["destinationTable"].(map[string]any)
			data := fmt.Sprintf("/bigquery/v2/projects/demo/datasets/%s/tables/%s/data", table["datasetId"], table["tableId"])
			for way, path := range map[string]string{"getQueryResults": queries + "/" + job, "tabledata.list": data} {
				rows, next := first.rows(t), v["pageToken"]
				if way == "tabledata.list" { // from its own first page on
					rows, next = nil, ""
				}
				for pages := 1; next != nil; pages++ {
					if pages > 10 {
						t.Fatalf("%s: no end", way)
					}
					page := "?maxResults=7&pageToken=" + url.QueryEscape(next.(string))
					a := d.call("GET", path+page, token, nil)
					if a.Status != 200 {
						t.Fatalf("%s, page %d: %d %s", way, pages+1, a.Status, a.message())
					}
					rows = append(rows, a.rows(t)...)
					next = a.json(t)["pageToken"]
					if next != nil && strings.Contains(next.(string), strings.TrimSpace(strange)) {
						t.Errorf("%s: BigQuery's own token was given: %s", way, next)
					}
				}
				if got := fmt.Sprint(rows); got != want {
					t.Errorf("%s: %s\nwant %s", way, got, want)
				}
			}
			sent := slices.ContainsFunc(d.arrived(), func(r arrival) bool {
				q, err := url.ParseQuery(r.Query)
				return err == nil && strings.HasPrefix(q.Get("pageToken"), strange) && q.Get("alt") == "json" && !q.Has("fields")
			})
			if !sent {
				t.Error("BigQuery did not get its token back as it gave it")
			}
		})
	}
	d.searchCanaries()
}
