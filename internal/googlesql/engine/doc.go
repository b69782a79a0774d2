// Package engine is the inside of a SQL worker process: the only package of bqgate that links the
// GoogleSQL engine.
//
// The engine is Google's own C++ parser and resolver, compiled to WebAssembly and from there to Go.
// It has one global lock, no deadline, no bounds checks, and inputs of one kilobyte that keep it
// busy for minutes. So it lives in processes that the gateway may kill at any moment (see package
// googlesql), that hold no secret, and that answer two questions on their standard streams:
//
//   - parse (parse.go, kinds.go): text → an outline of its statements, with every name as it is
//     written;
//   - analyze (analyze.go): one statement and the tables it may read → its output columns with
//     their lineage, and its uses.
//
// A worker that was told what comes next may answer the second as soon as it has the first, on the
// tree that it has (ahead.go).
//
// Lineage is computed bottom-up over the resolved tree (scans.go, queries.go, expressions.go,
// calls.go) with values (values.go) that know, leaf by leaf, which columns they carry. Every node
// kind is handled by name; an unknown one refuses the statement. Three checks guard against what
// the walk did not see: the engine's own account of fields never read (CheckFieldsAccessed), and
// the numbers of table scans and column references that the engine finds below the statement
// against the numbers visited.
package engine
