package extauthz

import (
	"fmt"
	"testing"
	"time"
)

func TestBucketsAreRefilledAndApart(t *testing.T) {
	var b buckets
	now, rate := time.Unix(1000, 0), Rate{AtOnce: 60, PerSecond: 2}
	const refill = 500 * time.Millisecond
	for i := range rate.AtOnce {
		if b.take("alice", now, rate) > 0 {
			t.Fatalf("only %d at once", i)
		}
	}
	if wait := b.take("alice", now, rate); wait != refill {
		t.Errorf("after %d at once: wait %s, want %s", rate.AtOnce, wait, refill)
	}
	if b.take("bob", now, rate) > 0 {
		t.Error("bob pays for alice")
	}
	if b.take("alice", now.Add(refill/2), rate) != refill/2 || b.take("alice", now.Add(refill), rate) > 0 ||
		b.take("alice", now.Add(refill), rate) == 0 {
		t.Error("not two more each second")
	}
	if later := now.Add(time.Hour); b.take("alice", later, rate) > 0 || b.full["alice"].Sub(later) != refill {
		t.Error("a rest fills the bucket higher than its brim")
	}
}

// Any number of subjects does not make the table grow, and a full table refuses rather than forgets
// who has asked.
func TestBucketsAreBounded(t *testing.T) {
	var b buckets
	now := time.Unix(1000, 0)
	for i := range bucketsKept + 50 {
		b.take(fmt.Sprint(i), now, DefaultRate)
	}
	if len(b.full) > bucketsKept {
		t.Errorf("%d buckets", len(b.full))
	}
	if b.take("new", now, DefaultRate) == 0 {
		t.Error("a full table let somebody ask whom it cannot count")
	}
	if b.take("new", now.Add(2*DefaultRate.refill()), DefaultRate) > 0 {
		t.Error("buckets that are full again are not forgotten")
	}
}
