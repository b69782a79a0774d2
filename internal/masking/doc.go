// Package masking changes the cells of a query's answer into what its reader may see.
//
// A Plan, made by the policy from the lineage of the SQL, says for every output column which Rule
// masks it. The plan is the only thing that is believed: a response's own schema is checked against
// it and a response of any other shape is refused. The rules are BigQuery's predefined masking
// expressions with their documented results
// (cloud.google.com/bigquery/docs/column-data-masking-intro), so that a masked cell is still a
// valid value of its column's type and no schema has to change.
//
// Results masks the JSON of jobs.query and jobs.getQueryResults as a stream, chunk by chunk, with
// no memory beyond one masked cell. Read the package in this order: plan.go, rules.go (which rule
// wins), cell.go (what a rule does to one cell), results.go and toplevel.go (the document), rows.go
// (the rows), rowtext.go (their strings), template.go, gap.go and part.go (the same rows, fast).
//
// Every error is final. What Write returned before it was masked and may have been sent; what came
// with the error must not be, and the response has to be broken off.
package masking
