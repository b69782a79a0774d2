package extproc

import (
	"fmt"
	"strings"
	"testing"
)

// What a row costs of a budget cannot be lowered by putting more into it.
func TestCountedRows(t *testing.T) {
	text := func(n int) string { return `{"v":"` + strings.Repeat("x", n) + `"}` }
	array := func(n int, member string) string {
		return `{"v":[` + strings.TrimSuffix(strings.Repeat(member+",", n), ",") + `]}`
	}
	row := func(columns ...string) string { return `{"f":[` + strings.Join(columns, ",") + `]}` }
	strukt := func(columns ...string) string { return `{"v":` + row(columns...) + `}` }
	for name, c := range map[string]struct {
		rows []string
		want uint64
	}{
		"none":                          {nil, 0},
		"rows of scalars":               {[]string{row(text(1), `{"v":null}`), row(text(2), text(3))}, 2},
		"a row of many columns":         {[]string{row(text(1), text(1), text(1), text(1), text(1))}, 1},
		"an empty array":                {[]string{row(array(0, ""))}, 1},
		"ARRAY_AGG of a column":         {[]string{row(array(100, text(1)))}, 100},
		"beside a column":               {[]string{row(text(1), array(3, text(1)))}, 3},
		"ARRAY_AGG of rows":             {[]string{row(array(7, strukt(text(1), text(2))))}, 7},
		"two arrays":                    {[]string{row(array(10, text(1)), array(10, text(1)))}, 20},
		"arrays in structs in an array": {[]string{row(array(3, strukt(text(1), array(4, text(1)))))}, 15},
		"a struct with an array":        {[]string{row(strukt(array(5, text(1)), text(1)))}, 5},
		"a struct is no array":          {[]string{row(strukt(text(1), strukt(text(1), text(1))))}, 1},
		"STRING_AGG":                    {[]string{row(text(100 << 10))}, 101},
		"a text of a KiB":               {[]string{row(text(1024 - len(row(text(0)))))}, 1},
		"and a byte":                    {[]string{row(text(1025 - len(row(text(0)))))}, 2},
		"a null in an array":            {[]string{row(array(4, `{"v":null}`))}, 4},
		"several":                       {[]string{row(array(2, text(1))), row(text(1)), row(array(3, text(1)))}, 6},
	} {
		t.Run(name, func(t *testing.T) {
			answer := `{"kind":"k","jobReference":{"projectId":"p","jobId":"j"},"rows":[` + strings.Join(c.rows, ",") + `],"totalRows":"1"}`
			if got, err := countedRows([]byte(answer)); err != nil || got != c.want {
				t.Errorf("%d, %v; want %d", got, err, c.want)
			}
		})
	}
	t.Run("an answer without rows", func(t *testing.T) {
		if got, err := countedRows([]byte(`{"jobComplete":true}`)); err != nil || got != 0 {
			t.Errorf("%d, %v", got, err)
		}
	})
	for i, broken := range []string{"", "[]", `{"rows":[{"f":[{"v":"x"}`, `{"rows":[{"f":`, `{"rows":`} {
		t.Run(fmt.Sprint("broken ", i), func(t *testing.T) {
			if got, err := countedRows([]byte(broken)); err == nil {
				t.Errorf("%d rows of %s", got, broken)
			}
		})
	}
}
