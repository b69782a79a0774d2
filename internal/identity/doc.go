// Package identity answers the first question of every request: who asks?
//
// An agent shows the OIDC token that its CI system gave it, either directly as a bearer token or
// exchanged for a gateway session at the RFC 8693 token endpoint. The way in is Authenticator: one
// Authorization header becomes a Subject or an *Error that says what was wrong.
//
//	Authorization: Bearer eyJ…   Verifier     signature, issuer, audience, times      Subject
//	Authorization: Bearer bqs_…  Sessions     sealed record in Redis, allow-listed    Subject
//
// Verifier knows several issuers and chooses by the token's `iss`. go-oidc checks the token; around
// it stand a strict reading of the token (token.go), the bounds on its age (verifier.go) and the
// issuers' key sets, which survive rotation and an issuer that is down (keyset.go).
//
// A Subject has three keys, since "the same subject" means three things: Owner (who may read a
// job), Grant (who may use an approval) and People (who may not decide on the request, being behind
// it). keys.go and people.go compute them from verified claims.
package identity
