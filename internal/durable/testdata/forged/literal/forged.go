// Package forged writes a witness down.
package forged

import "github.com/bqgate/bqgate/internal/durable"

var d durable.Decided = &durable.decided{}
