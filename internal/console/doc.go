// Package console is what reviewers use: the approval HTTP endpoint, and the pages in the browser.
//
// The endpoint (api.go, openapi.yaml) is for programs:
//
//	GET  /api/v1/requests?state=pending   requests that the caller may decide on or made
//	GET  /api/v1/requests/{id}            one of them
//	POST /api/v1/requests/{id}/approve    {"reason": "…"}
//	POST /api/v1/requests/{id}/deny       {"reason": "…"}, which the requester reads
//	GET  /api/v1/grants                   approvals that stand; POST …/{id}/revoke ends one
//	GET  /api/v1/notifications            messages that were given up
//
// Its callers are known by a bearer OIDC token made for the console's own audience: what an agent
// sends to the data path opens nothing here.
//
// The pages (ui.go, and a file for each: queue.go, request.go with evidence.go and decide.go,
// lists.go) are there where people can log in (login.go: OpenID Connect with PKCE). A login is a
// session in Redis and a cookie (session.go) that the endpoint does not look at; what is posted
// must come from a page of the console. A template NAME.templ stands beside the NAME.go that fills
// it. Open pages follow what changes (events.go).
//
// What a caller may see and decide is said by internal/approvals; this package translates. Requests
// that a caller may not see do not exist for them. The console must never be reachable through the
// listener that agents use (attack A30).
package console
