package budgets

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
)

// beat is how a replica says that it lives, and by what its part is known to be whole. It is
// written with each of its counters, and a few times a second.
type beat struct {
	Replica  string    `json:"replica"`
	Number   int64     `json:"number"`
	At       time.Time `json:"at"`
	Fields   int       `json:"fields"`   // counters whose windows end after At
	Versions int64     `json:"versions"` // the sum of their versions
	// Lost asks every other replica to look whether its own part is as it was written.
	Lost bool `json:"lost,omitempty"`
	Gone bool `json:"gone,omitempty"` // it has ended in good order
	// Heard are the beats of others that it has read: by it a replica that begins, or that has seen
	// a loss, knows that what it reads of another one is of now.
	Heard map[string]int64 `json:"heard,omitempty"`
}

// nextBeat is the own beat with these changes.
func (s *Store) nextBeat(changes []counter) beat {
	p, now := s.parts[s.me], s.Now()
	b := beat{Replica: s.me, Number: p.beat.Number + 1, At: now, Lost: s.closed != "", Heard: map[string]int64{}}
	b.Fields, b.Versions = p.sums(now)
	for _, c := range changes {
		e := p.counters[c.Slot]
		switch {
		case !c.Until.After(now):
		case e == nil:
			b.Fields, b.Versions = b.Fields+1, b.Versions+c.Version
		default:
			b.Versions += c.Version - e.Version
		}
	}
	for id, other := range s.parts {
		if id != s.me {
			b.Heard[id] = other.beat.Number
		}
	}
	return b
}

// Run tells the others what is counted here, reads what they tell, settles what has ended, and
// opens budgets again after a loss, until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	s.run(ctx)
	s.leave()
	return nil
}

func (s *Store) run(ctx context.Context) {
	settling := make(chan struct{})
	go func() { defer close(settling); s.settleAll(ctx) }()
	defer func() { <-settling }()
	tick := time.NewTicker(s.Every)
	defer tick.Stop()
	failing := false
	for {
		if s.Active() {
			err := s.beatOnce(ctx)
			if err != nil && !failing && ctx.Err() == nil {
				s.Log.Error("what other replicas count against the budgets cannot be read; budgeted queries wait for Redis", "error", err)
			}
			failing = err != nil
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// leave says that this process has ended in good order: nobody has to wait for it.
func (s *Store) leave() {
	s.mu.Lock()
	p := s.parts[s.me]
	b := s.nextBeat(nil)
	b.Gone = true
	begun, was := p.text != "", p.text
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), redisTime)
	defer cancel()
	if text, err := s.Keys.Seal(beatPurpose(s.me), b); err == nil && begun {
		scriptMend.Run(ctx, s.Redis, []string{keyBeats}, s.me, was, text, int(kept.Seconds()))
	}
}

// beatOnce looks at the others, says that this replica lives, and goes on with what a loss needs.
func (s *Store) beatOnce(ctx context.Context) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.give()
	if err := s.look(ctx); err != nil {
		return err
	}
	if err := s.mendPart(ctx); err != nil {
		return err
	}
	if _, err := s.write(ctx, nil, false); err != nil {
		return err
	}
	s.reopen()
	return s.tell(ctx)
}

// look reads the beats of all replicas, and the parts of those that have counted since. It is
// called under the turn.
func (s *Store) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, redisTime)
	defer cancel()
	shown, err := s.Redis.HGetAll(ctx, keyBeats).Result()
	if err != nil {
		if wrongType(err) {
			s.loseNow("something else stands in the place of the replicas in Redis")
			return nil
		}
		return fmt.Errorf("read the replicas' beats: %w", err)
	}
	s.mu.Lock()
	var ids, load []string
	for id, text := range shown {
		ids = append(ids, id)
		if id == s.me {
			if p := s.parts[id]; text != p.text && (text != p.tried || text == "") {
				s.lose("the own part in Redis is not what was written")
			}
			continue
		}
		if s.seeBeat(id, text) {
			load = append(load, id)
		}
	}
	slices.Sort(ids)
	s.ids = strings.Join(ids, " ")
	for id, p := range s.parts {
		if _, ok := shown[id]; !ok && (id != s.me || p.text != "") {
			s.lose("a replica that has counted is not in Redis any more")
		}
	}
	s.prune()
	s.mu.Unlock()
	for _, id := range load {
		if err := s.load(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// seeBeat takes in another replica's beat, and says whether its part has to be read. What this
// gateway did not seal is no replica, unless one was there.
func (s *Store) seeBeat(id, text string) (load bool) {
	p := s.parts[id]
	if p != nil && p.text == text {
		return !p.whole()
	}
	var b beat
	if err := s.Keys.Open(beatPurpose(id), text, &b); err != nil || b.Replica != id {
		if p != nil {
			s.lose("the beat of a replica was not written by this gateway")
		}
		return false
	}
	if p == nil {
		p = newPart()
		s.parts[id] = p
	} else if b.Number < p.beat.Number {
		s.lose("an older beat of a replica was put back")
		return true
	}
	p.beat, p.text, p.changed = b, text, s.Now()
	return !p.whole()
}

// load reads the whole part of another replica, with the beat that belongs to it.
func (s *Store) load(ctx context.Context, id string) error {
	v, err := scriptLoad.Run(ctx, s.Redis, []string{keyBeats, partKey(id)}, id).StringSlice()
	if err != nil {
		if wrongType(err) {
			s.loseNow("something else stands in the place of counters in Redis")
			return nil
		}
		return fmt.Errorf("read what another replica has counted: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seeBeat(id, v[0])
	p := s.parts[id]
	if p == nil {
		return nil
	}
	shown := map[string]string{}
	for i := 1; i+1 < len(v); i += 2 {
		shown[v[i]] = v[i+1]
	}
	for slot, text := range shown {
		c, err := s.openCounter(id, slot, text)
		has := p.counters[slot]
		switch {
		case err != nil && has != nil:
			s.lose("a counter was not written by this gateway")
		case err != nil: // planted: no counter
		case has != nil && c.Version < has.Version:
			s.lose("an older counter was put back")
		default:
			p.take(c, text)
		}
	}
	for slot, e := range p.counters {
		if shown[slot] == "" && e.Until.After(p.beat.At) {
			s.lose("a counter that was there is gone")
		}
	}
	if !p.whole() {
		s.lose("what a replica has counted is not all there")
	}
	return nil
}

// prune forgets windows that are over, and replicas of which nothing else is known.
func (s *Store) prune() {
	now := s.Now()
	for id, p := range s.parts {
		maps.DeleteFunc(p.counters, func(_ string, e *entry) bool { return now.Sub(e.Until) > time.Hour })
		for slot := range p.told {
			if p.counters[slot] == nil {
				delete(p.told, slot)
			}
		}
		if id != s.me && len(p.counters) == 0 && !s.lives(p) && now.Sub(s.started) > 20*s.Silence {
			delete(s.parts, id)
		}
	}
}

// toldAtOnce keeps a record of the journal small enough for who follows it.
const toldAtOnce = 100

// tell writes into the journal what other replicas have counted, for the processes that come after
// this one.
func (s *Store) tell(ctx context.Context) error {
	s.mu.Lock()
	var records []audit.Budget
	for id, p := range s.parts {
		if id == s.me {
			continue
		}
		var counters []audit.BudgetCounter
		for slot, e := range p.counters {
			if e.Version > p.told[slot] {
				counters = append(counters, e.BudgetCounter)
			}
		}
		for some := range slices.Chunk(counters, toldAtOnce) {
			records = append(records, audit.Budget{Event: audit.BudgetTold, Replica: id, Counters: some})
		}
	}
	s.mu.Unlock()
	for _, r := range records {
		if _, err := s.Journal.Append(ctx, r); err != nil {
			return fmt.Errorf("record what other replicas have counted: %w", err)
		}
		s.mu.Lock()
		if p := s.parts[r.Replica]; p != nil {
			for _, c := range r.Counters {
				p.told[c.Slot] = max(p.told[c.Slot], c.Version)
			}
		}
		s.mu.Unlock()
	}
	return nil
}
