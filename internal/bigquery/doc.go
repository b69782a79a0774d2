// Package bigquery is the BigQuery API as bqgate understands it, and nothing of policy.
//
// A request is decoded once, strictly, at the edge: Decode asks Match which of the 47 REST methods
// it is, refuses all but the governed ones with a sentence, and reads path, query parameters,
// headers and body by allow-list into an Operation. What an Operation cannot express, bqgate does
// not forward. Encode writes the body that goes upstream from the Operation alone, so that BigQuery
// never parses a byte that only the client wrote; both ext_authz and ext_proc call it and must
// arrive at the same bytes.
//
// The way back is as narrow. ShowJob and FilterError rebuild a Job or an error by allow-list;
// FieldMask applies the client's `fields=` after masking, since it is never forwarded; the replies
// of files replies.go and errors.go are the ones the gateway gives itself, in the shapes that the
// stock clients wait for.
//
// Client is the gateway's own view of BigQuery: schemas, dry runs, the job behind an answer. Its
// token never passes Envoy.
//
// Facts about the API come from its discovery document (revision 20261009,
// https://bigquery.googleapis.com/discovery/v1/apis/bigquery/v2/rest).
package bigquery
