package functions

import (
	"strings"
	"testing"
)

func TestLookup(t *testing.T) {
	for name, want := range map[string]Function{
		"upper":        {Name: "UPPER", Total: true},
		"COUNT":        {Name: "COUNT", Total: true, Count: true},
		"array_length": {Name: "ARRAY_LENGTH", Total: true, Length: true},
		"rand":         {Name: "RAND", Generated: true},
		"$divide":      {Name: "$divide"},
		"net.host":     {Name: "NET.HOST"},
		"keys.keyset_chain": {Name: "KEYS.KEYSET_CHAIN",
			Refused: "it works with keys, and what it writes hides a value from every mask"},
		"Ai.Generate":     {Name: "AI.GENERATE", Refused: "it sends data to a model, or runs one that is not known"},
		"hll_count.merge": {Name: "HLL_COUNT.MERGE"},
		"EXTERNAL_QUERY":  {Name: "EXTERNAL_QUERY", Refused: "what it reads is outside BigQuery"},
		"current_user":    {Name: "CURRENT_USER", Generated: true, Account: true, Declared: "() RETURNS STRING"},
		"deterministic_encrypt": {Name: "DETERMINISTIC_ENCRYPT",
			Refused: "it works with keys, and what it writes hides a value from every mask"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, ok := Lookup(name); !ok || got != want {
				t.Errorf("Lookup(%q) = %+v, %t, want %+v", name, got, ok, want)
			}
		})
	}
	for _, name := range []string{"", "NOPE", "NET.NOPE", "net", "AI", "$nope", "$UPPER", "AEADX.F"} {
		t.Run(name, func(t *testing.T) {
			if f, ok := Lookup(name); ok {
				t.Errorf("Lookup(%q) = %+v, want nothing", name, f)
			}
		})
	}
}

func TestRefusalNamesTheFunction(t *testing.T) {
	for name, want := range map[string]string{
		"upper": "", "nope": "the function NOPE is not known to bqgate",
		"ml.predict": "the function ML.PREDICT is not supported: it sends data to a model, or runs one that is not known",
	} {
		t.Run(name, func(t *testing.T) {
			if got := Refusal(name); got != want {
				t.Errorf("Refusal(%q) = %q, want %q", name, got, want)
			}
		})
	}
}

// A refused function has a reason, and none is both refused and called harmless.
func TestTable(t *testing.T) {
	if len(All()) < 300 {
		t.Errorf("the table has %d functions", len(All()))
	}
	for _, f := range append(All(), families["AI."], families["ML."]) {
		if f.Refused != "" && (f.Total || f.Length || f.Count || f.Generated || f.Declared != "") {
			t.Errorf("%s is refused and has a class", f.Name)
		}
		if !strings.HasPrefix(f.Name, "$") && f.Name != strings.ToUpper(f.Name) {
			t.Errorf("%s is not in upper case", f.Name)
		}
	}
}
