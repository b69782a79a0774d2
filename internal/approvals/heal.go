package approvals

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Approvals that were closed open again where nothing was lost after all: Redis came back as it
// was, only the head was damaged, which the messages beneath it prove, or an operator has
// acknowledged the loss and the ledger was begun anew. Everything else waits for the operator
// (Reopen).

// Heal opens approvals again where that is safe, and says whether they are open. Every replica
// calls it now and then while they are closed.
func (s *Store) Heal(ctx context.Context) (bool, error) {
	if s.Err() == nil {
		return true, nil
	}
	whole, err := s.ledger.heal(ctx)
	if err != nil || !whole {
		return false, err
	}
	return true, nil
}

// heal is Heal. What is told meanwhile is read.
func (l *ledger) heal(ctx context.Context) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.sure()
	if err := l.repairHead(ctx, known); err != nil {
		return false, err
	}
	text, err := l.store.headText(ctx)
	if err != nil {
		return false, err
	}
	shown, err := parseHead(text)
	if err != nil || shown.number < known.number || shown.number == known.number && shown != known {
		return false, nil //nolint:nilerr // it is not whole, which is no error of this look
	}
	if shown == (head{}) {
		l.open("Redis is as it was")
		return true, nil
	}
	var batch []message
	if shown.number > l.read.number {
		if batch, err = l.fetch(ctx, shown); err != nil {
			return l.broken(err)
		}
	}
	if anew := begunAnew(batch); anew < 0 {
		if _, err := l.chain(ctx, max(1, l.floor), shown); err != nil {
			return l.broken(err)
		}
		if err := l.learn(ctx, batch, shown); err != nil {
			return false, err
		}
		l.open("Redis is as it was")
		return true, nil
	}
	mine := l.store.parts(time.Now())
	if err := l.learn(ctx, batch, shown); err != nil {
		return false, err
	}
	l.open("an operator has acknowledged what was lost")
	return true, l.retell(ctx, mine, batch)
}

// broken is the end of a look at a ledger that is not whole.
func (l *ledger) broken(err error) (bool, error) {
	if errors.Is(err, errBroken) {
		return false, nil
	}
	return false, fmt.Errorf("read what other replicas tell: %w", err)
}

func begunAnew(batch []message) int {
	for i, m := range batch {
		if m.Acknowledged > 0 {
			return i
		}
	}
	return -1
}

// open ends that approvals are closed.
func (l *ledger) open(why string) {
	if l.gone.Swap(nil) == nil {
		return
	}
	l.store.log.Warn("approvals are open again", "why", why)
	l.store.closed(nil)
}

// retell tells what this replica knows and the ledger, which another one began anew, does not: each
// replica writes its own part again.
func (l *ledger) retell(ctx context.Context, mine []news, batch []message) error {
	told := map[string]int64{}
	for _, m := range batch {
		for _, k := range m.Marks {
			told[k.ID] = max(told[k.ID], k.Version)
		}
	}
	for _, part := range mine {
		var missing news
		for _, k := range part.marks {
			if told[k.ID] < k.Version {
				missing.marks = append(missing.marks, k)
				if c, ok := l.store.index.get(k.ID); ok {
					missing.cards = append(missing.cards, c)
				}
			}
		}
		if len(missing.marks) == 0 {
			continue
		}
		word, _, err := l.add(ctx, message{Marks: missing.marks, Cards: missing.cards}, nil,
			func(e entry) (string, error) { return l.store.tell(ctx, e) })
		if err != nil || word != "ok" {
			return fmt.Errorf("tell again what is known here: %q, %w", word, err)
		}
	}
	return nil
}

// chain reads the messages from one number to a head, and returns the text of the last. All of them
// must be there, in one row.
func (l *ledger) chain(ctx context.Context, from int64, to head) (last string, err error) {
	var at head
	for from <= to.number {
		end := min(from+fetchedAtOnce-1, to.number)
		texts, err := l.texts(ctx, from, end)
		if err != nil {
			return "", err
		}
		for i, text := range texts {
			m, err := l.unseal(from+int64(i), text)
			if err != nil {
				return "", err
			}
			if at != (head{}) && m.Before != at.link && m.Acknowledged == 0 {
				return "", fmt.Errorf("%w: message %d does not follow on what was there", errBroken, m.Number)
			}
			at, last = head{m.Number, linkOf(text)}, text
		}
		from = end + 1
	}
	if at != to {
		return "", fmt.Errorf("%w: message %d is another one", errBroken, to.number)
	}
	return last, nil
}

// followed is how many messages behind the known one are looked at.
const followed = 100_000

// repairHead puts the head right where the messages beneath it prove where it was: the known one is
// there, and others may follow on it.
func (l *ledger) repairHead(ctx context.Context, known head) error {
	if known.number == 0 || known.link == "" {
		return nil
	}
	text, err := l.store.headText(ctx)
	if err != nil {
		return err
	}
	m, last, err := l.message(ctx, known.number)
	if errors.Is(err, errBroken) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the newest message that is known: %w", err)
	}
	end := head{m.Number, linkOf(last)}
	if end != known {
		return nil
	}
	for range followed {
		next, text, err := l.message(ctx, end.number+1)
		if errors.Is(err, errBroken) {
			break
		}
		if err != nil {
			return fmt.Errorf("read what follows: %w", err)
		}
		if next.Before != end.link {
			return nil // there are two histories
		}
		end, last = head{next.Number, linkOf(text)}, text
	}
	if text == end.String() {
		return nil
	}
	if len(text) > 100 {
		text = ""
	}
	v, err := scriptRepair.Run(
		ctx,
		l.store.redis,
		[]string{keyHead, keyLedger},
		text,
		end.String(),
		end.number,
		last,
		end.number+1,
	).Result()
	if err != nil {
		return fmt.Errorf("put the head of the ledger right: %w", err)
	}
	if v == "ok" {
		l.store.log.Warn("the head of the ledger of approvals in Redis was not what its messages say, and was put right", "messages",
			end.number)
	}
	return nil
}
