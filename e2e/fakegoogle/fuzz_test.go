package fakegoogle

import (
	"encoding/json"
	"strings"
	"testing"
)

// A mask that parses keeps a subset of an object, and projecting twice changes nothing.
func FuzzFields(f *testing.F) {
	for _, s := range []string{"a", "a,b(c,d),e/f", "*", "b/*", "b(c", "b)", ",", "rows,pageToken", "a/b/c(d,e/f),g"} {
		f.Add(s)
	}
	tree := object{{"a", "1"}, {"b", object{{"c", "2"}, {"d", []any{object{{"e", nil}, {"f", true}}}}}}, {"rows", "3"}}
	f.Fuzz(func(t *testing.T, text string) {
		mask, err := parseFields(text)
		if err != nil {
			return
		}
		once, ok := mask.project(tree).(object)
		if !ok {
			t.Fatal("an object became something else")
		}
		twice, _ := mask.project(once).(object)
		if string(once.encode(false)) != string(twice.encode(false)) || !json.Valid(once.encode(true)) {
			t.Fatalf("%q: %s then %s", text, once.encode(false), twice.encode(false))
		}
		if len(once.encode(false)) > len(tree.encode(false)) {
			t.Fatalf("%q made it longer", text)
		}
	})
}

// Splitting loses nothing but semicolons, spaces and pieces that hold comments only.
func FuzzSplitStatements(f *testing.F) {
	for _, s := range []string{"SELECT 1; SELECT ';'", "-- x;\nSELECT \"\"\";\"\"\";", "`a;`;'", "/* ; ", "r'\\';'", "#;\n;;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rest := text
		for _, s := range splitStatements(text) {
			i := strings.Index(rest, s)
			if i < 0 || s == "" {
				t.Fatalf("%q: piece %q is not of the text", text, s)
			}
			rest = rest[i+len(s):]
		}
	})
}

// A bound parameter never changes text inside strings and comments, and its value never ends its
// own literal.
func FuzzBindParameters(f *testing.F) {
	f.Add("SELECT @a, '@a', @@x -- @a", "v'\"\\")
	f.Add("SELECT `@a` /* @a */ @A", "\n")
	f.Fuzz(func(t *testing.T, sql, value string) {
		out, apiErr := bindParameters(sql, "NAMED",
			[]queryParameter{{Name: "a", ParameterType: parameterType{Type: "STRING"}, ParameterValue: parameterValue{Value: &value}}})
		if apiErr != nil {
			t.Fatal(apiErr)
		}
		lit := sqlQuote(value)
		if tokenEnd(lit, 0) != len(lit) {
			t.Fatalf("the literal %s ends early", lit)
		}
		if !strings.Contains(sql, "@") && out != sql {
			t.Fatalf("%q became %q", sql, out)
		}
	})
}
