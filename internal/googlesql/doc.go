// Package googlesql says what a SQL text means: the kinds of its statements, the tables it reads,
// where each output column comes from, and which columns decide about the result without being in
// it. It knows nothing of policy or HTTP.
//
// An Analyzer (analyzer.go) answers in two rounds. First it asks a worker for the outline of the
// text, which is enough to refuse much of it and to name the tables. Then it fetches exactly those
// tables from a Catalog and asks again, one statement at a time, for the lineage. What is not
// understood is not guessed: the Analysis then carries an Error, along with the kinds and names
// that are known. For a plain SELECT over tables that it has seen before the two rounds are one
// trip (ahead.go): the worker answers the second question ahead, and the answer counts only if it
// is the one to the question that the Analyzer then has.
//
// The engine is GoogleSQL itself, in worker processes (pool.go, staff.go, process.go,
// internal/googlesql/engine) that are killed when they take too long or too much memory. This
// package does not link the engine; it talks to it in frames (internal/googlesql/wire).
package googlesql
