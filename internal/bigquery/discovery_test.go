package bigquery

import (
	"encoding/json"
	"strings"
	"testing"
)

// The document has every method of the route table and no other, and names the gateway alone.
func TestDiscovery(t *testing.T) {
	text, err := Discovery("https", "bigquery.gw.example:8443")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		RootURL, BaseURL, ServicePath, Version, Revision string
		Resources                                        map[string]struct {
			Methods map[string]struct{ ID, HTTPMethod string }
		}
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.RootURL != "https://bigquery.gw.example:8443/" || doc.BaseURL != doc.RootURL+doc.ServicePath || doc.Version != "v2" ||
		doc.Revision == "" {
		t.Errorf("%+v", doc)
	}
	if strings.Contains(string(text), "bigquery.googleapis.com") {
		t.Error("the document leads past the gateway")
	}
	known := map[string]string{}
	for _, r := range Routes() {
		known[string(r.Method)] = r.Verb
	}
	for _, resource := range doc.Resources {
		for _, m := range resource.Methods {
			name := strings.TrimPrefix(m.ID, "bigquery.")
			if known[name] != m.HTTPMethod {
				t.Errorf("%s %s is not in the route table", m.HTTPMethod, name)
			}
			delete(known, name)
		}
	}
	for name := range known {
		t.Errorf("the document lacks %s", name)
	}
	for _, host := range []string{"", "a b", `a"b`, "a/b", "user@host", "host:port", strings.Repeat("a", 301)} {
		t.Run(host, func(t *testing.T) {
			if _, err := Discovery("http", host); err == nil {
				t.Errorf("host %q was taken", host)
			}
		})
	}
}

func TestDecodeDiscovery(t *testing.T) {
	for _, path := range []string{"/$discovery/rest?version=v2", "/discovery/v1/apis/bigquery/v2/rest",
		"/$discovery/rest?version=v2&prettyPrint=false"} {
		t.Run(path, func(t *testing.T) {
			if op, err := Decode(get(path)); err != nil || op.Method != MethodDiscovery || op.Metadata == nil {
				t.Errorf("%s: %v, %v", path, op.Method, err)
			}
		})
	}
	for _, path := range []string{"/$discovery/rest?version=v1", "/discovery/v1/apis/storage/v1/rest", "/discovery/v1/apis",
		"/$discovery/rest/", "/$discovery/rest?key=x"} {
		t.Run(path, func(t *testing.T) {
			if _, err := Decode(get(path)); err == nil {
				t.Errorf("%s was taken", path)
			}
		})
	}
}
