package identity

import (
	"context"
	"maps"
	"slices"
	"time"
)

// IssuerState is what is known of an issuer's keys.
type IssuerState struct {
	Name   string
	Failed error // of the last fetch; nil where it succeeded, or there was none yet
	Usable bool  // there are keys that are not too old
}

// Issuers are the states of all, by name.
func (v *Verifier) Issuers() []IssuerState {
	var all []IssuerState
	for _, url := range slices.Sorted(maps.Keys(v.issuers)) {
		i := v.issuers[url]
		_, age := i.keys.current()
		i.keys.mu.Lock()
		all = append(all, IssuerState{i.Name, i.keys.failed, age < keysStale})
		i.keys.mu.Unlock()
	}
	return all
}

// retryKeys is how long a fetch of keys that failed is left alone, where no token asks for one.
const retryKeys = 10 * time.Second

// Retry fetches the keys of issuers again whose last fetch failed, until ctx ends: a gateway that
// is led no callers, because it could not verify their tokens, must find out by itself that it
// could again.
func (v *Verifier) Retry(ctx context.Context) {
	tick := time.NewTicker(retryKeys)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, i := range v.issuers {
			i.keys.mu.Lock()
			failed := i.keys.failed != nil
			i.keys.mu.Unlock()
			if failed {
				i.keys.refresh() // once for all who want them, and bounded in time
			}
		}
	}
}
