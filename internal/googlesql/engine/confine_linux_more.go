//go:build linux && !amd64 && !arm64

package engine

const arch = 0

var deniedHere []uint32
