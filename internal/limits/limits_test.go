package limits_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bqgate/bqgate/internal/limits"
)

// Each limit is reached by one owner and met by none of 199 others.
func TestOneOfMany(t *testing.T) {
	for k, spec := range limits.Kinds {
		t.Run(spec.Key, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, o := limits.Kind(k), limits.New(nil)
				take := func(owner string) error {
					if spec.Form == limits.AtOnce {
						_, err := o.Begin(owner, k)
						return err
					}
					return o.Spend(owner, k, 1+int64(spec.Default.PerHour)/100)
				}
				most := spec.Default.AtOnce + spec.Default.Burst
				if spec.Form == limits.PerHour {
					most = 100
				}
				for i := range most {
					if err := take("greedy"); err != nil {
						t.Fatalf("%d of %d: %v", i, most, err)
					}
				}
				var e *limits.Exceeded
				if err := take("greedy"); !errors.As(err, &e) || e.Kind != k || e.Reason() != spec.Reason ||
					!strings.Contains(e.Error(), spec.What) ||
					e.Free.IsZero() != (spec.Form == limits.AtOnce) {
					t.Errorf("beyond the limit: %v", err)
				}
				for i := range 199 {
					if err := take(fmt.Sprintf("agent-%d", i)); err != nil {
						t.Fatalf("agent %d: %v", i, err)
					}
				}
			})
		})
	}
}

// What is spent comes back with time, and the refusal says when.
func TestComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := limits.New(limits.Config{"lookups": {Burst: 2, PerSecond: 0.5}})
		spend := func() error { return o.Spend("a", limits.Lookups, 1) }
		if err := errors.Join(spend(), spend()); err != nil {
			t.Fatal(err)
		}
		var e *limits.Exceeded
		if !errors.As(spend(), &e) {
			t.Fatal("no limit")
		}
		if e.Wait != 2*time.Second || !e.Free.Equal(time.Now().Add(2*time.Second)) {
			t.Errorf("free in %s, at %s", e.Wait, e.Free)
		}
		if o.Left("a", limits.Lookups) == nil {
			t.Error("there is some left")
		}
		time.Sleep(e.Wait - time.Millisecond)
		if spend() == nil {
			t.Error("free before it said")
		}
		time.Sleep(time.Millisecond)
		if err := spend(); err != nil {
			t.Errorf("not free when it said: %v", err)
		}
		time.Sleep(time.Hour)
		if err := errors.Join(spend(), spend()); err != nil || spend() == nil {
			t.Errorf("a rest gives more, or less, than the burst: %v", err)
		}
	})
}

// What was charged for something done counts, also beyond the limit.
func TestCharge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := limits.New(limits.Config{"recorded_bytes": {PerHour: 1 << 20}})
		o.Charge("a", limits.RecordedBytes, 3<<20)
		var e *limits.Exceeded
		if err := o.Left("a", limits.RecordedBytes); !errors.As(err, &e) || e.Wait < 2*time.Hour || e.Wait > 2*time.Hour+time.Second {
			t.Errorf("after three times the hour's bytes: %v", err)
		}
		if err := o.Left("b", limits.RecordedBytes); err != nil {
			t.Errorf("somebody else: %v", err)
		}
	})
}

func TestEnds(t *testing.T) {
	o := limits.New(limits.Config{"queries": {AtOnce: 1}})
	end, err := o.Begin("a", limits.Queries)
	if err != nil {
		t.Fatal(err)
	}
	end()
	end() // a second time changes nothing
	end, err = o.Begin("a", limits.Queries)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Begin("a", limits.Queries); err == nil {
		t.Error("two where one may be")
	}
	end()
}

// What is lent counts until it is given back, or taken and ended, or its time is over: a stream
// that got lost is not counted for ever.
func TestLeases(t *testing.T) {
	for name, c := range map[string]struct {
		then func(o *limits.Owners)
		full bool
	}{
		"lent":                        {func(*limits.Owners) {}, true},
		"given back":                  {func(o *limits.Owners) { o.GiveBack("a", "d-1") }, false},
		"given back by somebody else": {func(o *limits.Owners) { o.GiveBack("b", "d-1") }, true},
		"taken":                       {func(o *limits.Owners) { o.Take("a", limits.Queries, "d-1") }, true},
		"taken, and a long time":      {func(o *limits.Owners) { o.Take("a", limits.Queries, "d-1"); time.Sleep(time.Hour) }, true},
		"taken and ended":             {func(o *limits.Owners) { o.Take("a", limits.Queries, "d-1")() }, false},
		"lost":                        {func(*limits.Owners) { time.Sleep(time.Minute) }, false},
		"lost, and taken late":        {func(o *limits.Owners) { time.Sleep(time.Minute); o.Take("a", limits.Queries, "d-1") }, true},
		"another one given back":      {func(o *limits.Owners) { o.GiveBack("a", "d-2") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := limits.New(limits.Config{"queries": {AtOnce: 1}})
				for range 2 { // the same one again is no other
					if err := o.Lend("a", limits.Queries, "d-1", time.Minute); err != nil {
						t.Fatal(err)
					}
				}
				c.then(o)
				if err := o.Lend("a", limits.Queries, "d-3", time.Minute); (err != nil) != c.full {
					t.Errorf("the next: %v", err)
				}
			})
		})
	}
}

// A flood of fresh owners pushes out nobody's debt and nobody who is known, and takes no more
// memory than there is for it. When it is over, everybody is as before.
func TestFloodOfOwners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := limits.New(limits.Config{"token_exchanges": {Burst: 10, PerSecond: 0.01}, "queries": {AtOnce: 1}})
		o.Charge("debtor", limits.TokenExchanges, 10)
		end, err := o.Begin("busy", limits.Queries)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Spend("known", limits.TokenExchanges, 1); err != nil {
			t.Fatal(err)
		}
		before := heap()
		refused := 0
		for i := range 200_000 {
			if o.Spend(fmt.Sprintf("fresh-%d", i), limits.TokenExchanges, 1) != nil {
				refused++
			}
		}
		if grown := heap() - before; grown > 32<<20 {
			t.Errorf("the flood takes %d MiB", grown>>20)
		}
		if refused < 150_000 {
			t.Errorf("only %d of 200000 fresh owners were refused", refused)
		}
		if o.Left("debtor", limits.TokenExchanges) == nil {
			t.Error("the debt is forgotten")
		}
		if _, err := o.Begin("busy", limits.Queries); err == nil {
			t.Error("what is under way is forgotten")
		}
		for range 9 {
			if err := o.Spend("known", limits.TokenExchanges, 1); err != nil {
				t.Errorf("who was there before has less: %v", err)
			}
		}
		end()
		time.Sleep(time.Hour)
		for i := range 1000 {
			if err := o.Spend(fmt.Sprintf("later-%d", i), limits.TokenExchanges, 1); err != nil {
				t.Fatalf("after the flood: %v", err)
			}
		}
	})
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Other limits hold at once, for what is under way and spent too.
func TestSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := limits.New(limits.Config{"queries": {AtOnce: 1}, "lookups": {Burst: 1, PerSecond: 0.001}})
		end, err := o.Begin("a", limits.Queries)
		if err := errors.Join(err, o.Spend("a", limits.Lookups, 1)); err != nil {
			t.Fatal(err)
		}
		o.Set(limits.Config{"queries": {AtOnce: 2}, "lookups": {Burst: 2, PerSecond: 0.001}})
		if _, err := o.Begin("a", limits.Queries); err != nil {
			t.Errorf("two may be: %v", err)
		}
		if _, err := o.Begin("a", limits.Queries); err == nil {
			t.Error("the first is forgotten")
		}
		if err := o.Spend("a", limits.Lookups, 1); err != nil || o.Spend("a", limits.Lookups, 1) == nil {
			t.Errorf("one more, and no second: %v", err)
		}
		o.Set(nil)
		if l := o.Limit(limits.Queries); l != limits.Kinds[limits.Queries].Default {
			t.Errorf("without a configuration: %+v", l)
		}
		end()
	})
}

// As many as the limit says, whoever comes at the same time.
func TestAtTheSameTime(t *testing.T) {
	o := limits.New(limits.Config{"queries": {AtOnce: 10}, "request_rate": {Burst: 10, PerSecond: 0.001}})
	var mu sync.Mutex
	var g sync.WaitGroup
	began, spent := 0, 0
	for range 64 {
		g.Go(func() {
			_, busy := o.Begin("a", limits.Queries)
			over := o.Spend("a", limits.RequestRate, 1)
			mu.Lock()
			defer mu.Unlock()
			if busy == nil {
				began++
			}
			if over == nil {
				spent++
			}
		})
	}
	g.Wait()
	if began != 10 || spent != 10 {
		t.Errorf("%d began and %d spent, want 10 each", began, spent)
	}
}

func BenchmarkRequest(b *testing.B) {
	o := limits.New(limits.Config{"request_rate": {Burst: 100_000_000, PerSecond: 1_000_000}})
	owner := "https://token.actions.githubusercontent.com#repository_id=74123456"
	b.ReportAllocs()
	for b.Loop() {
		end, err := o.Begin(owner, limits.Requests)
		if err := errors.Join(err, o.Spend(owner, limits.RequestRate, 1)); err != nil {
			b.Fatal(err)
		}
		end()
	}
}
