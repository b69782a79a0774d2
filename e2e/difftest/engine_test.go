package difftest

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/testbinary"
)

// request and response are the frames of e2e/sqlengine, as far as they are needed here.
type request struct {
	ID        uint64 `json:"id"`
	Op        string `json:"op"` // "run", "rows" or "nodes"
	SQL       string `json:"sql"`
	Project   string `json:"project"`
	TimeoutMs int64  `json:"timeout_ms,omitempty"`
}

type response struct {
	ID      uint64           `json:"id"`
	Error   *failure         `json:"error"`
	Kind    string           `json:"statement_type"`
	Columns []bigquery.Field `json:"columns"`
	Rows    [][]any          `json:"rows"`
	Mended  int              `json:"mended"` // set operations that the driver was asked in other words
	Nodes   []string         `json:"nodes"`
}

type failure struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
	RunTime bool   `json:"run_time"`
}

// child is one process of the SQL engine with the database in it. One goroutine uses it at a time.
type child struct {
	in   io.WriteCloser
	out  *bufio.Reader
	cmd  *exec.Cmd
	next uint64
}

func startChild(t testing.TB) *child {
	t.Helper()
	c := &child{}
	c.start(t)
	t.Cleanup(c.stop)
	return c
}

func (c *child) start(t testing.TB) {
	t.Helper()
	path, err := engineBinary()
	if err != nil {
		t.Fatal(err)
	}
	c.cmd = exec.Command(path)
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReaderSize(out, 1<<20)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, sql := range seedStatements() {
		if r := c.must(t, request{Op: "run", SQL: sql, Project: project}); r.Error != nil {
			t.Fatalf("seed: %s: %s", sql, r.Error.Message)
		}
	}
}

func (c *child) stop() {
	_ = c.in.Close() // which ends it
	_ = c.cmd.Wait()
}

// ask asks one question; an error means that the child is gone.
func (c *child) ask(r request) (*response, error) {
	c.next++
	r.ID = c.next
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	var head [4]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(body)))
	if _, err := c.in.Write(append(head[:], body...)); err != nil {
		return nil, fmt.Errorf("ask the SQL engine: %w", err)
	}
	if _, err := io.ReadFull(c.out, head[:]); err != nil {
		return nil, fmt.Errorf("the SQL engine died of %s: %w", r.SQL, err)
	}
	body = make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(c.out, body); err != nil {
		return nil, fmt.Errorf("the SQL engine died of %s: %w", r.SQL, err)
	}
	answer := &response{}
	if err := json.Unmarshal(body, answer); err != nil {
		return nil, fmt.Errorf("an answer of the SQL engine: %w", err)
	}
	if answer.ID != r.ID {
		return nil, fmt.Errorf("the SQL engine answered question %d, not %d", answer.ID, r.ID)
	}
	return answer, nil
}

func (c *child) must(t testing.TB, r request) *response {
	t.Helper()
	answer, err := c.ask(r)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

const (
	queryTime = 1000 // what a run of a query may take, in milliseconds, by the engine's own clock
	patience  = 6 * time.Second
)

// rows runs a query. The engine does not always end at its limit; then it is killed and made anew,
// and the query counts as one that it does not take.
func (c *child) rows(t testing.TB, q *query, standing *change) *response {
	t.Helper()
	hung := time.AfterFunc(patience, func() { _ = c.cmd.Process.Kill() })
	answer, err := c.ask(request{Op: "rows", SQL: q.sql, Project: q.project, TimeoutMs: queryTime})
	if hung.Stop() {
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	if testing.Verbose() {
		t.Logf("the engine hung: %s", q.sql)
	}
	c.stop()
	c.start(t)
	if standing != nil {
		c.must(t, request{Op: "rows", SQL: standing.update(false), Project: project})
	}
	return &response{Error: &failure{Message: "interrupted: the engine hung"}}
}

// engineBinary builds the engine, which takes no time when it is up to date.
var engineBinary = sync.OnceValues(func() (string, error) {
	if ready := os.Getenv("BQGATE_SQLENGINE"); ready != "" {
		return ready, nil
	}
	return testbinary.Build("sqlengine", "e2e/sqlengine", ".")
})
