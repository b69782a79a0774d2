package bigquery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/durable/durabletest"
)

type source struct {
	calls atomic.Int64
	get   func(ctx context.Context, id TableID) (*Table, error)
}

func (s *source) GetTable(ctx context.Context, _ durable.Facts, id TableID) (*Table, error) {
	s.calls.Add(1)
	return s.get(ctx, id)
}

func catalogOf(t *testing.T, get func(ctx context.Context, id TableID) (*Table, error)) (*Catalog, *source,
	*atomic.Int64) {
	t.Helper()
	s := &source{get: get}
	c, err := NewCatalog(s, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	clock := &atomic.Int64{}
	c.now = func() time.Time { return time.Unix(0, clock.Load()) }
	return c, s, clock
}

func TestNewCatalogRefuses(t *testing.T) {
	for _, ttl := range []time.Duration{0, -1, MaxCatalogTTL + 1} {
		if _, err := NewCatalog(&source{}, ttl); err == nil {
			t.Errorf("ttl %s accepted", ttl)
		}
	}
	if _, err := NewCatalog(nil, time.Second); err == nil {
		t.Error("no source accepted")
	}
}

func TestCatalogForgets(t *testing.T) {
	id := TableID{"demo", "crm", "t"}
	var fail error
	c, s, clock := catalogOf(t, func(_ context.Context, id TableID) (*Table, error) {
		return &Table{TableReference: id}, fail
	})
	ask := func(want int64, is error) {
		t.Helper()
		table, err := c.For(decided(t)).Table(t.Context(), id)
		if !errors.Is(err, is) || is == nil && (err != nil || table.TableReference != id) {
			t.Errorf("%v, %v; want %v", table, err, is)
		}
		if got := s.calls.Load(); got != want {
			t.Errorf("%d calls, want %d", got, want)
		}
	}
	ask(1, nil)
	clock.Store(int64(time.Minute - 1))
	ask(1, nil)
	clock.Store(int64(time.Minute)) // the schema is too old now
	fail = errors.New("boom")
	ask(2, fail)
	ask(3, fail) // a fault is not remembered, nor is the old schema believed again
	fail = &APIError{Status: 404}
	ask(4, ErrNotFound)
	ask(4, ErrNotFound)
	clock.Add(int64(notFoundTTL))
	fail = nil
	ask(5, nil)
}

func TestCatalogShares(t *testing.T) {
	decided(t) // its journal is not of the bubble
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		c, s, _ := catalogOf(t, func(ctx context.Context, id TableID) (*Table, error) {
			select {
			case <-release:
				return &Table{TableReference: id}, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		id := TableID{"demo", "crm", "t"}
		// The first caller gives up; those who wait with it still get the table.
		impatient, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() {
			_, err := c.For(decided(t)).Table(impatient, id)
			gone <- err
		}()
		synctest.Wait() // it is being asked for
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if table, err := c.For(decided(t)).Table(t.Context(), id); err != nil || table.TableReference != id {
					t.Errorf("%v, %v", table, err)
				}
			})
		}
		synctest.Wait() // all of them wait
		close(release)
		wg.Wait()
		if got := s.calls.Load(); got != 1 {
			t.Errorf("%d calls, want 1", got)
		}
	})
}

func TestCatalogIsBounded(t *testing.T) {
	c, _, _ := catalogOf(t, func(_ context.Context, id TableID) (*Table, error) { return nil, ErrNotFound })
	for i := range catalogSize + 50 {
		if _, err := c.For(decided(t)).Table(t.Context(), TableID{"demo", "crm", fmt.Sprint(i)}); !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
	}
	if n := c.tables.entries.Len(); n > catalogSize {
		t.Errorf("%d entries", n)
	}
}

// A8: after a change was noticed, nothing of before may be believed: neither what is kept nor what
// was asked for earlier and comes late.
func TestCatalogForgetsAtOnce(t *testing.T) {
	id := TableID{"demo", "crm", "t"}
	kind, begun, hold := "before", make(chan struct{}, 1), make(chan struct{})
	var slow atomic.Bool
	c, _, _ := catalogOf(t, func(_ context.Context, id TableID) (*Table, error) {
		table := &Table{TableReference: id, Type: kind}
		if slow.Swap(false) {
			begun <- struct{}{}
			<-hold
		}
		return table, nil
	})
	slow.Store(true)
	late := make(chan string, 1)
	go func() {
		table, err := c.For(decided(t)).Table(context.Background(), id)
		if err != nil {
			late <- err.Error()
			return
		}
		late <- table.Type
	}()
	<-begun
	kind = "after"
	c.Forget()
	for range 2 {
		if table, err := c.For(decided(t)).Table(t.Context(), id); err != nil || table.Type != "after" {
			t.Fatalf("%v, %v", table, err)
		}
	}
	close(hold)
	if got := <-late; got != "before" {
		t.Errorf("who asked before got %s", got)
	}
	if table, err := c.For(decided(t)).Table(t.Context(), id); err != nil || table.Type != "after" {
		t.Errorf("a late answer is kept: %v, %v", table, err)
	}
	kind = "later"
	c.Forget()
	if table, err := c.For(decided(t)).Table(t.Context(), id); err != nil || table.Type != "later" {
		t.Errorf("%v, %v", table, err)
	}
}

// One who may not look any more gets that error alone: whoever asks for the same at the same time
// is answered, by one request. The refused one comes first, in the middle and last.
func TestACallersLimitIsTheirs(t *testing.T) {
	for place := range 3 {
		t.Run(fmt.Sprint(place), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				id, over := TableID{"demo", "crm", "t"}, errors.New("no looks left")
				c, s, _ := catalogOf(t, func(_ context.Context, id TableID) (*Table, error) {
					time.Sleep(time.Second)
					return &Table{TableReference: id}, nil
				})
				counted := 0
				results := make([]error, 3)
				var g sync.WaitGroup
				for i := range results {
					g.Go(func() {
						ask := durable.Asking(durabletest.Journal(t), func() error {
							if i == place {
								return over
							}
							counted++
							return nil
						}, func() audit.Asked { return audit.Asked{Decision: fmt.Sprint("d-", i)} })
						_, results[i] = c.For(ask).Table(t.Context(), id)
					})
					synctest.Wait()
				}
				g.Wait()
				for i, err := range results {
					if errors.Is(err, over) != (i == place) || i != place && err != nil {
						t.Errorf("caller %d: %v", i, err)
					}
				}
				if s.calls.Load() != 1 || counted != 2 {
					t.Errorf("%d requests, %d looks counted", s.calls.Load(), counted)
				}
			})
		})
	}
}
