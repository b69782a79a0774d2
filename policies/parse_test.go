package policies

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/masking"
)

func TestGlobs(t *testing.T) {
	for _, c := range []struct {
		glob, name      string
		covers, touches bool
	}{
		{"a", "a", true, true}, {"a", "b", false, false}, {"*", "", true, true}, {"*", "x", true, true}, {"a*", "abc", true, true},
		{"*c", "abc", true, true},
		{"a*c", "abc", true, true}, {"a*c", "ab", false, false}, {"a*b*c", "aXbYbZc", true, true}, {"a*b*c", "acb", false, false},
		{"**", "x", true, true},
		{"x", "*", false, true}, {"x*", "*", false, true}, {"*x", "x*", false, true}, {"*", "*", true, true}, {"a*", "b*", false, false},
		{"a*", "*b", false, true},
		{"ab*", "a*", false, true}, {"a*", "ab*", true, true}, {"*a", "*a", true, true}, {"a*a", "a", false, false},
		{"a*a", "aa", true, true},
	} {
		t.Run(c.glob, func(t *testing.T) {
			if got := covers(c.glob, c.name); got != c.covers {
				t.Errorf("covers(%q, %q) is %v", c.glob, c.name, got)
			}
			if got := touches(c.glob, c.name); got != c.touches || touches(c.name, c.glob) != got {
				t.Errorf("touches(%q, %q) is %v", c.glob, c.name, got)
			}
		})
	}
}

// FuzzGlobs compares with the meaning of the words: whatever the name stands for is matched by a
// glob that covers it, and what covers also touches.
func FuzzGlobs(f *testing.F) {
	f.Add("a*b", "a*", "xyz")
	f.Add("*", "events_*", "2026")
	f.Add("*_eu", "ev*_eu", "_eu")
	f.Fuzz(func(t *testing.T, glob, name, fill string) {
		if len(glob)+len(name)+len(fill) > 200 || strings.Contains(fill, "*") {
			return
		}
		instance := strings.ReplaceAll(name, "*", fill)
		if covers(glob, name) && !covers(glob, instance) {
			t.Errorf("%q covers %q and not %q", glob, name, instance)
		}
		if covers(glob, instance) && !touches(glob, name) {
			t.Errorf("%q and %q have %q in common", glob, name, instance)
		}
		if touches(glob, name) != touches(name, glob) {
			t.Errorf("touches(%q, %q) depends on the order", glob, name)
		}
	})
}

func TestFold(t *testing.T) {
	for _, pair := range [][2]string{{"SSN", "ssn"}, {"ſſn", "SSN"}, {"K", "k"}, {"Ärger", "äRGER"}, {"ΣΑΣ", "σας"}} {
		if fold(pair[0]) != fold(pair[1]) {
			t.Errorf("%q and %q are told apart", pair[0], pair[1])
		}
	}
	if fold("ssn") == fold("ssm") {
		t.Error("different names are one")
	}
}

func TestSplit(t *testing.T) {
	for text, want := range map[string]string{"a.b.c": "a|b|c", "example.com:p.d.t": "example.com:p|d|t", "example.com:p": "example.com:p",
		"": "", "a.b.INFORMATION_SCHEMA.X": "a|b|INFORMATION_SCHEMA|X"} {
		t.Run(text, func(t *testing.T) {
			if got := strings.Join(split(text), "|"); got != want {
				t.Errorf("%q is %q", text, got)
			}
		})
	}
}

func TestColumnOf(t *testing.T) {
	shape := func(c masking.Column) string {
		var b strings.Builder
		var write func(c masking.Column)
		write = func(c masking.Column) {
			b.WriteString(c.Name + ":" + c.Type)
			if c.Repeated {
				b.WriteString("[]")
			}
			if len(c.Fields) > 0 {
				b.WriteString("{")
				for _, f := range c.Fields {
					write(f)
					b.WriteString(" ")
				}
				b.WriteString("}")
			}
		}
		write(c)
		return b.String()
	}
	for typ, want := range map[string]string{
		"STRING": "x:STRING", "int64": "x:INT64", "NUMERIC(10, 2)": "x:NUMERIC", "STRING(7)": "x:STRING", "RANGE<DATE>": "x:RANGE",
		"ARRAY<STRING>": "x:STRING[]",
		"ARRAY<STRUCT<kind STRING, number STRING>>":   "x:STRUCT[]{kind:STRING number:STRING }",
		"STRUCT<STRING, b INT64>":                     "x:STRUCT{_field_1:STRING b:INT64 }",
		"STRUCT<date DATE, array ARRAY<DATE>>":        "x:STRUCT{date:DATE array:DATE[] }",
		"STRUCT<`a b` STRING>":                        "x:STRUCT{a b:STRING }",
		"STRUCT<ARRAY<INT64>, STRUCT<a RANGE<DATE>>>": "x:STRUCT{_field_1:INT64[] _field_2:STRUCT{a:RANGE } }",
	} {
		t.Run(typ, func(t *testing.T) {
			got, err := columnOf("x", typ)
			if err != nil || shape(got) != want {
				t.Errorf("%s is %s (%v), want %s", typ, shape(got), err, want)
			}
		})
	}
	for _, typ := range []string{"", " ", "<", "ARRAY", "ARRAY<", "ARRAY<STRING", "ARRAY<ARRAY<STRING>>", "STRUCT", "STRUCT<>",
		"STRUCT<a>b", "STRUCT<a STRING", "STRUCT<a STRING,>", "STRING x",
		"NUMERIC(", "NUMERIC(x)", "RANGE", "RANGE<DATE", "STRUCT<`a STRING>", "STRUCT<`` STRING>",
		strings.Repeat("STRUCT<a ", 100) + "INT64" + strings.Repeat(">", 100), strings.Repeat("x", maxTypeText+1)} {
		t.Run(typ, func(t *testing.T) {
			if c, err := columnOf("x", typ); err == nil {
				t.Errorf("%q was understood as %s", shorten(typ), shape(c))
			}
		})
	}
}

func FuzzColumnOf(f *testing.F) {
	f.Add("ARRAY<STRUCT<kind STRING, number STRING>>")
	f.Add("STRUCT<`a b` NUMERIC(1, 2), RANGE<DATE>>")
	f.Fuzz(func(t *testing.T, typ string) {
		c, err := columnOf("x", typ)
		if err == nil && c.Type == "" {
			t.Errorf("%q has no type", typ)
		}
	})
}

func TestUnits(t *testing.T) {
	for text, want := range map[string]int64{"1B": 1, "200GiB": 200 << 30, "1TiB": 1 << 40, "8388607TiB": 8388607 << 40, "5": 0, "5GB": 0,
		"0B": 0, "-1B": 0, "8388608TiB": 0, "1.5GiB": 0, "": 0, "GiB": 0, " 1B": 0, "+1B": 0, "99999999999999999999B": 0} {
		t.Run(text, func(t *testing.T) {
			if got, err := parseSize(text); got != want || (err == nil) != (want != 0) {
				t.Errorf("%q is %d, %v", text, got, err)
			}
		})
	}
	for text, want := range map[string]time.Duration{"1h": time.Hour, "90m": 90 * time.Minute, "1s": time.Second, "720h": 720 * time.Hour,
		"721h": 0, "0s": 0, "-1h": 0, "1": 0, "1d": 0, "": 0, "999ms": 0} {
		t.Run(text, func(t *testing.T) {
			if got, err := parseDuration(text); err == nil && got != want || (err == nil) != (want != 0) {
				t.Errorf("%q is %s, %v", text, got, err)
			}
		})
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 5 << 30: "5 GiB", math.MaxInt64: "8388608 TiB"} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			if got := formatSize(n); got != want {
				t.Errorf("%d is %s", n, got)
			}
		})
	}
}

// FuzzLoad: no text makes the loader panic, and what it loads decides without a panic. Nothing is
// loaded that does not say the version.
func FuzzLoad(f *testing.F) {
	for _, glob := range []string{"examples/*.yaml", "testdata/errors/*.yaml"} {
		files, err := filepath.Glob(glob)
		if err != nil || len(files) == 0 {
			f.Fatal(glob, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	tables := catalog(f)
	f.Fuzz(func(t *testing.T, text string) {
		set, err := LoadBytes("fuzz.yaml", []byte(text), Options{})
		if err != nil {
			if set != nil || err.Error() == "" {
				t.Error("an error with a set, or without words")
			}
			return
		}
		if !strings.Contains(text, "bqgate/v1") {
			t.Error("loaded without a version")
		}
		r := ask(subject("a", "ai-agents"), selects("demo.crm.customers", "ssn"))
		r.Tables, r.RowAccess, r.Estimate = tables, noRowAccess(tables), &Estimate{Bytes: 1}
		checkSound(t, set.decide(r))
	})
}
