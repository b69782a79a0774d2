// Package difftest compares what the analysis says of a query with what the query does.
//
// A small database (database_test.go) holds cells that occur nowhere else, canaries. Queries are
// generated from a seed by a grammar that knows types (generate*_test.go), or made from the
// statements of the corpus by small changes (corpus_test.go). Each is analysed by
// internal/googlesql and run for real on the SQL engine of the stand-ins (e2e/sqlengine), which
// knows nothing of that analysis; then single cells are changed and it is run again
// (check_test.go). It is a failure where
//
//   - a canary, or its reverse, hex, base64, digits, or any six characters of these, shows in an
//     output column that does not name the canary's column as a source;
//   - a value that is carried `direct` is not one of the values of its source columns;
//   - changing one cell changes whether the query fails, how many rows there are, their order or
//     another output column, although the analysis says of the cell's column nothing that would
//     allow it. A cell may also get one element less or more, or become NULL where it is a STRUCT.
//
// The engine's driver answers wrongly where the first query of a set operation gives one column
// twice. Such a query is run in other words (e2e/sqlengine/setoperations.go), which can hide no
// leak: the analysis is of the query as it was written; `nothing UNION ALL Q` in place of Q has the
// same rows for every database, whatever Q is; where it is needed, and that it helped, is read off
// the engine's own resolved tree; and where it did not help, the query is not run and is counted.
// No answer is excused for what it looks like. The report says how many there were.
//
// That it would find a wrong lineage is itself tested: sources and uses are taken out of right
// analyses one by one (TestAWrongAnalysisIsNoticed), and whole sorts of them out of all analyses of
// generated queries (TestAWrongLineageIsFound).
//
// Tables of whose columns the analysis cannot be sure (wildcards, FOR SYSTEM_TIME AS OF with an
// older definition, names that a query around may capture) have a generator and databases of their
// own, on which the engine knows other columns than the analysis (uncertain_test.go).
//
// A failing query is made smaller before it is shown (minimise_test.go). A table says which nodes
// of resolved trees and which functions were met in queries that both sides accepted
// (coverage_test.go); every kind that the lineage walk handles must be among them.
//
// `go test` runs 2,000 queries; `make differential N=50000 SEED=7` any number from any seed.
package difftest
