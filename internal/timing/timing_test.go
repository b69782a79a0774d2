package timing

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Clock
		time.Sleep(time.Second) // before Begin: no step's
		c.Begin()
		time.Sleep(time.Second)
		c.Done("first")
		time.Sleep(2 * time.Second)
		c.Done("second")
		c.Begin()
		time.Sleep(3 * time.Second)
		c.Done("first")
		attrs := c.LogValue().Group()
		if len(attrs) != 2 || attrs[0].Key != "first" || attrs[1].Key != "second" {
			t.Fatalf("got %v, want first and second", attrs)
		}
		if first, second := attrs[0].Value.Duration(), attrs[1].Value.Duration(); first != 4*time.Second || second != 2*time.Second {
			t.Errorf("first took %s and second %s, want 4s and 2s", first, second)
		}
	})
}

// More names than there is room for are added to the last, so that the sum stays right.
func TestClockIsBounded(t *testing.T) {
	var c Clock
	c.Begin()
	for i := range 3 * most {
		c.Done(strconv.Itoa(i))
	}
	if n := len(c.LogValue().Group()); n != most {
		t.Errorf("%d steps, want %d", n, most)
	}
}
