package jsonmask

import (
	"testing"

	"github.com/bqgate/bqgate/internal/masking"
)

// The examples that reviewers see are what the masker makes.
func TestExamplesAreMadeOfValues(t *testing.T) {
	for value, c := range map[string]struct {
		typ   string
		rules []masking.Rule
	}{
		"123-45-6789":    {"STRING", []masking.Rule{masking.FirstFourCharacters, masking.LastFourCharacters}},
		"jo@example.com": {"STRING", []masking.Rule{masking.EmailMask}},
		"2026-11-25":     {"DATE", []masking.Rule{masking.DateYearMask}},
	} {
		for _, rule := range c.rules {
			t.Run(string(rule), func(t *testing.T) {
				shown := masking.Example(rule, c.typ)
				if got := string(newCells(nil).appendMasked(nil, &node{rule: rule, typ: c.typ}, []byte(value))); got != `"`+shown+`"` {
					t.Errorf("the mask makes %s of %s, the example says %s", got, value, shown)
				}
			})
		}
	}
}
