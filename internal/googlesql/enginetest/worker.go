// Package enginetest builds the SQL worker for tests, so that test binaries do not link the engine,
// which takes seconds each time and minutes the first time.
package enginetest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
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

// build runs once in a test binary. The Go command knows whether there is anything to do; the lock
// keeps two test binaries from writing the same file.
var build = sync.OnceValues(func() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", fmt.Errorf("building the SQL worker: the source folder is unknown")
	}
	root := filepath.Join(filepath.Dir(file), "..", "..", "..")
	path := filepath.Join(root, "build", "bin", "bqgate-sql-worker")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("building the SQL worker: %w", err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", fmt.Errorf("building the SQL worker: %w", err)
	}
	defer lock.Close() // and with it the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("building the SQL worker: %w", err)
	}
	command := exec.Command("go", "build", "-o", path, "./internal/googlesql/engine/worker")
	command.Dir = root
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the SQL worker: %w\n%s", err, out)
	}
	return path, nil
})
