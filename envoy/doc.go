// Package envoy writes the Envoy configuration that makes bqgate unavoidable, checks one that
// somebody else has edited, and finds and runs the Envoy binary. It knows nothing of BigQuery's
// API, SQL or policies.
//
// Everything bqgate promises rests on a chain of filters being in front of every route that leads
// to Google:
//
//	listener ─▶ HTTP connection manager ─▶ ext_authz ─▶ ext_proc ─▶ router ─▶ BigQuery
//	 TLS,        path normalised, no        the whole     body, answer   fixed clusters,
//	 limits      upgrades, no 1.0           body, as it   and trailers,  TLS with an exact
//	                                        arrived       one filter     name, no retries
//
// Bootstrap builds that from typed protos of go-control-plane, a file for each resource, and Render
// prints it as YAML for operators. The configuration is static: there is no xDS server whose death
// or compromise could change it.
//
// Three routes have no such chain, and Lint knows no others: the health check and the catch-all
// 403, which Envoy answers itself, and POST /v1/token, which has listeners of its own and reaches
// the token endpoint only.
//
// Why a setting is there is said beside it. The behaviour relied upon was measured on Envoy 1.40.0,
// and the tests of this package measure it again on the real binary.
package envoy
