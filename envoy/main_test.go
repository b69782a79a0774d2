package envoy

import (
	"fmt"
	"os"
	"testing"
)

// TestMain lets the test binary be an ext_proc service too, so that a test can freeze one without
// freezing itself.
func TestMain(m *testing.M) {
	if socket := os.Getenv(echoSocketVariable); socket != "" {
		if err := serveEcho(socket); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}
