// Bench measures bqgate against its performance budgets and prints one table: what was measured,
// what stands beside it as a baseline in the same run, their ratio, and the budget. `make bench`
// runs it; docs/performance.md says how to read it.
//
// The whole is measured as people run it: `bqgate demo` with a real Envoy and a real Redis, whose
// stand-in for BigQuery answers at once or after a time that the query names. The baseline is a
// second Envoy with the same configuration in front of the same upstream, whose ext_authz and
// ext_proc let everything pass (echo.go). Requests to the two take turns, so that a noisy machine
// is noisy for both. What a single package does is measured by its own benchmarks (packages.go).
//
// Nothing here fails because a figure misses its budget: a shared machine would make such a test
// worthless.
package main
