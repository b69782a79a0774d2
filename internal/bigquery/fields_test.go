package bigquery

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestFieldMaskApply(t *testing.T) {
	answer := `{"kind":"k","jobReference":{"projectId":"p","jobId":"j"},"rows":[{"f":[{"v":"1"},{"v":null}]}],` +
		`"schema":{"fields":[{"name":"a","type":"STRING"},{"name":"b"}]},"n":1}`
	for _, c := range []struct{ fields, want string }{
		{"", answer},
		{"*", answer},
		{"rows,n", `{"rows":[{"f":[{"v":"1"},{"v":null}]}],"n":1}`},
		{"rows(f(v))", `{"rows":[{"f":[{"v":"1"},{"v":null}]}]}`},
		{"rows/f/v", `{"rows":[{"f":[{"v":"1"},{"v":null}]}]}`},
		{"rows/*", `{"rows":[{"f":[{"v":"1"},{"v":null}]}]}`},
		{"jobReference/jobId", `{"jobReference":{"jobId":"j"}}`},
		{"jobReference(jobId,projectId)", `{"jobReference":{"projectId":"p","jobId":"j"}}`},
		{"schema/fields/name", `{"schema":{"fields":[{"name":"a"},{"name":"b"}]}}`},
		{"schema/*/name", `{"schema":{"fields":[{"name":"a"},{"name":"b"}]}}`},
		{"schema(fields(name)),schema/fields/type", `{"schema":{"fields":[{"name":"a","type":"STRING"},{"name":"b"}]}}`},
		{"schema(*(name),fields/type)", `{"schema":{"fields":[{"name":"a","type":"STRING"},{"name":"b"}]}}`},
		{"schema/fields/name,schema", `{"schema":{"fields":[{"name":"a","type":"STRING"},{"name":"b"}]}}`},
		{"schema,schema/fields/name", `{"schema":{"fields":[{"name":"a","type":"STRING"},{"name":"b"}]}}`},
		{"n/x,kind", `{"kind":"k"}`},
		{"absent", `{}`},
		{"schema/absent", `{"schema":{}}`},
	} {
		t.Run(c.fields, func(t *testing.T) {
			m, err := ParseFieldMask(c.fields)
			if err != nil {
				t.Errorf("%s: %v", c.fields, err)
				return
			}
			got, err := m.Apply([]byte(answer))
			if err != nil || string(got) != c.want {
				t.Errorf("%s: %s, %v; want %s", c.fields, got, err, c.want)
			}
		})
	}
}

func TestFieldMaskRefuses(t *testing.T) {
	for _, text := range []string{
		",", "a,", ",a", "a(", "a()", "a(b", "a)b", "a/", "/a", "a//b", "a(b)c", "a(b)/c", "a b", "a.b", "a%2Cb", "**", "*a", "*/a", "*(a)",
		"a\x00",
		"rows(f)x", "rows/x", "rows(f,v)", "rows(f(v,x))", "rows/f/v/x", "rows/v", "rows(f(v)),rows/x", "rows/f/v(f(v))",
		strings.Repeat("a/", 20) + "b", strings.Repeat("a", maxMask+1),
	} {
		t.Run(text, func(t *testing.T) {
			if m, err := ParseFieldMask(text); err == nil {
				t.Errorf("%q: accepted as %v", text, m)
			}
		})
	}
	for _, text := range []string{`{"a":1,"a":2}`, `{"a":`, `1`, ``, `{"a":1}x`} {
		t.Run(text, func(t *testing.T) {
			if out, err := mask(t, "a").Apply([]byte(text)); err == nil {
				t.Errorf("applied to %q: %s", text, out)
			}
		})
	}
}

func TestFieldMaskKeeps(t *testing.T) {
	m := mask(t, "rows,schema/fields/name,jobReference(*)")
	for _, c := range []struct {
		path      string
		all, some bool
	}{
		{"rows", true, true}, {"rows.f", true, true}, {"schema", false, true}, {"schema.fields", false, true},
		{"schema.fields.name", true, true},
		{"schema.fields.type", false, false}, {"jobReference", false, true}, {"jobReference.jobId", true, true},
		{"totalRows", false, false},
	} {
		t.Run(c.path, func(t *testing.T) {
			if all, some := m.Keeps(strings.Split(c.path, ".")...); all != c.all || some != c.some {
				t.Errorf("%s: %v %v, want %v %v", c.path, all, some, c.all, c.some)
			}
		})
	}
	var none *FieldMask
	if all, some := none.Keeps("rows"); !all || !some || !none.KeepsKey("rows") {
		t.Error("no mask does not keep everything")
	}
	zero := &FieldMask{}
	if all, some := zero.Keeps("rows"); all || some || zero.KeepsKey("rows") {
		t.Error("the zero mask keeps something")
	}
	if out, err := zero.Apply([]byte(`{"a":1}`)); err != nil || string(out) != "{}" {
		t.Errorf("the zero mask: %s, %v", out, err)
	}
	if _, err := json.Marshal(zero); err == nil {
		t.Error("the zero mask can be written, and would be read as no mask")
	}
	text, err := json.Marshal(Operation{Fields: m})
	if err != nil {
		t.Fatal(err)
	}
	var back Operation
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back.Fields, m) {
		t.Errorf("%s: %v, %v", text, back.Fields, err)
	}
}

// oracleProject is FieldMask.Apply on a decoded tree, written from the definition: the paths of the
// mask one by one.
func oracleProject(paths [][]string, v any) (any, bool) {
	for _, p := range paths {
		if len(p) == 0 {
			return v, true
		}
	}
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			var below [][]string
			for _, p := range paths {
				if p[0] == key || p[0] == "*" {
					below = append(below, p[1:])
				}
			}
			if len(below) == 0 {
				continue
			}
			if kept, ok := oracleProject(below, value); ok {
				out[key] = kept
			}
		}
		return out, true
	case []any:
		out := []any{}
		for _, value := range v {
			if kept, ok := oracleProject(paths, value); ok {
				out = append(out, kept)
			}
		}
		return out, true
	default:
		return nil, false
	}
}

// oraclePaths expands a mask into its paths by textual rules. The mask is known to be well-formed.
func oraclePaths(text string) [][]string {
	var paths [][]string
	depth, start := 0, 0
	for i := 0; i <= len(text); i++ {
		if i == len(text) || text[i] == ',' && depth == 0 {
			paths = append(paths, oraclePath(text[start:i])...)
			start = i + 1
			continue
		}
		switch text[i] {
		case '(':
			depth++
		case ')':
			depth--
		}
	}
	return paths
}

func oraclePath(text string) [][]string {
	i := strings.IndexAny(text, "/(")
	if i < 0 {
		return [][]string{{text}}
	}
	var out [][]string
	rest := oraclePath
	tail := text[i+1:]
	if text[i] == '(' {
		rest = oraclePaths
		tail = strings.TrimSuffix(tail, ")")
	}
	for _, p := range rest(tail) {
		out = append(out, append([]string{text[:i]}, p...))
	}
	return out
}

// FuzzFieldMask: no panic, and where a mask and an answer are accepted the projection is the
// oracle's.
func FuzzFieldMask(f *testing.F) {
	f.Add("a,b/c,d(e,f),*", `{"a":1,"b":{"c":[{"x":1},2]},"d":{"e":null,"g":1}}`)
	f.Add("a(*(x),b/y),a/*/z", `{"a":{"b":{"x":1,"y":2,"z":3,"w":4},"c":{"x":1,"y":2}}}`)
	f.Add("rows/f/v,x", `{"rows":[{"f":[{"v":"1"}]}],"x":[[{"y":1}],{}]}`)
	f.Fuzz(func(t *testing.T, fields, answer string) {
		m, err := ParseFieldMask(fields)
		if err != nil || m == nil {
			return
		}
		got, err := m.Apply([]byte(answer))
		if err != nil {
			return
		}
		var tree, have any
		if err := decodeTree([]byte(answer), &tree); err != nil {
			t.Skip("not JSON for encoding/json")
		}
		if err := decodeTree(got, &have); err != nil {
			t.Fatalf("%s: %v", got, err)
		}
		paths := oraclePaths(fields)
		for i, p := range paths {
			if p[0] == "rows" {
				paths[i] = p[:1]
			}
		}
		want, _ := oracleProject(paths, tree)
		if !reflect.DeepEqual(have, want) {
			t.Fatalf("%s of %s: got %v, want %v", fields, answer, have, want)
		}
	})
}

func decodeTree(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(v)
}
