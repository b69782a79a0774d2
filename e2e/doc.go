// Package e2e tests the whole of bqgate from outside: the demo's processes on a real Envoy, a real
// Redis, a SQL engine behind strict stand-ins for Google's services, and unmodified Google clients.
// The tests carry the build tag e2e, since they need the binaries that `make test` builds.
package e2e
