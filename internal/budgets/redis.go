package budgets

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/sealed"
)

// All keys share one hash tag, so that a script may touch several of them in a Redis cluster.
const (
	keyPrefix = "bqgate:{budgets}:"
	keyBeats  = keyPrefix + "replicas" // hash of sealed beats by replica
	kept      = 50 * time.Hour         // longer than any window
)

func partKey(id string) string { return keyPrefix + "part:" + id } // hash of sealed counters by slot

func beatPurpose(id string) string          { return "budgets/beat/" + id }
func counterPurpose(id, slot string) string { return "budgets/counter/" + id + "/" + slot }

//go:embed lua/*.lua
var luaFiles embed.FS

var scriptWrite, scriptLoad, scriptMend = script("write"), script("load"), script("mend")

// script is evaluated at start: a missing file is a fault of the build.
func script(name string) *redis.Script {
	text, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err)
	}
	return redis.NewScript(string(text))
}

// What became of a write.
const (
	written = "written"
	behind  = "behind" // others were first, and what they wrote is known now
	news    = "news"   // there are other replicas than were known: look
	lost    = "lost"   // Redis does not show what was there: budgets are closed
)

const redisTime = 2 * time.Second

// write writes own counters and a new beat, under the turn. With compared, it does so only where
// the others' counters of these slots are as they are known.
func (s *Store) write(ctx context.Context, changes []counter, compared bool) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), redisTime) // what is sent must not be cut off
	defer cancel()
	s.mu.Lock()
	changes = s.withUnsure(changes)
	p := s.parts[s.me]
	others := s.others(compared)
	keys := []string{keyBeats, partKey(s.me)}
	for _, id := range others {
		keys = append(keys, partKey(id))
	}
	next := s.nextBeat(changes)
	text, err := s.Keys.Seal(beatPurpose(s.me), next)
	args := []any{s.me, p.text, text, "*", int(kept.Seconds()), len(changes)}
	if compared {
		args[3] = s.ids
	}
	texts := make([]string, len(changes))
	for i, c := range changes {
		args = append(args, c.Slot)
		var wrong error
		texts[i], wrong = s.Keys.Seal(counterPurpose(s.me, c.Slot), sealedCounter{s.me, c})
		err = errors.Join(err, wrong)
	}
	for _, text := range texts {
		args = append(args, text)
	}
	for _, id := range append([]string{s.me}, others...) {
		for _, c := range changes {
			known := ""
			if e := s.parts[id].counters[c.Slot]; e != nil {
				known = e.text
			}
			args = append(args, known)
		}
	}
	// From here on they may be there, whatever becomes of this call.
	p.tried = text
	for i, c := range changes {
		if e := p.counters[c.Slot]; e != nil {
			e.tried = texts[i]
		}
	}
	s.mu.Unlock()
	if err != nil {
		return "", err
	}
	v, err := scriptWrite.Run(ctx, s.Redis, keys, args...).Slice()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil && wrongType(err):
		s.lose("something else stands in the place of counters in Redis")
		return lost, nil
	case err != nil:
		s.undo(changes, texts)
		return "", fmt.Errorf("write what is counted against the budgets: %w", err)
	case len(v) == 1:
		p.beat, p.text, p.tried = next, text, ""
		for i, c := range changes {
			p.counters[c.Slot] = &entry{counter: c, text: texts[i]}
			delete(s.unsure, c.Slot)
		}
		return written, nil
	case len(v) != 3+len(changes)*(1+len(others)):
		return "", fmt.Errorf("write what is counted against the budgets: the script answered %d values", len(v))
	}
	if !compared {
		v[1] = s.ids
	}
	shown := make([]string, len(v))
	for i, one := range v[1:] {
		shown[i], _ = one.(string)
	}
	return s.compare(shown, changes, others), nil
}

// undo takes in that nobody knows whether counters were written. What they were for is not done, so
// that it is released at once, by the next write.
func (s *Store) undo(changes []counter, texts []string) {
	p := s.parts[s.me]
	for i, c := range changes {
		e := p.counters[c.Slot]
		if e == nil {
			e = &entry{}
			p.counters[c.Slot] = e
		}
		added, open := c.Reserved-e.Reserved, c.Open-e.Open
		e.counter = c
		e.Released += added
		e.Open -= open
		e.tried = texts[i]
		s.unsure[c.Slot] = true
	}
}

// withUnsure adds the own counters of which nobody knows how they stand in Redis.
func (s *Store) withUnsure(changes []counter) []counter {
	p := s.parts[s.me]
	for slot := range s.unsure {
		if slices.ContainsFunc(changes, func(c counter) bool { return c.Slot == slot }) {
			continue
		}
		c := p.counters[slot].counter
		c.Version++
		changes = append(changes, c)
	}
	return changes
}

// others are the replicas, sorted, whose counters a write is compared with.
func (s *Store) others(compared bool) (ids []string) {
	for id := range s.parts {
		if compared && id != s.me {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// compare takes in what a write was refused for: ids, the own beat, then for each part the texts of
// the slots.
func (s *Store) compare(shown []string, changes []counter, others []string) string {
	if shown[0] != s.ids {
		return news
	}
	p := s.parts[s.me]
	switch shown[1] {
	case p.text:
	case p.tried:
		p.text = p.tried
	default:
		s.lose("the own part in Redis is not what was written")
		return lost
	}
	for i, id := range append([]string{s.me}, others...) {
		for j, c := range changes {
			if why := s.see(id, c.Slot, shown[2+i*len(changes)+j]); why != "" {
				s.lose(why)
				return lost
			}
		}
	}
	return behind
}

// see takes in how a counter stands in Redis, and says what is wrong with it.
func (s *Store) see(id, slot, text string) string {
	p := s.parts[id]
	e := p.counters[slot]
	if e != nil && (text == e.text || text == e.tried && text != "") {
		e.text = text
		return ""
	}
	if text == "" {
		if e == nil || id == s.me && e.text == "" {
			return ""
		}
		return "a counter that was there is gone"
	}
	c, err := s.openCounter(id, slot, text)
	switch {
	case err != nil:
		return "a counter was not written by this gateway"
	case id == s.me:
		return "an own counter is not what was written"
	case e != nil && c.Version < e.Version:
		return "an older counter was put back"
	}
	p.take(c, text)
	return ""
}

// sealedCounter is a counter as it stands in Redis.
type sealedCounter struct {
	Replica string `json:"replica"`
	counter
}

func (s *Store) openCounter(id, slot, text string) (counter, error) {
	var c sealedCounter
	if err := s.Keys.Open(counterPurpose(id, slot), text, &c); err != nil {
		return counter{}, err
	}
	if c.Replica != id || c.Slot != slot || c.Version < 1 || c.Reserved < 0 || c.Released < 0 {
		return counter{}, fmt.Errorf("counter of replica %s: %w", id, sealed.ErrForged)
	}
	return c.counter, nil
}

// wrongType says that something else stands under a key, which the gateway did not write.
func wrongType(err error) bool { return strings.Contains(err.Error(), "WRONGTYPE") }
