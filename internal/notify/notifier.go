package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/bqgate/bqgate/internal/approvals"
)

// Outbox is where messages come from. *approvals.Store is one.
type Outbox interface {
	TakeMessages(ctx context.Context, most int, lease time.Duration) ([]approvals.Message, error)
	Sent(ctx context.Context, m approvals.Message) error
	Retry(ctx context.Context, m approvals.Message, after time.Duration, why string) error
	GiveUp(ctx context.Context, m approvals.Message, why string) error
	Get(ctx context.Context, id string) (approvals.Request, error)
	Watch(ctx context.Context) <-chan approvals.Change
}

const (
	atOnce      = 8
	lease       = time.Minute // longer than a send can take
	lookEvery   = 2 * time.Second
	maxAttempts = 12
	firstRetry  = 5 * time.Second
	lastRetry   = 2 * time.Hour
)

// Notifier sends what the outbox holds.
type Notifier struct {
	targets func() *Targets
	outbox  Outbox
	log     *slog.Logger
	now     func() time.Time
	retry   func(attempts int) time.Duration
	secure  *http.Client
	plain   *http.Client
}

// New makes a Notifier, which asks for the targets of the configuration that is in force. Run
// starts it.
func New(targets func() *Targets, outbox Outbox, log *slog.Logger) *Notifier {
	allow := func() []netip.Prefix { return targets().allow }
	return &Notifier{
		targets: targets, outbox: outbox, log: log, now: time.Now, retry: backoff,
		secure: client(allow, false), plain: client(allow, true),
	}
}

// backoff is 5 s, 10 s, 20 s … up to 2 h, give or take a fifth: a dozen tries take about half a
// day.
func backoff(attempts int) time.Duration {
	d := lastRetry
	if attempts < 12 {
		d = min(lastRetry, firstRetry<<max(0, attempts-1))
	}
	return d - d/5 + rand.N(d/5*2) //nolint:gosec // G404: a pause is no secret
}

// Run sends until ctx ends. What fails stays in the outbox; nothing here ends the gateway.
func (n *Notifier) Run(ctx context.Context) error {
	changes := n.outbox.Watch(ctx)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		for n.round(ctx) {
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case _, open := <-changes:
			if !open {
				changes = nil
			}
		}
	}
}

// round takes some messages and says whether there may be more.
func (n *Notifier) round(ctx context.Context) bool {
	messages, err := n.outbox.TakeMessages(ctx, atOnce, lease)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, approvals.ErrRolledBack) { // that is logged once, with its cure
			n.log.Error("notifications cannot be taken from the outbox", "error", err)
		}
		return false
	}
	var all sync.WaitGroup
	for _, m := range messages {
		all.Go(func() {
			if err := n.handle(ctx, m); err != nil && ctx.Err() == nil {
				n.log.Error("notification not settled; it is sent again later", "target", m.Target, "request", m.Request, "error", err)
			}
		})
	}
	all.Wait()
	return len(messages) == atOnce && ctx.Err() == nil
}

// handle sends one message and settles it.
func (n *Notifier) handle(ctx context.Context, m approvals.Message) error {
	t, known := n.targets().named(m.Target)
	if !known {
		return n.outbox.GiveUp(ctx, m, "the configuration has no such target any more")
	}
	r, err := n.outbox.Get(ctx, m.Request)
	if errors.Is(err, approvals.ErrNotFound) {
		return n.outbox.Sent(ctx, m) // forgotten meanwhile, or planted: there is nothing to tell
	}
	if err != nil {
		return n.outbox.Retry(ctx, m, n.retry(m.Attempts), "the request could not be read")
	}
	err = n.send(ctx, t, m, r)
	if err == nil {
		n.log.Info("notification sent", "target", m.Target, "event", m.Kind, "request", m.Request, "attempts", m.Attempts)
		return n.outbox.Sent(ctx, m)
	}
	var gone goneError
	if m.Attempts >= maxAttempts || errors.As(err, &gone) {
		n.log.Error("notification given up", "target", m.Target, "event", m.Kind, "request", m.Request, "attempts", m.Attempts, "why", err)
		return n.outbox.GiveUp(ctx, m, err.Error())
	}
	return n.outbox.Retry(ctx, m, n.retry(m.Attempts), err.Error())
}

// goneError is a target that says it wants nothing any more.
type goneError struct{}

func (goneError) Error() string { return "the target answered 410 Gone" }

// send makes one try. Its errors hold neither the URL, which may be a secret, nor anything that the
// target said.
func (n *Notifier) send(ctx context.Context, t target, m approvals.Message, r approvals.Request) error {
	now := n.now()
	body, err := slackBody(m, r)
	if !t.slack {
		body, err = webhookBody(m, r, now.UTC())
	}
	if err != nil {
		return errors.New("the message could not be written")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(body))
	if err != nil {
		return errors.New("the target's url is not one")
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "bqgate")
	if !t.slack {
		id := "msg_" + m.ID + "_" + m.Target
		request.Header.Set("webhook-id", id)
		request.Header.Set("webhook-timestamp", fmt.Sprint(now.Unix()))
		request.Header.Set("webhook-signature", sign(t.secret, id, now, body))
	}
	c := n.secure
	if strings.HasPrefix(t.url, "http:") {
		c = n.plain
	}
	answer, err := c.Do(request)
	if err != nil {
		return without(err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // lets the connection be used again; what it says does not matter
	switch {
	case answer.StatusCode >= 200 && answer.StatusCode < 300:
		return nil
	case answer.StatusCode == http.StatusGone:
		return goneError{}
	default:
		return fmt.Errorf("the target answered %d", answer.StatusCode)
	}
}

// without is the error without the URL that http.Client puts into its own.
func without(err error) error {
	for _, known := range []error{errPrivate, errPlain, errMoved} {
		if errors.Is(err, known) {
			return known
		}
	}
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return errors.New("the target did not answer in time")
	}
	return errors.New("the target could not be reached")
}
