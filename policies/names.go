package policies

import (
	"regexp"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/masking"
)

// numbered is what BigQuery adds to make a name the only one: of two columns a the second is a_1.
var numbered = regexp.MustCompile(`^(_[0-9]+)+$`)

// anonymousName is how BigQuery calls a column without a name.
var anonymousName = regexp.MustCompile(`^f[0-9]+_`)

// ambiguous marks the columns of a result whose names BigQuery may have to change, because another
// column has the name (SELECT 1 AS a, 2 AS a), or may be given it: a column a_1 beside two columns
// a, a column f0_ beside one without a name. Which of them it changes, and to what, is not
// documented. So these are known by their places alone, and nothing may be selected by such a name
// (A50). nameless says which columns the query does not name.
func ambiguous(columns []masking.Column, nameless []bool) {
	count, without, like := map[string]int{}, false, false
	for i, c := range columns {
		without = without || nameless[i]
		like = like || !nameless[i] && anonymousName.MatchString(fold(c.Name))
		count[fold(c.Name)]++
	}
	for i := range columns {
		name := fold(columns[i].Name)
		columns[i].Ambiguous = count[name] > 1 || without && like && anonymousName.MatchString(name)
		for at := strings.LastIndexByte(name, '_'); at > 0; at = strings.LastIndexByte(name[:at], '_') {
			if count[name[:at]] > 1 && numbered.MatchString(name[at:]) {
				columns[i].Ambiguous = true
			}
		}
	}
}

// metadata says whether the result is what a star makes of one view of INFORMATION_SCHEMA: each
// output column is a whole column of it, under its own name.
func (e *evaluation) metadata() bool {
	s := e.statement
	star := slices.ContainsFunc(s.Uncertain, func(u googlesql.Uncertain) bool { return u.Why == googlesql.WhyInformationSchema && u.Row })
	if !star || len(s.Tables) != 1 || e.input.Transformed != nil {
		return false
	}
	seen := map[string]bool{}
	for _, c := range s.Columns {
		own := s.Tables[0] + "." + c.Name
		if seen[fold(c.Name)] || len(c.Sources) == 0 || c.Name == "" {
			return false
		}
		seen[fold(c.Name)] = true
		for _, source := range c.Sources {
			whole := own
			if source.Path != "" {
				whole += "." + source.Path
			}
			if source.Carry != googlesql.CarryDirect || source.Column != whole {
				return false
			}
		}
	}
	return len(s.Columns) > 0
}
