package audit

import (
	"fmt"
	"time"
)

// Unauthenticated sums up requests that were refused since they showed no valid token, and that
// have no record of their own.
type Unauthenticated struct {
	Time   time.Time              `json:"time"`
	Since  time.Time              `json:"since"`
	Counts []UnauthenticatedCount `json:"counts"`
}

// UnauthenticatedCount is how many of them there were of one kind.
type UnauthenticatedCount struct {
	Cause string `json:"cause"` // identity.Code: "missing", "signature" …
	// Addresses are the clients': a block of 256 of IPv4 ("192.0.2.0/24") or a /64 of IPv6. "" is
	// the rest of a record that names its share of blocks.
	Addresses string `json:"addresses"`
	Requests  int64  `json:"requests"`
}

func (Unauthenticated) kind() string { return "unauthenticated" }

func (r Unauthenticated) stamp(now time.Time) Record { r.Time = at(r.Time, now); return r }

// Kinds of an Entry.
const (
	EntryDecision        = "decision"
	EntryUnauthenticated = "unauthenticated" // Requests refused ones between Since and Time
)

// entries are one for each of the counts.
func (r Unauthenticated) entries() []Entry {
	var out []Entry
	for _, c := range r.Counts {
		from := c.Addresses
		if from == "" {
			from = "other addresses"
		}
		out = append(out, Entry{
			Time: r.Time, Since: r.Since, Kind: EntryUnauthenticated, Decision: EffectRefuse, Cause: c.Cause, Addresses: c.Addresses,
			Requests: c.Requests, Message: fmt.Sprintf("requests without a valid token (%s), from %s: %d", c.Cause, from, c.Requests),
		})
	}
	return out
}
