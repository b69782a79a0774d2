package fakegoogle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// maxPageBytes is BigQuery's bound for one page of rows.
const maxPageBytes = 10 << 20

// result is what a query gave. It is shared: by the pages of a job, and by jobs that hit the cache.
type result struct {
	*Result
	rows        [][]any
	account     string           // whose anonymous table it is in
	destination bigquery.TableID // anonymous, unless the job named one
	directives  directives
	created     time.Time
	bytes       int64 // processed
	billed      int64

	mu      sync.Mutex
	encoded map[timestampFormat][][]byte
}

// total is the number of rows, generated ones included.
func (r *result) total() int64 {
	if r.directives.rows >= 0 && len(r.rows) > 0 {
		return r.directives.rows
	}
	return int64(len(r.rows))
}

// timestampFormat is how TIMESTAMP cells are written: "FLOAT64", "INT64" or "ISO8601_STRING".
type timestampFormat string

func formatFrom(get func(string) string) timestampFormat {
	if f := get("formatOptions.timestampOutputFormat"); f == "INT64" || f == "ISO8601_STRING" || f == "FLOAT64" {
		return timestampFormat(f)
	}
	if strings.EqualFold(get("formatOptions.useInt64Timestamp"), "true") {
		return "INT64"
	}
	return "FLOAT64"
}

// lines returns the rows as compact JSON, one text a row.
func (r *result) lines(format timestampFormat) [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if lines, ok := r.encoded[format]; ok {
		return lines
	}
	lines := make([][]byte, len(r.rows))
	var b bytes.Buffer
	for i, row := range r.rows {
		b.Reset()
		encodeRecord(&b, row, r.Schema, format)
		lines[i] = bytes.Clone(b.Bytes())
	}
	if r.encoded == nil {
		r.encoded = map[timestampFormat][][]byte{}
	}
	r.encoded[format] = lines
	return lines
}

func encodeRecord(b *bytes.Buffer, cells []any, schema []bigquery.Field, format timestampFormat) {
	b.WriteString(`{"f":[`)
	for i, cell := range cells {
		if i > 0 {
			b.WriteByte(',')
		}
		var f bigquery.Field
		if i < len(schema) {
			f = schema[i]
		}
		encodeCell(b, cell, f, format)
	}
	b.WriteString("]}")
}

func encodeCell(b *bytes.Buffer, cell any, f bigquery.Field, format timestampFormat) {
	b.WriteString(`{"v":`)
	switch x := cell.(type) {
	case nil:
		b.WriteString("null")
	case string:
		if f.Type == "TIMESTAMP" {
			x = formatTimestamp(x, format)
		}
		b.WriteString(quote(x))
	case []any:
		if f.Mode == "REPEATED" {
			elem := f
			elem.Mode = "NULLABLE"
			b.WriteByte('[')
			for i, e := range x {
				if i > 0 {
					b.WriteByte(',')
				}
				encodeCell(b, e, elem, format)
			}
			b.WriteByte(']')
		} else {
			encodeRecord(b, x, f.Fields, format)
		}
	default:
		b.WriteString(quote(fmt.Sprint(x)))
	}
	b.WriteByte('}')
}

// formatTimestamp writes microseconds since the epoch as Google writes a TIMESTAMP cell; floats as
// 1.7040672E9, exactly.
func formatTimestamp(micros string, format timestampFormat) string {
	n, err := strconv.ParseInt(micros, 10, 64)
	if err != nil || format == "INT64" {
		return micros
	}
	if format == "ISO8601_STRING" {
		return time.UnixMicro(n).UTC().Format("2006-01-02T15:04:05.999999Z")
	}
	if n == 0 {
		return "0.0"
	}
	digits, sign := strings.TrimPrefix(micros, "-"), ""
	if n < 0 {
		sign = "-"
	}
	fraction := strings.TrimRight(digits[1:], "0")
	if fraction == "" {
		fraction = "0"
	}
	return fmt.Sprintf("%s%c.%sE%d", sign, digits[0], fraction, len(digits)-7)
}

// page is a range of a result's rows on its way to a client.
type page struct {
	res        *result
	start, end int64
	format     timestampFormat

	ctx   context.Context
	flush func() error
}

// window cuts the page that begins at start: at most maxResults rows (if not nil), at most 10 MB.
func (r *result) window(start int64, maxResults *uint32, format timestampFormat) *page {
	p := &page{res: r, start: min(max(start, 0), r.total()), format: format}
	p.end = r.total()
	if maxResults != nil {
		p.end = min(p.end, p.start+int64(*maxResults))
	}
	if r.directives.rows >= 0 && !r.directives.pages {
		return p
	}
	lines, size := r.lines(format), 0
	for i := p.start; i < p.end; i++ {
		size += len(lines[i%int64(len(lines))]) + 1
		if size > maxPageBytes && i > p.start {
			p.end = i
			break
		}
	}
	return p
}

var errCut = errors.New("cut off by -- fake:die")

// writeTo streams the rows. Generated rows come out of one prepared block, so that a large download
// costs the stand-in little.
func (p *page) writeTo(w io.Writer, depth int, pretty bool) error {
	n := p.end - p.start
	if n == 0 {
		_, err := io.WriteString(w, "[]")
		return err
	}
	lines := p.res.lines(p.format)
	if pretty {
		indented := make([][]byte, len(lines))
		for i, l := range lines {
			var b bytes.Buffer
			b.WriteString("\n" + strings.Repeat("  ", depth+1))
			if err := json.Indent(&b, l, strings.Repeat("  ", depth+1), "  "); err != nil {
				return fmt.Errorf("indent row %d: %w", i, err)
			}
			indented[i] = b.Bytes()
		}
		lines = indented
	}
	if _, err := io.WriteString(w, "["); err != nil {
		return err
	}
	half := p.start + n/2
	count := int64(len(lines))
	var block bytes.Buffer
	emit := func() error {
		_, err := w.Write(block.Bytes())
		block.Reset()
		return err
	}
	// Many repetitions: prepare a block of whole cycles of at least 256 KB once.
	var cycle []byte
	var cycleRows int64
	if n > 4*count {
		var b bytes.Buffer
		for b.Len() < 256<<10 {
			for _, l := range lines {
				b.WriteByte(',')
				b.Write(l)
			}
			cycleRows += count
		}
		cycle = b.Bytes()
	}
	for i := p.start; i < p.end; {
		if i == half && (p.res.directives.stall > 0 || p.res.directives.die) {
			if err := p.fault(emit); err != nil {
				return err
			}
		}
		faultAhead := i < half && i+cycleRows > half && (p.res.directives.stall > 0 || p.res.directives.die)
		if cycleRows > 0 && i > p.start && i%count == 0 && i+cycleRows <= p.end && !faultAhead {
			if err := emit(); err != nil {
				return err
			}
			if _, err := w.Write(cycle); err != nil {
				return err
			}
			i += cycleRows
			continue
		}
		if i > p.start {
			block.WriteByte(',')
		}
		block.Write(lines[i%count])
		i++
		if block.Len() > 64<<10 {
			if err := emit(); err != nil {
				return err
			}
		}
	}
	if pretty {
		block.WriteString("\n" + strings.Repeat("  ", depth))
	}
	block.WriteByte(']')
	return emit()
}

// fault is the middle of a body that stalls or breaks off: what came before is really sent.
func (p *page) fault(emit func() error) error {
	if err := emit(); err != nil {
		return err
	}
	if p.flush != nil {
		if err := p.flush(); err != nil {
			return fmt.Errorf("flush: %w", err)
		}
	}
	if p.res.directives.stall > 0 {
		select {
		case <-time.After(p.res.directives.stall):
		case <-p.ctx.Done():
			return p.ctx.Err()
		}
	}
	if p.res.directives.die {
		return errCut
	}
	return nil
}
