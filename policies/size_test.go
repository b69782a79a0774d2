package policies

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/identity"
)

// A policy has at most 10,000 entries, over all its files, and says so. At the bound it loads, and
// decides.
func TestEntriesAreBounded(t *testing.T) {
	rules := func(file string, n int) Source {
		var b strings.Builder
		fmt.Fprintf(&b, "version: bqgate/v1\ngroups:\n  %s: {when: '\"%s\" in claims.groups'}\nrules:\n", file, file)
		for i := range n - 1 {
			fmt.Fprintf(&b, "  - {name: %s-%d, groups: [%s], read: ['p.d%d.*'], for: 1h}\n", file, i, file, i)
		}
		return Source{Name: file + ".yaml", Text: []byte(b.String())}
	}
	for name, c := range map[string]struct {
		sources []Source
		fits    bool
	}{
		"at the bound":        {[]Source{rules("a", maxEntries)}, true},
		"beyond":              {[]Source{rules("a", maxEntries+1)}, false},
		"two at the bound":    {[]Source{rules("a", maxEntries/2), rules("b", maxEntries/2)}, true},
		"two beyond together": {[]Source{rules("a", maxEntries/2), rules("b", maxEntries/2+1)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := LoadSources(c.sources, Options{Issuers: []string{"ci"}})
			if !c.fits {
				if err == nil || strings.Count(err.Error(), "the limit is 10000") != 1 {
					t.Fatalf("%.300v", err)
				}
				return
			}
			if err != nil {
				t.Fatalf("%.300v", err)
			}
			begin := time.Now()
			m := set.Membership(identity.Subject{Name: "ci", Claims: map[string]any{"groups": []any{"a"}}})
			if len(m.Groups) != 1 {
				t.Errorf("groups %v", m.Groups)
			}
			t.Logf("asked in %s", time.Since(begin))
		})
	}
}
