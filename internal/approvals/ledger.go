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
	Cards  []card    `json:"cards,omitempty"` // of the requests among Marks
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

const fetchedAtOnce = 100

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
		"Make sure of that, then run `bqgate approvals reopen --config FILE --acknowledge %d`, or set redis.acknowledge_epoch to %d and "+
		"start the gateway again", ErrRolledBack, why, upTo, upTo)
	if l.gone.CompareAndSwap(nil, &err) {
		l.store.log.Error("approvals are closed until an operator acknowledges what Redis has lost; everything else goes on",
			"why", why, "seen", l.sure().number, "cure", fmt.Sprintf("make sure of what was revoked or used since, "+
				"and run `bqgate approvals reopen --config FILE --acknowledge %d`", upTo))
		l.store.closed(err)
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

// headText is the head as it stands in Redis, "" where there is none.
func (s *Store) headText(ctx context.Context) (string, error) {
	text, err := s.redis.GetRange(ctx, keyHead, 0, 199).Result() // more than any head has
	if err != nil && !errors.Is(err, redis.Nil) && !wrongType(err) {
		return "", fmt.Errorf("read the head of the ledger: %w", err)
	}
	return text, nil
}

// wrongType says that something else stands under the key, which the gateway did not write.
func wrongType(err error) bool { return strings.HasPrefix(err.Error(), "WRONGTYPE") }
