// Package forged has a type of its own for a witness.
package forged

import (
	"context"

	"github.com/bqgate/bqgate/internal/durable"
)

type mine struct{}

func (mine) because() string                              { return "d-1" }
func (mine) Decision() string                             { return "d-1" }
func (mine) Facts(context.Context) (durable.Facts, error) { return nil, nil }
func (mine) facts()                                       {}
func (mine) runs()                                        {}
func (mine) answer()                                      {}
func (mine) ask()                                         {}
func (mine) decided()                                     {}

var d durable.Decided = mine{}
