package approvals

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func of(who string) func(*Held) { return func(h *Held) { h.Subject.Owner = who } }

func large(bytes int) func(*Held) {
	return func(h *Held) {
		h.Operation.Query.Parameters = json.RawMessage(`[{"name":"p","parameterType":{"type":"STRING"},"parameterValue":{"value":"` +
			strings.Repeat("x", bytes) + `"}}]`)
	}
}

// stored is how many bytes Redis has of requests.
func (b *bench) stored() (bytes int) {
	b.t.Helper()
	keys, err := b.client.Keys(b.ctx, requestKey("*")).Result()
	b.must(err)
	for _, key := range keys {
		bytes += len(b.client.HGet(b.ctx, key, "sealed").Val())
	}
	return bytes
}

// A39: one agent holds and cancels, over and over, with large parameters. It keeps nobody else out,
// and what is stored for it stays as small as the bound says.
func TestHoldAndCancelOverAndOver(t *testing.T) {
	onEach(
		t,
		Options{MaxOwnerBytes: 500 << 10, MaxTotalBytes: 1000 << 10, MaxOwnerRequests: 60, EndedKept: 5},
		func(t *testing.T, b *bench) {
			b.must(b.store.Settle(b.ctx))
			var err error
			cycles := 0
			for err == nil && cycles < 100 {
				var r Request
				if r, err = b.store.Hold(b.ctx, query(large(200<<10), of("flood"))); err == nil {
					_, err = b.store.Cancel(b.ctx, r.ID, "flood")
					cycles++
				}
				b.must(b.store.Settle(b.ctx))
			}
			var full *Full
			if !errors.As(err, &full) || cycles < 50 || !full.Mine || !full.Free.After(time.Now()) {
				t.Fatalf("after %d cycles: %+v, want the bound of an hour", cycles, err)
			}
			if n := b.stored(); n > 6*(keptWhole+1<<10) {
				t.Errorf("%d bytes are stored of requests that have ended", n)
			}
			for who, h := range map[string]*host{"new": b.host(), "running": {Store: b.store}} {
				r, err := h.Hold(b.ctx, query(of(who)))
				b.must(err)
				_, err = h.Hold(b.ctx, query(large(200<<10), of(who)))
				b.must(err)
				if r.State != StatePending {
					t.Errorf("another owner's request is %s", r.State)
				}
				_, err = h.Hold(b.ctx, query(of("flood")))
				wantErr(t, err, ErrTooMany)
			}
		},
	)
}

// Each bound is reached by one owner, named in the refusal, and not felt by another.
func TestBudgetOfOneOwner(t *testing.T) {
	for name, c := range map[string]struct {
		options Options
		hold    func(*Held)
		says    string
	}{
		"number": {Options{MaxPerOwner: 4}, func(*Held) {}, "4 of yours are waiting already"},
		"bytes":  {Options{MaxOwnerBytes: 120_000}, large(20_000), "of 120000"},
		"hour":   {Options{MaxOwnerRequests: 4}, func(*Held) {}, "4 of yours came to wait in this hour"},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, c.options, func(t *testing.T, b *bench) {
				var mine []Request
				var err error
				for err == nil {
					var r Request
					if r, err = b.store.Hold(b.ctx, query(c.hold, of("one"))); err == nil {
						mine = append(mine, r)
					}
				}
				var full *Full
				if !errors.As(err, &full) || len(mine) < 3 || !strings.Contains(err.Error(), c.says) || full.Free.IsZero() {
					t.Fatalf("after %d: %v, %+v", len(mine), err, full)
				}
				for n := range 20 {
					b.hold(c.hold, of(fmt.Sprint("another ", n)))
				}
				for _, r := range mine {
					_, err := b.store.Cancel(b.ctx, r.ID, "one")
					b.must(err)
				}
				_, err = b.host().Hold(b.ctx, query(c.hold, of("one")))
				if (err == nil) == (name == "hour") {
					t.Errorf("once all are withdrawn: %v", err)
				}
			})
		})
	}
	t.Run("one request", func(t *testing.T) {
		onEach(t, Options{MaxRequestBytes: 10_000}, func(t *testing.T, b *bench) {
			_, err := b.store.Hold(b.ctx, query(large(10_000)))
			var tooLarge *TooLarge
			if !errors.As(err, &tooLarge) || tooLarge.Limit != 10_000 || tooLarge.Bytes < 10_000 {
				t.Fatalf("%+v", err)
			}
		})
	})
}

// Replicas that hold at once do not go over a bound together.
func TestBudgetAcrossReplicas(t *testing.T) {
	onEach(t, Options{MaxPerOwner: 7}, func(t *testing.T, b *bench) {
		var made atomic.Int64
		var group sync.WaitGroup
		for range 3 {
			h := b.host()
			for range 5 {
				group.Go(func() {
					_, err := h.Hold(b.ctx, query())
					switch {
					case err == nil:
						made.Add(1)
					case !errors.Is(err, ErrTooMany):
						t.Error(err)
					}
				})
			}
		}
		group.Wait()
		if made.Load() != 7 {
			t.Errorf("%d are waiting, the bound is 7", made.Load())
		}
	})
}

// A11: sums and sets that somebody plants where earlier versions kept theirs, and everywhere else
// beneath the prefix, refuse nobody.
func TestPlantedTotals(t *testing.T) {
	onEach(t, Options{MaxPerOwner: 2}, func(t *testing.T, b *bench) {
		for n := range 50 {
			b.client.ZAdd(b.ctx, keyPrefix+"pending", redis.Z{Score: 9e15, Member: fmt.Sprint("r-", n)})
			b.client.ZAdd(b.ctx, keyPrefix+"all", redis.Z{Score: 9e15, Member: fmt.Sprint("r-", n)})
		}
		b.client.HSet(b.ctx, keyPrefix+"sizes", "total", "900000000000000000")
		b.hold()
		b.hold()
	})
}

// What Redis has lost fills nobody's budget.
func TestLostRequestsMakeRoom(t *testing.T) {
	onEach(t, Options{MaxPerOwner: 1}, func(t *testing.T, b *bench) {
		r := b.hold()
		_, err := b.store.Hold(b.ctx, query())
		wantErr(t, err, ErrTooMany)
		b.client.Del(b.ctx, requestKey(r.ID))
		b.hold()
	})
}

// What has expired is written down: the small rest of it shows, and the same query is known.
func TestExpiredIsCut(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		long := func(h *Held) {
			h.Operation.Query.SQL = "SELECT '" + strings.Repeat("y", 100_000) + "'"
			h.Approval.Expires = 50 * time.Millisecond
			h.Job.JobID = "long"
		}
		r := b.hold(long, large(50_000))
		other := b.host()
		for b.state(r.ID) != StateExpired {
			time.Sleep(5 * time.Millisecond) // Redis's clock has no event
		}
		if n := b.stored(); n < 150_000 {
			t.Fatalf("%d bytes before it is written down", n)
		}
		b.must(b.store.Settle(b.ctx))
		b.must(other.Settle(b.ctx)) // and once only
		if got := b.journal.kinds(r.ID); got != "requested expired" {
			t.Errorf("the journal has %q", got)
		}
		if n := b.stored(); n > keptWhole {
			t.Errorf("%d bytes are kept", n)
		}
		for _, s := range []*Store{b.store, other.Store, b.host().Store} {
			got, held, err := s.ByJob(b.ctx, owner, project, "", "long")
			b.must(err)
			if got.State != StateExpired || got.SQLBytes != 100_009 || !strings.HasPrefix(got.SQL, "SELECT 'yyy") || len(got.SQL) > 5_000 ||
				got.Parameters != nil || held.Operation.Method != query().Operation.Method || got.Digest != r.Digest {
				t.Errorf("%s, %d bytes of %d, %d of parameters", got.State, len(got.SQL), got.SQLBytes, len(got.Parameters))
			}
		}
		again, err := b.store.Hold(b.ctx, query(long, large(50_000)))
		b.must(err)
		if !again.Repeated || again.ID != r.ID {
			t.Errorf("the same query again: %+v", again.ID)
		}
		_, err = b.store.Hold(b.ctx, query(long))
		wantErr(t, err, ErrExists)
	})
}

// counting counts the requests that scripts read.
type counting struct{ opened atomic.Int64 }

func (k *counting) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (k *counting) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if args := cmd.Args(); len(args) > 2 && args[1] == scriptRead.Hash() {
			k.opened.Add(int64(args[2].(int) - 1))
		}
		return next(ctx, cmd)
	}
}

func (k *counting) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// A39: a list opens what its reader may see, and nothing else.
func TestListOpensNothingForStrangers(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		for n := range 40 {
			b.hold(func(h *Held) {
				h.Subject.Owner = fmt.Sprint("run ", n)
				if n%4 == 0 {
					h.Approval.Reviewers = []string{"others"}
				}
			})
		}
		stranger := reviewer("zoe")
		stranger.Groups = []string{"nobody's"}
		carol := reviewer("carol")
		carol.Groups = nil
		mine := reviewer("x")
		mine.Subject.Owner, mine.Subject.Workload, mine.Groups = "run 7", true, nil
		for name, c := range map[string]struct {
			who  Decider
			want int64
		}{"sees none": {stranger, 0}, "a reviewer": {dana, 30}, "a person behind them": {carol, 40}, "one run": {mine, 1}} {
			t.Run(name, func(t *testing.T) {
				k := &counting{}
				s := b.replica(k)
				got, err := s.List(b.ctx, Filter{For: &c.who})
				b.must(err)
				if int64(len(got.Requests)) != c.want || k.opened.Load() != c.want {
					t.Errorf("%d listed, %d opened, want %d", len(got.Requests), k.opened.Load(), c.want)
				}
			})
		}
	})
}

// The pages of a list have each request once, whatever a page leaves out.
func TestListInPages(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		want := map[string]bool{}
		for n := range 45 {
			r := b.hold(func(h *Held) { h.Statement = fmt.Sprint("s", n) })
			if n%3 == 0 {
				_, err := b.store.Cancel(b.ctx, r.ID, owner)
				b.must(err)
				continue
			}
			want[r.ID] = true
		}
		for name, f := range map[string]Filter{
			"by state": {State: StatePending, Limit: 7},
			"by match": {Limit: 7, Match: func(r Request) bool { return r.State == StatePending }},
			"in one":   {State: StatePending},
		} {
			t.Run(name, func(t *testing.T) {
				seen := map[string]bool{}
				last := ""
				for range 20 {
					page, err := b.host().List(b.ctx, f)
					b.must(err)
					for _, r := range page.Requests {
						if seen[r.ID] || !want[r.ID] || last != "" && r.ID >= last {
							t.Errorf("%s is there twice, or in the wrong place", r.ID)
						}
						seen[r.ID], last = true, r.ID
					}
					if f.Limit > 0 && len(page.Requests) > f.Limit || page.More != (page.Next != "") {
						t.Fatalf("%d on a page, more %t, next %q", len(page.Requests), page.More, page.Next)
					}
					if !page.More {
						break
					}
					f.After = page.Next
				}
				if len(seen) != len(want) {
					t.Errorf("%d of %d", len(seen), len(want))
				}
			})
		}
	})
}

// Who begins with a ledger that was made shorter knows the index too.
func TestIndexSurvivesShortening(t *testing.T) {
	onEach(t, Options{MaxPerOwner: 1000, EndedKept: 3}, func(t *testing.T, b *bench) {
		b.store.ledger.shortenAt = 120
		kept := b.hold(of("kept"))
		for range 90 {
			r := b.hold()
			_, err := b.store.Cancel(b.ctx, r.ID, owner)
			b.must(err)
		}
		b.must(b.store.Settle(b.ctx))
		if n := b.client.HLen(b.ctx, keyLedger).Val(); n > 150 {
			t.Fatalf("the ledger has %d messages", n)
		}
		for _, h := range []*host{b.host(), {Store: b.store}} {
			all, err := h.List(b.ctx, Filter{})
			b.must(err)
			if len(all.Requests) != 4 || all.Requests[3].ID != kept.ID {
				t.Errorf("%d requests are listed", len(all.Requests))
			}
		}
		if n := len(b.client.Keys(b.ctx, requestKey("*")).Val()); n != 4 {
			t.Errorf("Redis has %d requests", n)
		}
	})
}
