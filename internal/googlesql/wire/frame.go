// Package wire is what the gateway and its SQL workers say to each other over a worker's standard
// input and output: length-prefixed JSON frames, one question, one reply, in order. Both sides are
// the same binary, so there is one version only; the Hello frame proves it.
package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
)

// MaxFrame is the size limit of one frame in bytes. It bounds what a broken worker can make the
// gateway read.
const MaxFrame = 16 << 20

// WriteFrame writes v as one frame: a big-endian uint32 length, then JSON. It is one Write call.
func WriteFrame(w io.Writer, v any) error { return WriteFrames(w, v) }

// WriteFrames writes each value as a frame, all of them by one Write call: who reads them wakes up
// once.
func WriteFrames[T any](w io.Writer, values ...T) error {
	frames := bytes.NewBuffer(make([]byte, 0, 1024))
	for _, v := range values {
		at := frames.Len()
		frames.Write(make([]byte, 4))
		if err := json.MarshalWrite(frames, v); err != nil {
			return fmt.Errorf("encoding a %T frame: %w", v, err)
		}
		size := frames.Len() - at - 4
		if size > MaxFrame {
			return fmt.Errorf("a %T frame of %d bytes exceeds the limit of %d", v, size, MaxFrame)
		}
		binary.BigEndian.PutUint32(frames.Bytes()[at:], uint32(size)) //nolint:gosec // G115: at most MaxFrame, above
	}
	if _, err := w.Write(frames.Bytes()); err != nil {
		return fmt.Errorf("writing a frame: %w", err)
	}
	return nil
}

// ReadFrame reads one frame into v. It returns io.EOF, unwrapped, when the stream ends between two
// frames.
func ReadFrame(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if err == io.EOF {
			return io.EOF
		}
		return fmt.Errorf("reading a frame's length: %w", err)
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > MaxFrame {
		return fmt.Errorf("a frame of %d bytes exceeds the limit of %d", size, MaxFrame)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return fmt.Errorf("reading a frame of %d bytes: %w", size, err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("decoding a frame of %d bytes: %w", size, err)
	}
	return nil
}
