package masking

import "testing"

// The examples that reviewers see are what the masker makes.
func TestExample(t *testing.T) {
	for rule, e := range examples {
		typ := "STRING"
		if rule == DateYearMask {
			typ = "DATE"
		}
		c := newCells(nil)
		if got := string(c.appendMasked(nil, &node{rule: rule, typ: typ}, []byte(e.value))); got != `"`+e.shown+`"` {
			t.Errorf("%s makes %s of %s, the example says %s", rule, got, e.value, e.shown)
		}
		if Example(rule, typ) != e.shown {
			t.Errorf("%s: %s", rule, Example(rule, typ))
		}
	}
	for _, c := range []struct {
		rule Rule
		typ  string
		want string
	}{
		{Clear, "STRING", ""}, {AlwaysNull, "NUMERIC", "NULL"}, {"", "STRING", "NULL"}, {"NEW_RULE", "STRING", "NULL"},
		{Clear, "SOMETHING", "NULL"},
		{DefaultMaskingValue, "STRING", "empty"}, {DefaultMaskingValue, "INT64", "0"}, {LastFourCharacters, "INT64", "0"},
		{DateYearMask, "DATE", "2026-01-01"},
	} {
		t.Run(c.typ, func(t *testing.T) {
			if got := Example(c.rule, c.typ); got != c.want {
				t.Errorf("%s of %s: %q, want %q", c.rule, c.typ, got, c.want)
			}
		})
	}
}
