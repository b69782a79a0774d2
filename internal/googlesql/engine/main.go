package engine

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	gsql "github.com/goccy/go-googlesql"

	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// A worker asks to be replaced once it holds so many columns of tables, which the engine keeps for
// life, or so many bytes in memory: a large statement leaves its size behind.
const (
	maxColumns  = 50_000
	maxResident = 300 << 20
)

// Main is the worker's loop: it answers frames from stdin on stdout until stdin ends. It must run
// in a process of its own, whose memory limit and (empty) environment its parent has set. A
// returned error means that the process must end.
func Main(stdin io.Reader, stdout io.Writer) error {
	runtime.GOMAXPROCS(2) // one for the engine, one that notices the parent's death while the engine is busy
	debug.SetGCPercent(50)
	// the engine runs off its stack on deep input; without this the fault kills the process, with
	// it the statement
	debug.SetPanicOnFault(true)

	e, err := newEngine()
	if err != nil {
		return fmt.Errorf("starting the GoogleSQL engine: %w", err)
	}
	letGo()
	go endWithParent(os.Getppid())
	if err := wire.WriteFrame(stdout, wire.Hello{Version: wire.Version, Engine: Revision, Confined: confine()}); err != nil {
		return err
	}
	for in := bufio.NewReaderSize(stdin, 64<<10); ; {
		var question wire.Question
		if err := wire.ReadFrame(in, &question); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := e.serve(&question, func(replies ...*wire.Reply) error { return wire.WriteFrames(stdout, replies...) }); err != nil {
			return err
		}
	}
}

// endWithParent ends the process soon after its parent has died. The end of stdin says so too, but
// not while the engine is busy. (On Linux the kernel has killed the process by then.)
func endWithParent(parent int) {
	for range time.Tick(time.Second) {
		if os.Getppid() != parent {
			os.Exit(0)
		}
	}
}

// brief is how many syntax nodes a text may have for its outline to wait for its analysis, since
// that takes about a millisecond. The analysis of a larger one may take until the deadline; its
// outline is there by then.
const brief = 64

// serve answers a question, with one reply or two. The error is that of send.
func (e *engine) serve(question *wire.Question, send func(...*wire.Reply) error) error {
	var parsed tree
	defer parsed.free()
	var ahead *wire.AnalyzeQuestion
	var statement gsql.ASTStatementNode
	reply := e.guarded(question.ID, func(reply *wire.Reply) {
		switch {
		case question.Parse != nil:
			reply.Script, reply.Error = e.parse(question.Parse, &parsed)
			if reply.Error != nil {
				return
			}
			if ahead = expected(question.Parse, reply.Script); ahead != nil {
				statement = parsed.statement(reply.Script, ahead.SQL)
			}
		case question.Analyze != nil:
			reply.Analysis, reply.Error = e.analyze(question.Analyze, nil)
		default:
			reply.Error = &wire.Error{Code: codeUnavailable, Message: "an empty question", Offset: -1}
		}
	})
	reply.More = ahead != nil && !reply.Retire
	if !reply.More {
		return send(reply)
	}
	replies := []*wire.Reply{reply}
	if reply.Script.Nodes > brief {
		if err := send(reply); err != nil {
			return err
		}
		replies = replies[:0]
	}
	return send(append(replies, e.guarded(question.ID, func(reply *wire.Reply) {
		reply.Given = make([]string, len(ahead.Tables))
		for i := range ahead.Tables {
			reply.Given[i] = ahead.Tables[i].Name
		}
		reply.Analysis, reply.Error = e.analyze(ahead, statement)
	}))...)
}

// guarded never panics: what the engine or the walk trips over becomes an error of this statement,
// and the worker retires.
func (e *engine) guarded(id uint64, answer func(*wire.Reply)) (reply *wire.Reply) {
	reply = &wire.Reply{ID: id}
	begin := time.Now()
	defer func() {
		if r := recover(); r != nil {
			reply.Script, reply.Analysis = nil, nil
			reply.Error = faultError(r)
			_, known := r.(abort)
			reply.Retire = !known
		}
		reply.Retire = e.worn(time.Since(begin)) || reply.Retire
	}()
	answer(reply)
	return reply
}

// worn reports whether the worker is to be replaced after an answer that took so long, a refusal
// among them. Memory takes time to fill: after what was quick it is not looked at each time.
func (e *engine) worn(took time.Duration) bool {
	e.served++
	look := e.served%16 == 0 || took > 2*time.Millisecond
	return e.columns > maxColumns || look && e.resident() > maxResident
}

// resident is the size of the process in memory, in bytes. Where it is not known it counts as too
// large.
func (e *engine) resident() int {
	text := make([]byte, 128)
	if e.size == nil {
		return maxResident + 1
	}
	n, err := e.size.ReadAt(text, 0)
	if n == 0 && err != nil {
		return maxResident + 1
	}
	var size, pages int
	if _, err := fmt.Sscan(string(text[:n]), &size, &pages); err != nil {
		return maxResident + 1
	}
	return pages * os.Getpagesize()
}
