package identity

import (
	"crypto/sha256"
	"sync"
	"time"
)

const (
	cacheSize = 4096
	// cacheFor bounds how long a key that the issuer withdrew still serves through a token seen before.
	cacheFor = time.Minute
)

// tokenCache remembers tokens that were verified a moment ago, by the digest of token and audience. The zero tokenCache is empty and ready.
type tokenCache struct {
	mu      sync.Mutex
	entries map[[sha256.Size]byte]cacheEntry
}

type cacheEntry struct {
	subject Subject
	until   time.Time
}

// get never returns a subject whose token is over.
func (c *tokenCache) get(key [sha256.Size]byte, now time.Time) (Subject, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry, ok := c.entries[key]
	if !ok {
		return Subject{}, false
	}
	if !now.Before(entry.until) {
		delete(c.entries, key)
		return Subject{}, false
	}
	return entry.subject, true
}

func (c *tokenCache) put(key [sha256.Size]byte, subject Subject, now time.Time) {
	until := now.Add(cacheFor)
	if subject.Expiry.Before(until) {
		until = subject.Expiry
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = map[[sha256.Size]byte]cacheEntry{}
	}
	if len(c.entries) >= cacheSize {
		c.shrink(now)
	}
	c.entries[key] = cacheEntry{subject: subject, until: until}
}

// shrink drops what is over, and a part of the rest if that is not enough. Which part does not matter: a dropped token is verified again.
func (c *tokenCache) shrink(now time.Time) {
	for key, entry := range c.entries {
		if !now.Before(entry.until) {
			delete(c.entries, key)
		}
	}
	for key := range c.entries {
		if len(c.entries) < cacheSize*3/4 {
			return
		}
		delete(c.entries, key)
	}
}
