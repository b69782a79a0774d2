// Package cache keeps a bounded number of values, each until a time of its own: what is used least
// goes first. It is hashicorp/golang-lru with an end for each entry.
//
// The clock is the caller's, so that a cache never disagrees with its owner about what is over.
package cache

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// Cache is safe for concurrent use. A nil Cache holds nothing.
type Cache[K comparable, V any] struct{ entries *lru.Cache[K, entry[V]] }

type entry[V any] struct {
	value V
	until time.Time
}

// New makes a Cache of at most size entries, one at least.
func New[K comparable, V any](size int) *Cache[K, V] {
	entries, err := lru.New[K, entry[V]](max(1, size))
	if err != nil {
		panic(err) // of a size below 1 alone
	}
	return &Cache[K, V]{entries}
}

// Get returns the value of a key, but never one whose time has come.
func (c *Cache[K, V]) Get(key K, now time.Time) (value V, ok bool) {
	if c == nil {
		return value, false
	}
	e, ok := c.entries.Get(key)
	if !ok || !now.Before(e.until) {
		return value, false
	}
	return e.value, true
}

// Put keeps a value until its time has come, or room is needed for others.
func (c *Cache[K, V]) Put(key K, value V, until time.Time) {
	if c != nil {
		c.entries.Add(key, entry[V]{value, until})
	}
}

// RemoveIf forgets the keys that the function says yes to.
func (c *Cache[K, V]) RemoveIf(gone func(K) bool) {
	if c == nil {
		return
	}
	for _, key := range c.entries.Keys() {
		if gone(key) {
			c.entries.Remove(key)
		}
	}
}

// Clear forgets everything.
func (c *Cache[K, V]) Clear() {
	if c != nil {
		c.entries.Purge()
	}
}

// Len is how many entries are kept, with those whose time has come and that nobody asked for since.
func (c *Cache[K, V]) Len() int {
	if c == nil {
		return 0
	}
	return c.entries.Len()
}
