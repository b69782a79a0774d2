package jobs_test

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable/durabletest"
	"github.com/bqgate/bqgate/internal/jobs"
)

// Every key that a query's job takes × every kind of damage, whenever somebody who writes Redis
// does it. What rests on that key is not there any more; the owner's next query is begun, recorded,
// finished, listed and read as ever.
func TestPlantedUnderEveryKeyOfAJob(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	plant := map[string]func(key string) error{
		"missing":  func(string) error { return nil },
		"a string": func(key string) error { return w.redis.Set(ctx, key, "x", 0).Err() },
		"a list":   func(key string) error { return w.redis.RPush(ctx, key, "x").Err() },
		"a set":    func(key string) error { return w.redis.SAdd(ctx, key, "x").Err() },
		"a hash":   func(key string) error { return w.redis.HSet(ctx, key, "x", "y").Err() },
		"a sorted": func(key string) error { return w.redis.ZAdd(ctx, key, redis.Z{Score: 9e15, Member: "x"}).Err() },
		"huge":     func(key string) error { return w.redis.Set(ctx, key, strings.Repeat("x", 64<<20), 0).Err() },
		"a large set": func(key string) error {
			for n := range 50 {
				var all []any
				for m := range 1000 {
					all = append(all, n*1000+m)
				}
				if err := w.redis.SAdd(ctx, key, all...).Err(); err != nil {
					return err
				}
			}
			return nil
		},
	}
	// walk is the life of one query with everything that is kept of it.
	walk := func(a asked) error {
		begun, err := w.Begin(ctx, a.op, a.draft)
		if err != nil {
			return err
		}
		if err := w.Stand(ctx, begun); err != nil {
			return err
		}
		made := job(func(j *bigquery.Job) {
			j.Labels = map[string]string{jobs.Label: begun.Record.Mutation.Decision}
			for name, value := range a.op.Query.Labels {
				j.Labels[name] = value
			}
			text, err := json.Marshal(map[string]any{
				"jobType": "QUERY", "labels": j.Labels, "query": map[string]any{
					"query": sql, "useLegacySql": false,
					"maximumBytesBilled": strconv.FormatInt(begun.Record.Mutation.MaximumBytesBilled, 10)},
			})
			if err != nil {
				t.Fatal(err)
			}
			j.Configuration = text
		})
		made.Reference = bigquery.JobReference{ProjectID: "demo", Location: "US",
			JobID: "job-one-of-alice" + strings.TrimPrefix(a.op.Query.RequestID, "0b8b2e1c")}
		if a.op.Job.JobID != "" {
			made.Reference.JobID = a.op.Job.JobID
		}
		r := begun.Record
		r.Job = made.Reference
		record, err := w.Adopt(ctx, r, made)
		if err != nil {
			return err
		}
		made.DestinationTable = bigquery.TableID{Project: "demo", Dataset: "_x", Table: "anon" + made.Reference.JobID}
		v, err := w.Finish(ctx, durabletest.Decided(t, "d-1"), record, made, nil)
		if err != nil {
			return err
		}
		if v.Broken != "" {
			return errors.New(v.Broken)
		}
		if _, err := w.List(ctx, r.Owner, "demo"); err != nil {
			return err
		}
		if _, _, err := w.Get(ctx, r.Owner, "demo", r.Job.JobID); err != nil {
			return err
		}
		_, _, err = w.ByDestination(ctx, r.Owner, made.DestinationTable)
		return err
	}
	for way, of := range map[string]func() asked{"query": byQuery, "insert": byInsert} {
		if err := w.redis.FlushAll(ctx).Err(); err != nil { // of what the other way's rows left
			t.Fatal(err)
		}
		if err := walk(of()); err != nil {
			t.Fatalf("%s: %v", way, err)
		}
		keys, err := w.redis.Keys(ctx, "*").Result()
		if err != nil || len(keys) < 5 {
			t.Fatalf("%s: keys %q, %v", way, keys, err)
		}
		if err := w.redis.FlushAll(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			kind := strings.Split(key, ":")[1]
			dumps := map[string]string{}
			for damage, put := range plant {
				t.Run(way+"/"+kind+"/"+damage, func(t *testing.T) {
					if err := w.redis.FlushAll(ctx).Err(); err != nil {
						t.Fatal(err)
					}
					if err := put(key); err != nil { // before anything of this name was sent
						t.Fatal(err)
					}
					err := walk(of())
					if kind == "provisional" && damage != "missing" {
						if !errors.Is(err, jobs.ErrOtherwise) { // it may have been sent: under another name it is
							t.Errorf("a request of this name: %v", err)
						}
						another := of()
						again(&another, "-2")
						err = walk(another)
					}
					if err != nil {
						t.Errorf("the query: %v", err)
					}
					dumps[key] = w.redis.Dump(ctx, key).Val()
					// And while its job lives: it is not there any more, and the next one is.
					w.redis.Del(ctx, key)
					if err := put(key); err != nil {
						t.Fatal(err)
					}
					_, _, err = w.Get(ctx, "alice", "demo", "job-one-of-alice")
					if err != nil && !errors.Is(err, jobs.ErrNotFound) {
						t.Errorf("a read of its job: %v", err)
					}
					if _, err := w.List(ctx, "alice", "demo"); err != nil {
						t.Errorf("the list: %v", err)
					}
					next := of()
					again(&next, "-3")
					if err := walk(next); err != nil {
						t.Errorf("the next query: %v", err)
					}
				})
			}
			// What stood under another key opens nothing here.
			t.Run(way+"/"+kind+"/another's own", func(t *testing.T) {
				w.redis.FlushAll(ctx)
				for from, dump := range dumps {
					if dump != "" && from == key {
						w.redis.Restore(ctx, key+"x", 0, dump)
					}
				}
				if _, _, err := w.Get(ctx, "bob", "demo", "job-one-of-alice"); !errors.Is(err, jobs.ErrNotFound) {
					t.Errorf("%v", err)
				}
			})
		}
	}
}

// again gives a request another name.
func again(a *asked, by string) {
	if a.op.Query.RequestID != "" {
		a.op.Query.RequestID += by
	}
	if a.op.Job.JobID != "" {
		a.op.Job.JobID += by
		a.draft.Job.JobID += by
	}
	a.draft.Query = *a.op.Query
}

// A request that nobody can name again is not sent while Redis takes no writes.
func TestNothingIsBegunThatCannotBeRecorded(t *testing.T) {
	for name, of := range map[string]func() asked{"jobs.query": byQuery, "jobs.insert": byInsert} {
		for _, named := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				w, a := newWorld(t), of()
				if !named {
					a.op.Query.RequestID, a.op.Job.JobID, a.draft.Job.JobID = "", "", ""
				}
				begun, err := w.Begin(t.Context(), a.op, a.draft)
				if err != nil {
					t.Fatal(err)
				}
				if err := w.redis.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
					t.Fatal(err)
				}
				if err := w.Stand(t.Context(), begun); err == nil {
					t.Errorf("named %t: it would be sent", named)
				}
			})
		}
	}
}
