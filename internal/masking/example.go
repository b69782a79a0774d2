package masking

import "cmp"

// examples are what a rule makes of an invented value.
var examples = map[Rule]string{
	FirstFourCharacters: "123-XXXXX",
	LastFourCharacters:  "XXXXX6789",
	EmailMask:           "XXXXX@example.com",
	DateYearMask:        "2026-01-01",
}

// Example is what a cell of this scalar type looks like under the rule, made of an invented value,
// for people who decide: "XXXXX6789". It is "" where the cell is shown as it is.
func Example(rule Rule, typ string) string {
	rule = rule.For(typ)
	switch rule {
	case Clear:
		return ""
	case AlwaysNull:
		return "NULL"
	case SHA256, RandomHash:
		return "a hash, the same for the same value"
	case DefaultMaskingValue:
		return cmp.Or(Default(scalarType(typ)), "empty")
	default:
		return examples[rule]
	}
}
