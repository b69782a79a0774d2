// Package enginetest builds the SQL worker for tests, so that test binaries do not link the engine,
// which takes seconds each time and minutes the first time.
package enginetest

import (
	"os"
	"sync"
	"testing"

	"github.com/bqgate/bqgate/internal/testbinary"
)

// Worker returns the command line of a SQL worker that is as new as its source. BQGATE_SQL_WORKER
// names one that is ready made.
func Worker(t testing.TB) []string {
	t.Helper()
	if ready := os.Getenv("BQGATE_SQL_WORKER"); ready != "" {
		return []string{ready}
	}
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return []string{path}
}

// build runs once in a test binary.
var build = sync.OnceValues(func() (string, error) {
	return testbinary.Build("bqgate-sql-worker", ".", "./internal/googlesql/engine/worker")
})
