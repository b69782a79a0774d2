// Package signer is the process that holds a service-account key, so that `bqgate serve` does not.
//
// A Signer starts this very program again (Command), with one end of a pair of sockets and nothing
// else: no environment, no files, no terminal. The child opens the sealed key, and from then on
// signs assertions (RFC 7523) and does nothing else:
//
//	serve                                child
//	  ── sealed file, wrapper ─────────▶   undumpable, no core, memory locked
//	                                       opens the key (age: without a network; KMS: asks it)
//	  ◀── ready, or why not ──────────    the kernel refuses it files, sockets, programs (seccomp)
//	  ── scope, lifetime ──────────────▶
//	  ◀── assertion ───────────────────
//
// The child decides itself what an assertion says: issuer, audience and key id are the key's, there
// is no subject, the scope is one of two, and the life at most an hour. The private key goes in no
// direction over the socket. When the child dies it is started again, at first at once and then
// more slowly; when serve dies, the child ends.
package signer
