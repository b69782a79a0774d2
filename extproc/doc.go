// Package extproc is the ext_proc service: the last hand on every request that goes to BigQuery and
// on every byte that comes back.
//
// One Envoy stream is one exchange:
//
//	request headers   the verdict is opened: sealed dynamic metadata of ext_authz, good for this
//	                  request only
//	request body      the client's bytes are checked against the verdict and replaced by the
//	                  re-serialised request
//	response headers  Envoy's response.code_details says who answers; an upstream answer without
//	                  a verdict is broken off
//	response body     rows are masked by the job's plan, recorded, then released; small answers
//	                  are rebuilt by allow-list
//	trailers          dropped
//
// A stream that ends without an error tells Envoy to go on without this service, which would let
// raw rows pass. So Process never returns nil before its peer has hung up, every doubt is a gRPC
// error or a refusal body, and a watchdog ends a stream on which a step takes too long.
package extproc
