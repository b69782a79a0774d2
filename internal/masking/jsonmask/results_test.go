package jsonmask

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/masking"
)

// mask runs a document through a masker in chunks of n bytes.
func mask(plan masking.Plan, o Options, doc string, n int) (string, error) {
	return maskWith(NewResults(plan, o), doc, func() int { return n })
}

func maskWith(m *Results, doc string, size func() int) (string, error) {
	var out strings.Builder
	for p := []byte(doc); len(p) > 0; {
		n := min(max(size(), 1), len(p))
		chunk := append([]byte(nil), p[:n]...) // of its own, so that nothing may be kept of it
		b, err := m.Write(chunk)
		clear(chunk)
		if err != nil {
			return out.String(), err
		}
		out.Write(b)
		p = p[n:]
	}
	return out.String(), m.Close()
}

var cellPattern = regexp.MustCompile(`"v":("(?:[^"\\]|\\.)*"|null)`)

func cellsOf(t *testing.T, doc string) (cells []string) {
	t.Helper()
	for _, match := range cellPattern.FindAllStringSubmatch(doc, -1) {
		cells = append(cells, match[1])
	}
	return cells
}

// customers is the plan of the demo's crm.customers, as its agents see it.
var customers = masking.Plan{Columns: []masking.Column{
	{Name: "id", Type: "INT64", Mask: masking.Clear},
	{Name: "ssn", Type: "STRING", Mask: masking.LastFourCharacters},
	{Name: "card_number", Type: "STRING", Mask: masking.AlwaysNull},
	{Name: "address", Type: "STRUCT",
		Fields: []masking.Column{{Name: "street", Type: "STRING", Mask: masking.AlwaysNull}, {Name: "city", Type: "STRING",
			Mask: masking.Clear}}},
	{Name: "phones", Type: "STRUCT", Repeated: true,
		Fields: []masking.Column{{Name: "kind", Type: "STRING", Mask: masking.Clear}, {Name: "number", Type: "STRING",
			Mask: masking.DefaultMaskingValue}}},
	{Name: "email", Type: "STRING", Repeated: true, Mask: masking.EmailMask},
}, Sensitive: true}

const customersDoc = `{
  "kind": "bigquery#queryResponse", "etag": "digest of it all",
  "schema": {"fields": [
    {"name": "id", "type": "INTEGER", "mode": "NULLABLE"}, {"name": "SSN", "type": "STRING", "description": "x"}, {"name": "card_number", "type": "STRING"},
    {"name": "address", "type": "RECORD", "fields": [{"name": "street", "type": "STRING"}, {"name": "city", "type": "STRING"}]},
    {"name": "phones", "type": "RECORD", "mode": "REPEATED", "fields": [{"name": "kind", "type": "STRING"}, {"name": "number", "type": "STRING"}]},
    {"name": "email", "type": "STRING", "mode": "REPEATED"}]},
  "errors": [{"message": "bad value: 123-45-6789"}],
  "jobReference": {"projectId": "p", "jobId": "j", "location": "US"},
  "rows": [
    {"f": [{"v": "1"}, {"v": "123-45-\u0036789"}, {"v": "4111111111111111"}, {"v": {"f": [{"v": "Hauptstra\u00dfe 1"}, {"v": "Köln \ud83d\ude00"}]}},
      {"v": [{"v": {"f": [{"v": "home"}, {"v": "555-1234"}]}}, {"v": {"f": [{"v": null}, {"v": null}]}}]}, {"v": [{"v": "a@b.de"}, {"v": "c@d.org"}]}]},
    {"f": [{"v": null}, {"v": null}, {"v": null}, {"v": null}, {"v": []}, {"v": []}]}
  ],
  "dmlStats": {"insertedRowCount": "1"}, "newThing": {"raw": "4111111111111111"}, "totalRows": "2", "pageToken": "next", "jobComplete": true,
  "statistics": null
}
`

const customersMasked = `{
  "kind": "bigquery#queryResponse",
  "schema": {"fields":[{"name":"id","type":"INTEGER","mode":"NULLABLE"},{"name":"SSN","type":"STRING"},{"name":"card_number","type":"STRING"},{"name":"address","type":"RECORD","fields":[{"name":"street","type":"STRING"},{"name":"city","type":"STRING"}]},{"name":"phones","type":"RECORD","mode":"REPEATED","fields":[{"name":"kind","type":"STRING"},{"name":"number","type":"STRING"}]},{"name":"email","type":"STRING","mode":"REPEATED"}]},
  "jobReference": {"projectId":"p","jobId":"j","location":"US"},
  "rows": [
    {"f": [{"v": "1"}, {"v": "XXXXX6789"}, {"v": null}, {"v": {"f": [{"v": null}, {"v": "Köln \ud83d\ude00"}]}},
      {"v": [{"v": {"f": [{"v": "home"}, {"v": ""}]}}, {"v": {"f": [{"v": null}, {"v": ""}]}}]}, {"v": [{"v": "XXXXX@b.de"}, {"v": "XXXXX@d.org"}]}]},
    {"f": [{"v": null}, {"v": null}, {"v": null}, {"v": null}, {"v": []}, {"v": []}]}
  ], "totalRows": "2", "pageToken": "next", "jobComplete": true
}`

// TestResultsAnyChunk masks a document with everything in it, cut at every size and at random: the
// output is the same to the byte.
func TestResultsAnyChunk(t *testing.T) {
	for n := 1; n <= len(customersDoc); n++ {
		got, err := mask(customers, Options{}, customersDoc, n)
		if err != nil || got != customersMasked {
			t.Fatalf("chunks of %d: %v\n%s", n, err, got)
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		got, err := maskWith(NewResults(customers, Options{}), customersDoc, func() int { return r.IntN(30) })
		if err != nil || got != customersMasked {
			t.Fatalf("random chunks: %v\n%s", err, got)
		}
	}
}

func TestHeadAndCounters(t *testing.T) {
	m := NewResults(customers, Options{})
	before, after, _ := strings.Cut(customersDoc, `"rows"`)
	if _, err := m.Write([]byte(before)); err != nil {
		t.Fatal(err)
	}
	h := m.Head()
	if h.JobReference != (JobReference{"p", "j", "US"}) || !h.HasSchema || h.JobComplete != nil || h.TotalRows != nil || h.PageToken != "" {
		t.Errorf("head before the rows: %+v", h)
	}
	out, err := m.Write([]byte(`"rows"` + after))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	h = m.Head()
	if h.JobComplete == nil || !*h.JobComplete || h.TotalRows == nil || *h.TotalRows != 2 || h.PageToken != "next" {
		t.Errorf("head: %+v", h)
	}
	want := Counters{Rows: 2, BytesIn: uint64(len(customersDoc)), BytesOut: uint64(len(customersMasked))}
	if m.Counters() != want || m.RowsSeen() != 2 || len(out) == 0 {
		t.Errorf("counters %+v, want %+v", m.Counters(), want)
	}
}

func TestKeepAndRewrite(t *testing.T) {
	plan := masking.Plan{Columns: []masking.Column{{Name: "a", Type: "STRING", Mask: masking.Clear}}}
	const doc = `{"kind":"k","etag":"e","errors":[],"jobReference":{"projectId":"p","jobId":"j"},"rows":[{"f":[{"v":"x"}]}],` +
		`"totalRows":"1","jobComplete":true}`
	only := func(names ...string) func(string) bool {
		return func(name string) bool {
			for _, n := range names {
				if n == name {
					return true
				}
			}
			return false
		}
	}
	for _, c := range []struct {
		keep func(string) bool
		want string
	}{
		{nil, `{"kind":"k","etag":"e","jobReference":{"projectId":"p","jobId":"j"},"rows":[{"f":[{"v":"x"}]}],"totalRows":"1",` +
			`"jobComplete":true}`},
		{only(), `{}`},
		{only("rows"), `{"rows":[{"f":[{"v":"x"}]}]}`},
		{only("kind", "jobComplete"), `{"kind":"k","jobComplete":true}`},
		{only("errors", "kind", "dmlStats"), `{"kind":"k"}`}, // what may not pass cannot be asked for either
	} {
		t.Run(c.want, func(t *testing.T) {
			for n := 1; n < 9; n++ {
				m := NewResults(plan, Options{Keep: c.keep})
				got, err := maskWith(m, doc, func() int { return n })
				if err != nil || got != c.want || m.RowsSeen() != 1 || m.Head().JobReference.JobID != "j" {
					t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
				}
			}
		})
	}
	rewrite := func(name string, value []byte) ([]byte, error) {
		switch name {
		case "jobReference":
			return []byte(`{"jobId":"j"}`), nil
		case "kind":
			return nil, errors.New("no")
		case "jobComplete":
			return nil, nil
		}
		return value, nil
	}
	got, err := mask(plan, Options{Keep: only("jobReference", "totalRows", "jobComplete"), Rewrite: rewrite}, doc, 3)
	if want := `{"jobReference":{"jobId":"j"},"totalRows":"1"}`; err != nil || got != want {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := mask(plan, Options{Rewrite: rewrite}, doc, 3); err == nil {
		t.Error("an error of Rewrite was ignored")
	}
}

// TestEtagIsADigest: with the digest of the raw answer a reader could check guesses of what is
// masked.
func TestEtagIsADigest(t *testing.T) {
	for _, c := range []struct {
		rule masking.Rule
		want string
	}{{masking.Clear, `{"etag":"e"}`}, {masking.SHA256, `{}`}, {"", `{}`}} {
		t.Run(c.want, func(t *testing.T) {
			plan := masking.Plan{Columns: []masking.Column{{Name: "s", Type: "STRUCT", Fields: []masking.Column{{Name: "a",
				Type: "STRING", Mask: c.rule}}}}}
			if got, err := mask(plan, Options{}, `{"etag":"e"}`, 4); err != nil || got != c.want {
				t.Errorf("under %q: %s, %v", c.rule, got, err)
			}
		})
	}
	if got, err := mask(masking.Plan{Sensitive: true}, Options{}, `{"etag":"e"}`, 4); err != nil || got != `{}` {
		t.Errorf("sensitive: %s, %v", got, err)
	}
}

func TestCaps(t *testing.T) {
	plan := masking.Plan{Columns: []masking.Column{{Name: "a", Type: "STRING", Mask: masking.Clear}}}
	row := `{"f":[{"v":"x"}]}`
	doc := func(n int) string { return `{"rows":[` + strings.TrimSuffix(strings.Repeat(row+",", n), ",") + `]}` }
	for _, n := range []int{1, 2, 3, 50} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			for _, chunk := range []int{1, 7, 1000} {
				if _, err := mask(plan, Options{MaxRows: uint64(n)}, doc(n), chunk); err != nil {
					t.Errorf("%d of %d rows: %v", n, n, err)
				}
				out, err := mask(plan, Options{MaxRows: uint64(n)}, doc(n+1), chunk)
				if !errors.Is(err, masking.ErrCap) || strings.Count(out, row) > n {
					t.Errorf("%d of %d rows: %v, %s", n+1, n, err, out)
				}
			}
		})
	}
	size := uint64(len(doc(9)))
	if _, err := mask(plan, Options{MaxBytes: size}, doc(9), 10); err != nil {
		t.Error(err)
	}
	if out, err := mask(plan, Options{MaxBytes: size - 1}, doc(9), 10); !errors.Is(err, masking.ErrCap) || uint64(len(out)) >= size {
		t.Errorf("%v after %d bytes", err, len(out))
	}
}

// TestRefused has answers that are not exactly what was decided on. However they are cut, they end
// in an error, and the error stays.
func TestRefused(t *testing.T) {
	plan := masking.Plan{Columns: []masking.Column{
		{Name: "a", Type: "STRING", Mask: masking.Clear}, {Name: "b", Type: "STRING", Mask: masking.AlwaysNull},
		{Name: "s", Type: "STRUCT", Fields: []masking.Column{{Name: "x", Type: "STRING", Mask: masking.SHA256}}},
		{Name: "r", Type: "INT64", Repeated: true, Mask: masking.Clear},
	}}
	const good = `{"f":[{"v":"1"},{"v":"2"},{"v":{"f":[{"v":"3"}]}},{"v":[{"v":"4"}]}]}`
	rows := func(row string) string { return `{"rows":[` + good + `,` + row + `]}` }
	schema := func(s string) string { return `{"schema":` + s + `}` }
	const goodFields = `{"name":"a","type":"STRING"},{"name":"b","type":"STRING"},{"name":"s","type":"RECORD","fields":[{"name":"x",` +
		`"type":"STRING"}]},{"name":"r","type":"INTEGER","mode":"REPEATED"}`
	for _, ok := range []string{rows(good), schema(`{"fields":[` + goodFields + `]}`), `{}`, `{"rows":[]}`, " \n{ } \t",
		rows(strings.ReplaceAll(good, `"`, `  "`))} {
		t.Run(ok, func(t *testing.T) {
			ok := strings.ReplaceAll(ok, `  "`, `"`)
			if _, err := mask(plan, Options{}, ok, 3); err != nil {
				t.Fatalf("%s: %v", ok, err)
			}
		})
	}
	for name, doc := range map[string]string{
		"nothing":                      ``,
		"blanks":                       `  `,
		"not an object":                `[]`,
		"a byte order mark":            "\ufeff{}",
		"cut":                          `{"rows":[`,
		"cut behind a row":             `{"rows":[` + good,
		"cut behind the rows":          `{"rows":[` + good + `]`,
		"data behind":                  `{} x`,
		"a second document":            `{}{}`,
		"duplicate member":             `{"kind":"a","kind":"b"}`,
		"duplicate rows":               `{"rows":[],"rows":[` + good + `]}`,
		"duplicate unknown member":     `{"x":1,"x":2}`,
		"escaped member name":          `{"ro\u0077s":[]}`,
		"member name of other signs":   `{"röws":[]}`,
		"no member name":               `{:1}`,
		"no colon":                     `{"kind" "a"}`,
		"comma first":                  `{,"kind":"a"}`,
		"comma last":                   `{"kind":"a",}`,
		"two commas":                   `{"kind":"a",,"etag":"b"}`,
		"no comma":                     `{"kind":"a" "etag":"b"}`,
		"a comment":                    `{/**/"kind":"a"}`,
		"single quotes":                `{'kind':'a'}`,
		"bad unknown member":           `{"x":{"a":}}`,
		"duplicate in unknown member":  `{"x":{"a":1,"a":2}}`,
		"bad UTF-8 in a member":        "{\"kind\":\"\xff\"}",
		"lone surrogate in a member":   `{"kind":"\ud800"}`,
		"unclosed array in a member":   `{"x":[}`,
		"crossed brackets":             `{"x":[{]}}`,
		"kind no string":               `{"kind":1}`,
		"kind null":                    `{"kind":null}`,
		"jobComplete no boolean":       `{"jobComplete":"true"}`,
		"jobComplete null":             `{"jobComplete":null}`,
		"totalRows negative":           `{"totalRows":"-1"}`,
		"totalRows float":              `{"totalRows":1e3}`,
		"totalRows text":               `{"totalRows":"123-45-6789"}`,
		"jobReference no object":       `{"jobReference":"p"}`,
		"member too deep":              `{"x":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`,
		"member too long":              `{"x":"` + strings.Repeat("a", maxValue) + `"}`,
		"blanks too long":              `{` + strings.Repeat(" ", maxHead+1) + `}`,
		"schema null":                  schema(`null`),
		"schema without fields":        schema(`{}`),
		"schema short":                 schema(`{"fields":[{"name":"a","type":"STRING"}]}`),
		"schema swapped":               schema(`{"fields":[` + strings.NewReplacer(`"a"`, `"b"`, `"b"`, `"a"`).Replace(goodFields) + `]}`),
		"schema of another type":       schema(`{"fields":[` + strings.Replace(goodFields, `STRING`, `INTEGER`, 1) + `]}`),
		"schema of no type":            schema(`{"fields":[` + strings.Replace(goodFields, `STRING`, ``, 1) + `]}`),
		"schema of another mode":       schema(`{"fields":[` + strings.Replace(goodFields, `REPEATED`, `NULLABLE`, 1) + `]}`),
		"schema of unknown mode":       schema(`{"fields":[` + strings.Replace(goodFields, `"a"`, `"a","mode":"SECRET"`, 1) + `]}`),
		"schema of other nested field": schema(`{"fields":[` + strings.Replace(goodFields, `"x"`, `"y"`, 1) + `]}`),
		"schema with fields of a leaf": schema(`{"fields":[` + strings.Replace(goodFields, `"a"`, `"a","fields":[{"name":"x",`+
			`"type":"STRING"}]`, 1) + `]}`),
		"rows null":                   `{"rows":null}`,
		"rows object":                 `{"rows":{}}`,
		"row null":                    rows(`null`),
		"row array":                   rows(`[]`),
		"row empty":                   rows(`{}`),
		"row without cells":           rows(`{"f":[]}`),
		"row short":                   rows(strings.Replace(good, `{"v":"1"},`, ``, 1)),
		"row long":                    rows(strings.Replace(good, `{"v":"1"},`, `{"v":"1"},{"v":"1"},`, 1)),
		"row longer at the end":       rows(strings.TrimSuffix(good, `]}`) + `,{"v":"secret"}]}`),
		"row with another member":     rows(strings.TrimSuffix(good, `}`) + `,"g":1}`),
		"row with two f":              rows(strings.TrimSuffix(good, `}`) + `,"f":[]}`),
		"row member before f":         rows(`{"g":1,` + good[1:]),
		"cell with two v":             rows(strings.Replace(good, `"v":"2"`, `"v":"2","v":"secret"`, 1)),
		"cell with another member":    rows(strings.Replace(good, `"v":"2"`, `"v":"2","w":"secret"`, 1)),
		"cell without v":              rows(strings.Replace(good, `"v":"2"`, ``, 1)),
		"cell named otherwise":        rows(strings.Replace(good, `"v":"2"`, `"V":"2"`, 1)),
		"cell named by an escape":     rows(strings.Replace(good, `"v":"2"`, `"\u0076":"2"`, 1)),
		"cell name with a blank":      rows(strings.Replace(good, `"v":"2"`, `"v ":"2"`, 1)),
		"cell no object":              rows(strings.Replace(good, `{"v":"2"}`, `"2"`, 1)),
		"cell number":                 rows(strings.Replace(good, `"v":"1"`, `"v":1`, 1)),
		"cell true":                   rows(strings.Replace(good, `"v":"1"`, `"v":true`, 1)),
		"masked cell number":          rows(strings.Replace(good, `"v":"2"`, `"v":2`, 1)),
		"cell nul":                    rows(strings.Replace(good, `"v":"1"`, `"v":nul`, 1)),
		"cell nulL":                   rows(strings.Replace(good, `"v":"1"`, `"v":nulL`, 1)),
		"cell n ull":                  rows(strings.Replace(good, `"v":"1"`, `"v":n ull`, 1)),
		"scalar for a struct":         rows(strings.Replace(good, `{"f":[{"v":"3"}]}`, `"3"`, 1)),
		"array for a struct":          rows(strings.Replace(good, `{"f":[{"v":"3"}]}`, `[]`, 1)),
		"struct for a scalar":         rows(strings.Replace(good, `"1"`, `{"f":[{"v":"1"}]}`, 1)),
		"struct for a masked scalar":  rows(strings.Replace(good, `"2"`, `{"f":[{"v":"1"}]}`, 1)),
		"array for a scalar":          rows(strings.Replace(good, `"1"`, `[{"v":"1"}]`, 1)),
		"scalar for an array":         rows(strings.Replace(good, `[{"v":"4"}]`, `"4"`, 1)),
		"array in an array":           rows(strings.Replace(good, `{"v":"4"}`, `{"v":[{"v":"4"}]}`, 1)),
		"bare array element":          rows(strings.Replace(good, `{"v":"4"}`, `"4"`, 1)),
		"comma in an array":           rows(strings.Replace(good, `{"v":"4"}`, `{"v":"4"},`, 1)),
		"struct short":                rows(strings.Replace(good, `{"f":[{"v":"3"}]}`, `{"f":[]}`, 1)),
		"struct long":                 rows(strings.Replace(good, `{"v":"3"}`, `{"v":"3"},{"v":"3"}`, 1)),
		"comma behind the rows":       `{"rows":[` + good + `,]}`,
		"no comma between rows":       `{"rows":[` + good + good + `]}`,
		"bad UTF-8":                   rows(strings.Replace(good, `"1"`, "\"\xc3\x28\"", 1)),
		"bad UTF-8 in a masked cell":  rows(strings.Replace(good, `"2"`, "\"\xed\xa0\x80\"", 1)),
		"overlong UTF-8":              rows(strings.Replace(good, `"1"`, "\"\xc0\xaf\"", 1)),
		"lone high surrogate":         rows(strings.Replace(good, `"1"`, `"\ud800"`, 1)),
		"lone low surrogate":          rows(strings.Replace(good, `"1"`, `"\udc00"`, 1)),
		"two high surrogates":         rows(strings.Replace(good, `"1"`, `"\ud800\ud800"`, 1)),
		"bad escape":                  rows(strings.Replace(good, `"1"`, `"\x41"`, 1)),
		"bad escape in a masked cell": rows(strings.Replace(good, `"3"`, `"\x41"`, 1)),
		"bad hex":                     rows(strings.Replace(good, `"1"`, `"\u00g0"`, 1)),
		"control sign":                rows(strings.Replace(good, `"1"`, "\"a\nb\"", 1)),
		"NUL in a masked cell":        rows(strings.Replace(good, `"2"`, "\"\x00\"", 1)),
	} {
		t.Run(name, func(t *testing.T) {
			for n := 1; n <= len(doc)+1; n += 1 + n/8 {
				m := NewResults(plan, Options{})
				if out, err := maskWith(m, doc, func() int { return n }); err == nil {
					t.Fatalf("chunks of %d: accepted %s\nas %s", n, doc, out)
				}
				if _, err := m.Write([]byte("{}")); err == nil || m.Close() == nil {
					t.Fatal("the error was forgotten")
				}
			}
		})
	}
}

func TestRowsWithoutPlan(t *testing.T) {
	for _, plan := range []masking.Plan{{}, {Sensitive: true}} {
		for _, row := range []string{`{"f":[]}`, `{"f":[{"v":"secret"}]}`, `{}`} {
			t.Run(row, func(t *testing.T) {
				if out, err := mask(plan, Options{}, `{"rows":[`+row+`]}`, 3); err == nil {
					t.Errorf("%s passes as %s", row, out)
				}
			})
		}
		if _, err := mask(plan, Options{}, `{"schema":{},"rows":[],"totalRows":"0"}`, 3); err != nil {
			t.Error(err)
		}
	}
}

func TestAnonymousNames(t *testing.T) {
	plan := masking.Plan{Columns: []masking.Column{{Type: "INT64", Mask: masking.Clear},
		{Name: "s", Type: "STRUCT", Fields: []masking.Column{{Type: "STRING", Mask: masking.Clear}}}}}
	schema := func(outer, inner string) string {
		return fmt.Sprintf(`{"schema":{"fields":[{"name":%q,"type":"INTEGER"},{"name":"s","type":"STRUCT","fields":[{"name":%q,`+
			`"type":"STRING"}]}]}}`, outer, inner)
	}
	for _, c := range []struct {
		outer, inner string
		ok           bool
	}{{"f0_", "_field_1", true}, {"f12_", "_field_2", true}, {"f0", "_field_1", false}, {"ssn", "_field_1", false}, {"f0_", "x", false},
		{"", "_field_1", false}, {"_field_1", "f0_", false}, {"xf0_", "_field_1", false}} {
		t.Run(c.outer, func(t *testing.T) {
			if _, err := mask(plan, Options{}, schema(c.outer, c.inner), 9); (err == nil) != c.ok {
				t.Errorf("%q and %q: %v", c.outer, c.inner, err)
			}
		})
	}
}

// The bytes that a query read are told as coarsely as by a dry run, however the answer writes them
// and however it is cut.
func TestBytesAreRounded(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"text": {`{"jobComplete":true,"totalBytesProcessed":"12345678","totalRows":"12345678"}`,
			`{"jobComplete":true,"totalBytesProcessed":"20971520","totalRows":"12345678"}`},
		"number":     {`{"totalBytesProcessed":12345678}`, `{"totalBytesProcessed":"20971520"}`},
		"billed":     {`{"totalBytesBilled":"10485761"}`, `{"totalBytesBilled":"20971520"}`},
		"whole step": {`{"totalBytesBilled":"10485760"}`, `{"totalBytesBilled":"10485760"}`},
		"one":        {`{"totalBytesProcessed":"1"}`, `{"totalBytesProcessed":"10485760"}`},
		"none":       {`{"totalBytesProcessed":"0"}`, `{"totalBytesProcessed":"0"}`},
		"enormous":   {`{"totalBytesProcessed":"18446744073709551615"}`, `{"totalBytesProcessed":"9223372036846387200"}`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 7, len(c.in)} {
				t.Run(fmt.Sprint(size), func(t *testing.T) {
					m, got := NewResults(masking.Plan{}, Options{}), ""
					for piece := range slices.Chunk([]byte(c.in), size) {
						out, err := m.Write(piece)
						if err != nil {
							t.Fatal(err)
						}
						got += string(out)
					}
					if got != c.want || m.Close() != nil {
						t.Errorf("in pieces of %d: %s, want %s", size, got, c.want)
					}
				})
			}
		})
	}
}

// What BigQuery comes to say of a column, a job or an answer beside what is known does not go out,
// withholds nothing, and is named for the operator. Descriptions, default expressions and policy
// tags are of the same kind: they may hold values.
func TestUnknownMembersAreDropped(t *testing.T) {
	plan := masking.Plan{Columns: []masking.Column{
		{Name: "id", Type: "INTEGER"}, {Name: "r", Type: "RANGE"},
		{Name: "s", Type: "RECORD", Fields: []masking.Column{{Name: "x", Type: "NUMERIC"}}},
	}}
	const said = `{"kind":"k","creationTime":"1700000000000","startTime":"1700000000001","endTime":"1700000000002",
		"statementType":"SELECT","totalSlotMs":"42","schema":{"fields":[
		{"name":"id","type":"INTEGER","mode":"NULLABLE","description":"RAW","defaultValueExpression":"'RAW'","policyTags":{"names":["RAW"]},
		 "generatedColumn":{"generatedMode":"GENERATED_ALWAYS","generatedExpressionInfo":{"generationExpression":"RAW"}}},
		{"name":"r","type":"RANGE","rangeElementType":{"type":"DATE","fresh":"RAW"},"dataPolicyList":["RAW"]},
		{"name":"s","type":"RECORD","fields":[{"name":"x","type":"NUMERIC","precision":"10","scale":"2","foreignTypeDefinition":"RAW","collation":"RAW"}]}],
		"foreignTypeInfo":{"typeSystem":"RAW"}},
		"jobReference":{"projectId":"p","jobId":"j","fresh":"RAW"},"jobCreationReason":{"code":"REQUESTED","fresh":"RAW"},"sessionInfo":{"sessionId":"RAW"}}`
	const want = `{"kind":"k","creationTime":"1700000000000","startTime":"1700000000001","endTime":"1700000000002",` +
		`"schema":{"fields":[{"name":"id","type":"INTEGER","mode":"NULLABLE"},` +
		`{"name":"r","type":"RANGE","rangeElementType":{"type":"DATE"}},{"name":"s","type":"RECORD","fields":[{"name":"x",` +
		`"type":"NUMERIC","precision":"10"}]}]},` +
		`"jobReference":{"projectId":"p","jobId":"j"},"jobCreationReason":{"code":"REQUESTED"}}`
	m := NewResults(plan, Options{})
	out, err := m.Write([]byte(said))
	if err != nil || m.Close() != nil {
		t.Fatal(err)
	}
	if got := strings.NewReplacer("\n", "", "\t", "").Replace(string(out)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	dropped := m.Head().Dropped
	slices.Sort(dropped)
	names := strings.Fields(`jobCreationReason.fresh jobReference.fresh schema.fields[].collation schema.fields[].dataPolicyList
		schema.fields[].defaultValueExpression schema.fields[].description schema.fields[].foreignTypeDefinition schema.fields[].generatedColumn
		schema.fields[].policyTags schema.fields[].rangeElementType.fresh schema.fields[].scale schema.foreignTypeInfo sessionInfo`)
	if !slices.Equal(dropped, names) {
		t.Errorf("dropped %q\nwant    %q", dropped, names)
	}
	for name, text := range map[string]string{
		"a range of what is none":  strings.Replace(said, `"DATE"`, `"STRING"`, 1),
		"a precision that is none": strings.Replace(said, `"10"`, `"RAW"`, 1),
		"a member twice":           strings.Replace(said, `"collation"`, `"name"`, 1), "an element type of a number": strings.Replace(said,
			`"type":"INTEGER",`, `"type":"INTEGER","rangeElementType":{"type":"DATE"},`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			m := NewResults(plan, Options{})
			if _, err := m.Write([]byte(text)); err == nil {
				t.Errorf("%s was accepted", name)
			}
		})
	}
}

// TestPlansThatCannotBeUsed: nothing of an answer goes out under a plan that says nothing certain.
func TestPlansThatCannotBeUsed(t *testing.T) {
	for name, column := range map[string]masking.Column{
		"unknown type":          {Name: "x", Type: "VECTOR", Mask: masking.Clear},
		"unknown rule":          {Name: "x", Type: "STRING", Mask: "MASK"},
		"a hash without a salt": {Name: "x", Type: "STRING", Mask: masking.RandomHash},
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := NewResults(masking.Plan{Columns: []masking.Column{column}}, Options{}).Write([]byte(`{}`)); err == nil {
				t.Errorf("%q went out", out)
			}
		})
	}
}
