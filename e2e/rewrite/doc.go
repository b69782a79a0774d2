// Package rewrite holds the tests of masking before compute, on the SQL engine that the stand-in
// for BigQuery uses too: what a mask rule makes of a value in SQL and in flight is the same
// (masks_test.go), a rewritten query answers as the same query would over a table whose columns
// were masked beforehand (corpus_test.go), and nothing that a query does tells two values apart
// that their masks do not (pairs_test.go). The gateway's own steps run in the test's process:
// analysis, policy, rewriting, masker. There is no Envoy here.
package rewrite
