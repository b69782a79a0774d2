// Package examples holds policies to start from.
package examples

import _ "embed"

// Demo is the policy of `make demo`.
//
//go:embed demo.yaml
var Demo string
