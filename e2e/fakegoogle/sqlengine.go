package fakegoogle

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// sqlengine is the child of e2e/sqlengine: frames of JSON on its stdin and stdout, each with the id
// of its request.
type sqlengine struct {
	child *child
	log   *slog.Logger

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan sqlResponse
	in      io.Writer
	history []Statement // seeds, run again when the child was started again
	ready   chan struct{}
}

type sqlRequest struct {
	ID      uint64 `json:"id"`
	Op      string `json:"op"`
	SQL     string `json:"sql,omitempty"`
	Project string `json:"project,omitempty"`
	Dataset string `json:"dataset,omitempty"`
	User    string `json:"user,omitempty"`

	Filters json.RawMessage `json:"filters,omitempty"`

	TimeoutMs int64 `json:"timeout_ms,omitempty"`
}

type sqlTable struct {
	Project string `json:"project"`
	Dataset string `json:"dataset"`
	Table   string `json:"table"`
}

type sqlResponse struct {
	ID    uint64 `json:"id"`
	Error *struct {
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"error"`
	StatementType string           `json:"statement_type"`
	Tables        []sqlTable       `json:"tables"`
	Views         []sqlTable       `json:"views"`
	Targets       []sqlTable       `json:"targets"`
	Columns       []bigquery.Field `json:"columns"`
	Rows          [][]any          `json:"rows"`
	Affected      int64            `json:"affected"`
	Datasets      []string         `json:"datasets"`
	Catalog       []struct {
		ID      sqlTable         `json:"id"`
		Type    string           `json:"type"`
		Columns []bigquery.Field `json:"columns"`
		Query   string           `json:"query"`
		Listed  bool             `json:"listed"`
		Made    int64            `json:"made"`
		Base    *sqlTable        `json:"base"`
	} `json:"catalog"`
	Metadata    bool         `json:"metadata"`
	Routines    []sqlTable   `json:"routines"`
	RoutineRows []sqlRoutine `json:"routine_rows"`

	lost error
}

// maxFrame is the engine's own bound.
const maxFrame = 1 << 30

// NewSQLEngine starts the sqlengine binary (built from e2e/sqlengine) and keeps it running: when it
// dies it is started again after a second and seeded again. What was in flight fails with a
// backendError.
func NewSQLEngine(ctx context.Context, binary string, log *slog.Logger) (Engine, error) {
	e := &sqlengine{log: log, waiting: map[uint64]chan sqlResponse{}, ready: make(chan struct{})}
	e.child = newChild(log, binary)
	e.child.started = e.started
	e.child.stopped = e.stopped
	if err := e.child.start(); err != nil {
		return nil, err
	}
	if err := e.wait(ctx); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// started wires a new child up, replays the seeds and opens the gate.
func (e *sqlengine) started(stdin io.WriteCloser, stdout io.ReadCloser) {
	e.mu.Lock()
	e.in = stdin
	history := append([]Statement(nil), e.history...)
	ready := e.ready
	e.mu.Unlock()
	go e.read(stdout)
	go func() {
		for _, s := range history {
			if r := e.exchange(context.Background(), "run", s); r.lost != nil || r.Error != nil {
				e.log.Error("seed the SQL engine again", "error", errors.Join(r.lost, r.failure()))
				if r.lost != nil {
					return
				}
			}
		}
		if r := e.exchange(context.Background(), "ping", Statement{}); r.lost != nil {
			return
		}
		close(ready)
	}()
}

// stopped fails what was in flight and closes the gate for what comes.
func (e *sqlengine) stopped(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, ch := range e.waiting {
		ch <- sqlResponse{lost: fmt.Errorf("the SQL engine died: %w", err)}
		delete(e.waiting, id)
	}
	e.in = nil
	select {
	case <-e.ready:
		e.ready = make(chan struct{})
	default:
	}
}

func (e *sqlengine) read(stdout io.ReadCloser) {
	r := bufio.NewReaderSize(stdout, 1<<20)
	for {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return // the end of the child is reported by the child itself
		}
		n := binary.BigEndian.Uint32(head[:])
		if n > maxFrame {
			e.log.Error("read from the SQL engine", "error", fmt.Sprintf("a frame of %d bytes", n))
			e.child.kill()
			return
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		var resp sqlResponse
		if err := json.Unmarshal(body, &resp); err != nil {
			e.log.Error("read from the SQL engine", "error", err)
			e.child.kill()
			return
		}
		e.mu.Lock()
		ch := e.waiting[resp.ID]
		delete(e.waiting, resp.ID)
		e.mu.Unlock()
		if ch != nil {
			ch <- resp
		}
	}
}

// exchange sends one request to the child and waits for its answer.
func (e *sqlengine) exchange(ctx context.Context, op string, s Statement) sqlResponse {
	ch := make(chan sqlResponse, 1)
	e.mu.Lock()
	e.next++
	req := sqlRequest{ID: e.next, Op: op, SQL: s.SQL, Project: s.Project, Dataset: s.Dataset, User: s.User,
		Filters: json.RawMessage(s.Filters)}
	if d, ok := ctx.Deadline(); ok {
		req.TimeoutMs = max(1, time.Until(d).Milliseconds())
	}
	body, err := json.Marshal(req)
	if err == nil {
		if e.in == nil {
			err = errors.New("the SQL engine is not running")
		} else {
			var head [4]byte
			binary.BigEndian.PutUint32(head[:], uint32(len(body)))
			_, err = e.in.Write(append(head[:], body...))
		}
	}
	if err != nil {
		e.mu.Unlock()
		return sqlResponse{lost: fmt.Errorf("ask the SQL engine: %w", err)}
	}
	e.waiting[req.ID] = ch
	e.mu.Unlock()
	select {
	case resp := <-ch:
		return resp
	case <-ctx.Done():
		e.mu.Lock()
		delete(e.waiting, req.ID)
		e.mu.Unlock()
		return sqlResponse{lost: ctx.Err()}
	}
}

// wait waits until the child is seeded.
func (e *sqlengine) wait(ctx context.Context) error {
	e.mu.Lock()
	ready := e.ready
	e.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the SQL engine: %w", ctx.Err())
	}
}

func (e *sqlengine) ask(ctx context.Context, op string, s Statement) (sqlResponse, error) {
	if err := e.wait(ctx); err != nil {
		return sqlResponse{}, &QueryError{Reason: "backendError", Message: err.Error()}
	}
	r := e.exchange(ctx, op, s)
	if r.lost != nil {
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
		return r, &QueryError{Reason: "backendError", Message: "Error encountered during execution. Retrying may solve the problem."}
	}
	return r, r.failure()
}

func (r sqlResponse) failure() error {
	if r.Error == nil {
		return nil
	}
	return &QueryError{Reason: r.Error.Reason, Message: r.Error.Message}
}

func (r sqlResponse) result() (*Result, error) {
	out := &Result{
		StatementType: r.StatementType, Tables: tableIDs(r.Tables), Views: tableIDs(r.Views), Targets: tableIDs(r.Targets),
		Schema: r.Columns, Rows: r.Rows, Affected: r.Affected, Metadata: r.Metadata,
	}
	for _, id := range r.Routines {
		out.Routines = append(out.Routines, bigquery.RoutineID{Project: id.Project, Dataset: id.Dataset, Routine: id.Table})
	}
	return out, NameColumns(out)
}

func tableIDs(in []sqlTable) []bigquery.TableID {
	var out []bigquery.TableID
	for _, t := range in {
		out = append(out, bigquery.TableID(t))
	}
	return out
}

func (e *sqlengine) Run(ctx context.Context, s Statement) (*Result, error) {
	r, err := e.ask(ctx, "run", s)
	if err != nil {
		return nil, err
	}
	return r.result()
}

// seed runs a statement and keeps it, to be run again after a restart.
func (e *sqlengine) seed(ctx context.Context, s Statement) (*Result, error) {
	r, err := e.Run(ctx, s)
	if err == nil {
		e.mu.Lock()
		e.history = append(e.history, s)
		e.mu.Unlock()
	}
	return r, err
}

func (e *sqlengine) Dry(ctx context.Context, s Statement) (*Result, error) {
	r, err := e.ask(ctx, "dry", s)
	if err != nil {
		return nil, err
	}
	return r.result()
}

func (e *sqlengine) Catalog(ctx context.Context) (*Catalog, error) {
	r, err := e.ask(ctx, "catalog", Statement{})
	if err != nil {
		return nil, err
	}
	c := &Catalog{Datasets: r.Datasets}
	for _, t := range r.Catalog {
		c.Tables = append(c.Tables, CatalogTable{
			ID: bigquery.TableID(t.ID), View: t.Type == "VIEW", Query: t.Query, Listed: t.Listed, Schema: t.Columns, Made: t.Made,
			Snapshot: t.Type == "SNAPSHOT", Base: (*bigquery.TableID)(t.Base),
		})
	}
	for _, r := range r.RoutineRows {
		routine, err := r.resource()
		if err != nil {
			return nil, err
		}
		c.Routines = append(c.Routines, routine)
	}
	return c, nil
}

func (e *sqlengine) PID() int { return e.child.pid() }

func (e *sqlengine) Close() error { return e.child.close() }
