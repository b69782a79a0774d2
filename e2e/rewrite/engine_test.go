package rewrite

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/bqgate/bqgate/e2e/fakegoogle"
	"github.com/bqgate/bqgate/internal/bigquery"
)

// binary builds the SQL engine, so that it is as new as its source.
var binary = sync.OnceValues(func() (string, error) {
	path, err := filepath.Abs("../../build/bin/sqlengine")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Dir = "../sqlengine"
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the SQL engine: %w\n%s", err, out)
	}
	return path, nil
})

// database is one engine with data of its own.
type database struct {
	engine  fakegoogle.Engine
	dataset string // of names of one part
}

func newDatabase(t testing.TB, statements ...string) *database {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	e, err := fakegoogle.NewSQLEngine(context.Background(), path, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	d := &database{engine: e}
	for _, sql := range statements {
		if _, err := d.run(t.Context(), sql); err != nil {
			t.Fatalf("%.300s\n%v", sql, err)
		}
	}
	return d
}

func (d *database) run(ctx context.Context, sql string) (*fakegoogle.Result, error) {
	return d.engine.Run(ctx, fakegoogle.Statement{SQL: sql, Project: "demo", Dataset: d.dataset})
}

// cellJSON is a cell as BigQuery's JSON has it: null, a string, [{"v":…},…] or {"f":[…]}.
func cellJSON(v any, f bigquery.Field) string {
	var b strings.Builder
	writeCell(&b, v, f)
	return b.String()
}

func writeCell(b *strings.Builder, v any, f bigquery.Field) {
	switch x := v.(type) {
	case nil:
		if f.Mode == "REPEATED" {
			b.WriteString("[]")
			return
		}
		b.WriteString("null")
	case string:
		b.Write(jsonText(x))
	case []any:
		if f.Mode == "REPEATED" {
			element := f
			element.Mode = ""
			b.WriteByte('[')
			for i, e := range x {
				if i > 0 {
					b.WriteByte(',')
				}
				b.WriteString(`{"v":`)
				writeCell(b, e, element)
				b.WriteByte('}')
			}
			b.WriteByte(']')
			return
		}
		b.WriteString(`{"f":[`)
		for i, e := range x {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(`{"v":`)
			writeCell(b, e, f.Fields[i])
			b.WriteByte('}')
		}
		b.WriteString(`]}`)
	default:
		panic(fmt.Sprintf("a cell is a %T", v))
	}
}
