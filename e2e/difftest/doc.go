// Package difftest compares what the analysis says of a query with what the query does.
//
// A small database (database_test.go) holds cells that occur nowhere else, canaries. Queries are generated from a seed by a grammar that
// knows types (generate*_test.go), or made from the statements of the corpus by small changes (corpus_test.go). Each is analysed by
// internal/googlesql and run for real on the SQL engine of the stand-ins (e2e/engine), which knows nothing of that analysis; then single
// cells are changed and it is run again (check_test.go). It is a failure where
//
//   - a canary, or its reverse, hex, base64, digits, or any six characters of these, shows in an output column that does not name the
//     canary's column as a source;
//   - a value that is carried `direct` is not one of the values of its source columns;
//   - changing one cell changes whether the query fails, how many rows there are, their order or another output column, although the
//     analysis says of the cell's column nothing that would allow it.
//
// A failing query is made smaller before it is shown (minimise_test.go). A table says which nodes of resolved trees and which functions
// were met in queries that both sides accepted (coverage_test.go); every kind that the lineage walk handles must be among them.
//
// `go test` runs 2,000 queries; `make differential N=50000 SEED=7` any number from any seed.
package difftest
