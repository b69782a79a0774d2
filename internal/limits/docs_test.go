package limits_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/golden"
	"github.com/bqgate/bqgate/internal/limits"
)

// The table of limits in docs/operators.md is the table of the code.
func TestTable(t *testing.T) {
	const path = "../../docs/operators.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(text), "-update -->\n")
	_, after, ends := strings.Cut(rest, "<!-- end -->")
	if !begins || !ends || !strings.Contains(before, "<!-- limits: ") {
		t.Fatal("docs/operators.md has no place for the table of limits")
	}
	var b strings.Builder
	b.WriteString("\n| `limits.` | what is counted, of one owner | default | why it fits 200 agents | beyond it |\n|---|---|---|---|---|\n")
	for _, s := range limits.Kinds {
		l := s.Default
		says := fmt.Sprintf("`{at_once: %d}`", l.AtOnce)
		switch s.Form {
		case limits.Rate:
			says = fmt.Sprintf("`{burst: %d, per_second: %g}`", l.Burst, l.PerSecond)
		case limits.PerHour:
			says = fmt.Sprintf("`{per_hour: %s}`", l.PerHour)
		}
		beyond := s.Beyond
		if beyond == "refused" {
			beyond = "`" + s.Reason + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", s.Key, s.Counts, says, s.Why, beyond)
	}
	golden.File(t, path, []byte(before+"-update -->\n"+b.String()+"\n<!-- end -->"+after))
}
