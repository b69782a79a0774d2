package approvals

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// The ledger is how replicas tell each other what requests have come to, so that none of them
// believes an older record that somebody puts back (attack A11). It is a row of messages in Redis:
// each is numbered, sealed under its number, and carries the digest of the one before it. The
// script that changes a request adds the message that tells of it, if the writer has read all that
// went before: so of two who were led to take the same step, by whoever writes Redis, the second
// learns of the first.
//
// Every replica reads all of it before it believes any record, writes into its own journal what it
// has read of others, and never takes less for an answer. Where Redis shows fewer messages than are
// known, other ones, or lacks one, approvals are closed until an operator has looked.
type ledger struct {
	store  *Store
	known  atomic.Pointer[head] // the highest that is known to have been there
	readTo atomic.Int64
	gone   atomic.Pointer[error]

	mu       sync.Mutex
	read     head             // up to here messages were read and learnt; readTo is its number
	floor    int64            // messages below it need not be there
	links    map[int64]string // of messages above read that the journal knows
	appended int              // since the ledger was last made shorter

	shortenAt int64
}

// head names the newest message: its number, from 1, and its digest. The zero head is an empty
// ledger.
type head struct {
	number int64
	link   string
}

func (h head) String() string {
	if h == (head{}) {
		return ""
	}
	return strconv.FormatInt(h.number, 10) + " " + h.link
}

// parseHead reads what a script said of the ledger.
func parseHead(v any) (head, error) {
	text, ok := v.(string)
	if !ok {
		return head{}, fmt.Errorf("the head of the ledger came from Redis as %T", v)
	}
	if text == "" {
		return head{}, nil
	}
	digits, link, _ := strings.Cut(text, " ")
	number, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || number < 1 || len(link) != 2*sha256.Size {
		return head{}, fmt.Errorf("the head of the ledger came from Redis as %.90q", text)
	}
	return head{number, link}, nil
}

// Reached says which version a request, or what else is versioned, has reached.
type Reached struct {
	ID      string    `json:"id"`
	Version int64     `json:"version"`
	Until   time.Time `json:"until"` // from when on nobody needs to remember it
}

// message is one of the ledger.
type message struct {
	Number int64     `json:"number"`
	Before string    `json:"before"` // digest of the message before it
	Floor  int64     `json:"floor"`  // what messages below it told is over, or is told again from there on
	Marks  []Reached `json:"marks"`
	// Acknowledged begins the ledger anew after a loss up to this number that an operator knows of.
	Acknowledged int64 `json:"acknowledged,omitempty"`
}

func messagePurpose(number int64) string {
	return "approvals/ledger/" + strconv.FormatInt(number, 10)
}

func linkOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

const keyLedger = keyPrefix + "ledger" // hash of messages by number; keyHead is the newest one's

const fetchedAtOnce = 500

// sure returns what is known now. It must be asked before Redis is: what is learnt meanwhile proves
// nothing about the answer.
func (l *ledger) sure() head {
	if h := l.known.Load(); h != nil {
		return *h
	}
	return head{}
}

// know takes in that a message was there. The journal says so, or it was read.
func (l *ledger) know(h head) {
	for {
		has := l.known.Load()
		if has != nil && has.number >= h.number || l.known.CompareAndSwap(has, &h) {
			return
		}
	}
}

// Err is why approvals are closed, nil while they are not.
func (l *ledger) Err() error {
	if err := l.gone.Load(); err != nil {
		return *err
	}
	return nil
}

// close ends all approvals. shown is what Redis shows: up to it, or to what is known, an operator
// must acknowledge.
func (l *ledger) close(why string, shown head) error {
	upTo := l.toAcknowledge(shown)
	err := fmt.Errorf("%w: %s. Redis was restored, replaced, emptied, or failed over to a copy that was behind, "+
		"or somebody else writes there: what was revoked or used since may look live again. "+
		"Make sure of that, then set redis.acknowledge_epoch to %d and start the gateway again", ErrRolledBack, why, upTo)
	if l.gone.CompareAndSwap(nil, &err) {
		l.store.log.Error("approvals are closed until an operator acknowledges what Redis has lost; everything else goes on",
			"why", why, "seen", l.sure().number, "cure", fmt.Sprintf("make sure of what was revoked or used since, "+
				"set redis.acknowledge_epoch to %d and start the gateway again", upTo))
	}
	return l.Err()
}

func (l *ledger) toAcknowledge(shown head) int64 { return max(1, shown.number, l.sure().number) }

// saw compares what Redis shows with what was known before it was asked, and reads what is new.
// When it returns, all has been learnt that was told when the script ran.
func (l *ledger) saw(ctx context.Context, before head, v any) error {
	shown, err := parseHead(v)
	if err != nil {
		return l.close(err.Error(), head{})
	}
	if shown.number < before.number {
		return l.close(less(shown, before), shown)
	}
	if shown.number < l.readTo.Load() || shown == l.sure() && shown.number == l.readTo.Load() {
		return nil // all of it is known
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.catchUp(ctx, shown)
}

func less(shown, known head) string {
	return fmt.Sprintf("it shows %d messages of changes, and there have been %d", shown.number, known.number)
}

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

// texts reads messages as they stand in Redis.
func (l *ledger) texts(ctx context.Context, from, to int64) ([]string, error) {
	var fields []string
	for n := from; n <= to; n++ {
		fields = append(fields, strconv.FormatInt(n, 10))
	}
	values, err := l.store.redis.HMGet(ctx, keyLedger, fields...).Result()
	if err != nil {
		if wrongType(err) {
			return nil, fmt.Errorf("%w: something else is in their place", errBroken)
		}
		return nil, err
	}
	texts := make([]string, len(fields))
	for i := range fields {
		text, ok := values[i].(string)
		if !ok {
			return nil, fmt.Errorf("%w: message %s is missing", errBroken, fields[i])
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
	var marks []Reached
	for _, m := range batch {
		marks = append(marks, m.Marks...)
	}
	if to.number > l.sure().number || l.store.seen.news(marks) {
		if err := l.journal(ctx, marks, to); err != nil {
			return err
		}
	}
	l.take(marks, to)
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

// take makes a head the one that was read up to.
func (l *ledger) take(marks []Reached, to head) {
	l.store.learnMarks(marks)
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
func (l *ledger) append(ctx context.Context, marks []Reached, check func() error, run func(entry) (string, error)) (string, head, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	word, at, err := l.add(ctx, message{Marks: marks}, check, run)
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
			l.take(m.Marks, after)
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
	parts := l.store.seen.parts(time.Now())
	if length < int64(2*partSize*(len(parts)-1)) {
		return // it would hardly get shorter
	}
	for i, part := range parts {
		m := message{Marks: part}
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

// headText is the head as it stands in Redis, "" where there is none.
func (s *Store) headText(ctx context.Context) (string, error) {
	text, err := s.redis.Get(ctx, keyHead).Result()
	if err != nil && !errors.Is(err, redis.Nil) && !wrongType(err) {
		return "", fmt.Errorf("read the head of the ledger: %w", err)
	}
	return text, nil
}

// wrongType says that something else stands under the key, which the gateway did not write.
func wrongType(err error) bool { return strings.HasPrefix(err.Error(), "WRONGTYPE") }

// tell adds a message that belongs to no other change.
func (s *Store) tell(ctx context.Context, e entry) (string, error) {
	v, err := s.run(ctx, scriptTell, []string{keyHead, keyLedger}, e.args()...)
	if err != nil {
		return "", err
	}
	word, _ := v.(string)
	return word, nil
}
