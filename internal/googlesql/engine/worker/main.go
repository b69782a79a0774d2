// Command worker is a SQL worker without the rest of bqgate, for tests outside package engine: they
// start it and do not link the engine. It speaks frames on its standard streams; see package wire.
package main

import (
	"fmt"
	"os"

	"github.com/bqgate/bqgate/internal/googlesql/engine"
)

func main() {
	if err := engine.Main(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
