package rewrite

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/masking/jsonmask"
)

func jsonText(s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return text
}

// texts are STRINGs that stand at the edges of the rules: lengths around four characters,
// characters of several bytes, what is and what is not an address.
var texts = []string{
	"", "1", "123", "1234", "12345", "123-45-6789", "äöü€", "aäöü€", "😀😀😀😀", "😀😀😀😀😀", "a\u0301bcd", "tab\tnew\nline", `quote' " back\slash`,
	"\x00\x1f", "<>&",
	"abc123@gmail.com", "a@b", "a@b.", "a@.b", "@b.de", "a@b..de", "a@b.de@c.de", "a@@b.de", "a b@c.de", "a\t@c.de", "a@c .de", "a@-c.de",
	"a@c-.de", "a@c.de-", "a@c.-de",
	"a@123-45-6789", "a@1.2.3.4", "a@[1.2.3.4]", "a@c_d.de", "a@c.de?x=1", "a@c.de\n", "a@\u200bc.de", "\u202ea@c.de", "a\u00a0b@c.de",
	"x@a.1", "x@a.1a", "x@a.1-a", "x@a.a1", "x@1.a",
	"first.last+tag@mail.example.com", "ü@b.de", "ü@bücher.de", `a'b"c@x1.co`, "a@xn--bcher-kva.example", "a@b.c.d-e.com", "a@a\u0301.de",
	"a@b.de\u0301", "\u0301@b.de", "A@B.C",
	"a\x7f@b.de", "a~!#$%&'*+-/=?^_`{|}@b.de", "🙂@b.de", "a@🙂.de", "a@b.٣", "a@٣.de", "plain", "ada.abernathy11@fastmail.example",
}

// parts are what random addresses are made of.
var parts = []string{"a", "B", "0", "9", "-", ".", "@", " ", "_", "é", "٣", "\u0301", "🙂", "+", "'", "\n", "de", "com"}

func randomTexts(n int) []string {
	r := rand.New(rand.NewPCG(11, 7))
	out := make([]string, n)
	for i := range out {
		var b strings.Builder
		for range r.IntN(9) {
			b.WriteString(parts[r.IntN(len(parts))])
		}
		if r.IntN(2) == 0 {
			b.WriteString("@" + parts[r.IntN(4)] + "." + parts[r.IntN(len(parts))])
		}
		out[i] = b.String()
	}
	return out
}

// literal writes a STRING or BYTES so that no character of it needs the reader's goodwill.
func literal(prefix, s string) string {
	var b strings.Builder
	b.WriteString(prefix + "'")
	if prefix == "" {
		for _, r := range s {
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	} else {
		for i := range len(s) {
			fmt.Fprintf(&b, `\x%02x`, s[i])
		}
	}
	return b.String() + "'"
}

// values are SQL expressions of a type, NULL among them.
func values(typ string, random bool) []string {
	var out []string
	switch typ {
	case "STRING":
		all := texts
		if random {
			all = append(slices.Clone(texts), randomTexts(150)...)
		}
		for _, s := range all {
			out = append(out, literal("", s))
		}
	case "BYTES":
		for _, s := range append([]string{"", "a", "\x00\xff", "1234", "12345", strings.Repeat("\xfe", 200)}, texts[:20]...) {
			out = append(out, literal("b", s))
		}
	case "INT64":
		out = []string{"0", "-1", "9223372036854775807", "-9223372036854775808"}
	case "FLOAT64":
		out = []string{"0.0", "-1.5", "1e300"}
		if random {
			out = append(out, "IEEE_DIVIDE(0, 0)", "IEEE_DIVIDE(-1, 0)") // the engine cannot put them into a STRUCT or an array
		}
	case "NUMERIC", "BIGNUMERIC":
		out = []string{typ + " '0'", typ + " '-99999999999999999999999999999.999999999'", typ + " '0.000000001'"}
	case "BOOL":
		out = []string{"TRUE", "FALSE"}
	case "DATE":
		out = []string{"DATE '0001-01-01'", "DATE '9999-12-31'", "DATE '1969-12-31'", "DATE '1970-01-01'", "DATE '2024-02-29'"}
	case "DATETIME":
		out = []string{"DATETIME '0001-01-01 00:00:00'", "DATETIME '9999-12-31 23:59:59.999999'", "DATETIME '2024-02-29 12:34:56.5'"}
	case "TIME":
		out = []string{"TIME '00:00:00'", "TIME '23:59:59.999999'"}
	case "TIMESTAMP":
		out = []string{
			"TIMESTAMP '0001-01-01 00:00:00+00'", "TIMESTAMP '9999-12-31 23:59:59.999999+00'", "TIMESTAMP '1969-12-31 23:59:59.5+00'",
			"TIMESTAMP '2024-12-31 23:30:00+00'",
			"TIMESTAMP '2025-01-01 00:30:00+00'", "TIMESTAMP '2024-07-01 00:00:00+00'",
		}
	case "JSON":
		out = []string{`JSON '{"a": "123-45-6789"}'`, `JSON 'null'`, `JSON '7'`}
	case "INTERVAL":
		out = []string{"INTERVAL 5 DAY", "INTERVAL 0 DAY"}
	case "GEOGRAPHY":
		out = []string{"ST_GEOGPOINT(1, 2)"}
	}
	return append(out, "CAST(NULL AS "+typ+")")
}

// TestMasksAsSQL: for each rule and each type, in a column, a field and an array, the SQL of the
// rule gives on the engine what the masker makes of the same cell in flight, byte for byte (numbers
// by value, since an engine writes 0 as it likes), with the column's own type, and never an error.
func TestMasksAsSQL(t *testing.T) {
	d := newDatabase(t)
	salt := []byte("0123456789abcdef0123456789abcdef")
	types := []string{"STRING", "BYTES", "INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC", "BOOL", "DATE", "DATETIME", "TIME", "TIMESTAMP",
		"JSON", "INTERVAL", "GEOGRAPHY"}
	cells := 0
	for _, rule := range append(masking.Rules(), masking.Clear) {
		for _, typ := range types {
			if !rule.AppliesTo(typ) && typ != "INT64" { // one type stands for those on which a rule falls back to DEFAULT_MASKING_VALUE
				continue
			}
			for shape, make := range shapes {
				if (typ == "JSON" || typ == "GEOGRAPHY" || typ == "INTERVAL") && shape != "plain" {
					continue // the engine cannot nest them
				}
				t.Run(fmt.Sprintf("%s/%s/%s", rule, typ, shape), func(t *testing.T) {
					column, sources := make(typ, rule)
					cells += checkMask(t, d, column, sources, salt)
				})
			}
		}
	}
	t.Logf("%d cells", cells)
	if cells < 1500 {
		t.Errorf("only %d cells were compared", cells)
	}
}

// shapes are the places that a masked leaf can have in a column, each with the SQL of columns made
// from its values.
var shapes = map[string]func(typ string, rule masking.Rule) (masking.Column, []string){
	"plain": func(typ string, rule masking.Rule) (masking.Column, []string) {
		return masking.Column{Name: "c", Type: typ, Mask: rule},
			values(typ, typ != "STRING" || rule != masking.AlwaysNull && rule != masking.DefaultMaskingValue)
	},
	"repeated": func(typ string, rule masking.Rule) (masking.Column, []string) {
		return masking.Column{Name: "c", Type: typ, Repeated: true, Mask: rule}, lists(typ, values(typ, false), 7)
	},
	"field": func(typ string, rule masking.Rule) (masking.Column, []string) {
		column := masking.Column{Name: "c", Type: "STRUCT",
			Fields: []masking.Column{{Name: "order", Type: "INT64", Mask: masking.Clear}, {Name: "leaf", Type: typ, Mask: rule}}}
		sources := []string{"CAST(NULL AS STRUCT<`order` INT64, leaf " + typ + ">)"}
		for i, v := range values(typ, false) {
			sources = append(sources, fmt.Sprintf("STRUCT(%d AS `order`, %s AS leaf)", i, v))
		}
		return column, sources
	},
	"field of repeated": func(typ string, rule masking.Rule) (masking.Column, []string) {
		column := masking.Column{
			Name: "c", Type: "STRUCT", Repeated: true,
			Fields: []masking.Column{{Name: "kind", Type: "STRING", Mask: masking.Clear}, {Name: "leaf", Type: typ, Mask: rule}},
		}
		var structs []string
		for i, v := range values(typ, false) {
			structs = append(structs, fmt.Sprintf("STRUCT('k%d' AS kind, %s AS leaf)", i, v))
		}
		return column, lists("STRUCT<kind STRING, leaf "+typ+">", structs, 5)
	},
	"repeated in field": func(typ string, rule masking.Rule) (masking.Column, []string) {
		column := masking.Column{Name: "c", Type: "STRUCT", Fields: []masking.Column{{Name: "list", Type: typ, Repeated: true, Mask: rule}}}
		var sources []string
		for _, list := range lists(typ, values(typ, false), 3) {
			sources = append(sources, "STRUCT("+list+" AS list)")
		}
		return column, sources
	},
}

// lists makes arrays of up to n values; NULL cannot be an element of a result.
func lists(element string, values []string, n int) []string {
	out := []string{"CAST([] AS ARRAY<" + element + ">)"}
	for len(values) > 0 {
		take := min(n, len(values))
		list := values[:take]
		values = values[take:]
		var kept []string
		for _, v := range list {
			if !strings.HasPrefix(v, "CAST(NULL") {
				kept = append(kept, v)
			}
		}
		if len(kept) > 0 {
			out = append(out, "["+strings.Join(kept, ", ")+"]")
		}
	}
	return out
}

func checkMask(t *testing.T, d *database, column masking.Column, sources []string, salt []byte) int {
	t.Helper()
	expression, err := column.SQL("x.`c`", salt)
	if err != nil {
		t.Fatal(err)
	}
	typ, err := column.TypeSQL()
	if err != nil {
		t.Fatal(err)
	}
	null := "CAST(NULL AS " + typ + ")"
	if column.Repeated {
		null = "CAST([] AS " + typ + ")"
	}
	cells := 0
	for chunk := range slices.Chunk(sources, 40) { // the engine cannot take an endless UNION ALL
		from := "(SELECT 0 AS n, " + null + " AS c"
		for i, s := range chunk {
			from += fmt.Sprintf(" UNION ALL SELECT %d, %s", i+1, s)
		}
		result, err := d.run(t.Context(), "SELECT x.c, "+expression+" AS m FROM "+from+") AS x ORDER BY x.n")
		if err != nil {
			t.Fatalf("%s\n%v", expression, err)
		}
		if len(result.Rows) != len(chunk)+1 {
			t.Fatalf("%d rows, want %d", len(result.Rows), len(chunk)+1)
		}
		before, after := result.Schema[0], result.Schema[1]
		after.Name = before.Name
		if b, a := mustJSON(t, before), mustJSON(t, after); a != b {
			t.Errorf("the type changes from %s to %s", b, a)
		}
		for i, row := range result.Rows {
			want := inFlight(t, column, cellJSON(row[0], before), salt)
			got := cellJSON(row[1], after)
			if !sameCell(got, want) {
				t.Errorf("%.300s: SQL gives %.300s, in flight %.300s", append([]string{null}, chunk...)[i], got, want)
			}
		}
		cells += len(result.Rows)
	}
	return cells
}

// inFlight is what the masker makes of a cell, written anew.
func inFlight(t *testing.T, column masking.Column, cell string, salt []byte) string {
	t.Helper()
	m := jsonmask.NewResults(masking.Plan{Columns: []masking.Column{column}}, jsonmask.Options{Salt: salt})
	out, err := m.Write([]byte(`{"rows":[{"f":[{"v":` + cell + `}]}]}`))
	text := string(out)
	if err == nil {
		err = m.Close()
	}
	if err != nil {
		t.Fatalf("mask %s: %v", cell, err)
	}
	text = strings.TrimSuffix(strings.TrimPrefix(text, `{"rows":[{"f":[{"v":`), `}]}]}`)
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return mustJSON(t, v)
}

func mustJSON(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sameCell compares what does not depend on how an engine writes a number or an instant.
func sameCell(a, b string) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	return sameValue(x, y)
}

func sameValue(x, y any) bool {
	switch x := x.(type) {
	case string:
		other, ok := y.(string)
		if !ok {
			return false
		}
		if x == other || strings.ReplaceAll(x, "POINT (", "POINT(") == other {
			return true
		}
		a, errA := strconv.ParseFloat(x, 64)
		b, errB := strconv.ParseFloat(other, 64)
		return errA == nil && errB == nil && a == b && a == 0
	case []any:
		other, ok := y.([]any)
		if !ok || len(x) != len(other) {
			return false
		}
		for i := range x {
			if !sameValue(x[i], other[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		other, ok := y.(map[string]any)
		if !ok || len(x) != len(other) {
			return false
		}
		for k := range x {
			if !sameValue(x[k], other[k]) {
				return false
			}
		}
		return true
	default:
		return x == y
	}
}

// TestMaskCannotBeSQL: what cannot be written is said so, never written wrongly.
func TestMaskCannotBeSQL(t *testing.T) {
	field := func(name, typ string, rule masking.Rule) masking.Column {
		return masking.Column{Name: "s", Type: "STRUCT", Fields: []masking.Column{{Name: name, Type: typ, Mask: rule}}}
	}
	for name, c := range map[string]struct {
		column masking.Column
		salt   []byte
	}{
		"no salt":            {masking.Column{Name: "c", Type: "STRING", Mask: masking.RandomHash}, nil},
		"unknown type":       {masking.Column{Name: "c", Type: "PROTO", Mask: masking.SHA256}, []byte("x")},
		"range without type": {masking.Column{Name: "c", Type: "RANGE", Mask: masking.AlwaysNull}, []byte("x")},
		"back quote":         {field("a`b", "STRING", masking.SHA256), []byte("x")},
		"back slash":         {field(`a\`, "STRING", masking.SHA256), []byte("x")},
		"no name":            {field("", "STRING", masking.SHA256), []byte("x")},
	} {
		t.Run(name, func(t *testing.T) {
			if text, err := c.column.SQL("c", c.salt); !errors.Is(err, masking.ErrNotSQL) || text != "" {
				t.Errorf("%s: %q, %v", name, text, err)
			}
		})
	}
	// The salt must not stand in the text, and what is shown of the text must not give it away.
	salt := []byte("0123456789abcdef0123456789abcdef")
	text, err := (masking.Column{Name: "c", Type: "STRING", Mask: masking.RandomHash}).SQL("c", salt)
	if err != nil {
		t.Fatal(err)
	}
	shown := masking.HideSaltSQL(text, salt)
	if want := "TO_BASE64(SHA256(CONCAT(b'(salt)', SHA256(CONCAT(b'(salt)', CAST(c AS BYTES))))))"; shown != want {
		t.Errorf("shown as %s", shown)
	}
	for _, secret := range []string{string(salt), base64.StdEncoding.EncodeToString(salt), fmt.Sprintf("%x", salt)} {
		t.Run(secret, func(t *testing.T) {
			if strings.Contains(text, secret) {
				t.Errorf("the salt stands in %s", text)
			}
		})
	}
}
