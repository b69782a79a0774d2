// Package jsonmask changes the cells of a query's answer in JSON into what its reader may see.
//
// Results masks the answers of jobs.query and jobs.getQueryResults by a masking.Plan as a stream,
// chunk by chunk, with no memory beyond one masked cell. Read the package in this order: compile.go
// (the plan's cells with their JSON), cell.go (what a rule does to one cell), results.go and
// toplevel.go (the document), rows.go (the rows), rowtext.go (their strings), template.go, gap.go
// and part.go (the same rows, fast).
//
// Every error is final. What Write returned before it was masked and may have been sent; what came
// with the error must not be, and the response has to be broken off.
package jsonmask
