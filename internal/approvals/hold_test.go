package approvals

import (
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/redistest"
)

func TestHoldAndRead(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		h := query()
		r, err := b.store.Hold(b.ctx, h)
		b.must(err)
		if r.State != StatePending || !ValidID(r.ID) || r.Repeated || r.URL != "https://bqgate.example/requests/"+r.ID {
			t.Fatalf("requested as %+v", r)
		}
		if d := r.Expires.Sub(r.Created); d != time.Hour || time.Since(r.Created).Abs() > time.Minute {
			t.Fatalf("created %v, expires after %v", r.Created, d)
		}
		byJob, held, err := b.replica().ByJob(b.ctx, owner, project, "eu", h.Job.JobID)
		b.must(err)
		if byJob.ID != r.ID || !reflect.DeepEqual(held.Operation, h.Operation) {
			t.Fatalf("by job: %+v\nheld %+v\nwant %+v", byJob, held.Operation, h.Operation)
		}
		if held.Subject.Owner != owner || !held.Subject.Expiry.Equal(h.Subject.Expiry) || held.Statement != h.Statement ||
			held.Digest != r.Digest || held.Job != h.Job ||
			!reflect.DeepEqual(held.Approval, h.Approval) || held.Decision != "d-1" {
			t.Fatalf("requested is %+v", held)
		}
		if got := b.journal.kinds(r.ID); got != "requested" {
			t.Fatalf("journal has %q", got)
		}
	})
}

// The keys of the approval HTTP endpoint's contract.
func TestRequestJSON(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		r := b.approve(b.hold(), dana)
		text, err := json.Marshal(r)
		b.must(err)
		var got map[string]any
		b.must(json.Unmarshal(text, &got))
		want := map[string]any{
			"id": r.ID, "state": "approved", "subject": "repo:acme/app:ref:refs/heads/main", "groups": []any{"ai-agents"},
			"people": []any{"carol", "carol@acme.example"}, "sql": query().Operation.Query.SQL, "tables": []any{"acme.finance.payroll"},
			"sensitive_columns": []any{"acme.finance.payroll.salary"}, "estimated_bytes": float64(5 << 30), "estimated_cost": 0.03,
			"job_id":  r.JobID,
			"created": r.Created.Format(time.RFC3339Nano), "expires": r.Expires.Format(time.RFC3339Nano),
			"decisions": []any{map[string]any{
				"by": "dana@acme.example", "verdict": "approve", "reason": "looks right", "at": r.Votes[0].At.Format(time.RFC3339Nano),
			}},
			"claims": map[string]any{"repository": "acme/app", "sha": "abc", "run_id": "77"},
			"rule":   "finance/payroll", "rule_at": "policies/finance.yaml:12",
		}
		for key, v := range want {
			t.Run(key, func(t *testing.T) {
				if !reflect.DeepEqual(got[key], v) {
					t.Errorf("%s is %v, want %v", key, got[key], v)
				}
			})
		}
		for _, secret := range []string{"secret_claim", owner, "finance-reader", "grant 1"} {
			t.Run(secret, func(t *testing.T) {
				if strings.Contains(string(text), secret) {
					t.Errorf("the request shows %q", secret)
				}
			})
		}
	})
}

func TestHoldSendsNothingReadableToRedis(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		b.approve(b.hold(), dana)
		keys, err := b.client.Keys(b.ctx, "*").Result()
		b.must(err)
		var all strings.Builder
		for _, k := range keys {
			all.WriteString(k)
			switch kind := b.client.Type(b.ctx, k).Val(); kind {
			case "hash":
				for f, v := range b.client.HGetAll(b.ctx, k).Val() {
					all.WriteString(f + v)
				}
			case "string":
				all.WriteString(b.client.Get(b.ctx, k).Val())
			case "zset":
				all.WriteString(strings.Join(b.client.ZRange(b.ctx, k, 0, -1).Val(), " "))
			default:
				t.Fatalf("key %s is a %s", k, kind)
			}
		}
		for _, secret := range []string{"SELECT", "payroll", "carol", "dana", "repo:acme", "run 77", "looks right"} {
			t.Run(secret, func(t *testing.T) {
				if strings.Contains(all.String(), secret) {
					t.Errorf("Redis holds %q in plain text", secret)
				}
			})
		}
	})
}

func TestHoldAgain(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		withID := func(h *Held) { h.Operation.Query.RequestID = "req-1" }
		first := b.hold(withID)
		cases := []struct {
			name   string
			change func(*Held)
			err    error
			same   bool
		}{
			{"same job id", func(h *Held) { h.Job.JobID = first.JobID }, nil, true},
			{"same requestId, another job id", withID, nil, true},
			{"same job id, other SQL", func(h *Held) { h.Job.JobID = first.JobID; h.Operation.Query.SQL = "SELECT 1" }, ErrExists, false},
			{"same requestId, other parameters", func(h *Held) { withID(h); h.Operation.Query.Parameters = nil }, ErrExists, false},
			{"same ids, other owner", func(h *Held) { withID(h); h.Job.JobID = first.JobID; h.Subject.Owner = "another run" }, nil, false},
			{"same ids, other project", func(h *Held) { withID(h); h.Job = bigquery.JobReference{ProjectID: "p2", JobID: first.JobID} },
				nil, false},
			{"nothing in common", func(h *Held) {}, nil, false},
		}
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				r, err := b.store.Hold(b.ctx, query(c.change))
				if c.err != nil {
					wantErr(t, err, c.err)
					return
				}
				b.must(err)
				if (r.ID == first.ID) != c.same || r.Repeated != c.same {
					t.Errorf("%s: request %s (repeated %v), first was %s", c.name, r.ID, r.Repeated, first.ID)
				}
				if c.same && r.JobID != first.JobID {
					t.Errorf("%s: job id %s, want %s", c.name, r.JobID, first.JobID)
				}
			})
		}
	})
}

func TestHoldSameJobAtOnce(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		h := query()
		other := b.replica()
		var mu sync.Mutex
		ids, fresh := map[string]bool{}, 0
		var wg sync.WaitGroup
		for i := range 20 {
			store := b.store
			if i%2 == 1 {
				store = other
			}
			wg.Go(func() {
				r, err := store.Hold(b.ctx, h)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
				ids[r.ID] = true
				if !r.Repeated {
					fresh++
				}
			})
		}
		wg.Wait()
		if len(ids) != 1 || fresh != 1 {
			t.Fatalf("20 holds of one job made %d requests, %d of them fresh", len(ids), fresh)
		}
	})
}

func TestHoldRefusesTheIncomplete(t *testing.T) {
	b := newBench(t, startMini(t), Options{})
	for name, change := range map[string]func(*Held){
		"no query":     func(h *Held) { h.Operation.Query = nil },
		"no SQL":       func(h *Held) { h.Operation.Query.SQL = "" },
		"no UTF-8":     func(h *Held) { h.Operation.Query.SQL = "SELECT '\xff'" },
		"no owner":     func(h *Held) { h.Subject.Owner = "" },
		"no grant":     func(h *Held) { h.Subject.Grant = "" },
		"no sub":       func(h *Held) { h.Subject.Sub = "" },
		"no project":   func(h *Held) { h.Job.ProjectID = "" },
		"no statement": func(h *Held) { h.Statement = "" },
		"no account":   func(h *Held) { h.Credential = "" },
		"no reviewers": func(h *Held) { h.Approval.Reviewers = nil },
		"no quorum":    func(h *Held) { h.Approval.Quorum = 0 },
		"no expiry":    func(h *Held) { h.Approval.Expires = 0 },
		"lossy label":  func(h *Held) { h.Operation.Query.Labels = map[string]string{"a": "\xff"} },
	} {
		t.Run(name, func(t *testing.T) {
			if r, err := b.store.Hold(b.ctx, query(change)); err == nil {
				t.Errorf("%s: held as %s", name, r.ID)
			}
		})
	}
	if n := len(b.client.Keys(b.ctx, "*").Val()); n != 0 {
		t.Errorf("refused holds left %d keys", n)
	}
}

func TestCaps(t *testing.T) {
	onEach(t, Options{MaxPerOwner: 3, MaxPending: 5}, func(t *testing.T, b *bench) {
		var mine []Request
		for range 3 {
			mine = append(mine, b.hold())
		}
		_, err := b.store.Hold(b.ctx, query())
		wantErr(t, err, ErrTooMany)
		if !strings.Contains(err.Error(), "3 of yours are waiting already") {
			t.Errorf("error says %q", err)
		}
		other := func(h *Held) { h.Subject.Owner = "another run" }
		b.hold(other)
		b.hold(other)
		_, err = b.store.Hold(b.ctx, query(other))
		wantErr(t, err, ErrTooMany)
		// What is decided or withdrawn makes room.
		b.approve(mine[0], dana)
		_, err = b.store.Cancel(b.ctx, mine[1].ID, owner)
		b.must(err)
		b.hold()
		b.hold()
	})
	onEach(t, Options{MaxPerOwner: 1}, func(t *testing.T, b *bench) {
		b.hold(func(h *Held) { h.Approval.Expires = 50 * time.Millisecond })
		time.Sleep(80 * time.Millisecond)
		b.hold() // what has expired waits no more
	})
	onEach(t, Options{MaxRequestBytes: 10_000, MaxTotalBytes: 12_000}, func(t *testing.T, b *bench) {
		_, err := b.store.Hold(b.ctx, query(func(h *Held) { h.Operation.Query.SQL = strings.Repeat("x", 10_000) }))
		wantErr(t, err, ErrTooLarge)
		for range 10 {
			if _, err = b.store.Hold(b.ctx, query()); err != nil {
				break
			}
		}
		wantErr(t, err, ErrTooMany)
	})
	// Garbage gives its bytes back.
	onEach(t, Options{MaxTotalBytes: 6_000, Retention: 20 * time.Millisecond}, func(t *testing.T, b *bench) {
		for range 10 {
			b.hold(func(h *Held) { h.Approval.Expires = 20 * time.Millisecond })
			time.Sleep(60 * time.Millisecond)
		}
	})
}

func TestList(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		var ids []string
		for range 70 { // more than one batch
			ids = append(ids, b.hold().ID)
			time.Sleep(time.Millisecond)
		}
		b.approve(Request{ID: ids[0]}, dana)
		_, err := b.store.Vote(b.ctx, ids[1], dana, Deny, "no")
		b.must(err)
		pending, err := b.store.List(b.ctx, Filter{State: StatePending})
		b.must(err)
		if n := len(pending.Requests); n != 68 || pending.Requests[0].ID != ids[69] || pending.Requests[67].ID != ids[2] || pending.More {
			t.Fatalf("%d pending, more %v", n, pending.More)
		}
		all, err := b.store.List(b.ctx, Filter{})
		b.must(err)
		denied, err := b.store.List(b.ctx, Filter{State: StateDenied})
		b.must(err)
		if len(all.Requests) != 70 || len(denied.Requests) != 1 || denied.Requests[0].ID != ids[1] {
			t.Fatalf("%d in all, denied %+v", len(all.Requests), denied)
		}
		some, err := b.store.List(b.ctx, Filter{Limit: 2, Match: func(r Request) bool { return r.ID < ids[50] }})
		b.must(err)
		if len(some.Requests) != 2 || some.Requests[0].ID != ids[49] || !some.More {
			t.Fatalf("filtered: %+v", some)
		}
	})
	// Huge queries end an answer early: a reviewer's list must not be what exhausts the gateway.
	t.Run("large", func(t *testing.T) {
		b := newBench(t, redistest.Start(t), Options{MaxOwnerBytes: 1 << 30})
		for range 25 {
			b.hold(func(h *Held) { h.Operation.Query.SQL = "SELECT '" + strings.Repeat("x", 1_000_000) + "'" })
		}
		got, err := b.store.List(b.ctx, Filter{})
		b.must(err)
		if n := len(got.Requests); n != 17 || !got.More {
			t.Fatalf("%d requests, more %v", n, got.More)
		}
	})
}

func TestNotFound(t *testing.T) {
	onEach(t, Options{}, func(t *testing.T, b *bench) {
		r := b.hold()
		for _, id := range []string{"", "x", "r-", "r-01ARZ3NDEKTSV4RRFFQ69G5FAV", r.ID + "x", "../" + r.ID} {
			t.Run(id, func(t *testing.T) {
				_, err := b.store.Get(b.ctx, id)
				wantErr(t, err, ErrNotFound)
			})
		}
		for _, ask := range [][4]string{
			{"another owner", project, "EU", r.JobID}, {owner, "p2", "EU", r.JobID}, {owner, project, "US", r.JobID},
			{owner, project, "EU", "other"},
		} {
			_, _, err := b.store.ByJob(b.ctx, ask[0], ask[1], ask[2], ask[3])
			wantErr(t, err, ErrNotFound)
		}
	})
}
