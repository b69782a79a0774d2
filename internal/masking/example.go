package masking

import "strings"

// examples are what a rule makes of an invented value.
var examples = map[Rule]struct{ value, shown string }{
	FirstFourCharacters: {"123-45-6789", "123-XXXXX"},
	LastFourCharacters:  {"123-45-6789", "XXXXX6789"},
	EmailMask:           {"jo@example.com", "XXXXX@example.com"},
	DateYearMask:        {"2026-11-25", "2026-01-01"},
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
		if scalarType(typ) == "TIMESTAMP" {
			return "1970-01-01 00:00:00"
		}
		if shown := strings.Trim(constants[scalarType(typ)], `"`); shown != "" {
			return shown
		}
		return "empty"
	default:
		return examples[rule].shown
	}
}
