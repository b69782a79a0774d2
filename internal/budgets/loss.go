package budgets

import (
	"context"
	"fmt"
	"time"
)

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
