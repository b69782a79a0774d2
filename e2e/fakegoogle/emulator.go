package fakegoogle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// emulatorLife is how many statements one life of the emulator serves: it slows down with every job
// it ever ran.
const emulatorLife = 200

// emulator runs queries on bigquery-emulator, as a second opinion about what SQL gives. Statement
// types, referenced tables, dry runs and the catalog come from a sqlengine beside it that sees the
// same statements, since the emulator knows none of them.
type emulator struct {
	analysis Engine
	log      *slog.Logger
	binary   string
	project  string

	mu      sync.Mutex // one statement at a time: the emulator has one lock itself
	child   *child
	url     string
	served  int
	history []Statement // everything that changed something, run again in each life
}

// NewEmulator starts the bigquery-emulator binary with a project, and keeps it usable by starting
// it afresh every 200 statements. It takes over analysis, an engine that NewSQLEngine made, and
// closes it.
func NewEmulator(ctx context.Context, binary, project string, analysis Engine, log *slog.Logger) (Engine, error) {
	e := &emulator{analysis: analysis, log: log, binary: binary, project: project}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.restart(ctx); err != nil {
		return nil, err
	}
	return e, nil
}

// restart begins a new life and repeats what made the data.
func (e *emulator) restart(ctx context.Context) error {
	if e.child != nil {
		if err := e.child.close(); err != nil {
			return err
		}
		e.child = nil
	}
	rest, err := freeAddr()
	if err != nil {
		return err
	}
	grpc, err := freeAddr()
	if err != nil {
		return err
	}
	c := newChild(e.log, e.binary, "--project", e.project, "--host", "127.0.0.1", "--port", port(rest), "--grpc-port", port(grpc),
		"--log-level", "error")
	c.started = func(_ io.WriteCloser, stdout io.ReadCloser) { go io.Copy(io.Discard, stdout) }
	c.stopped = func(error) {}
	if err := c.start(); err != nil {
		return err
	}
	e.child, e.url, e.served = c, "http://"+rest, 0
	deadline := time.Now().Add(20 * time.Second)
	for {
		if _, err = e.call(ctx, http.MethodGet, "/bigquery/v2/projects/"+e.project+"/datasets", nil); err == nil {
			break
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("wait for the emulator: %w", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, s := range e.history {
		if _, err := e.statement(ctx, s); err != nil {
			return fmt.Errorf("seed the emulator again: %w", err)
		}
	}
	return nil
}

func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}

// Run asks the analysis engine first (and lets it apply changes, so that both hold the same data),
// then the emulator for the rows.
func (e *emulator) Run(ctx context.Context, s Statement) (*Result, error) {
	analysed, err := e.analysis.Run(ctx, s)
	return e.run(ctx, s, analysed, err)
}

func (e *emulator) seed(ctx context.Context, s Statement) (*Result, error) {
	run := e.analysis.Run
	if a, ok := e.analysis.(*sqlengine); ok {
		run = a.seed
	}
	analysed, err := run(ctx, s)
	return e.run(ctx, s, analysed, err)
}

func (e *emulator) run(ctx context.Context, s Statement, analysed *Result, err error) (*Result, error) {
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.served >= emulatorLife {
		if err := e.restart(ctx); err != nil {
			return nil, &QueryError{Reason: "backendError", Message: err.Error()}
		}
	}
	out, err := e.statement(ctx, s)
	if err != nil {
		return nil, err
	}
	if analysed.StatementType != "SELECT" {
		e.history = append(e.history, s)
	}
	out.StatementType, out.Tables, out.Views, out.Targets, out.Affected = analysed.StatementType, analysed.Tables, analysed.Views,
		analysed.Targets, analysed.Affected
	return out, NameColumns(out)
}

var (
	createSchema = regexp.MustCompile("(?i)^\\s*CREATE\\s+SCHEMA\\s+(IF\\s+NOT\\s+EXISTS\\s+)?`?(?:[\\w-]+`?\\.`?)?(\\w+)")
	orReplace    = regexp.MustCompile("(?i)^\\s*CREATE\\s+OR\\s+REPLACE\\s+(?:TABLE|VIEW)\\s+([\\w.`-]+)")
)

// statement sends one statement. CREATE SCHEMA by SQL makes no usable dataset there, so it goes by
// REST.
func (e *emulator) statement(ctx context.Context, s Statement) (*Result, error) {
	e.served++
	text := stripComments(s.SQL)
	if m := createSchema.FindStringSubmatch(text); m != nil {
		body := map[string]any{"datasetReference": map[string]string{"projectId": e.project, "datasetId": m[2]}}
		_, err := e.call(ctx, http.MethodPost, "/bigquery/v2/projects/"+e.project+"/datasets", body)
		if err != nil && m[1] != "" && strings.Contains(err.Error(), "already created") {
			err = nil
		}
		return &Result{}, err
	}
	if m := orReplace.FindStringSubmatch(text); m != nil { // fails there where the table exists, and DROP VIEW leaves half of a view behind
		path := strings.Split(strings.ReplaceAll(m[1], "`", ""), ".")
		if len(path) == 1 {
			path = append(strings.Split(s.Dataset, "."), path...)
		}
		if len(path) >= 2 {
			table := "/bigquery/v2/projects/" + e.project + "/datasets/" + path[len(path)-2] + "/tables/" + path[len(path)-1]
			if _, err := e.call(ctx, http.MethodGet, table, nil); err == nil {
				if _, err := e.call(ctx, http.MethodDelete, table, nil); err != nil {
					return nil, err
				}
			}
		}
	}
	body := map[string]any{"query": s.SQL, "useLegacySql": false, "formatOptions": map[string]any{"useInt64Timestamp": true}}
	if s.Dataset != "" {
		p, d, ok := strings.Cut(s.Dataset, ".")
		if !ok {
			p, d = s.Project, s.Dataset
		}
		body["defaultDataset"] = map[string]string{"projectId": p, "datasetId": d}
	}
	raw, err := e.call(ctx, http.MethodPost, "/bigquery/v2/projects/"+url.PathEscape(s.Project)+"/queries", body)
	if err != nil {
		return nil, err
	}
	var resp struct {
		Schema struct {
			Fields []bigquery.Field `json:"fields"`
		} `json:"schema"`
		Rows []restRecord `json:"rows"`
	}
	if err := json.Unmarshal(raw, &resp); err != nil {
		return nil, fmt.Errorf("decode the emulator's answer: %w", err)
	}
	out := &Result{Schema: resp.Schema.Fields}
	for _, row := range resp.Rows {
		cells, err := row.cells(out.Schema)
		if err != nil {
			return nil, err
		}
		out.Rows = append(out.Rows, cells)
	}
	return out, nil
}

// restRecord is {"f":[{"v":…}]}.
type restRecord struct {
	F []struct {
		V json.RawMessage `json:"v"`
	} `json:"f"`
}

// cells turns the REST form into the positional one.
func (r restRecord) cells(schema []bigquery.Field) ([]any, error) {
	if len(r.F) != len(schema) {
		return nil, fmt.Errorf("a record has %d cells for %d fields", len(r.F), len(schema))
	}
	out := make([]any, len(r.F))
	for i, c := range r.F {
		v, err := restCell(c.V, schema[i])
		if err != nil {
			return nil, fmt.Errorf("field %q: %w", schema[i].Name, err)
		}
		out[i] = v
	}
	return out, nil
}

func restCell(raw json.RawMessage, f bigquery.Field) (any, error) {
	if f.Mode == "REPEATED" {
		out := []any{}
		if string(raw) == "null" {
			return out, nil
		}
		var elems []struct {
			V json.RawMessage `json:"v"`
		}
		if err := json.Unmarshal(raw, &elems); err != nil {
			return nil, err
		}
		f.Mode = "NULLABLE"
		for _, e := range elems {
			v, err := restCell(e.V, f)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	}
	if string(raw) == "null" {
		return nil, nil
	}
	if f.Type == "RECORD" {
		var rec restRecord
		if err := json.Unmarshal(raw, &rec); err != nil {
			return nil, err
		}
		return rec.cells(f.Fields)
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return nil, err
	}
	return text, nil
}

// call speaks REST to the emulator. Its errors are all 400 jobInternalError; as a statement's they
// are invalidQuery.
func (e *emulator) call(ctx context.Context, method, path string, body any) ([]byte, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, e.url+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("content-type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, &QueryError{Reason: "backendError", Message: err.Error()}
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, &QueryError{Reason: "backendError", Message: err.Error()}
	}
	if resp.StatusCode/100 != 2 {
		var fail struct {
			Error struct {
				Message string `json:"message"`
			} `json:"error"`
		}
		if json.Unmarshal(raw, &fail) != nil || fail.Error.Message == "" {
			fail.Error.Message = string(raw)
		}
		return nil, &QueryError{Reason: "invalidQuery", Message: fail.Error.Message}
	}
	return raw, nil
}

func stripComments(sql string) string {
	var b strings.Builder
	for i := 0; i < len(sql); {
		end := tokenEnd(sql, i)
		if sql[i] != '#' && !strings.HasPrefix(sql[i:], "--") && !strings.HasPrefix(sql[i:], "/*") {
			b.WriteString(sql[i:end])
		} else {
			b.WriteByte(' ')
		}
		i = end
	}
	return b.String()
}

func (e *emulator) Dry(ctx context.Context, s Statement) (*Result, error) {
	return e.analysis.Dry(ctx, s)
}

func (e *emulator) Catalog(ctx context.Context) (*Catalog, error) { return e.analysis.Catalog(ctx) }

// PID is the emulator's.
func (e *emulator) PID() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.child == nil {
		return 0
	}
	return e.child.pid()
}

func (e *emulator) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var err error
	if e.child != nil {
		err = e.child.close()
		e.child = nil
	}
	return errors.Join(err, e.analysis.Close())
}
