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

// Run tells the others what is counted here, reads what they tell, settles what has ended, and opens
// budgets again after a loss, until ctx ends.
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

// loss is what a replica does once it has seen that Redis is not as it was.
type loss struct {
	at    time.Time
	after int64 // the first own beat after the own part was written again
	begun bool  // it was
}

func (s *Store) loseNow(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose(why)
}

// lose closes budgets, or keeps them closed for longer.
func (s *Store) lose(why string) {
	if s.closed == "" {
		s.opened = make(chan struct{})
		s.Log.Warn("budgets are closed until every replica has told again what it has counted", "why", why)
		s.Closed(why)
		s.closed = why
	}
	s.loss = loss{at: s.Now()}
}

// mendPart writes the own part again where there was a loss, or where another replica has seen one
// and asks; and those of replicas that do not live any more, of which this one knows.
func (s *Store) mendPart(ctx context.Context) error {
	s.mu.Lock()
	asked := false
	for id, p := range s.parts {
		asked = asked || id != s.me && p.beat.Lost && s.lives(p)
	}
	mend := s.closed != "" && !s.loss.begun
	if !mend && !asked {
		s.mu.Unlock()
		return nil
	}
	mending := map[string]map[string]string{} // by key, field
	for id, p := range s.parts {
		if id != s.me && s.lives(p) {
			continue
		}
		if id != s.me && !mend {
			continue
		}
		fields := map[string]string{}
		for slot, e := range p.counters {
			if !e.Until.After(s.Now()) || !mend && s.unsure[slot] {
				continue // over, or written by the next beat
			}
			text := e.text
			if text == "" || id == s.me && s.unsure[slot] {
				text, _ = s.Keys.Seal(counterPurpose(id, slot), sealedCounter{id, e.counter})
			}
			fields[slot] = text
		}
		mending[id] = fields
	}
	s.mu.Unlock()
	for id, fields := range mending {
		if err := s.mend(ctx, id, fields); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if mend {
		s.loss.begun, s.loss.after = true, s.parts[s.me].beat.Number+1
	}
	return nil
}

// mend writes what is known of one replica wherever Redis shows something else that is not newer.
func (s *Store) mend(ctx context.Context, id string, fields map[string]string) error {
	for _, key := range []string{keyBeats, partKey(id)} {
		kind, err := s.Redis.Type(ctx, key).Result()
		if err != nil {
			return fmt.Errorf("look at %s: %w", key, err)
		}
		if kind != "hash" && kind != "none" {
			if err := s.Redis.Del(ctx, key).Err(); err != nil {
				return fmt.Errorf("remove what stands in the place of %s: %w", key, err)
			}
		}
	}
	v, err := scriptLoad.Run(ctx, s.Redis, []string{keyBeats, partKey(id)}, id).StringSlice()
	if err != nil {
		return fmt.Errorf("read a part: %w", err)
	}
	shown := map[string]string{}
	for i := 1; i+1 < len(v); i += 2 {
		shown[v[i]] = v[i+1]
	}
	mine := id == s.me
	for slot, text := range fields {
		if shown[slot] == text {
			continue
		}
		if mine {
			s.loseNow("an own counter is not what was written")
		}
		if has, err := s.openCounter(id, slot, shown[slot]); err == nil && !mine && has.Version > s.version(id, slot) {
			continue
		}
		if err := s.put(ctx, partKey(id), slot, shown[slot], text); err != nil {
			return err
		}
		s.mu.Lock()
		if e := s.parts[id].counters[slot]; e != nil {
			e.text = text
			if mine {
				delete(s.unsure, slot)
			}
		}
		s.mu.Unlock()
	}
	s.mu.Lock()
	p := s.parts[id]
	text, b := p.text, p.beat
	if b.Replica == "" { // known from the journal alone
		b = beat{Replica: id, At: s.Now(), Gone: true}
	}
	s.mu.Unlock()
	var has beat
	if err := s.Keys.Open(beatPurpose(id), v[0], &has); err == nil && has.Number > b.Number {
		return nil
	}
	fieldsNow, versions := s.sums(id, b.At)
	if whole := fieldsNow == b.Fields && versions == b.Versions; text == "" || mine || !whole {
		if !whole && !mine { // what it had counted beside that nobody here knows
			b.Number++
			s.Log.Warn("a replica that does not live any more has counted more than is known here", "replica", id)
		}
		b.Fields, b.Versions = fieldsNow, versions
		if text, err = s.Keys.Seal(beatPurpose(id), b); err != nil || mine && b.Replica == "" {
			return err
		}
	}
	if v[0] == text {
		return nil
	}
	if err := s.put(ctx, keyBeats, id, v[0], text); err != nil {
		return err
	}
	s.mu.Lock()
	p.beat, p.text = b, text
	s.mu.Unlock()
	return nil
}

func (s *Store) put(ctx context.Context, key, field, shown, text string) error {
	if err := scriptMend.Run(ctx, s.Redis, []string{key}, field, shown, text, int(kept.Seconds())).Err(); err != nil {
		return fmt.Errorf("write a part again: %w", err)
	}
	return nil
}

func (s *Store) version(id, slot string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.parts[id].counters[slot]; e != nil {
		return e.Version
	}
	return 0
}

func (s *Store) sums(id string, at time.Time) (int, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parts[id].sums(at)
}

// lives says whether a replica has been heard of lately.
func (s *Store) lives(p *part) bool {
	return !s.Alone && !p.beat.Gone && !p.changed.IsZero() && s.Now().Sub(p.changed) < s.Silence
}

// reopen opens budgets once every replica that lives has looked at its own part after the loss, and
// all of what it has counted is known here.
func (s *Store) reopen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed == "" {
		return
	}
	if s.closed == starting && s.loss.at.IsZero() {
		s.loss.at = s.Now()
	}
	if !s.loss.begun || !s.Alone && s.Now().Sub(s.loss.at) < 4*s.Every {
		return // whoever lives and was not seen has the time to be
	}
	for id, p := range s.parts {
		if id != s.me && s.lives(p) && (p.beat.Heard[s.me] < s.loss.after || !p.whole()) {
			return
		}
	}
	s.Log.Info("budgets are open", "replicas", len(s.parts), "closed_for", s.Now().Sub(s.loss.at), "because", s.closed)
	s.closed, s.loss = "", loss{}
	close(s.opened)
	s.Closed("")
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
