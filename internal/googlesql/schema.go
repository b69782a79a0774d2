package googlesql

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// describe is a table or a view as the engine wants it.
func describe(t *bigquery.Table) (wire.Table, *Error) {
	id := t.TableReference
	switch t.Type {
	case "TABLE", "SNAPSHOT", "CLONE", "EXTERNAL", "VIEW", "MATERIALIZED_VIEW", typeInformationSchema:
	default:
		return wire.Table{}, &Error{Code: ErrorUnsupported, Message: fmt.Sprintf("%s is a %q, which is not supported", id, t.Type)}
	}
	table := wire.Table{Name: id.String(), Columns: make([]wire.Field, len(t.Schema.Fields))}
	for i := range t.Schema.Fields {
		column, err := field(&t.Schema.Fields[i])
		if err != nil {
			return wire.Table{}, &Error{Code: ErrorUnsupported, Message: fmt.Sprintf("%s: %v", id, err)}
		}
		table.Columns[i] = column
	}
	for _, c := range table.Columns {
		if isPseudo(c.Name) {
			return wire.Table{}, &Error{Code: ErrorUnsupported, Message: fmt.Sprintf("%s: %q is the name of a pseudo column", id, c.Name)}
		}
	}
	table.Columns = append(table.Columns, pseudoColumns(t)...)
	table.Digest = digest(table.Name, table.Columns)
	return table, nil
}

// pseudoColumns are the columns that BigQuery adds to a table and leaves out of *.
func pseudoColumns(t *bigquery.Table) []wire.Field {
	pseudo := func(name, kind string) wire.Field {
		return wire.Field{Name: name, Type: wire.Type{Name: kind}, Pseudo: true}
	}
	var fields []wire.Field
	if p := t.TimePartitioning; p != nil && p.Field == "" && !isView(t) {
		fields = append(fields, pseudo("_PARTITIONTIME", "TIMESTAMP"))
		if p.Type == "DAY" {
			fields = append(fields, pseudo("_PARTITIONDATE", "DATE"))
		}
	}
	if len(t.Members) > 0 {
		fields = append(fields, pseudo("_TABLE_SUFFIX", "STRING"))
	}
	if t.Type == "EXTERNAL" {
		fields = append(fields, pseudo("_FILE_NAME", "STRING"))
	}
	return fields
}

// isPseudo reports whether a name is kept for pseudo columns. BigQuery allows no column of such a
// name.
func isPseudo(name string) bool {
	switch strings.ToUpper(name) {
	case "_PARTITIONTIME", "_PARTITIONDATE", "_TABLE_SUFFIX", "_FILE_NAME":
		return true
	}
	return false
}

func field(f *bigquery.Field) (wire.Field, error) {
	kind, err := scalar(f.Type)
	if f.Type == "RANGE" && f.RangeElementType != nil {
		kind, err = rangeOf(f.RangeElementType.Type)
	}
	if f.Type == "RECORD" || f.Type == "STRUCT" {
		kind, err = wire.Type{}, nil
		for i := range f.Fields {
			inner, err := field(&f.Fields[i])
			if err != nil {
				return wire.Field{}, err
			}
			kind.Fields = append(kind.Fields, inner)
		}
		if len(kind.Fields) == 0 {
			return wire.Field{}, fmt.Errorf("column %s is a STRUCT without fields", f.Name)
		}
	}
	if err != nil {
		return wire.Field{}, fmt.Errorf("column %s: %w", f.Name, err)
	}
	switch f.Mode {
	case "", "NULLABLE", "REQUIRED":
	case "REPEATED":
		element := kind
		kind = wire.Type{Element: &element}
	default:
		return wire.Field{}, fmt.Errorf("column %s has the unknown mode %q", f.Name, f.Mode)
	}
	// A dot would make two columns one in every policy.
	if f.Name == "" || strings.ContainsAny(f.Name, ".`") {
		return wire.Field{}, fmt.Errorf("%q is not a column's name", f.Name)
	}
	return wire.Field{Name: f.Name, Type: kind}, nil
}

// rangeOf is the type of ranges of DATE, DATETIME or TIMESTAMP.
func rangeOf(element string) (wire.Type, error) {
	switch element = strings.ToUpper(element); element {
	case "DATE", "DATETIME", "TIMESTAMP":
		return wire.Type{Name: "RANGE<" + element + ">"}, nil
	}
	return wire.Type{}, fmt.Errorf("a RANGE of %q is not known", element)
}

// scalar is a scalar type by either of BigQuery's spellings.
func scalar(name string) (wire.Type, error) {
	switch upper := strings.ToUpper(name); upper {
	case "STRING", "BYTES", "INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC", "BOOL", "TIMESTAMP", "DATE", "TIME", "DATETIME", "GEOGRAPHY",
		"JSON", "INTERVAL":
		return wire.Type{Name: upper}, nil
	case "INTEGER":
		return wire.Type{Name: "INT64"}, nil
	case "FLOAT":
		return wire.Type{Name: "FLOAT64"}, nil
	case "BOOLEAN":
		return wire.Type{Name: "BOOL"}, nil
	}
	return wire.Type{}, fmt.Errorf("the type %q is not known", name)
}

// resourceFields are columns as a Table resource has them.
func resourceFields(columns []wire.Field) []bigquery.Field {
	fields := make([]bigquery.Field, len(columns))
	for i, c := range columns {
		f, kind := &fields[i], c.Type
		f.Name, f.Mode = c.Name, "NULLABLE"
		if kind.Element != nil {
			f.Mode, kind = "REPEATED", *kind.Element
		}
		switch element, isRange := strings.CutPrefix(kind.Name, "RANGE<"); {
		case len(kind.Fields) > 0:
			f.Type, f.Fields = "RECORD", resourceFields(kind.Fields)
		case isRange:
			f.Type, f.RangeElementType = "RANGE", &bigquery.FieldElementType{Type: strings.TrimSuffix(element, ">")}
		default:
			f.Type = bigquery.APIType(kind.Name)
		}
	}
	return fields
}

// typeName is a type in GoogleSQL's spelling.
func typeName(t wire.Type) string {
	switch {
	case t.Element != nil:
		return "ARRAY<" + typeName(*t.Element) + ">"
	case len(t.Fields) > 0:
		fields := make([]string, len(t.Fields))
		for i, f := range t.Fields {
			fields[i] = f.Name + " " + typeName(f.Type)
		}
		return "STRUCT<" + strings.Join(fields, ", ") + ">"
	default:
		return t.Name
	}
}

func digest(parts ...any) string {
	h := sha256.New()
	e := json.NewEncoder(h)
	for _, p := range parts {
		if err := e.Encode(p); err != nil { // plain data always encodes
			panic(err)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
