// Package golden compares what a test made with a file, and writes the file where the test is run
// with -update: `go test ./envoy -run TestGolden -update`. Look at the difference before you keep
// it.
package golden

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write the files that this package's tests compare with; look at the difference before you keep it")

// Update says whether files are written, which a test that compares piece by piece wants to know.
func Update() bool { return *update }

// File fails the test if a file is not what was made, and with -update writes it.
func File(t testing.TB, path string, made []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, made, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run the test with -update", err)
	}
	if !bytes.Equal(made, want) {
		t.Errorf("%s is not current: run the test with -update if the difference is wanted. %s", path, difference(want, made))
	}
}

// difference shows the first line that differs.
func difference(want, made []byte) string {
	line := func(text []byte, n int) string {
		lines := bytes.Split(text, []byte("\n"))
		if n >= len(lines) {
			return "(the end)"
		}
		return string(lines[n])
	}
	for n := 0; ; n++ {
		was, is := line(want, n), line(made, n)
		if was != is || was == "(the end)" {
			return fmt.Sprintf("Line %d of the file is\n\t%s\nand would be\n\t%s", n+1, was, is)
		}
	}
}
