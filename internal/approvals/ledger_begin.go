package approvals

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Err is why approvals are closed, nil while they are not.
func (s *Store) Err() error { return s.ledger.Err() }

// Learn takes an event that this process, an earlier life of it, or another process on this host
// has written to the journal. All that is there must be learnt before anything is served.
func (s *Store) Learn(e Event) {
	if e.Kind == EventSeen {
		s.learnMarks(e.Marks)
	} else {
		s.seen.learn(e)
	}
	s.ledger.remember(head{e.Epoch, e.Link})
}

// learnMarks takes in what is known for sure.
func (s *Store) learnMarks(marks []Reached) {
	for _, m := range marks {
		s.seen.see(m.ID, m.Version, m.Until)
		if s.options.Told != nil && !ValidID(m.ID) {
			s.options.Told(m)
		}
	}
}

// learnCards takes in where requests stand. What ended long ago need not be told again: a record of
// which nobody is told is none.
func (s *Store) learnCards(cards []card) {
	for _, c := range cards {
		s.seen.over(s.index.take(c, s.options.EndedKept)...)
	}
}

// parts are everything that still matters, for messages that tell it again.
func (s *Store) parts(now time.Time) []news {
	var parts []news
	for _, marks := range s.seen.parts(now) {
		part := news{marks: marks}
		for _, m := range marks {
			if c, ok := s.index.get(m.ID); ok {
				part.cards = append(part.cards, c)
			}
		}
		parts = append(parts, part)
	}
	return parts
}

// Tell makes a mark of something else than a request known to all replicas, for good: a session
// that was revoked. Their Options.Told hear of it before they believe anything that Redis shows
// later.
func (s *Store) Tell(ctx context.Context, m Reached) error {
	word, at, err := s.ledger.append(ctx, news{marks: []Reached{m}}, nil, func(e entry) (string, error) { return s.tell(ctx, e) })
	if err == nil && word != "ok" {
		err = fmt.Errorf("script answered %q", word)
	}
	if err == nil {
		err = s.journal.ApprovalEvent(ctx,
			Event{Kind: EventSeen, Phase: PhaseCommitted, Epoch: at.number, Link: at.link, Marks: []Reached{m}})
	}
	if err != nil {
		return fmt.Errorf("tell other replicas of %s: %w", m.ID, err)
	}
	return nil
}

// CatchUp reads what other replicas tell. Every read of a request does; it is for those who have
// nothing to read for a while.
func (s *Store) CatchUp(ctx context.Context) error {
	_, _, err := s.fetch(ctx, nil)
	return err
}

// CatchUpWith sets what learns the news of the journal. It is called before a request is changed in
// any way, so that what another process on this host has written is known by then, whatever Redis
// shows.
func (s *Store) CatchUpWith(learn func() error) { s.catchUp.Store(&learn) }

func (s *Store) caughtUp() error {
	learn := s.catchUp.Load()
	if learn == nil {
		return nil
	}
	if err := (*learn)(); err != nil {
		return fmt.Errorf("learn what the journal says: %w", err)
	}
	return nil
}

// Begin reads what other replicas tell. Where Redis shows less than the journal knows (see Learn),
// or not what was written, approvals are closed, which Err says, unless an operator has
// acknowledged a loss up to what the journal knows: then the ledger begins anew, and tells all that
// is still known. The error is of Redis itself.
func (s *Store) Begin(ctx context.Context, acknowledged int64) error {
	l := &s.ledger
	for range 100 {
		text, err := s.headText(ctx)
		if err != nil {
			return err
		}
		known := l.sure()
		shown, why, err := l.fits(ctx, known, text)
		if err != nil {
			return err
		}
		switch {
		case why == "":
			return nil
		case acknowledged < l.toAcknowledge(shown):
			_ = l.close(why, shown) // Err says it
			return nil
		}
		s.log.Warn("Redis has lost what replicas told, which an operator has acknowledged", "why", why, "seen", known.number,
			"acknowledged", acknowledged)
		if done, err := l.anew(ctx, known, text); err != nil || done {
			return err
		}
		// Another replica began it anew.
	}
	return ErrBusy
}

// fits reads the whole ledger, or says why it cannot be the one that is known.
func (l *ledger) fits(ctx context.Context, known head, text string) (shown head, why string, err error) {
	shown, err = parseHead(text)
	if err != nil {
		return head{}, err.Error(), nil
	}
	if shown.number < known.number {
		return shown, less(shown, known), nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if shown.number <= l.read.number {
		return shown, "", nil // empty, or read meanwhile
	}
	batch, err := l.fetch(ctx, shown)
	if errors.Is(err, errBroken) {
		return shown, err.Error(), nil
	}
	if err != nil {
		return shown, "", fmt.Errorf("read what other replicas tell: %w", err)
	}
	return shown, "", l.learn(ctx, batch, shown)
}

// anew begins the ledger again behind all that is known to have been there, and tells what is still
// known: from the journal, and from those messages that can be read. It returns false if somebody
// else did.
func (l *ledger) anew(ctx context.Context, known head, was string) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.store
	left, err := l.left(ctx)
	if err != nil {
		return false, err
	}
	highest := known.number
	for number := range left { // each is true, wherever it was taken from
		highest = max(highest, number)
	}
	for _, number := range slices.Sorted(maps.Keys(left)) {
		s.learnMarks(left[number].Marks)
		s.learnCards(left[number].Cards)
	}
	if err := s.findCards(ctx); err != nil {
		return false, err
	}
	parts := s.parts(time.Now())
	m := message{Number: highest + 1, Floor: highest + 1, Acknowledged: max(1, highest), Marks: parts[0].marks, Cards: parts[0].cards}
	text, err := s.keys.Seal(messagePurpose(m.Number), m)
	if err != nil {
		return false, err
	}
	at := head{m.Number, linkOf(text)}
	v, err := scriptAnew.Run(ctx, s.redis, []string{keyHead, keyLedger}, was, at.String(), m.Number, text).Result()
	if err != nil {
		return false, fmt.Errorf("begin the ledger anew: %w", err)
	}
	if v != "ok" {
		return false, nil
	}
	if err := l.learn(ctx, []message{m}, at); err != nil {
		return false, err
	}
	l.floor = m.Floor
	for _, part := range parts[1:] {
		tell := func(e entry) (string, error) { return s.tell(ctx, e) }
		if word, _, err := l.add(ctx, message{Marks: part.marks, Cards: part.cards}, nil, tell); err != nil ||
			word != "ok" {
			return false, fmt.Errorf("tell what is known: %q, %w", word, err)
		}
	}
	return true, nil
}

// leftAtMost is far more than a ledger has that is made shorter.
const leftAtMost = 200_000

// left are the messages of the ledger that can be read, whatever became of the row of them.
func (l *ledger) left(ctx context.Context) (map[int64]message, error) {
	all := map[int64]message{}
	length, err := l.store.redis.HLen(ctx, keyLedger).Result()
	if err != nil && !wrongType(err) {
		return nil, fmt.Errorf("read what is left of the ledger: %w", err)
	}
	if err != nil || length > leftAtMost {
		return all, nil
	}
	fields, err := l.store.redis.HKeys(ctx, keyLedger).Result()
	if err != nil {
		return nil, fmt.Errorf("read what is left of the ledger: %w", err)
	}
	for _, field := range fields {
		number, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			continue
		}
		m, _, err := l.message(ctx, number)
		switch {
		case err == nil:
			all[number] = m
		case !errors.Is(err, errBroken):
			return nil, fmt.Errorf("read what is left of the ledger: %w", err)
		}
	}
	return all, nil
}

// findCards opens the records of requests of which only their version is known, from the journal:
// those that are as they were known to be are listed again.
func (s *Store) findCards(ctx context.Context) error {
	now := time.Now()
	var ids []string
	for _, part := range s.seen.parts(now) {
		for _, m := range part {
			if _, known := s.index.get(m.ID); !known && ValidID(m.ID) {
				ids = append(ids, m.ID)
			}
		}
	}
	records, err := s.left(ctx, ids)
	for _, r := range records {
		s.learnCards([]card{s.cardOf(r.record, r.bytes)})
	}
	return err
}

// leftRecord is a record that is as it was known to be.
type leftRecord struct {
	record
	bytes int
}

// left reads those of the requests of which Redis shows the version that is known, whatever became
// of the ledger.
func (s *Store) left(ctx context.Context, ids []string) (all []leftRecord, err error) {
	for batch := range slices.Chunk(ids, readBatch) {
		keys := []string{keyHead}
		for _, id := range batch {
			keys = append(keys, requestKey(id))
		}
		v, err := scriptRead.Run(ctx, s.redis, keys).Result()
		if err != nil {
			return nil, fmt.Errorf("read the requests that are left: %w", err)
		}
		values, err := reply{"read", v}.list(2 + len(batch))
		if err != nil {
			return nil, err
		}
		for i, id := range batch {
			if r, err := s.verify(id, values[2+i], s.seen.get(id)); err == nil {
				text, _ := values[2+i].([]any)[2].(string)
				all = append(all, leftRecord{r, len(text)})
			}
		}
	}
	return all, nil
}
