package identity

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/sync/singleflight"
)

// IssuerState is what is known of an issuer's keys.
type IssuerState struct {
	Name   string
	URL    string
	Failed error // of the last fetch; nil where it succeeded, or there was none yet
	Usable bool  // there are keys that are not too old
	// Misspelt is an `iss` that tokens came with and that differs from the issuer's URL in a slash
	// at the end, in http or in capitals; "" if none did. Nobody has verified such a token.
	Misspelt string
}

// Issuers are the states of all, by name.
func (v *Verifier) Issuers() []IssuerState {
	var all []IssuerState
	for _, url := range slices.Sorted(maps.Keys(v.issuers)) {
		i := v.issuers[url]
		_, age := i.keys.current()
		i.keys.mu.Lock()
		state := IssuerState{Name: i.Name, URL: i.URL, Failed: i.keys.failed, Usable: age < keysStale}
		i.keys.mu.Unlock()
		if misspelt := i.misspelt.Load(); misspelt != nil {
			state.Misspelt = *misspelt
		}
		all = append(all, state)
	}
	return all
}

// Look fetches the keys of all issuers at once and returns their states. Each has its own
// connections and its own few seconds: one that does not answer delays no other.
func (v *Verifier) Look(ctx context.Context) []IssuerState {
	var waiting []<-chan singleflight.Result
	for _, i := range v.issuers {
		waiting = append(waiting, i.keys.refresh())
	}
	for _, fetched := range waiting {
		select {
		case <-fetched:
		case <-ctx.Done():
		}
	}
	return v.Issuers()
}

// Mismatch is an issuer that has another name than the configuration: no token of it is believed.
type Mismatch struct {
	Configured string
	// Published is what its discovery document says; "" where that is no issuer's URL.
	Published string
}

// Error says both names.
func (e *Mismatch) Error() string {
	if e.Published == "" {
		return "the discovery document's issuer is another than " + e.Configured
	}
	return fmt.Sprintf("the issuer calls itself %s, but the configuration has %s", e.Published, e.Configured)
}

// mismatch is the error of a discovery that found another name.
func mismatch(err error) error {
	var other *oidc.IssuerMismatchError
	if !errors.As(err, &other) {
		return err
	}
	m := &Mismatch{Configured: other.Provided}
	if len(other.Discovered) <= maxURL && CheckEndpoint(other.Discovered) == nil && !strings.ContainsFunc(other.Discovered, isControl) {
		m.Published = other.Discovered
	}
	return m
}

const maxURL = 512 // bytes of an issuer's URL that is shown

// misspelt is the issuer that an `iss` was meant for, where a slash, http or capitals are all that
// differs.
func (v *Verifier) misspelt(iss string) *issuer {
	if len(iss) > maxURL {
		return nil
	}
	for url, i := range v.issuers {
		if normal(url) == normal(iss) {
			i.misspelt.CompareAndSwap(nil, &iss)
			return i
		}
	}
	return nil
}

func normal(url string) string {
	_, rest, _ := strings.Cut(strings.ToLower(url), "://")
	return strings.TrimRight(rest, "/")
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
