// Package openapitest holds answers of the approval endpoint against its OpenAPI document, in
// tests.
package openapitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
)

// Document is an openapi.yaml, with what was answered.
type Document struct {
	t    testing.TB
	root map[string]any
	Seen map[string]bool // "GET /path 200"
}

// Read takes the document's text.
func Read(t testing.TB, text []byte) *Document {
	t.Helper()
	var loose any
	if err := yaml.Unmarshal(text, &loose); err != nil {
		t.Fatal(err)
	}
	strict, err := json.Marshal(loose)
	if err != nil {
		t.Fatal(err)
	}
	d := &Document{t: t, Seen: map[string]bool{}}
	if err := json.Unmarshal(strict, &d.root); err != nil {
		t.Fatal(err)
	}
	return d
}

// All are the answers that the document names, as keys of Seen.
func (d *Document) All() []string {
	var all []string
	paths, _ := d.at("paths").(map[string]any)
	for path := range paths {
		for method := range d.at("paths", path).(map[string]any) {
			for status := range d.at("paths", path, method, "responses").(map[string]any) {
				all = append(all, strings.ToUpper(method)+" "+path+" "+status)
			}
		}
	}
	return all
}

var ids = regexp.MustCompile(`/(requests|grants)/[^/?]+`)

// Answer fails the test if an answer is not as the document says. Path may have a query.
func (d *Document) Answer(method, path string, status int, body []byte) {
	d.t.Helper()
	template, _, _ := strings.Cut(ids.ReplaceAllString(path, "/$1/{id}"), "?")
	key := fmt.Sprintf("%s %s %d", method, template, status)
	d.Seen[key] = true
	response, _ := d.at("paths", template, strings.ToLower(method), "responses", fmt.Sprint(status)).(map[string]any)
	if response == nil {
		d.t.Errorf("%s is not documented: %s", key, body)
		return
	}
	schema := d.dig(response, "content", "application/json", "schema")
	var v any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		d.t.Fatalf("%s: %v", key, err)
	}
	d.check(key, "", schema, v)
}

func (d *Document) at(path ...string) any {
	var v any = d.root
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	return d.resolve(v)
}

// resolve follows a $ref; keywords beside it, a description, count for nothing here.
func (d *Document) resolve(v any) any {
	m, _ := v.(map[string]any)
	ref, ok := m["$ref"].(string)
	if !ok {
		return v
	}
	out := d.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	if out == nil {
		d.t.Fatalf("%s leads nowhere", ref)
	}
	return out
}

func (d *Document) dig(v any, path ...string) any {
	for _, p := range path {
		m, _ := d.resolve(v).(map[string]any)
		v = m[p]
	}
	return d.resolve(v)
}

// check is what of JSON Schema the document uses. A keyword that is not known here fails the test:
// it would check nothing.
func (d *Document) check(where, at string, schema, v any) {
	d.t.Helper()
	s, ok := d.resolve(schema).(map[string]any)
	if !ok {
		d.t.Errorf("%s%s: no schema", where, at)
		return
	}
	wrong := func(format string, args ...any) {
		d.t.Helper()
		d.t.Errorf("%s at %q: %s", where, at, fmt.Sprintf(format, args...))
	}
	for keyword, want := range s {
		switch keyword {
		case "description":
		case "type":
			if !slices.ContainsFunc(listed(want), func(t string) bool { return isType(t, v) }) {
				wrong("%v is not %v", v, want)
			}
		case "enum":
			if !slices.Contains(want.([]any), v) {
				wrong("%v is none of %v", v, want)
			}
		case "pattern":
			if text, ok := v.(string); ok && !regexp.MustCompile(want.(string)).MatchString(text) {
				wrong("%q does not match %s", text, want)
			}
		case "format":
			if _, err := time.Parse(time.RFC3339, fmt.Sprint(v)); want != "date-time" || err != nil {
				wrong("%v is no %v", v, want)
			}
		case "minimum":
			if n, ok := v.(json.Number); ok {
				if f, _ := n.Float64(); f < want.(float64) {
					wrong("%v is below %v", v, want)
				}
			}
		case "minLength":
			if text, ok := v.(string); ok && utf8.RuneCountInString(text) < int(want.(float64)) {
				wrong("%q is too short", text)
			}
		case "items":
			items, _ := v.([]any)
			for i, item := range items {
				d.check(where, fmt.Sprintf("%s[%d]", at, i), want, item)
			}
		case "required":
			for _, name := range want.([]any) {
				if m, ok := v.(map[string]any); ok && !hasKey(m, name.(string)) {
					wrong("%v is missing", name)
				}
			}
		case "properties", "additionalProperties":
		default:
			wrong("the schema has %q, which this test does not know", keyword)
		}
	}
	m, _ := v.(map[string]any)
	properties, _ := s["properties"].(map[string]any)
	for name, value := range m {
		switch p, known := properties[name]; {
		case known:
			d.check(where, at+"."+name, p, value)
		case s["additionalProperties"] == false:
			wrong("%s is not documented", name)
		case s["additionalProperties"] != nil:
			d.check(where, at+"."+name, s["additionalProperties"], value)
		}
	}
}

func hasKey(m map[string]any, key string) bool { _, ok := m[key]; return ok }

func listed(v any) []string {
	if text, ok := v.(string); ok {
		return []string{text}
	}
	var out []string
	for _, item := range v.([]any) {
		out = append(out, item.(string))
	}
	return out
}

func isType(name string, v any) bool {
	switch v := v.(type) {
	case nil:
		return name == "null"
	case bool:
		return name == "boolean"
	case string:
		return name == "string"
	case json.Number:
		_, err := v.Int64()
		return name == "number" || name == "integer" && err == nil
	case []any:
		return name == "array"
	case map[string]any:
		return name == "object"
	}
	return false
}
