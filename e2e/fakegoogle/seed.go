package fakegoogle

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
)

//go:embed seed/*.sql
var defaultSeeds embed.FS

// DefaultSeeds are the SQL texts of the demo's data: project demo, datasets crm, finance and hr.
func DefaultSeeds() []string {
	names, err := fs.Glob(defaultSeeds, "seed/*.sql")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	slices.Sort(names)
	var out []string
	for _, n := range names {
		text, err := defaultSeeds.ReadFile(n)
		if err != nil {
			panic(err) // embedded
		}
		out = append(out, string(text))
	}
	return out
}

// sizeComment is `-- bqgate:bytes crm.events 5GiB`.
var sizeComment = regexp.MustCompile(`(?m)^[ \t]*--[ \t]*bqgate:bytes[ \t]+(\S+)[ \t]+(\S+)[ \t]*$`)

// linkComment is `-- bqgate:linked share crm`: the dataset share is a linked one that shows crm.
// What is in it is seeded as in any other.
var linkComment = regexp.MustCompile(`(?m)^[ \t]*--[ \t]*bqgate:linked[ \t]+(\w+)[ \t]+(\w+)[ \t]*$`)

// Seed runs SQL statement by statement, CREATE SCHEMA and ALTER TABLE … ADD COLUMN and DROP COLUMN
// included. A comment line `-- bqgate:bytes dataset.table 5GiB` sets what a dry run estimates for a
// table. CREATE ROW ACCESS POLICY and DROP ALL ROW ACCESS POLICIES are done here, since no engine
// knows them. After a crash of the engine all seeds are run again.
func (s *Server) Seed(ctx context.Context, text string) error {
	for _, m := range sizeComment.FindAllStringSubmatch(text, -1) {
		n, err := parseSize(m[2])
		if err != nil {
			return fmt.Errorf("seed: -- bqgate:bytes %s: %w", m[1], err)
		}
		id, err := s.tableID(m[1])
		if err != nil {
			return fmt.Errorf("seed: -- bqgate:bytes: %w", err)
		}
		s.mu.Lock()
		s.bytes[id.String()] = n
		s.mu.Unlock()
	}
	for _, m := range linkComment.FindAllStringSubmatch(text, -1) {
		s.mu.Lock()
		s.linked[s.opts.Project+"."+m[1]] = s.opts.Project + "." + m[2]
		s.mu.Unlock()
	}
	run := s.engine.Run
	if e, ok := s.engine.(interface {
		seed(context.Context, Statement) (*Result, error)
	}); ok {
		run = e.seed
	}
	for i, sql := range splitStatements(text) {
		done, err := s.makeRowAccessPolicy(ctx, sql)
		if !done && err == nil {
			_, err = run(ctx, Statement{SQL: sql, Project: s.opts.Project})
		}
		if err != nil {
			return fmt.Errorf("seed: statement %d (%.60s…): %w", i+1, sql, err)
		}
	}
	s.version.Add(1)
	return nil
}

// splitStatements cuts SQL at semicolons outside of strings, comments and quoted names. Comments
// before a statement stay with it.
func splitStatements(text string) []string {
	var out []string
	start, content := 0, false
	flush := func(end int) {
		if content {
			out = append(out, strings.TrimSpace(text[start:end]))
		}
		start, content = end+1, false
	}
	for i := 0; i < len(text); {
		end := tokenEnd(text, i)
		comment := text[i] == '#' || strings.HasPrefix(text[i:], "--") || strings.HasPrefix(text[i:], "/*")
		switch {
		case text[i] == ';':
			flush(i)
		case !comment && strings.TrimSpace(text[i:end]) != "":
			content = true
		}
		i = end
	}
	flush(len(text))
	return out
}

var sizeUnits = map[string]int64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

// parseSize reads 5GiB, 20MiB, 17B or a plain number of bytes.
func parseSize(text string) (int64, error) {
	number := strings.TrimRight(text, "BKMGTi")
	unit, ok := sizeUnits[text[len(number):]]
	if text[len(number):] == "" {
		unit, ok = 1, true
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || !ok || n < 0 || n > 1<<62/unit {
		return 0, fmt.Errorf("%q is not a size like 5GiB", text)
	}
	return n * unit, nil
}

// tableID reads "dataset.table" or "project.dataset.table".
func (s *Server) tableID(name string) (bigquery.TableID, error) {
	parts := strings.Split(name, ".")
	switch len(parts) {
	case 2:
		return bigquery.TableID{Project: s.opts.Project, Dataset: parts[0], Table: parts[1]}, nil
	case 3:
		return bigquery.TableID{Project: parts[0], Dataset: parts[1], Table: parts[2]}, nil
	}
	return bigquery.TableID{}, fmt.Errorf("%q is not dataset.table or project.dataset.table", name)
}

// Values lists every value of a column, in table order and without NULLs: table is "dataset.table"
// or "project.dataset.table", column a dotted path through RECORD and REPEATED fields
// ("phones.number"). TIMESTAMP values are microseconds.
func (s *Server) Values(ctx context.Context, table, column string) ([]string, error) {
	id, err := s.tableID(table)
	if err != nil {
		return nil, err
	}
	ran, err := s.engine.Run(ctx, Statement{SQL: fmt.Sprintf("SELECT * FROM `%s`.`%s`.`%s`", id.Project, id.Dataset, id.Table),
		Project: id.Project})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", id, err)
	}
	var out []string
	path := strings.Split(column, ".")
	for _, row := range ran.Rows {
		if out, err = leaves(out, row, ran.Schema, path); err != nil {
			return nil, fmt.Errorf("read %s.%s: %w", id, column, err)
		}
	}
	return out, nil
}

// leaves appends the scalar values at path in one record.
func leaves(out []string, cells []any, schema []bigquery.Field, path []string) ([]string, error) {
	at := slices.IndexFunc(schema, func(f bigquery.Field) bool { return strings.EqualFold(f.Name, path[0]) })
	if at < 0 || at >= len(cells) {
		return nil, fmt.Errorf("there is no field %q", path[0])
	}
	f := schema[at]
	elems := []any{cells[at]}
	if f.Mode == "REPEATED" {
		elems, _ = cells[at].([]any)
	}
	for _, e := range elems {
		if e == nil {
			continue
		}
		if len(path) > 1 {
			record, ok := e.([]any)
			if !ok {
				return nil, fmt.Errorf("field %q is a %s and has no fields", f.Name, f.Type)
			}
			var err error
			if out, err = leaves(out, record, f.Fields, path[1:]); err != nil {
				return nil, err
			}
			continue
		}
		text, ok := e.(string)
		if !ok {
			return nil, fmt.Errorf("field %q is a %s: name one of its fields", f.Name, f.Type)
		}
		out = append(out, text)
	}
	return out, nil
}
