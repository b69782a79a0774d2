package policies

import (
	"slices"
	"testing"

	"github.com/bqgate/bqgate/internal/masking"
)

// A50: which columns BigQuery may call otherwise than the query does. "" is a column without a
// name.
func TestAmbiguousNames(t *testing.T) {
	for name, c := range map[string]struct {
		columns []string
		want    []int
	}{
		"all different":                      {[]string{"a", "b", "a_1"}, nil},
		"twice":                              {[]string{"a", "b", "a"}, []int{0, 2}},
		"twice, in another case":             {[]string{"a", "A"}, []int{0, 1}},
		"three times":                        {[]string{"a", "a", "a"}, []int{0, 1, 2}},
		"written by hand before":             {[]string{"a_1", "a", "a"}, []int{0, 1, 2}},
		"written by hand behind":             {[]string{"a", "a", "a_1"}, []int{0, 1, 2}},
		"written by hand, two numbers":       {[]string{"a", "a_1_2", "a"}, []int{0, 1, 2}},
		"a higher number":                    {[]string{"a", "a_17", "A"}, []int{0, 1, 2}},
		"a name that only begins so":         {[]string{"a", "a_b", "a", "a_1b", "ab_1"}, []int{0, 2}},
		"a number of another name":           {[]string{"a", "b_1", "a"}, []int{0, 2}},
		"without names":                      {[]string{"", "", "a"}, nil},
		"f0_ by hand, all named":             {[]string{"f0_", "a"}, nil},
		"f0_ by hand beside one without":     {[]string{"f0_", ""}, []int{0, 1}},
		"f7_ by hand beside one without":     {[]string{"", "x", "f7_"}, []int{0, 2}},
		"F0_ by hand, another case":          {[]string{"", "F0_"}, []int{0, 1}},
		"f0__1 by hand beside one without":   {[]string{"", "f0__1"}, []int{0, 1}},
		"f0_ twice by hand":                  {[]string{"f0_", "x", "f0_"}, []int{0, 2}},
		"a name that ends in an underscore":  {[]string{"a_", "a_", "a__1"}, []int{0, 1, 2}},
		"a name that is itself with numbers": {[]string{"a_1", "a_1", "a_1_1", "a"}, []int{0, 1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			columns, nameless, count := []masking.Column{}, make([]bool, len(c.columns)), 0
			for i, n := range c.columns {
				if nameless[i] = n == ""; nameless[i] {
					n = []string{"f0_", "f1_"}[count]
					count++
				}
				columns = append(columns, masking.Column{Name: n})
			}
			ambiguous(columns, nameless)
			var got []int
			for i, column := range columns {
				if column.Ambiguous {
					got = append(got, i)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%q: ambiguous %v, want %v", c.columns, got, c.want)
			}
		})
	}
}
