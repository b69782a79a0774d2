// Package console is what reviewers talk to: the approval HTTP endpoint.
//
//	GET  /api/v1/requests?state=pending   the requests that the caller may decide on or made himself
//	GET  /api/v1/requests/{id}            one of them
//	POST /api/v1/requests/{id}/approve    {"reason": "…"}
//	POST /api/v1/requests/{id}/deny       {"reason": "…"}, where the reason is what the requester will read
//
// The caller is known by a bearer OIDC token made for the console's own audience: what an agent sends to the data path opens nothing here. There are no
// cookies. What the caller may see and decide is said by internal/approvals; this package translates. Requests that a caller may not see do not exist for
// him. It must never be reachable through the listener that agents use (attack A30).
package console
