package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxFrame bounds one frame; a result larger than this is refused rather than cut.
const maxFrame = 1 << 30

// request is one frame from the parent: a big-endian uint32 length, then this as JSON. Answers
// carry the same ID and may come in any order.
type request struct {
	ID        uint64 `json:"id"`
	Op        string `json:"op"` // "run", "dry", "catalog", "ping"; "rows" and "nodes" for the differential test, see differential.go
	SQL       string `json:"sql,omitempty"`
	Project   string `json:"project,omitempty"` // the project of unqualified names
	Dataset   string `json:"dataset,omitempty"` // the default dataset, as "dataset" or "project.dataset"; empty for none
	User      string `json:"user,omitempty"`    // what SESSION_USER() gives; empty for the driver's own
	TimeoutMs int64  `json:"timeout_ms,omitempty"`

	Filters map[string]string `json:"filters,omitempty"` // predicates under which tables are read that the text names, by full name
}

// response answers one request.
type response struct {
	ID            uint64    `json:"id"`
	Error         *failure  `json:"error,omitempty"`
	StatementType string    `json:"statement_type,omitempty"` // BigQuery's statementType words; SCRIPT for more than one statement
	Tables        []tableID `json:"tables,omitempty"`         // base tables read, views expanded
	Views         []tableID `json:"views,omitempty"`
	Targets       []tableID `json:"targets,omitempty"` // what DDL or DML changes
	Columns       []field   `json:"columns,omitempty"`
	// positional: null, text, or an array for REPEATED and for RECORD; TIMESTAMP as int64 µs
	Rows        [][]any    `json:"rows,omitempty"`
	Affected    int64      `json:"affected,omitempty"`
	Analysed    bool       `json:"analysed,omitempty"`     // whether Tables and Views are known
	Datasets    []string   `json:"datasets,omitempty"`     // "project.dataset"; op catalog
	Catalog     []tableRow `json:"catalog,omitempty"`      // op catalog
	Routines    []tableID  `json:"routines,omitempty"`     // functions of datasets that are called
	RoutineRows []*routine `json:"routine_rows,omitempty"` // op catalog
	Metadata    bool       `json:"metadata,omitempty"`     // a view of INFORMATION_SCHEMA is read
	// set operations that the driver was asked in other words, see setoperations.go
	Mended int      `json:"mended,omitempty"`
	Nodes  []string `json:"nodes,omitempty"` // op nodes: the kinds of nodes in the resolved tree, sorted
}

// failure is an error with BigQuery's reason: invalidQuery, invalid, notFound, duplicate,
// resourceInUse or internalError.
type failure struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
	RunTime bool   `json:"run_time,omitempty"` // the statement was understood and failed while it ran

	fatal bool // certain enough that the driver need not be asked
}

func (f *failure) Error() string { return f.Reason + ": " + f.Message }

type tableID struct {
	Project string `json:"project"`
	Dataset string `json:"dataset"`
	Table   string `json:"table"`
}

func (t tableID) String() string { return t.Project + "." + t.Dataset + "." + t.Table }

// field is TableFieldSchema, with the API's type words.
type field struct {
	Name   string  `json:"name"`
	Type   string  `json:"type"`
	Mode   string  `json:"mode,omitempty"`
	Fields []field `json:"fields,omitempty"`
}

// tableRow describes one table or view of the catalog.
type tableRow struct {
	ID      tableID `json:"id"`
	Type    string  `json:"type"` // TABLE, VIEW or SNAPSHOT
	Columns []field `json:"columns"`
	Query   string  `json:"query,omitempty"`
	Listed  bool    `json:"listed,omitempty"` // a view whose columns were named in a list
	Made    int64   `json:"made"`             // its place in the order of creation

	Base *tableID `json:"base,omitempty"` // of a snapshot, or of a clone, which is a TABLE
}

func writeFrame(w *bufio.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode an answer: %w", err)
	}
	if len(body) > maxFrame {
		return fmt.Errorf("an answer of %d bytes is larger than a frame may be", len(body))
	}
	var head [4]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(body)))
	if _, err := w.Write(head[:]); err != nil {
		return err
	}
	if _, err := w.Write(body); err != nil {
		return err
	}
	return w.Flush()
}

func readFrame(r *bufio.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return nil, fmt.Errorf("a frame of %d bytes is larger than %d", n, maxFrame)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	return body, nil
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
