package masking

import "testing"

// What reviewers see of a rule says nothing of a value.
func TestExample(t *testing.T) {
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
