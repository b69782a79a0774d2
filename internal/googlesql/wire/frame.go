// Package wire is what the gateway and its SQL workers say to each other over a worker's standard input and output:
// length-prefixed JSON frames, one request, one reply, in order. Both sides are the same binary, so there is one version only;
// the Hello frame proves it.
package wire

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
)

// MaxFrame is the size limit of one frame in bytes. It bounds what a broken worker can make the gateway read.
const MaxFrame = 16 << 20

// WriteFrame writes v as one frame: a big-endian uint32 length, then JSON. It is one Write call.
func WriteFrame(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding a %T frame: %w", v, err)
	}
	if len(body) > MaxFrame {
		return fmt.Errorf("a %T frame of %d bytes exceeds the limit of %d", v, len(body), MaxFrame)
	}
	frame := make([]byte, 4+len(body))
	binary.BigEndian.PutUint32(frame, uint32(len(body)))
	copy(frame[4:], body)
	if _, err := w.Write(frame); err != nil {
		return fmt.Errorf("writing a frame: %w", err)
	}
	return nil
}

// ReadFrame reads one frame into v. It returns io.EOF, unwrapped, when the stream ends between two frames.
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
