package extproc

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/verdict"
)

// A35: of a result with more rows than the policy lets leave, none does, though its first page is
// short.
func TestAResultOfTooManyRowsStaysBehind(t *testing.T) {
	for _, c := range []struct {
		limit int64
		total string
		pass  bool
	}{
		{limit: 1, total: `"totalRows":"1",`, pass: true},
		{limit: 0, total: `"totalRows":"9000000",`, pass: true},
		{limit: 5, total: `"totalRows":"5",`, pass: true},
		{limit: 1, total: `"totalRows":"2",`},
		{limit: 5, total: `"totalRows":"6",`},
		{limit: 5, total: `"totalRows":"18446744073709551615",`},
		{limit: 5, total: ``},
	} {
		t.Run(fmt.Sprintf("%d of %s", c.limit, c.total), func(t *testing.T) {
			s := newService(t, &journal{})
			first := request(t, s, func(f *verdict.Forward) { f.MaxRows = c.limit })
			body := strings.Replace(rowsBody, `"totalRows":"1",`, c.total, 1)
			sent, err := run(t, s, true, first, responseHeadersOf("via_upstream", "200"), responseBodyOf(body, true))
			if err != nil {
				t.Fatal(err)
			}
			if passed := strings.Contains(got(sent), "XXXXX6789"); passed != c.pass || leaked(sent) {
				t.Errorf("passed %v, leaked %v, want passed %v: %s", passed, leaked(sent), c.pass, got(sent))
			}
		})
	}
}
