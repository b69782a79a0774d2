package jobs_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/durable/durabletest"
	"github.com/bqgate/bqgate/internal/jobs"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/sealedtest"
	"github.com/bqgate/bqgate/policies"
)

// writtenBy makes what stands in Redis what another version of bqgate would have written, and says
// in how many values.
func (w world) writtenBy(t *testing.T, change func(record map[string]any)) (changed int) {
	t.Helper()
	ctx, keys := t.Context(), sealedtest.Keyring(t, 7)
	names, err := w.redis.Keys(ctx, "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range names {
		text, err := w.redis.Get(ctx, key).Result()
		var record map[string]any
		if err != nil || keys.Open(key, text, &record) != nil || record["plan"] == nil {
			continue // of another type, or no record
		}
		change(record)
		if text, err = keys.Seal(key, record); err != nil {
			t.Fatal(err)
		}
		if err := w.redis.Set(ctx, key, text, jobs.Retention).Err(); err != nil {
			t.Fatal(err)
		}
		changed++
	}
	return changed
}

func plan(record map[string]any) map[string]any { return record["plan"].(map[string]any) }

// TestRecordsOfAnotherVersion: the plan of a record says what may be shown only to who knows what
// it means. What another version wrote shows nothing, keeps its place, and is told from what is not
// there.
func TestRecordsOfAnotherVersion(t *testing.T) {
	for name, c := range map[string]struct {
		change func(record map[string]any)
		cause  error // nil: any
	}{
		"before there were versions": {func(r map[string]any) { delete(plan(r), "version") }, masking.ErrVersion},
		"a later version":            {func(r map[string]any) { plan(r)["version"] = masking.Version + 1 }, masking.ErrVersion},
		"a member that is not known": {func(r map[string]any) { plan(r)["hides"] = true }, nil},
		"a transform that is not known": {func(r map[string]any) {
			r["transformed"] = map[string]any{"transforms": []any{map[string]any{"row_filter": map[string]any{}}}}
		}, policies.ErrTransform},
	} {
		t.Run(name, func(t *testing.T) {
			w, ctx := newWorld(t), t.Context()
			r := record()
			if err := w.Create(ctx, r); err != nil {
				t.Fatal(err)
			}
			if n := w.writtenBy(t, c.change); n != 1 {
				t.Fatalf("%d records", n)
			}
			got, v, err := w.Get(ctx, r.Owner, "demo", r.Job.JobID)
			if !errors.Is(err, jobs.ErrVersion) || errors.Is(err, jobs.ErrNotFound) || c.cause != nil && !errors.Is(err, c.cause) ||
				got.Plan.Columns != nil || v != nil {
				t.Errorf("the record is read: %+v, %v, %v", got.Plan, v, err)
			}
			if err := w.Create(ctx, r); !errors.Is(err, jobs.ErrExists) {
				t.Errorf("the record is written over: %v", err)
			}
		})
	}
}

// TestWhatAnotherVersionSent: a request that another version has sent is not sent again, whatever
// its plan was.
func TestWhatAnotherVersionSent(t *testing.T) {
	for way, a := range map[string]asked{"query": byQuery(), "insert": byInsert(), "release": byRelease()} {
		t.Run(way, func(t *testing.T) {
			w, ctx := newWorld(t), t.Context()
			begun, err := w.Begin(ctx, a.op, a.draft)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Stand(ctx, begun); err != nil {
				t.Fatal(err)
			}
			if n := w.writtenBy(t, func(r map[string]any) { plan(r)["version"] = masking.Version + 1 }); n != 1 {
				t.Fatalf("%d records", n)
			}
			if again, err := w.Begin(ctx, a.op, a.draft); !errors.Is(err, jobs.ErrOtherwise) || !strings.Contains(err.Error(), "version") {
				t.Errorf("it is sent again: %+v, %v", again, err)
			}
			if way != "insert" {
				return
			}
			_, err = w.Recover(ctx, durabletest.Decided(t, "d-1"), nil, "alice", bigquery.JobReference{ProjectID: "demo",
				JobID: "job-one-of-alice"})
			if !errors.Is(err, jobs.ErrVersion) {
				t.Errorf("its job is looked for: %v", err)
			}
		})
	}
}
