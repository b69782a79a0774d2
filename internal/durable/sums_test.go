package durable_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/audit/audittest"
	"github.com/bqgate/bqgate/internal/durable"
)

// What the journal does not take is counted on, with what came meanwhile, since the first of them.
func TestSumsThatAreNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, sums, refused := &audittest.Journal{}, durable.Sums{}, 0
		limited := func() {
			t.Helper()
			if w, err := sums.Limited(t.Context(), j, "greedy", "queries"); err != nil || durable.Because(w) == "" {
				t.Fatal(w, err)
			}
		}
		j.Refuse = func(_ context.Context, r audit.Record) error {
			if u, sum := r.(audit.Unrecorded); sum && u.Who != "" && refused == 0 {
				refused++
				limited() // while the journal is being asked
				return errors.New("no space left on device")
			}
			return nil
		}
		began := time.Now().UTC()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			sums.Run(ctx, j, func(audit.Unrecorded) {})
		}()
		limited()
		limited()
		time.Sleep(25 * time.Second)
		stop()
		<-done
		var all []audit.Unrecorded
		for _, r := range j.Records() {
			if u, sum := r.(audit.Unrecorded); sum && u.Who != "" {
				all = append(all, u)
			}
		}
		if len(all) != 1 || all[0].Answers != 3 || !all[0].Since.Equal(began) {
			t.Errorf("%+v, want three answers since %s", all, began)
		}
	})
}
