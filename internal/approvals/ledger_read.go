package approvals

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// catchUp reads up to a head that Redis has shown. It is called under the lock.
func (l *ledger) catchUp(ctx context.Context, shown head) error {
	if err := l.Err(); err != nil {
		return err
	}
	if shown.number <= l.read.number {
		if shown.number == l.read.number && shown != l.read {
			return l.close(fmt.Sprintf("its message %d is not the one that was there", shown.number), shown)
		}
		return nil
	}
	batch, err := l.fetch(ctx, shown)
	if errors.Is(err, errBroken) {
		return l.close(err.Error(), shown)
	}
	if err != nil {
		return fmt.Errorf("read what other replicas tell: %w", err)
	}
	return l.learn(ctx, batch, shown)
}

var errBroken = errors.New("its messages are not what was written")

// fetch reads and checks the messages above those that were read.
func (l *ledger) fetch(ctx context.Context, shown head) ([]message, error) {
	newest, text, err := l.message(ctx, shown.number)
	if err != nil {
		return nil, err
	}
	if linkOf(text) != shown.link {
		return nil, fmt.Errorf("%w: message %d is another one", errBroken, shown.number)
	}
	from := max(l.read.number+1, newest.Floor)
	at := l.read
	var batch []message
	for from <= shown.number {
		to := min(from+fetchedAtOnce-1, shown.number)
		texts, err := l.texts(ctx, from, to)
		if err != nil {
			return nil, err
		}
		for i, text := range texts {
			m, err := l.unseal(from+int64(i), text)
			if err != nil {
				return nil, err
			}
			follows := m.Number == at.number+1 && m.Before == at.link
			anew := m.Acknowledged > 0 && m.Acknowledged >= at.number
			first := m.Number > at.number+1 && len(batch) == 0 // what came between is below the floor
			if known := l.links[m.Number]; !follows && !anew && !first || known != "" && known != linkOf(text) {
				return nil, fmt.Errorf("%w: message %d does not follow on what was there", errBroken, m.Number)
			}
			at = head{m.Number, linkOf(text)}
			batch = append(batch, m)
		}
		from = to + 1
	}
	if at != shown {
		return nil, fmt.Errorf("%w: message %d is another one", errBroken, shown.number)
	}
	return batch, nil
}

func (l *ledger) message(ctx context.Context, number int64) (message, string, error) {
	texts, err := l.texts(ctx, number, number)
	if err != nil {
		return message{}, "", err
	}
	m, err := l.unseal(number, texts[0])
	return m, texts[0], err
}

// maxMessageBytes is more than a message that tells of partSize requests takes.
const maxMessageBytes = 4 << 20

// texts reads messages as they stand in Redis.
func (l *ledger) texts(ctx context.Context, from, to int64) ([]string, error) {
	args := []any{maxMessageBytes}
	for n := from; n <= to; n++ {
		args = append(args, n)
	}
	v, err := scriptMessages.Run(ctx, l.store.redis, []string{keyLedger}, args...).Result()
	if err != nil {
		return nil, err
	}
	if v == "wrong" {
		return nil, fmt.Errorf("%w: something else is in their place", errBroken)
	}
	values, err := reply{"messages", v}.list(len(args) - 1)
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(values))
	for i, v := range values {
		text, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("%w: message %d is missing", errBroken, from+int64(i))
		}
		texts[i] = text
	}
	return texts, nil
}

func (l *ledger) unseal(number int64, text string) (message, error) {
	var m message
	if err := l.store.keys.Open(messagePurpose(number), text, &m); err != nil || m.Number != number || m.Floor > number {
		return message{}, fmt.Errorf("%w: message %d was not sealed by this gateway", errBroken, number)
	}
	return m, nil
}

// learn takes in messages: first into the journal what is new to this replica, then into memory.
func (l *ledger) learn(ctx context.Context, batch []message, to head) error {
	var told news
	for _, m := range batch {
		told.marks, told.cards = append(told.marks, m.Marks...), append(told.cards, m.Cards...)
	}
	if to.number > l.sure().number || l.store.seen.news(told.marks) {
		if err := l.journal(ctx, told.marks, to); err != nil {
			return err
		}
	}
	l.take(told, to)
	if n := len(batch); n > 0 {
		l.floor = max(l.floor, batch[n-1].Floor)
	}
	return nil
}

// journalledAtOnce keeps a record of the journal small enough for who follows it.
const journalledAtOnce = 200

// journal makes durable what was read of others, and only then up to where that is.
func (l *ledger) journal(ctx context.Context, marks []Reached, to head) error {
	e := Event{Kind: EventSeen, Phase: PhaseCommitted, At: time.Now().UTC()}
	for len(marks) > journalledAtOnce {
		e.Marks, marks = marks[:journalledAtOnce], marks[journalledAtOnce:]
		if err := l.store.journal.ApprovalEvent(ctx, e); err != nil {
			return fmt.Errorf("journal what other replicas tell: %w", err)
		}
	}
	e.Marks, e.Epoch, e.Link = marks, to.number, to.link
	if err := l.store.journal.ApprovalEvent(ctx, e); err != nil {
		return fmt.Errorf("journal what other replicas tell: %w", err)
	}
	return nil
}

// news is what messages tell.
type news struct {
	marks []Reached
	cards []card // of the requests among them
}

// take makes a head the one that was read up to.
func (l *ledger) take(told news, to head) {
	l.store.learnMarks(told.marks)
	l.store.learnCards(told.cards)
	l.read = to
	l.know(to)
	l.readTo.Store(to.number)
	for n := range l.links {
		if n <= to.number {
			delete(l.links, n)
		}
	}
}

// remember takes in from the journal that a message was there.
func (l *ledger) remember(h head) {
	if h.number == 0 {
		return
	}
	l.know(h)
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.number > l.read.number && h.link != "" {
		if l.links == nil {
			l.links = make(map[int64]string)
		}
		l.links[h.number] = h.link
	}
}
