package extproc

import (
	"bytes"
	"context"
	"slices"

	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/bqgate/bqgate/internal/audit"
)

// frameSize is how much of an answer shares one record at most, unless one message brought more.
// The wait for the disk is the same for a byte as for a megabyte.
const frameSize = 1 << 20

// flush releases what is pending. The replies must be sent before the next piece of the answer is
// taken.
func (x *exchange) flush(ctx context.Context) ([]*procv3.ProcessingResponse, error) {
	if len(x.pending) == 0 || x.finished {
		return nil, nil
	}
	n := x.recorded.Ready(x.pending)
	if n == 0 {
		return nil, nil
	}
	out, rest := x.pending[:n], x.pending[n:]
	x.pending = x.pending[:0]
	if len(rest) > 0 {
		x.pending = bytes.Clone(rest) // out is sent before more comes behind it
	}
	return x.release(ctx, out, false)
}

// finish ends the answer: what is left of it, and that it is whole, become durable by one wait for
// the disk. out is what the last write gave; end says whether Envoy waits for the end of the body,
// which otherwise the trailers are.
func (x *exchange) finish(ctx context.Context, out []byte, end bool) ([]*procv3.ProcessingResponse, error) {
	rest, err := x.answer.close(ctx)
	if err != nil {
		return nil, err
	}
	out = slices.Concat(x.pending, out, rest)
	x.pending = nil
	replies, err := x.release(ctx, out, end, audit.Outcome{
		State: audit.StateComplete, Status: x.status, Rows: x.answer.rows(), Bytes: x.recorded.Bytes() + uint64(len(out)),
		Job: auditJob(x.answer.job()),
	})
	if err != nil {
		return nil, err
	}
	x.finished = true
	return replies, nil
}

// release makes the record of a piece durable, and with the last one the outcome's, and only then
// hands the piece over.
func (x *exchange) release(ctx context.Context, out []byte, end bool, outcome ...audit.Outcome) ([]*procv3.ProcessingResponse, error) {
	if _, mine := x.answer.(own); !mine {
		if err := x.record(ctx, out, outcome); err != nil {
			return nil, err
		}
	}
	if x.replaced() { // only finish comes here: the whole response, headers too, is the gateway's own
		x.released = true
		return one(immediate(x.status, out)), nil
	}
	if len(out) == 0 && !end {
		return nil, nil
	}
	var replies []*procv3.ProcessingResponse
	if x.held != nil {
		replies = append(replies, x.held)
		x.held = nil
	}
	x.released = true
	return append(replies, responseBody(out, end)...), nil
}

// replaced says that the upstream answered with an error, or with nothing where an answer is due:
// the response is the gateway's own.
func (x *exchange) replaced() bool {
	if d, ok := x.answer.(*document); ok {
		return d.made
	}
	_, failed := x.answer.(*failure)
	return failed
}
