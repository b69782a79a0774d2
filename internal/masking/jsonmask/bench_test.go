package jsonmask

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/bqgate/bqgate/internal/masking"
)

// benchPlan has ten columns as a customer table has them; masked of them are masked.
func benchPlan(masked map[string]masking.Rule) masking.Plan {
	var plan masking.Plan
	for _, c := range []struct{ name, typ string }{
		{"id", "INT64"}, {"name", "STRING"}, {"email", "STRING"}, {"ssn", "STRING"}, {"city", "STRING"},
		{"note", "STRING"}, {"amount", "NUMERIC"}, {"active", "BOOL"}, {"created", "TIMESTAMP"}, {"country", "STRING"},
	} {
		rule, ok := masked[c.name]
		if !ok {
			rule = masking.Clear
		}
		plan.Columns = append(plan.Columns, masking.Column{Name: c.name, Type: c.typ, Mask: rule})
	}
	return plan
}

// benchDoc is an answer of n rows for benchPlan, as the API prints it.
func benchDoc(n int, pretty bool) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	b.WriteString(`{"kind":"bigquery#queryResponse","jobComplete":true,"rows":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		note := "plain words of a note about the customer, of some length"
		if i%20 == 0 {
			note = "straße \\\"quoted\\\" \\u00e9t\\u00e9"
		}
		fmt.Fprintf(&b, `{"f":[{"v":"%d"},{"v":"name of `+
			`%d"},{"v":"user%d@example.com"},{"v":"%03d-%02d-%04d"},{"v":"Berlin"},{"v":"%s"},{"v":"%d.%02d"},{"v":"%t"},`+
			`{"v":"1.7%09dE9"},{"v":"DE"}]}`,
			i, r.IntN(1e9), r.IntN(1e6), r.IntN(1000), r.IntN(100), r.IntN(10000), note, r.IntN(1e6), r.IntN(100), i%2 == 0, r.IntN(1e9))
	}
	fmt.Fprintf(&b, `],"totalRows":"%d"}`, n)
	if !pretty {
		return b.Bytes()
	}
	v := jsontext.Value(b.Bytes())
	if err := v.Indent(jsontext.WithIndent("  ")); err != nil {
		panic(err)
	}
	return v
}

var (
	benchOne  = map[string]masking.Rule{"ssn": masking.AlwaysNull}
	benchFour = map[string]masking.Rule{"ssn": masking.LastFourCharacters, "email": masking.EmailMask,
		"amount": masking.DefaultMaskingValue, "note": masking.AlwaysNull}
	benchHash = map[string]masking.Rule{"ssn": masking.SHA256}
)

func benchMask(b *testing.B, plan masking.Plan, doc []byte, chunk int, generic bool) {
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		m := NewResults(plan, Options{})
		m.rows.off = generic
		for p := doc; len(p) > 0; {
			n := min(chunk, len(p))
			if _, err := m.Write(p[:n]); err != nil {
				b.Fatal(err)
			}
			p = p[n:]
		}
		if err := m.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

const benchRows = 20000

func BenchmarkBaselineCopy(b *testing.B) {
	doc := benchDoc(benchRows, false)
	out := make([]byte, 64<<10)
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		for p := doc; len(p) > 0; {
			p = p[copy(out, p):]
		}
	}
}

func BenchmarkBaselineJsontextTokens(b *testing.B) {
	doc := benchDoc(benchRows, false)
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		d := jsontext.NewDecoder(bytes.NewReader(doc))
		for {
			if _, err := d.ReadToken(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkResults(b *testing.B) {
	for _, path := range []string{"Learnt", "Generic"} {
		for _, text := range []string{"Compact", "Pretty"} {
			doc := benchDoc(benchRows, text == "Pretty")
			for _, c := range []struct {
				name  string
				rules map[string]masking.Rule
			}{{"NullOne", benchOne}, {"FourRules", benchFour}, {"SHA256One", benchHash}} {
				b.Run(path+"/"+text+"/"+c.name, func(b *testing.B) {
					benchMask(b, benchPlan(c.rules), doc, 64<<10, path == "Generic")
				})
			}
		}
	}
}
