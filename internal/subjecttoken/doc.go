// Package subjecttoken is the gateway as the issuer of a workload identity pool: it signs, for one
// run that was decided on, a token that says who runs it, and publishes the keys by which Google
// verifies it.
//
// The pool trusts this issuer alone, so that no token that an agent can hold is worth anything at
// Google's token endpoint (A46). docs/design/federation.md tells why.
package subjecttoken
