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

// One record a second answers for all polls of that second, and says how many there were.
func TestPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, pulse := &audittest.Journal{}, durable.Pulse{}
		poll := func(n int) {
			t.Helper()
			for range n {
				if w, err := pulse.Waiting(t.Context(), c); err != nil || durable.Because(w) == "" {
					t.Fatal(w, err)
				}
			}
		}
		poll(3)
		time.Sleep(time.Second)
		poll(2)
		time.Sleep(time.Hour)
		poll(1)
		var answers []int
		for _, r := range c.Records() {
			answers = append(answers, r.(audit.Unrecorded).Answers)
		}
		if len(answers) != 3 || answers[0] != 0 || answers[1] != 3 || answers[2] != 2 {
			t.Errorf("recorded answers %v", answers)
		}
	})
}

// With a journal that is frozen nobody is told that they still wait: neither who finds it so, nor
// who comes while that one looks.
func TestPollsOfAFrozenJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, pulse := &audittest.Journal{}, durable.Pulse{}
		if _, err := pulse.Waiting(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		c.Refuse = func(ctx context.Context, _ audit.Record) error { <-ctx.Done(); return ctx.Err() }
		time.Sleep(time.Second)
		done := make(chan error)
		for range 3 {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				_, err := pulse.Waiting(ctx, c)
				done <- err
			}()
		}
		for range 3 {
			if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("answered: %v", err)
			}
		}
		c.Refuse = nil
		if _, err := pulse.Waiting(t.Context(), c); err != nil {
			t.Errorf("thawed: %v", err)
		}
	})
}
