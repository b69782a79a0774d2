package approvals

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	keyAttempts = keyPrefix + "outbox:attempts" // hash of tries by message
	keyDead     = keyPrefix + "outbox:dead"     // sorted set of messages that were given up, by when
	keyWhy      = keyPrefix + "outbox:why"      // hash of the last failure by message

	deadKept = 1000
)

var (
	scriptTake   = script("take")
	scriptSettle = script("settle")
)

// Message is the wish to tell a notification target of something that happened to a request. It
// names things; what is told is read from the sealed request when it is sent. Messages are made in
// the same script as the change, so neither is there without the other, and are sent at least once.
type Message struct {
	ID       string // the same at every try, for receivers that count a message once
	Target   string // name of the configured target
	Kind     Kind
	Request  string // id
	Attempts int    // tries, this one included
}

// ref is how a message stands in Redis: nonce of the step, kind, request, target.
func (m Message) ref() string { return m.ID + "|" + string(m.Kind) + "|" + m.Request + "|" + m.Target }

func parseMessage(ref string) (Message, bool) {
	parts := strings.SplitN(ref, "|", 4)
	if len(parts) != 4 || !ValidID(parts[2]) || parts[0] == "" || parts[3] == "" {
		return Message{}, false
	}
	return Message{ID: parts[0], Kind: Kind(parts[1]), Request: parts[2], Target: parts[3]}, true
}

// messages are what the outbox gets with a step.
func (s *Store) messages(r record, now time.Time, e Event) []any {
	if s.options.Notify == nil {
		return nil
	}
	var out []any
	for _, target := range s.options.Notify(s.view(r, now), e.Kind) {
		out = append(out, Message{ID: e.Nonce, Kind: e.Kind, Request: r.ID, Target: target}.ref())
	}
	return out
}

// TakeMessages returns messages that are due, at most so many. Each is this caller's for the lease;
// one that is not settled by then is taken again.
func (s *Store) TakeMessages(ctx context.Context, most int, lease time.Duration) ([]Message, error) {
	v, err := s.run(ctx, scriptTake, []string{keyOutbox, keyAttempts}, most, lease.Milliseconds())
	if err != nil {
		return nil, fmt.Errorf("take messages: %w", err)
	}
	taken, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("take messages: script answered %T", v)
	}
	var out []Message
	for _, item := range taken {
		pair, err := reply{"take", item}.list(2)
		if err != nil {
			return nil, err
		}
		ref, _ := pair[0].(string)
		attempts, _ := pair[1].(int64)
		m, ok := parseMessage(ref)
		if !ok { // planted
			s.log.Error("the outbox holds what is no message; it is dropped", "length", len(ref))
			if err := s.settle(ctx, ref, "sent", 0, ""); err != nil {
				return nil, err
			}
			continue
		}
		m.Attempts = int(attempts)
		out = append(out, m)
	}
	return out, nil
}

// Sent says that a message was delivered, or that there is nothing to tell any more.
func (s *Store) Sent(ctx context.Context, m Message) error {
	return s.settle(ctx, m.ref(), "sent", 0, "")
}

// Retry puts a message off. Why must hold nothing of what the target answered.
func (s *Store) Retry(ctx context.Context, m Message, after time.Duration, why string) error {
	return s.settle(ctx, m.ref(), "later", after, why)
}

// GiveUp makes a dead letter of a message.
func (s *Store) GiveUp(ctx context.Context, m Message, why string) error {
	return s.settle(ctx, m.ref(), "dead", 0, why)
}

func (s *Store) settle(ctx context.Context, ref, how string, after time.Duration, why string) error {
	_, err := s.run(ctx, scriptSettle, []string{keyOutbox, keyAttempts, keyDead, keyWhy}, ref, how, after.Milliseconds(), why, deadKept)
	if err != nil {
		return fmt.Errorf("settle a message: %w", err)
	}
	return nil
}

// Notification is a message as people see it.
type Notification struct {
	ID       string    `json:"id"`
	State    string    `json:"state"` // "waiting" or "dead"
	Target   string    `json:"target"`
	Event    Kind      `json:"event"`
	Request  string    `json:"request"`
	Attempts int       `json:"attempts"`
	Failure  string    `json:"last_failure"`
	At       time.Time `json:"at"` // when it was given up, or is due
}

// States of a Notification.
const (
	NotificationWaiting = "waiting"
	NotificationDead    = "dead"
)

// Notifications lists messages that wait or were given up, the newest of each state first, 500 at
// most. visible says whether the caller may see the request that one is about.
func (s *Store) Notifications(ctx context.Context, state string, visible func(Request) bool) ([]Notification, error) {
	if err := s.Err(); err != nil {
		return nil, err
	}
	out := []Notification{}
	known := map[string]bool{}
	for _, set := range []struct{ state, key string }{{NotificationDead, keyDead}, {NotificationWaiting, keyOutbox}} {
		if state != "" && state != set.state {
			continue
		}
		items, err := s.redis.ZRevRangeWithScores(ctx, set.key, 0, listLimit-1).Result()
		if err != nil {
			return nil, fmt.Errorf("list notifications: %w", err)
		}
		for _, item := range items {
			ref, _ := item.Member.(string)
			m, ok := parseMessage(ref)
			if !ok {
				continue
			}
			see, asked := known[m.Request]
			if !asked {
				r, err := s.Get(ctx, m.Request)
				if err != nil && !errors.Is(err, ErrNotFound) {
					return nil, err
				}
				see = err == nil && visible(r)
				known[m.Request] = see
			}
			if !see {
				continue
			}
			n, err := s.notification(ctx, m, set.state, time.UnixMilli(int64(item.Score)).UTC())
			if err != nil {
				return nil, err
			}
			out = append(out, n)
		}
	}
	return slices.Clip(out[:min(len(out), listLimit)]), nil
}

func (s *Store) notification(ctx context.Context, m Message, state string, at time.Time) (Notification, error) {
	n := Notification{ID: m.ID, State: state, Target: m.Target, Event: m.Kind, Request: m.Request, At: at}
	attempts, err := s.redis.HGet(ctx, keyAttempts, m.ref()).Int()
	if err != nil && !errors.Is(err, redis.Nil) {
		return n, fmt.Errorf("list notifications: %w", err)
	}
	why, err := s.redis.HGet(ctx, keyWhy, m.ref()).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return n, fmt.Errorf("list notifications: %w", err)
	}
	n.Attempts, n.Failure = attempts, clip(why, maxMessage)
	return n, nil
}
