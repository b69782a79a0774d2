package extauthz

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/audit/audittest"
	"github.com/bqgate/bqgate/internal/limits"
)

// sized is a journal whose records take so many bytes each.
type sized struct {
	audittest.Journal
	each int64
}

func (s *sized) Append(ctx context.Context, r audit.Record) (audit.Position, error) {
	at, err := s.Journal.Append(ctx, r)
	at.Took = s.each
	return at, err
}

// A54: what may run or waits is recorded whole, however it is padded, and so is what leaves for a
// dry run. Of what is refused, and of what reads a job that was recorded before, long texts are
// cut.
func TestWhatIsKeptWhole(t *testing.T) {
	padding := strings.Repeat("-- padding\n", 20_000)
	long := "SELECT employee FROM finance.payroll " + padding + "-- the end"
	query := func(sql string, more map[string]any) []byte {
		body := map[string]any{"query": sql, "useLegacySql": false}
		for k, v := range more {
			body[k] = v
		}
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for name, c := range map[string]struct {
		prepare func(w *boundWorld)
		body    []byte
		effect  string
		whole   bool // the decision's text
		asked   bool // a question has the whole text
	}{
		"held": {nil, query(long, nil), audit.EffectHold, true, true},
		"allowed": {func(w *boundWorld) {
			open, _, _ := strings.Cut(boundPolicy, "approvals:")
			w.policy(open)
		}, query(long, nil), audit.EffectAllow, true, true},
		"refused by the policy": {func(w *boundWorld) {
			w.policy(strings.Replace(boundPolicy, "read: [p.finance.*]", "read: [p.hr.*]", 1))
		}, query(long, nil), audit.EffectRefuse, false, false},
		"not understood": {nil, query(long, map[string]any{"nobody knows this": 1}), audit.EffectRefuse, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newBoundWorld(t)
			j := &audittest.Journal{}
			w.s.Journal = j
			if c.prepare != nil {
				c.prepare(w)
			}
			w.call("POST", "/bigquery/v2/projects/p/queries", c.body)
			var decided *audit.Decision
			asked := false
			for _, r := range j.Records() {
				switch r := r.(type) {
				case audit.Decision:
					decided = &r
				case audit.Asked:
					asked = asked || strings.Contains(r.SQL, padding) && len(r.Cut) == 0
				}
			}
			if decided == nil || c.effect != "" && decided.Effect != c.effect {
				t.Fatalf("decided %+.300v", decided)
			}
			if whole := strings.Contains(decided.SQL, padding); whole != c.whole || !whole && len(decided.SQL) > 10<<10 {
				t.Errorf("%s: %d bytes of SQL, cut %+v", decided.Effect, len(decided.SQL), decided.Cut)
			}
			if asked != c.asked {
				t.Errorf("a question has the whole text: %t", asked)
			}
		})
	}
}

// What a record takes counts against its owner, refused or not.
func TestRecordsAreCharged(t *testing.T) {
	w := newBoundWorld(t)
	w.s.Journal = &sized{each: 1 << 20}
	w.subject.Budget = "repo:acme/app"
	w.s.Limits = limits.New(limits.Config{limits.RecordedBytes.String(): {PerHour: 8 << 20}})
	for n := 0; w.s.Limits.Left("repo:acme/app", limits.RecordedBytes) == nil; n++ {
		if n > 20 {
			t.Fatal("nothing is charged")
		}
		w.ask(map[string]any{"query": "SELECT employee FROM finance.payroll", "useLegacySql": false})
	}
	if err := w.s.Limits.Left("repo:acme/other", limits.RecordedBytes); err != nil {
		t.Errorf("another owner waits: %v", err)
	}
}
