//go:build !linux

package signer

import (
	"errors"
	"os"
	"os/exec"
)

var errLinux = errors.New("a sealed key needs Linux, which keeps the process that holds it from others")

// Main is the child.
func Main() error { return errLinux }

type extent int

const (
	withNothing extent = iota
	withFiles
)

type fence struct {
	up    Fences
	lacks []string
}

func (f *fence) private() error       { return errLinux }
func (f *fence) confine(extent) error { return errLinux }

func start([]string) (*exec.Cmd, *os.File, error) { return nil, nil, errLinux }
