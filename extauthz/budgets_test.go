package extauthz

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/audit/audittest"
	"github.com/bqgate/bqgate/internal/budgets"
	"github.com/bqgate/bqgate/internal/credentials"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/redistest"
)

// budgetedPolicy is freePolicy with a budget that has room for three of its queries.
var budgetedPolicy = strings.Replace(freePolicy, "credential: reader}",
	"credential: reader, budget: {bytes: 4GiB, per: day, by: group}}", 1)

// budgetedWorld is a gateway whose policy has a budget, and a clock that the test moves.
type budgetedWorld struct {
	*gatewayWorld
	store *budgets.Store
	ahead atomic.Int64
}

func newBudgetedWorld(t *testing.T) *budgetedWorld {
	t.Helper()
	w := &budgetedWorld{gatewayWorld: newGatewayWorld(t, redistest.Start(t))}
	w.policy(budgetedPolicy)
	store, err := budgets.New(budgets.Options{
		Redis: w.client, Keys: w.keys, Journal: &audittest.Journal{}, Upstream: w.upstream, Log: slog.New(slog.DiscardHandler),
		Active: func() bool { return true }, Alone: true, Every: 10 * time.Millisecond,
		Now: func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- store.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	w.store, w.s.Budgets = store, store
	return w
}

// spent is what counts against the budget, in GiB, rounded down.
func (w *budgetedWorld) spent() int64 {
	total := int64(0)
	for _, l := range w.store.Lines(nil) {
		total += l.Used + l.Reserved
	}
	return total >> 30
}

func (w *budgetedWorld) comesTo(want int64) {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); w.spent() != want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("%d GiB count, want %d", w.spent(), want)
		}
	}
}

// noBroker mints nothing.
type noBroker struct{ *gatewayWorld }

func (noBroker) Mint(context.Context, durable.Runs, credentials.Run) (credentials.Credential, error) {
	return credentials.Credential{}, errors.New("STS is away")
}

// refusingJournal takes none of one kind of decision.
type refusingJournal struct{ Journal }

func (j refusingJournal) Append(ctx context.Context, r audit.Record) (audit.Position, error) {
	if d, ok := r.(audit.Decision); ok && d.Effect == audit.EffectAllow {
		return audit.Position{}, errors.New("no space left on device")
	}
	return j.Journal.Append(ctx, r)
}

// What was reserved for a query that never leaves is given back, whatever it was that ended it.
func TestWhatNeverLeavesCostsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(w *budgetedWorld)
		waits   bool // until the verdict's life is over
	}{
		"nobody begins with the verdict": {func(w *budgetedWorld) {
			if out := w.ask(boundQuery()); out.forward == nil {
				w.t.Fatalf("%d %s", out.status, out.body)
			}
		}, true},
		"STS is away": {func(w *budgetedWorld) {
			w.s.Credentials = noBroker{w.gatewayWorld}
			if out := w.ask(boundQuery()); !out.fault {
				w.t.Fatalf("%d %s", out.status, out.body)
			}
		}, false},
		"the journal is full": {func(w *budgetedWorld) {
			w.s.Journal = refusingJournal{w.s.Journal}
			if out := w.ask(boundQuery()); !out.fault {
				w.t.Fatalf("%d %s", out.status, out.body)
			}
		}, false},
		"a part panics": {func(w *budgetedWorld) {
			w.s.Credentials = nil
			defer func() {
				if recover() == nil {
					w.t.Fatal("nothing panicked")
				}
			}()
			w.ask(boundQuery())
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newBudgetedWorld(t)
			c.happens(w)
			if c.waits {
				w.ahead.Store(int64(59 * time.Second))
			}
			if c.waits && name == "nobody begins with the verdict" && w.spent() != 1 {
				t.Errorf("%d GiB count while the verdict lives, want 1", w.spent())
			}
			if c.waits {
				w.ahead.Store(int64(61 * time.Second))
			}
			w.comesTo(0)
		})
	}
}

// What was sent before there was a budget counts once when it is sent again under one, however
// often it is.
func TestSentBeforeThereWasABudget(t *testing.T) {
	query := boundQuery()
	query["requestId"] = "0b8b2e1c-0000-4000-8000-000000000001"
	for name, send := range map[string]func(w *budgetedWorld) outcome{
		"jobs.query":  func(w *budgetedWorld) outcome { return w.ask(query) },
		"jobs.insert": func(w *budgetedWorld) outcome { return w.insert("mine", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newBudgetedWorld(t)
			w.policy(freePolicy)
			first := send(w)
			if first.forward == nil || w.spent() != 0 {
				t.Fatalf("%d %s", first.status, first.body)
			}
			w.policy(budgetedPolicy)
			for n := range 3 {
				again := send(w)
				if again.forward == nil || again.forward.Record.Decision != first.forward.Record.Decision ||
					again.forward.Record.Reserved != first.forward.Record.Decision || len(again.forward.Reserves) != 1 {
					t.Fatalf("time %d: %d %s, %+v", n, again.status, again.body, again.forward)
				}
				if w.spent() != 1 {
					t.Errorf("%d GiB count after %d times, want 1", w.spent(), n+1)
				}
			}
		})
	}
	t.Run("where nothing is left", func(t *testing.T) {
		w := newBudgetedWorld(t)
		w.policy(freePolicy)
		if out := w.ask(query); out.forward == nil {
			t.Fatalf("%d %s", out.status, out.body)
		}
		w.policy(strings.Replace(budgetedPolicy, "4GiB", "1GiB", 1))
		other := boundQuery()
		if out := w.ask(other); out.forward == nil {
			t.Fatalf("%d %s", out.status, out.body)
		}
		if out := w.ask(query); out.forward != nil || out.status != 403 || !strings.Contains(string(out.body), "quotaExceeded") {
			t.Errorf("%d %s", out.status, out.body)
		}
	})
}
