package approvals

import (
	"context"
	"time"
)

// entry is a message about to be added, for the script that adds it.
type entry struct {
	before, after string // heads
	number        int64
	text          string
	dropFrom      int64 // messages from here up to …
	dropTo        int64 // … but not with this one go
}

// args are the script's, beside keyHead and keyLedger.
func (e entry) args() []any {
	return []any{e.before, e.after, e.number, e.text, e.dropFrom, e.dropTo}
}

// append adds a message in the script that makes the change it tells of. run is called once all
// that others tell has been read, again where more came, and returns the script's words; "behind"
// says that more came. check, where it is set, is asked before each run. The head is that of the
// message; it is zero unless the word is "ok".
func (l *ledger) append(ctx context.Context, told news, check func() error, run func(entry) (string, error)) (string, head, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	word, at, err := l.add(ctx, message{Marks: told.marks, Cards: told.cards}, check, run)
	if err == nil && word == "ok" {
		l.shorten(ctx)
	}
	return word, at, err
}

// add is append under the lock, with a floor that may be higher than it was.
func (l *ledger) add(ctx context.Context, m message, check func() error, run func(entry) (string, error)) (string, head, error) {
	for range 1000 {
		if err := l.Err(); err != nil {
			return "", head{}, err
		}
		if err := ctx.Err(); err != nil {
			return "", head{}, err
		}
		if check != nil {
			if err := check(); err != nil {
				return "", head{}, err
			}
		}
		m.Number, m.Before = l.read.number+1, l.read.link
		sent := m
		sent.Floor = max(1, m.Floor, l.floor)
		text, err := l.store.keys.Seal(messagePurpose(m.Number), sent)
		if err != nil {
			return "", head{}, err
		}
		after := head{m.Number, linkOf(text)}
		word, err := run(entry{l.read.String(), after.String(), m.Number, text, l.floor, sent.Floor})
		switch {
		case err != nil:
			return "", head{}, err
		case word == "ok":
			l.floor = sent.Floor
			l.take(news{m.Marks, m.Cards}, after)
			return word, after, nil
		case word != "behind":
			return word, head{}, nil
		}
		before := l.sure()
		v, err := l.store.headText(ctx)
		if err != nil {
			return "", head{}, err
		}
		shown, err := parseHead(v)
		if err != nil {
			return "", head{}, l.close(err.Error(), head{})
		}
		if shown.number < before.number || shown.number <= l.read.number {
			return "", head{}, l.close(less(shown, l.sure()), shown)
		}
		if err := l.catchUp(ctx, shown); err != nil {
			return "", head{}, err
		}
	}
	return "", head{}, ErrBusy
}

// shortenAt is how many messages a ledger has at least before it is made shorter.
const shortenAt = 5000

// shorten tells again what must still be remembered, so that older messages can go. It is not
// waited for: where it fails, the next one tries again.
func (l *ledger) shorten(ctx context.Context) {
	l.appended++
	length := l.read.number - max(1, l.floor) + 1
	if length < l.shortenAt || l.appended < 100 {
		return
	}
	l.appended = 0
	from := l.read.number + 1
	parts := l.store.parts(time.Now())
	if length < int64(2*partSize*(len(parts)-1)) {
		return // it would hardly get shorter
	}
	for i, part := range parts {
		m := message{Marks: part.marks, Cards: part.cards}
		if i == len(parts)-1 {
			m.Floor = from // from the first of these on, all is told
		}
		word, _, err := l.add(ctx, m, nil, func(e entry) (string, error) { return l.store.tell(ctx, e) })
		if err != nil || word != "ok" {
			l.store.log.Warn("the ledger of approvals was not made shorter", "error", err)
			return
		}
	}
}

// tell adds a message that belongs to no other change.
func (s *Store) tell(ctx context.Context, e entry) (string, error) {
	v, err := s.run(ctx, scriptTell, []string{keyHead, keyLedger}, e.args()...)
	if err != nil {
		return "", err
	}
	word, _ := v.(string)
	return word, nil
}
