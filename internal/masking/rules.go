package masking

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// strength orders the rules from what shows most to what shows nothing (attack A24). Rules that
// show a part of the value have `partial`.
var strength = map[Rule]struct {
	rank    int
	partial bool
	types   []string // nil: every type
}{
	Clear:               {rank: 1},
	FirstFourCharacters: {rank: 2, partial: true, types: []string{"STRING"}},
	LastFourCharacters:  {rank: 3, partial: true, types: []string{"STRING"}},
	EmailMask:           {rank: 4, partial: true, types: []string{"STRING"}},
	DateYearMask:        {rank: 5, partial: true, types: []string{"DATE", "DATETIME", "TIMESTAMP"}},
	SHA256:              {rank: 6, types: []string{"STRING", "BYTES"}},
	RandomHash:          {rank: 7, types: []string{"STRING", "BYTES"}},
	DefaultMaskingValue: {rank: 8},
	AlwaysNull:          {rank: 9},
}

// Rules lists the rules that a policy may name, strictest first. Clear is not among them: what is
// clear is said by an exemption, never by a mask.
func Rules() []Rule {
	return []Rule{AlwaysNull, DefaultMaskingValue, RandomHash, SHA256, DateYearMask, EmailMask, LastFourCharacters, FirstFourCharacters}
}

// Valid returns the rule of that name, spelt as BigQuery does. The error of an unknown name says
// which rule was probably meant.
func Valid(name string) (Rule, error) {
	rules := Rules()
	if slices.Contains(rules, Rule(name)) {
		return Rule(name), nil
	}
	if strings.EqualFold(name, string(Clear)) {
		return "", fmt.Errorf("mask %s is not a rule: a column is shown by an exemption, not by a mask", name)
	}
	upper := strings.ToUpper(name)
	words := strings.FieldsFunc(upper, func(c rune) bool { return c == '_' || c == '-' || c == ' ' })
	best, most, least := Rule(""), 0, len(name)
	for _, rule := range rules {
		// An abbreviation is nearer in meaning than any count of letters says: LAST_4, HASH, EMAIL,
		// NULL.
		common := 0
		for _, word := range words {
			if len(word) >= 4 && strings.Contains(string(rule), word) {
				common++
			}
		}
		if d := levenshtein.ComputeDistance(upper, string(rule)); common > most || common == most && d < least {
			best, most, least = rule, common, d
		}
	}
	if best == "" {
		return "", fmt.Errorf("mask %q is not a rule (the rules are %s)", name, join(rules))
	}
	return "", fmt.Errorf("mask %s is not a rule (did you mean %s?)", name, best)
}

func join(rules []Rule) string {
	words := make([]string, len(rules))
	for i, rule := range rules {
		words[i] = string(rule)
	}
	return strings.Join(words, ", ")
}

// AppliesTo says whether the rule is defined for values of a scalar GoogleSQL type ("STRING",
// "INT64", also in the API's spelling "INTEGER").
func (r Rule) AppliesTo(typ string) bool {
	known, ok := strength[r]
	name := scalarType(typ)
	if !ok || name == "" {
		return false
	}
	return known.types == nil || slices.Contains(known.types, name)
}

// For is the rule that masks a column of this scalar type: r itself where it applies, else the
// stricter DEFAULT_MASKING_VALUE. An unset or unknown rule, and every rule but Clear on a type that
// is not known, is ALWAYS_NULL; so is Clear on a type that is not known.
func (r Rule) For(typ string) Rule {
	if _, ok := strength[r]; !ok || scalarType(typ) == "" {
		return AlwaysNull
	}
	if !r.AppliesTo(typ) {
		return DefaultMaskingValue
	}
	return r
}

// Stricter is the rule that holds where both do. Two different rules that each show a part of the
// value would together show more than either, so they give DEFAULT_MASKING_VALUE. An unset or
// unknown rule counts as ALWAYS_NULL.
func Stricter(a, b Rule) Rule {
	ka, okA := strength[a]
	kb, okB := strength[b]
	switch {
	case !okA || !okB:
		return AlwaysNull
	case a != b && ka.partial && kb.partial:
		return DefaultMaskingValue
	case ka.rank >= kb.rank:
		return a
	default:
		return b
	}
}

// scalarTypes maps each spelling of a scalar type, GoogleSQL's and the API's, to GoogleSQL's.
var scalarTypes = map[string]string{
	"STRING": "STRING", "BYTES": "BYTES",
	"INT64": "INT64", "INTEGER": "INT64", "FLOAT64": "FLOAT64", "FLOAT": "FLOAT64",
	"NUMERIC": "NUMERIC", "BIGNUMERIC": "BIGNUMERIC",
	"BOOL": "BOOL", "BOOLEAN": "BOOL",
	"DATE": "DATE", "DATETIME": "DATETIME", "TIME": "TIME", "TIMESTAMP": "TIMESTAMP",
	"GEOGRAPHY": "GEOGRAPHY", "JSON": "JSON", "INTERVAL": "INTERVAL", "RANGE": "RANGE",
}

// scalarType is the plain GoogleSQL name of a scalar type without parameters ("NUMERIC(10, 2)" is
// NUMERIC, "RANGE<DATE>" is RANGE), "" if it is not one.
func scalarType(typ string) string {
	if known, ok := scalarTypes[typ]; ok {
		return known
	}
	if i := strings.IndexAny(typ, "(<"); i > 0 {
		name := scalarTypes[strings.TrimSpace(typ[:i])]
		if (typ[i] == '<') == (name == "RANGE") {
			return name
		}
	}
	return ""
}
