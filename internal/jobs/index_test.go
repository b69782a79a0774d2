package jobs_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable/durabletest"
	"github.com/bqgate/bqgate/internal/jobs"
)

var anonymous = bigquery.TableID{Project: "demo", Dataset: "_abc", Table: "anon1"}

// finished takes record through its life: created, and found to have read what was named.
func finished(t *testing.T, w world, r jobs.Record, change ...func(*bigquery.Job)) jobs.Verification {
	t.Helper()
	if err := w.Create(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	j := job(append([]func(*bigquery.Job){func(j *bigquery.Job) { j.Reference, j.DestinationTable = r.Job, anonymous }}, change...)...)
	v, err := w.Finish(t.Context(), durabletest.Decided(t, "d-1"), r, j, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAResultTableIsReadByItsOwnerOnly(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	finished(t, w, record())
	r, v, err := w.ByDestination(ctx, "alice", anonymous)
	if err != nil || r.Job.JobID != "job-one-of-alice" || v == nil || !r.Plan.Sensitive {
		t.Fatalf("the owner: %+v %v %v", r, v, err)
	}
	other := anonymous
	other.Table = "anon2"
	for name, c := range map[string]struct {
		owner string
		table bigquery.TableID
	}{"another owner": {"bob", anonymous}, "nobody": {"", anonymous}, "another table": {"alice", other}} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := w.ByDestination(ctx, c.owner, c.table); !errors.Is(err, jobs.ErrNotFound) {
				t.Errorf("%s: %v, want ErrNotFound", name, err)
			}
		})
	}
}

// What BigQuery read was not what was decided on: nobody may read its table.
func TestTheTableOfABrokenJobIsNotRead(t *testing.T) {
	w := newWorld(t)
	v := finished(t, w, record(), func(j *bigquery.Job) { j.ReferencedTables[0].Table = "secrets" })
	if v.Broken == "" {
		t.Fatal("the job is not broken")
	}
	if _, _, err := w.ByDestination(t.Context(), "alice", anonymous); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

// Who writes Redis can copy entries and plant others: they lead nowhere, and they do not keep
// others from being found.
func TestPlantedIndexEntriesLeadNowhere(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	finished(t, w, record())
	if err := w.Note(ctx, "bob", bigquery.JobReference{ProjectID: "demo", JobID: "bobs"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	lists, err := w.redis.Keys(ctx, "bqgate:jobs:*").Result()
	if err != nil || len(lists) != 2 {
		t.Fatalf("%q, %v", lists, err)
	}
	for _, key := range lists {
		for _, from := range lists {
			for _, z := range w.redis.ZRangeWithScores(ctx, from, 0, -1).Val() {
				w.redis.ZAdd(ctx, key, redis.Z{Score: z.Score + 1, Member: z.Member})
			}
		}
		w.redis.ZAdd(ctx, key, redis.Z{Score: 1e15, Member: `{"job_id":"planted"}`})
	}
	for owner, want := range map[string]string{"alice": "job-one-of-alice", "bob": "bobs"} {
		t.Run(owner, func(t *testing.T) {
			all, err := w.List(ctx, owner, "demo")
			if err != nil || len(all) != 1 || all[0].JobID != want {
				t.Errorf("%s: %+v, %v; want %s alone", owner, all, err, want)
			}
		})
	}
	tables, err := w.redis.Keys(ctx, "bqgate:table:*").Result()
	if err != nil || len(tables) != 1 {
		t.Fatalf("%q, %v", tables, err)
	}
	for _, text := range []string{"", `{"jobId":"job-one-of-alice","projectId":"demo"}`, w.redis.Get(ctx, tables[0]).Val() + "AA"} {
		t.Run(text, func(t *testing.T) {
			w.redis.Set(ctx, tables[0], text, 0)
			if _, _, err := w.ByDestination(ctx, "alice", anonymous); !errors.Is(err, jobs.ErrNotFound) {
				t.Errorf("%.20q: %v, want ErrNotFound", text, err)
			}
		})
	}
	for _, key := range append(lists, tables...) {
		for _, secret := range []string{"alice", "job-one-of-alice", "anonymous", "_abc.anon1"} {
			t.Run(secret, func(t *testing.T) {
				if strings.Contains(key, secret) {
					t.Errorf("Redis shows %q in %s", secret, key)
				}
			})
		}
	}
}

func TestJobsAreListedNewestFirstEachOnce(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	start := time.Now().Add(-time.Hour).UTC()
	for i := range 1005 {
		ref := bigquery.JobReference{ProjectID: "demo", JobID: fmt.Sprintf("j%04d", i)}
		if err := w.Note(ctx, "alice", ref, start.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	again := bigquery.JobReference{ProjectID: "demo", JobID: "j1004"} // held, and then run
	if err := w.Note(ctx, "alice", again, time.Now()); err != nil {
		t.Fatal(err)
	}
	all, err := w.List(ctx, "alice", "demo")
	if err != nil || len(all) != jobs.Indexed-1 || all[0].JobID != "j1004" || all[1].JobID != "j1003" ||
		!all[0].Created.Equal(start.Add(1004*time.Second)) {
		t.Fatalf("%d jobs, the first %+v, %v", len(all), all[:min(2, len(all))], err)
	}
	for _, c := range [][2]string{{"bob", "demo"}, {"alice", "other"}} {
		if all, err := w.List(ctx, c[0], c[1]); err != nil || len(all) != 0 {
			t.Errorf("%v: %d jobs, %v; want none", c, len(all), err)
		}
	}
	if err := w.Note(ctx, "carol", again, time.Now().Add(-jobs.Retention)); err != nil {
		t.Fatal(err)
	}
	if all, err := w.List(ctx, "carol", "demo"); err != nil || len(all) != 0 {
		t.Errorf("a job as old as its record: %+v, %v", all, err)
	}
}

func TestBytesOfOneResultAddUp(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	other := record(func(r *jobs.Record) { r.Owner = "bob" })
	for i, want := range []int64{100, 200, 300} {
		t.Run(fmt.Sprint(want), func(t *testing.T) {
			if got, err := w.Spend(ctx, record(), 100); err != nil || got != want {
				t.Errorf("time %d: %d, %v; want %d", i, got, err, want)
			}
		})
	}
	if got, err := w.Spend(ctx, other, 1); err != nil || got != 1 {
		t.Errorf("another owner: %d, %v", got, err)
	}
}
