package cache_test

import (
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/cache"
)

var now = time.Unix(1_000_000, 0)

func TestAValueEndsAtItsTime(t *testing.T) {
	c := cache.New[string, int](4)
	c.Put("a", 1, now.Add(time.Second))
	for name, row := range map[string]struct {
		at time.Time
		ok bool
	}{
		"at once": {now, true}, "just before": {now.Add(time.Second - 1), true}, "at its time": {now.Add(time.Second), false},
		"later": {now.Add(time.Hour), false},
	} {
		t.Run(name, func(t *testing.T) {
			if v, ok := c.Get("a", row.at); ok != row.ok || ok && v != 1 || !ok && v != 0 {
				t.Errorf("%d, %v", v, ok)
			}
		})
	}
	c.Put("a", 2, now.Add(time.Minute))
	if v, ok := c.Get("a", now.Add(time.Second)); !ok || v != 2 {
		t.Errorf("kept anew: %d, %v", v, ok)
	}
}

func TestTheLeastUsedGoesFirst(t *testing.T) {
	c := cache.New[string, int](2)
	end := now.Add(time.Hour)
	c.Put("a", 1, end)
	c.Put("b", 2, end)
	c.Get("a", now)
	c.Put("c", 3, end)
	for key, kept := range map[string]bool{"a": true, "b": false, "c": true} {
		t.Run(key, func(t *testing.T) {
			if _, ok := c.Get(key, now); ok != kept {
				t.Errorf("%s: kept %v", key, ok)
			}
		})
	}
	if c.Len() != 2 {
		t.Errorf("%d entries", c.Len())
	}
}

func TestForgetting(t *testing.T) {
	c := cache.New[string, int](8)
	for _, key := range []string{"a", "b", "c"} {
		c.Put(key, 1, now.Add(time.Hour))
	}
	c.RemoveIf(func(key string) bool { return key == "b" })
	if _, ok := c.Get("b", now); ok || c.Len() != 2 {
		t.Errorf("b is kept: %v, %d entries", ok, c.Len())
	}
	c.Clear()
	if c.Len() != 0 {
		t.Errorf("%d entries after Clear", c.Len())
	}
}

func TestANilCacheHoldsNothing(t *testing.T) {
	var c *cache.Cache[string, int]
	c.Put("a", 1, now.Add(time.Hour))
	c.RemoveIf(func(string) bool { return true })
	c.Clear()
	if _, ok := c.Get("a", now); ok || c.Len() != 0 {
		t.Error("it holds something")
	}
}
