package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/bqgate/bqgate/internal/golden"
)

// TestMain lets scripts call this test binary as bqgate; it is its own SQL worker too.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"bqgate": main})
}

// TestScripts runs the commands of testdata/script as people type them. A new case is a new file.
// `-update` writes what was printed into the files that cmp compares with, to be read before it is
// kept.
func TestScripts(t *testing.T) {
	catalog, err := os.ReadDir("../../policies/testdata/catalog")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := filepath.Abs("../../policies/examples")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: golden.Update(), RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
		// Every script finds the demo's policy and tables.
		Setup: func(e *testscript.Env) error {
			e.Setenv("EXAMPLES", examples)
			if err := os.Mkdir(e.WorkDir+"/catalog", 0o755); err != nil {
				return err
			}
			for _, f := range catalog {
				if err := copyFile("../../policies/testdata/catalog/"+f.Name(), e.WorkDir+"/catalog/"+f.Name()); err != nil {
					return err
				}
			}
			return copyFile("../../policies/examples/demo.yaml", e.WorkDir+"/demo.yaml")
		},
	})
}

// exits is the script command `exits CODE PROGRAM ARGUMENT…`: the program must end with this exit
// code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGUMENT…")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		code = failed.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("%s ended with exit code %d, want %s", args[1], code, args[0])
	}
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644)
}
