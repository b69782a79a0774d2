// Command sqlengine runs GoogleSQL for the stand-in of Google in tests and in the demo.
//
// It is a child process: requests and answers are frames on stdin and stdout (see protocol.go),
// logs go to stderr, and it exits as soon as stdin ends, so that it cannot outlive its parent. It
// lives in a module of its own because the engine (github.com/goccy/googlesqlite) needs other
// versions of shared libraries than the product does, and because the product must never link a
// second copy of GoogleSQL.
//
// What it knows about SQL comes from googlesqlite and from its own use of the GoogleSQL analyzer
// (analyze.go), never from the product's analysis: a check must not test itself.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"
)

const maxStatementTime = 2 * time.Minute

// maxMemory bounds the address space of this process, in bytes; at rest it takes 2 GiB of it. A
// statement that makes a text of any length in one call ends this process, which is started again,
// and not the machine.
const maxMemory = 8 << 30

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: maxMemory, Max: maxMemory}); err != nil {
		slog.Error("bound the memory", "error", err)
		os.Exit(1)
	}
	e, err := openEngine(context.Background())
	if err != nil {
		slog.Error("open the SQL engine", "error", err)
		os.Exit(1)
	}
	if err := serve(e, os.Stdin, os.Stdout); err != nil {
		slog.Error("serve", "error", err)
		os.Exit(1)
	}
}

// serve answers requests until the input ends. Statements run one after another: GoogleSQL has one
// global lock, and one connection is what makes a CREATE visible to the next SELECT. The input is
// read ahead, so that its end is seen while a statement runs.
func serve(e *engine, in *os.File, out *os.File) error {
	queue := make(chan request, 256)
	var write sync.Mutex
	w := bufio.NewWriterSize(out, 1<<20)
	answer := func(resp response) error {
		write.Lock()
		defer write.Unlock()
		return writeFrame(w, resp)
	}
	failed := make(chan error, 1)
	go func() {
		for req := range queue {
			if err := answer(e.handle(req)); err != nil {
				failed <- err
				return
			}
			if overgrown() {
				failed <- errOvergrown
				return
			}
		}
	}()
	ended := make(chan error, 1)
	go func() {
		r := bufio.NewReaderSize(in, 1<<20)
		for {
			body, err := readFrame(r)
			if err != nil {
				ended <- err
				return
			}
			var req request
			if err := json.Unmarshal(body, &req); err != nil {
				ended <- fmt.Errorf("decode a request: %w", err)
				return
			}
			queue <- req
		}
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("answer requests: %w", err)
	case err := <-ended:
		if isEOF(err) {
			return nil
		}
		return fmt.Errorf("read a request: %w", err)
	}
}
