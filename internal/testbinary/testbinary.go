// Package testbinary builds the binaries that tests run beside them.
package testbinary

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
)

// Build builds build/bin/NAME from a package of the module in a folder of the repository ("." or
// "e2e/sqlengine"), and returns its path. The Go command knows whether there is anything to do; the
// lock keeps two test binaries from writing the same file.
func Build(name, folder, pkg string) (string, error) {
	path, err := build(name, folder, pkg)
	if err != nil {
		return "", fmt.Errorf("building %s: %w", name, err)
	}
	return path, nil
}

func build(name, folder, pkg string) (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("the source folder is unknown")
	}
	root := filepath.Join(filepath.Dir(file), "..", "..")
	path := filepath.Join(root, "build", "bin", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close() // and with it the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	command := exec.Command("go", "build", "-o", path, pkg)
	command.Dir = filepath.Join(root, folder)
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
}
