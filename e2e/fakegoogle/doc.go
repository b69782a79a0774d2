// Package fakegoogle stands in for Google in the demo and in end-to-end tests: BigQuery's REST API,
// the Security Token Service and the IAM Service Account Credentials API, each on a loopback TLS
// listener of its own.
//
// It is as strict as Google where the product relies on Google being strict: every call needs
// exactly one live access token that this very process minted, tokens are minted only along the way
// a real deployment takes (subject token → STS → impersonation → service account), each service
// account may do only what it was given, job ids are single-use, and results, pages and anonymous
// tables belong to jobs. And it is as lax as Google where Google is lax, so that an attack which
// slips through the gateway is carried out and seen: DDL drops, method overrides and
// `access_token=` work, snake_case keys are read, errors repeat values, the cache shares result
// tables, query plans quote literals.
//
// It keeps jobs, results and pages itself and asks an Engine for SQL. There are two: `sqlengine`
// (e2e/sqlengine), a child process around googlesqlite, and bigquery-emulator, as a second opinion
// (NewEmulator). Everything that arrives is recorded (Server.Requests), which is how a test shows
// that something did not arrive.
//
// Files, in reading order: options.go, server.go, sts.go and iam.go (how tokens are made),
// tokens.go, routes.go, methods.go, query.go, insert.go, requestid.go, jobs.go, results.go,
// datasets.go, tables.go, tabledata.go, then engine.go, sqlengine.go, emulator.go and seed.go. What
// goes wrong on purpose is in faults.go and strike.go; what tests in other processes ask is in
// control.go; what is held against Google's own documents is in docs/conformance.md.
package fakegoogle
