// Package credentials mints the short-lived Google tokens that queries run with.
//
// The gateway has one identity of its own, its source: a federated one (an external_account file)
// or the machine's. The source can do nothing at BigQuery; it may only impersonate the service
// accounts that the configuration names. A Broker asks IAM Credentials for a token of one of them
// at the moment a query runs:
//
//	source ── STS or metadata server ──▶ source token
//	source token ── generateAccessToken ──▶ Token, scope bigquery, minutes long
//
// A Token belongs to one account and one owner and is reused for no other. One account, the
// inspection account, is the gateway's own eyes (schemas, dry runs, checks); its tokens come by
// another method, so that none of them can end in a request of an agent. Tokens live in memory
// only, and print as REDACTED.
package credentials
