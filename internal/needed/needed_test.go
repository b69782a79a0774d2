package needed

import (
	"fmt"
	"strings"
	"testing"
)

type some struct {
	Text string
	Func func()
	Face fmt.Stringer
	Ptr  *int
}

type stringer struct{ text *string }

func (stringer) String() string { return "" }

// A part that is nil is named, however it is nil.
func TestParts(t *testing.T) {
	whole := some{Func: func() {}, Face: stringer{}, Ptr: new(int)}
	if err := Parts("x", whole); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		change func(*some)
		says   string
	}{
		"a function":               {func(s *some) { s.Func = nil }, "x: missing parts: Func"},
		"a pointer":                {func(s *some) { s.Ptr = nil }, "x: missing parts: Ptr"},
		"an interface":             {func(s *some) { s.Face = nil }, "x: missing parts: Face"},
		"an interface's pointer":   {func(s *some) { s.Face = (*strings.Builder)(nil) }, "x: missing parts: Face"},
		"all that can be missing":  {func(s *some) { *s = some{Text: "x"} }, "x: missing parts: Func, Face, Ptr"},
		"a value is never missing": {func(s *some) { s.Text = "" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := whole
			c.change(&s)
			err := Parts("x", s)
			if got := fmt.Sprint(err); err == nil && c.says != "" || err != nil && got != c.says {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}
