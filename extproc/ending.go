package extproc

import (
	"errors"

	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/bqgate/bqgate/internal/cause"
)

// refuse turns an error into a refusal body while nothing has been released, and into nil, which
// breaks the response off, afterwards.
func (x *exchange) refuse(err error) *procv3.ProcessingResponse {
	x.service.Log.Warn("answer withheld", "decision", x.decision(), "released_bytes", x.recorded.Bytes(), "cause", cause.Words(err),
		"error", err)
	x.pending = nil
	if x.finished { // the outcome is recorded, and stays what it is
		return nil
	}
	x.broken(err)
	x.finished = true
	if x.released {
		return nil
	}
	status, body := refusalBody(err, x.decision())
	return immediate(status, body)
}

// close is called when the stream ends, however it ends.
func (x *exchange) close(err error) {
	if x.forward == nil {
		return
	}
	if x.leave != nil {
		defer x.leave()
	}
	for _, end := range x.kept {
		defer end()
	}
	defer x.log()
	if !x.sent {
		x.service.neverRan(x.forward) // its body never left
	}
	if x.finished {
		return
	}
	if err == nil {
		err = errors.New("the client or the upstream went away")
	}
	x.broken(err)
	x.finished = true
}

// log is the one line about an answer: how much of it went out, and where the time went.
func (x *exchange) log() {
	rows := uint64(0)
	if x.answer != nil {
		rows = x.answer.rows()
	}
	if r, ok := x.answer.(*results); ok && len(r.masker.Head().Dropped) > 0 {
		x.service.Log.Info("the answer had members that are not known; they were dropped", "decision", x.forward.Decision, "members",
			r.masker.Head().Dropped)
	}
	x.service.Log.Info("answer", "decision", x.forward.Decision, "status", x.status, "rows", rows, "bytes", x.recorded.Bytes(),
		"frames", x.recorded.Frames(), "steps", &x.clock)
}
