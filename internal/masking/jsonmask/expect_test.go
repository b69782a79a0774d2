package jsonmask

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/masking"
)

// TestExpect: a cell that BigQuery was made to mask passes as it came if it can be a result of the
// rule, wherever it is cut into chunks; anything else breaks the answer off.
func TestExpect(t *testing.T) {
	const hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
	for _, c := range []struct {
		rule      masking.Rule
		typ       string
		good, bad []string
	}{
		{masking.LastFourCharacters, "STRING", []string{"XXXXX6789", "XXXXXäöü€", `XXXXX\u0036789`, hash},
			[]string{"123-45-6789", "XXXXX16789", "XXXXX789", "", hash[1:], hash + "=", strings.Repeat("A", 44)}},
		{masking.FirstFourCharacters, "STRING", []string{"123-XXXXX", hash}, []string{"123-45-6789", "123-4XXXXX", "XXXXX6789"}},
		{masking.EmailMask, "STRING", []string{"XXXXX@gmail.com", hash}, []string{"abc123@gmail.com", "XXXXX@123-45-6789",
			"XXXXX@gmail", "XXXXX"}},
		{masking.SHA256, "STRING", []string{hash}, []string{"abc", ""}},
		{masking.RandomHash, "BYTES", []string{hash}, []string{"YWJj"}},
		{masking.AlwaysNull, "STRING", nil, []string{"", "x"}},
		{masking.AlwaysNull, "INT64", nil, []string{"0"}},
		{masking.DefaultMaskingValue, "STRING", []string{""}, []string{" ", "x"}},
		{masking.DefaultMaskingValue, "FLOAT64", []string{"0", "0.0", "-0"}, []string{"0.1", "NaN", ""}},
		{masking.DefaultMaskingValue, "BOOL", []string{"false"}, []string{"true"}},
		{masking.DefaultMaskingValue, "TIMESTAMP", []string{"0", "0.0", "0E0", "1970-01-01T00:00:00.000000Z"},
			[]string{"1", "0.5", "1970-01-01T00:00:00.000001Z", "1970-01-01T00:00:00+01:00"}},
		{masking.DefaultMaskingValue, "DATETIME", []string{"1970-01-01T00:00:00", "1970-01-01T00:00:00.000000"},
			[]string{"1970-01-01T00:00:01", "1970-01-01T00:00:00.000001"}},
		{masking.DefaultMaskingValue, "GEOGRAPHY", []string{"POINT(0 0)", "POINT (0 0)"}, []string{"POINT(0 1)"}},
		{masking.DateYearMask, "DATE", []string{"2024-01-01", "0001-01-01"}, []string{"2024-01-02", "2024-02-01", "2024"}},
		{masking.DateYearMask, "DATETIME", []string{"2024-01-01T00:00:00"}, []string{"2024-01-01T00:00:01", "2024-01-01"}},
		{masking.DateYearMask, "TIMESTAMP", []string{"1704067200000000", "1704067200.0", "1.7040672E9", "2024-01-01T00:00:00.000000Z"},
			[]string{"1704067200000001", "1704067200.5", "1704067201.0", "2024-01-01T00:00:00.5Z"}},
		{masking.LastFourCharacters, "INT64", []string{"0"}, []string{"6789"}}, // not its type: DEFAULT_MASKING_VALUE
	} {
		t.Run(c.typ, func(t *testing.T) {
			plan := masking.Plan{Columns: []masking.Column{{Name: "a", Type: "INT64", Mask: masking.Clear}, {Name: "c",
				Type: c.typ, Mask: masking.Clear, Expect: c.rule}}}
			list := masking.Plan{Columns: []masking.Column{
				{Name: "s", Type: "STRUCT", Repeated: true, Fields: []masking.Column{{Name: "c", Type: c.typ,
					Mask: masking.Clear, Expect: c.rule}}},
			}}
			for _, text := range append([]string{"null"}, c.good...) {
				cell := `"` + text + `"`
				if text == "null" {
					cell = text
				}
				rows := strings.Repeat(`,{"f":[{"v":"77"},{"v":`+cell+`}]}`, 5)
				doc := `{"rows":[` + rows[1:] + `]}`
				for seed := range uint64(20) {
					if got, err := mask(plan, Options{}, doc, int(1+rand.New(rand.NewPCG(seed, 1)).IntN(len(doc)))); err != nil ||
						got != doc {
						t.Errorf("%s %s %s: %s, %v", c.rule, c.typ, cell, got, err)
					}
				}
				doc = fmt.Sprintf(`{"rows":[{"f":[{"v":[{"v":{"f":[{"v":%s}]}}]}]}]}`, cell)
				if got, err := mask(list, Options{}, doc, 1); err != nil || got != doc {
					t.Errorf("nested %s %s %s: %s, %v", c.rule, c.typ, cell, got, err)
				}
			}
			for _, text := range c.bad {
				good := "null"
				doc := `{"rows":[{"f":[{"v":"77"},{"v":` + good + `}]},{"f":[{"v":"77"},{"v":` + good + `}]},{"f":[{"v":"77"},{"v":"` +
					text +
					`"}]}]}`
				for chunk := range len(doc) {
					got, err := mask(plan, Options{}, doc, chunk+1)
					if !errors.Is(err, errUnmasked) || text != "" && strings.Contains(got, `"`+text+`"}`) {
						t.Errorf("%s %s %q in chunks of %d: %s, %v", c.rule, c.typ, text, chunk+1, got, err)
					}
				}
				if _, err := mask(list, Options{}, `{"rows":[{"f":[{"v":[{"v":{"f":[{"v":"`+text+`"}]}}]}]}]}`, 1000); !errors.Is(err,
					errUnmasked) {
					t.Errorf("nested %s %s %q: %v", c.rule, c.typ, text, err)
				}
			}
		})
	}
	if (masking.Plan{Columns: []masking.Column{{Name: "c", Type: "STRING", Mask: masking.Clear, Expect: "NOPE"}}}).Check() == nil {
		t.Error("an unknown rule is expected")
	}
}
