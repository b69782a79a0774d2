// Package masking says what may be shown of a query's result.
//
// A Plan, made by the policy from the lineage of the SQL, says for every output column which Rule
// masks it. The plan is the only thing that is believed: a response's own schema is checked against
// it and a response of any other shape is refused. The rules are BigQuery's predefined masking
// expressions with their documented results
// (cloud.google.com/bigquery/docs/column-data-masking-intro), so that a masked cell is still a
// valid value of its column's type and no schema has to change.
//
// A plan knows no codec: in which form rows are written (JSON today, in jsonmask) is no part of it.
// A codec asks the plan for its Cells, which say what becomes of each value, and holds what an
// answer tells of its columns against it (Plan.Match). What has to be masked before a query
// computes on it is written as SQL instead (sql.go).
//
// Read the package in this order: plan.go, version.go, rules.go (which rule wins), stricter.go (of
// two plans), cells.go (the plan made ready), names.go and shown.go (what BigQuery calls columns).
package masking
