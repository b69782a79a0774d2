package extauthz

import (
	"fmt"
	"testing"
	"time"
)

func TestBucketsAreRefilledAndApart(t *testing.T) {
	var b buckets
	now := time.Unix(1000, 0)
	for i := range askedAtOnce {
		if !b.take("alice", now) {
			t.Fatalf("only %d at once", i)
		}
	}
	if b.take("alice", now) {
		t.Errorf("more than %d at once", askedAtOnce)
	}
	if !b.take("bob", now) {
		t.Error("bob pays for alice")
	}
	if b.take("alice", now.Add(askedRefill/2)) || !b.take("alice", now.Add(askedRefill)) || b.take("alice", now.Add(askedRefill)) {
		t.Error("not one more each second")
	}
	if later := now.Add(time.Hour); !b.take("alice", later) || b.full["alice"].Sub(later) != askedRefill {
		t.Error("a rest fills the bucket higher than its brim")
	}
}

// Any number of subjects does not make the table grow, and a full table refuses rather than forgets who has asked.
func TestBucketsAreBounded(t *testing.T) {
	var b buckets
	now := time.Unix(1000, 0)
	for i := range bucketsKept + 50 {
		b.take(fmt.Sprint(i), now)
	}
	if len(b.full) > bucketsKept {
		t.Errorf("%d buckets", len(b.full))
	}
	if b.take("new", now) {
		t.Error("a full table let somebody ask whom it cannot count")
	}
	if !b.take("new", now.Add(2*askedRefill)) {
		t.Error("buckets that are full again are not forgotten")
	}
}
