package durable

import (
	"context"
	"sync"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
)

const (
	sumsEvery = 10 * time.Second
	sumsKept  = 1000 // of different askers and causes; the rest is counted together
	whoLength = 512  // bytes of an asker's name that the record keeps

	// BeyondLimit is what the record calls requests that were refused for a limit, before the
	// limit.
	BeyondLimit = "refused beyond a limit: "
)

// Sums counts answers that are given too fast to have a record each, by who asked and why, and
// records the counts every 10 seconds. That the journal takes records is found out once a second
// (Pulse), and without it there is no answer. The zero Sums is ready; Run has to run.
type Sums struct {
	pulse Pulse

	mu     sync.Mutex
	counts map[sum]int
	since  time.Time
}

type sum struct{ who, what string }

// Limited is the witness for refusing a request for a limit, by the limit's name.
func (s *Sums) Limited(ctx context.Context, j Journal, who, limit string) (Answer, error) {
	w, err := s.pulse.beats(ctx, j, beyondLimit)
	if err != nil {
		return nil, err
	}
	s.count(sum{who[:min(len(who), whoLength)], BeyondLimit + limit})
	return w, nil
}

func (s *Sums) count(of sum) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts == nil {
		s.counts, s.since = map[sum]int{}, time.Now()
	}
	if _, known := s.counts[of]; !known && len(s.counts) >= sumsKept {
		of.who = ""
	}
	s.counts[of]++
}

// Run records what was counted until ctx ends, and then once more. told is called with each record
// that is made, for the log.
func (s *Sums) Run(ctx context.Context, j Journal, told func(audit.Unrecorded)) {
	tick := time.NewTicker(sumsEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.flush(ctx, j, told)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			s.flush(last, j, told)
			return
		}
	}
}

// flush records the counts. What the journal does not take is counted on.
func (s *Sums) flush(ctx context.Context, j Journal, told func(audit.Unrecorded)) {
	s.mu.Lock()
	counts, since := s.counts, s.since
	s.counts = nil
	s.mu.Unlock()
	for of, n := range counts {
		r := audit.Unrecorded{What: of.what, Who: of.who, Since: since.UTC(), Answers: n}
		if _, err := j.Append(ctx, r); err != nil {
			s.mu.Lock()
			if s.counts == nil {
				s.counts = map[sum]int{}
			}
			s.since = since // which is before what was counted meanwhile
			s.counts[of] += n
			s.mu.Unlock()
			continue
		}
		told(r)
	}
}
