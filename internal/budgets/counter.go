package budgets

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/policies"
)

// counter is what one replica has counted of one budget of one spender in one window. Version,
// Reserved and Released only grow.
type counter struct {
	audit.BudgetCounter
	Open int64 `json:"open,omitempty"` // of Reserved, what is not settled yet: for people to see
}

// spent is what counts.
func (c counter) spent() int64 { return c.Reserved - c.Released }

// entry is a counter and how it stands in Redis.
type entry struct {
	counter
	text  string // as Redis has it; "" where that is not known, or it has none
	tried string // of an own counter: what was written last and may not have arrived
}

// part is what is known of one replica.
type part struct {
	counters map[string]*entry // by slot
	beat     beat
	text     string // of the beat, as Redis has it
	tried    string // of the own beat
	changed  time.Time
	told     map[string]int64 // versions that the own journal has, by slot
}

func newPart() *part { return &part{counters: map[string]*entry{}, told: map[string]int64{}} }

// sums are by which a part is known to be whole: of counters whose windows end after a time.
func (p *part) sums(at time.Time) (fields int, versions int64) {
	for _, e := range p.counters {
		if e.Until.After(at) {
			fields++
			versions += e.Version
		}
	}
	return fields, versions
}

// whole says whether all of the part is known that its replica had counted at its last beat.
func (p *part) whole() bool {
	fields, versions := p.sums(p.beat.At)
	return fields == p.beat.Fields && versions == p.beat.Versions
}

// take merges a counter: the higher version is the newer one.
func (p *part) take(c counter, text string) {
	has := p.counters[c.Slot]
	switch {
	case has == nil:
		p.counters[c.Slot] = &entry{counter: c, text: text}
	case c.Version > has.Version:
		has.counter, has.text = c, text
	case c.Version == has.Version && text != "":
		has.text = text
	}
}

// maxCounters bounds what one replica counts at once.
const maxCounters = 100_000

// zero is the counter of a budget in the window of a time, at 0. Its slot names the budget by the
// rule and not by its limit, which may change, and tells readers of Redis nothing.
func (s *Store) zero(b policies.Budget, now time.Time) counter {
	start, end := b.Window(now)
	sum := s.Keys.Name("budgets/slot", b.Rule.ID(), string(b.Unit), b.Per, b.By, b.Who, start.Format(time.RFC3339))
	return counter{BudgetCounter: audit.BudgetCounter{
		Slot: hex.EncodeToString(sum[:16]), Rule: b.Rule.ID(), Unit: string(b.Unit), Per: b.Per, By: b.By, Who: b.Who, Until: end,
	}}
}

// spent is the sum over all replicas.
func (s *Store) spent(slot string) int64 {
	total := int64(0)
	for _, p := range s.parts {
		if e := p.counters[slot]; e != nil {
			total += e.spent()
		}
	}
	return total
}

// Line is what is spent of one budget of one spender, for people.
type Line struct {
	Rule     string    `json:"rule"` // "policy/rule", or "configuration/budgets"
	By       string    `json:"by"`
	Who      string    `json:"who"` // "" for all of whom that is not known
	Unit     string    `json:"unit"`
	Per      string    `json:"per"`
	Limit    int64     `json:"limit"`    // 0 where the policy has no such budget any more
	Used     int64     `json:"used"`     // billed or returned
	Reserved int64     `json:"reserved"` // for queries that have not ended, as far as is known
	Left     int64     `json:"left"`
	Free     time.Time `json:"free"` // when all of it is free again
}

// lines sums counters up, the fullest budgets first.
func lines(parts map[string]*part, known []policies.Budget, now time.Time) []Line {
	limits := map[string]int64{}
	key := func(rule, unit, per, by string) string { return fmt.Sprintf("%s %s %s %s", rule, unit, per, by) }
	for _, b := range known {
		limits[key(b.Rule.ID(), string(b.Unit), b.Per, b.By)] = b.Limit
	}
	sums := map[string]*Line{}
	for _, p := range parts {
		for slot, e := range p.counters {
			if !e.Until.After(now) {
				continue
			}
			l := sums[slot]
			if l == nil {
				l = &Line{Rule: e.Rule, By: e.By, Who: e.Who, Unit: e.Unit, Per: e.Per, Free: e.Until,
					Limit: limits[key(e.Rule, e.Unit, e.Per, e.By)]}
				sums[slot] = l
			}
			l.Reserved += e.Open
			l.Used += e.spent() - e.Open
		}
	}
	all := []Line{}
	for _, l := range sums {
		if l.Reserved < 0 { // of a process whose counters are known from a journal alone
			l.Used, l.Reserved = l.Used+l.Reserved, 0
		}
		l.Left = max(0, l.Limit-l.Used-l.Reserved)
		all = append(all, *l)
	}
	full := func(l Line) float64 { return float64(l.Used+l.Reserved) / float64(max(1, l.Limit)) }
	slices.SortFunc(all, func(a, b Line) int {
		return cmp.Or(cmp.Compare(full(b), full(a)), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Who, b.Who), cmp.Compare(a.Unit, b.Unit),
			cmp.Compare(a.Per, b.Per))
	})
	return all
}
