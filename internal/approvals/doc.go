// Package approvals holds queries until people have decided about them.
//
// A held query is one Request with one life:
//
//	pending ──approve (quorum)──▶ approved ──BeginRelease──▶ releasing ──Ran──▶ used
//	   │ │                          │  ▲                        │  │
//	   │ └─deny──▶ denied           │  └───────Failed───────────┘  └─Lapsed─▶ cancelled
//	   └─Cancel──▶ cancelled ◀──────┘
//
// What is pending or approved, and a release that was abandoned, expires.
//
// Replicas of the gateway meet in Redis. Every step is one Lua script there, under Redis's own
// clock, and goes through three hands (attack A12):
//
//	claim    one writer holds the request for a few seconds, at the version it read
//	append   what it is about to do is durable in the Journal
//	commit   the new state replaces the old one, if the claim still stands
//
// Who dies in between leaves the request as it was, once the claim has run out, and an attempt in
// the Journal that nothing follows. The rule for readers of the Journal: an attempt counts only if
// an event with its nonce says "committed", or names that nonce as its previous one.
//
// Redis is believed in nothing that matters (attack A11). A Request is stored sealed by the
// gateway's Keyring, under its own id, with its state and version inside; beside it stand the state
// and version in plain text, for scripts to compare. Where the two disagree, or where the seal is
// not the gateway's, there is no Request. Pub/Sub and the indexes are hints: they make nobody see
// or run what the sealed record does not say.
//
// The version of a record must be the one of which the ledger tells (ledger.go): the row of
// numbered, sealed and linked messages in which each replica tells all others of each step it
// takes, in the script that takes it. A step is taken only by who has read all that was told
// before. Each replica writes into its journal what it reads there, so that a Redis that shows less
// later is found out: then approvals are closed, nothing is held, decided or released, and all else
// goes on, until an operator acknowledges the loss (ledger_begin.go).
//
// The last guard is BigQuery's: each use of an approval takes one job id there (Lease.Use), the
// same wherever it is tried, and BigQuery takes an id once.
package approvals
