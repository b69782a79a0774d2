package googlesql

import (
	"crypto/sha256"
	"errors"
	"io"
	"syscall"
	"time"

	kept "github.com/bqgate/bqgate/internal/cache"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// A worker that is killed from outside says nothing of the text that it had: the machine ran out of
// memory, or an operator was in a hurry. The text is asked again, once, of another worker, and what
// then has no answer is a fault. A worker that fails on a text ends by itself: at its limit of
// memory, with a stack that is too deep, at a call that it may not make. That refuses the text. So
// does a text whose workers are killed again and again: it may be what kills them.

const (
	killsOfABomb   = 3
	killsKept      = 10 * time.Minute
	killersAtOnce  = 1000
	endsWithin     = time.Second // from when its pipe is closed until a process is reaped
	killedWords    = "the SQL analysis was interrupted; try again"
	bombWords      = "the statement could not be analysed: the processes that tried were killed, one after the other"
	tripsOfOneText = 2 // workers that one question is put to, where they are killed
)

// errKilled is the word for a worker that was killed from outside.
var errKilled = errors.New("the worker was killed")

func errInterrupted() *Error { return &Error{Code: ErrorUnavailable, Message: killedWords} }

func errBomb() *Error { return &Error{Code: ErrorDeadline, Message: bombWords} }

// killed says that the worker was killed, after its pipe broke with an error. One that only closed
// its pipe was not.
func (w *process) killed(err error) bool {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.EPIPE) {
		return false
	}
	reaped := time.NewTimer(endsWithin)
	defer reaped.Stop()
	select {
	case <-w.gone:
	case <-reaped.C:
		return false
	}
	s, ok := w.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && s.Signaled() && (s.Signal() == syscall.SIGKILL || s.Signal() == syscall.SIGTERM)
}

// killers are the texts whose workers were killed of late, and how many were.
type killers struct {
	kills *kept.Cache[[sha256.Size]byte, int]
	now   func() time.Time
}

func newKillers() killers {
	return killers{kept.New[[sha256.Size]byte, int](killersAtOnce), time.Now}
}

func textOf(q *wire.Question) [sha256.Size]byte {
	switch {
	case q.Parse != nil:
		return sha256.Sum256([]byte(q.Parse.SQL))
	case q.Analyze != nil:
		return sha256.Sum256([]byte(q.Analyze.SQL))
	default:
		return [sha256.Size]byte{}
	}
}

// bomb says that a text is not to be given to a worker again for a while.
func (k killers) bomb(text [sha256.Size]byte) bool {
	n, _ := k.kills.Get(text, k.now())
	return n >= killsOfABomb
}

// note counts a kill.
func (k killers) note(text [sha256.Size]byte) {
	n, _ := k.kills.Get(text, k.now())
	k.kills.Put(text, n+1, k.now().Add(killsKept))
}
