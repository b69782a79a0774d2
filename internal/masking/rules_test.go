package masking

import (
	"fmt"
	"strings"
	"testing"
)

func TestValid(t *testing.T) {
	for _, rule := range Rules() {
		if got, err := Valid(string(rule)); err != nil || got != rule {
			t.Errorf("Valid(%s) = %q, %v", rule, got, err)
		}
	}
	for name, want := range map[string]string{
		"LAST_4":                "did you mean LAST_FOUR_CHARACTERS?",
		"last_four_characters":  "did you mean LAST_FOUR_CHARACTERS?",
		"LAST_FOUR_CHARACTER":   "did you mean LAST_FOUR_CHARACTERS?",
		"FIRST_FOUR":            "did you mean FIRST_FOUR_CHARACTERS?",
		"EMAIL":                 "did you mean EMAIL_MASK?",
		"SHA-256":               "did you mean SHA256?",
		"NULL":                  "did you mean ALWAYS_NULL?",
		"DEFAULT":               "did you mean DEFAULT_MASKING_VALUE?",
		"CLEAR":                 "by an exemption",
		"clear":                 "by an exemption",
		"":                      "the rules are ALWAYS_NULL",
		"xyzzy":                 "mask",
		strings.Repeat("q", 99): "mask",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Valid(name)
			if err == nil || got != "" || !strings.Contains(err.Error(), want) {
				t.Errorf("Valid(%q) = %q, %v; want an error with %q", name, got, err, want)
			}
		})
	}
}

// TestStricterOrder is attack A24: of two rules for one column the one that shows less holds,
// whichever group comes first.
func TestStricterOrder(t *testing.T) {
	order := []Rule{AlwaysNull, DefaultMaskingValue, RandomHash, SHA256, DateYearMask, EmailMask, LastFourCharacters, FirstFourCharacters,
		Clear}
	partial := map[Rule]bool{DateYearMask: true, EmailMask: true, LastFourCharacters: true, FirstFourCharacters: true}
	for i, a := range order {
		t.Run(fmt.Sprint(a), func(t *testing.T) {
			for k, b := range order {
				want := order[min(i, k)]
				if a != b && partial[a] && partial[b] {
					want = DefaultMaskingValue
				}
				if got := Stricter(a, b); got != want {
					t.Errorf("Stricter(%s, %s) = %s, want %s", a, b, got, want)
				}
			}
			for _, unknown := range []Rule{"", "NOPE", "clear"} {
				if Stricter(a, unknown) != AlwaysNull || Stricter(unknown, a) != AlwaysNull {
					t.Errorf("Stricter(%s, %q) is not ALWAYS_NULL", a, unknown)
				}
			}
		})
	}
}

func TestFor(t *testing.T) {
	for _, c := range []struct {
		rule Rule
		typ  string
		want Rule
	}{
		{LastFourCharacters, "STRING", LastFourCharacters}, {LastFourCharacters, "STRING(12)", LastFourCharacters},
		{LastFourCharacters, "INT64", DefaultMaskingValue}, {LastFourCharacters, "BYTES", DefaultMaskingValue},
		{SHA256, "BYTES", SHA256}, {SHA256, "JSON", DefaultMaskingValue}, {RandomHash, "NUMERIC(10, 2)", DefaultMaskingValue},
		{EmailMask, "JSON", DefaultMaskingValue}, {DateYearMask, "TIMESTAMP", DateYearMask}, {DateYearMask, "TIME", DefaultMaskingValue},
		{DateYearMask, "STRING", DefaultMaskingValue}, {AlwaysNull, "GEOGRAPHY", AlwaysNull},
		{DefaultMaskingValue, "RANGE<DATE>", DefaultMaskingValue},
		{Clear, "INTEGER", Clear}, {Clear, "RANGE<TIMESTAMP>", Clear},
		{Clear, "", AlwaysNull}, {Clear, "PROTO", AlwaysNull}, {Clear, "STRUCT", AlwaysNull}, {Clear, "STRING<X>", AlwaysNull},
		{Clear, "RANGE(3)", AlwaysNull},
		{"", "STRING", AlwaysNull}, {"NOPE", "STRING", AlwaysNull},
	} {
		t.Run(c.typ, func(t *testing.T) {
			if got := c.rule.For(c.typ); got != c.want {
				t.Errorf("%q.For(%q) = %s, want %s", c.rule, c.typ, got, c.want)
			}
			if got, want := c.rule.AppliesTo(c.typ), c.want == c.rule && c.rule != ""; got != want && c.rule != "NOPE" {
				t.Errorf("%q.AppliesTo(%q) = %t", c.rule, c.typ, got)
			}
		})
	}
}

func TestStricterPlan(t *testing.T) {
	leaf := func(name string, rule Rule) Column { return Column{Name: name, Type: "STRING", Mask: rule} }
	in := func(cover Rule, fields ...Column) Plan {
		return Plan{Columns: []Column{{Name: "s", Type: "STRUCT", Mask: cover, Fields: fields}}}
	}
	for _, c := range []struct {
		name string
		a, b Plan
		want string // rule that the leaf s.x is masked with in the end
	}{
		{"leaf and leaf", in("", leaf("x", Clear)), in("", leaf("x", SHA256)), "SHA256"},
		{"two partial rules", in("", leaf("x", LastFourCharacters)), in("", leaf("x", FirstFourCharacters)), "DEFAULT_MASKING_VALUE"},
		{"cover and leaf", in(LastFourCharacters, leaf("x", Clear)), in("", leaf("x", EmailMask)), "DEFAULT_MASKING_VALUE"},
		{"cover and leaf of one plan", in(LastFourCharacters, leaf("x", EmailMask)), in(SHA256, leaf("x", Clear)), "DEFAULT_MASKING_VALUE"},
		{"cover stays", in(AlwaysNull, leaf("x", Clear)), in("", leaf("x", Clear)), "ALWAYS_NULL"},
		{"unset leaf", in("", leaf("x", "")), in("", leaf("x", Clear)), "ALWAYS_NULL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, swap := range []bool{false, true} {
				a, b := c.a, c.b
				if swap {
					a, b = b, a
				}
				got, err := StricterPlan(a, b)
				if err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
				nodes := got.Cells()
				if rule := string(nodes[0].Fields[0].Rule); rule != c.want {
					t.Errorf("%s: s.x is masked with %s, want %s", c.name, rule, c.want)
				}
			}
		})
	}
	if got, err := StricterPlan(Plan{Sensitive: true}, Plan{}); err != nil || !got.Sensitive {
		t.Errorf("Sensitive is lost: %v %v", got, err)
	}
	one := Plan{Columns: []Column{leaf("x", Clear)}}
	for name, other := range map[string]Plan{
		"no columns":     {},
		"another name":   {Columns: []Column{leaf("y", Clear)}},
		"another type":   {Columns: []Column{{Name: "x", Type: "INT64", Mask: Clear}}},
		"an array":       {Columns: []Column{{Name: "x", Type: "STRING", Repeated: true, Mask: Clear}}},
		"a struct":       {Columns: []Column{{Name: "x", Type: "STRUCT", Fields: []Column{leaf("x", Clear)}}}},
		"one more":       {Columns: []Column{leaf("x", Clear), leaf("y", Clear)}},
		"of no type":     {Columns: []Column{{Name: "x", Mask: Clear}}},
		"of odd type":    {Columns: []Column{{Name: "x", Type: "PROTO", Mask: Clear}}},
		"a deeper field": in("", leaf("x", Clear)),
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := StricterPlan(one, other); err == nil || len(got.Columns) != 0 {
				t.Errorf("StricterPlan with %s = %v, %v", name, got, err)
			}
		})
	}
}

func TestPlanCheck(t *testing.T) {
	deep := Column{Name: "x", Type: "STRING", Mask: Clear}
	for range MaxDepth + 2 {
		deep = Column{Name: "s", Type: "STRUCT", Fields: []Column{deep}}
	}
	for name, column := range map[string]Column{
		"no type":              {Name: "x", Mask: Clear},
		"unknown type":         {Name: "x", Type: "ENUM", Mask: Clear},
		"unknown rule":         {Name: "x", Type: "STRING", Mask: "MASK"},
		"struct of nothing":    {Name: "x", Type: "STRUCT"},
		"scalar with fields":   {Name: "x", Type: "STRING", Mask: Clear, Fields: []Column{{Name: "y", Type: "STRING"}}},
		"bad field":            {Name: "x", Type: "STRUCT", Fields: []Column{{Name: "y", Type: "?"}}},
		"too deep":             deep,
		"unknown cover":        {Name: "x", Type: "STRUCT", Mask: "MASK", Fields: []Column{{Name: "y", Type: "STRING"}}},
		"array of array typed": {Name: "x", Type: "ARRAY<STRING>", Mask: Clear},
	} {
		t.Run(name, func(t *testing.T) {
			plan := Plan{Columns: []Column{column}}
			if plan.Check() == nil {
				t.Errorf("%s: accepted", name)
			}
		})
	}
}
