package extauthz

import (
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/limits"
)

// everRead is a catalog in whose memory every table is.
type everRead struct{ *listedWorld }

func (everRead) Knows(bigquery.TableID) bool { return true }

// What the gateway has in memory costs its reader nothing. A closed table costs the same whether
// others have read it or nobody could (A62): with an empty budget both are told of the budget.
func TestWhatIsKnownIsFreeToItsReadersAlone(t *testing.T) {
	w := newListedWorld(t, "p.crm.*")
	w.s.Catalog, w.s.Limits = forAll(everRead{w}), limits.New(limits.Config{"lookups": {Burst: 1, PerSecond: 0.01}})
	for i := range 5 {
		if o := w.get("/crm/tables/pay"); o.status != 200 {
			t.Fatalf("known table, time %d: status %d %s", i, o.status, o.body)
		}
	}
	w.get("/hr/tables/reviews") // takes the one that there is
	for _, path := range []string{"/hr/tables/reviews", "/north/tables/pay", "/north/tables/nosuch"} {
		if o := w.get(path); o.status != 403 || !strings.Contains(string(o.body), "rateLimitExceeded") {
			t.Errorf("%s with an empty budget: %d %s", path, o.status, o.body)
		}
	}
}
