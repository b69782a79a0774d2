package main

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	googlesql "github.com/goccy/go-googlesql"
	"github.com/goccy/googlesqlite"
)

// apiTypes maps GoogleSQL kinds to the type words of the BigQuery API.
var apiTypes = map[googlesql.TypeKind]string{
	googlesql.TypeKindTypeInt32:      "INTEGER",
	googlesql.TypeKindTypeInt64:      "INTEGER",
	googlesql.TypeKindTypeUint32:     "INTEGER",
	googlesql.TypeKindTypeUint64:     "INTEGER",
	googlesql.TypeKindTypeBool:       "BOOLEAN",
	googlesql.TypeKindTypeFloat:      "FLOAT",
	googlesql.TypeKindTypeDouble:     "FLOAT",
	googlesql.TypeKindTypeString:     "STRING",
	googlesql.TypeKindTypeBytes:      "BYTES",
	googlesql.TypeKindTypeDate:       "DATE",
	googlesql.TypeKindTypeTimestamp:  "TIMESTAMP",
	googlesql.TypeKindTypeTime:       "TIME",
	googlesql.TypeKindTypeDatetime:   "DATETIME",
	googlesql.TypeKindTypeGeography:  "GEOGRAPHY",
	googlesql.TypeKindTypeNumeric:    "NUMERIC",
	googlesql.TypeKindTypeBignumeric: "BIGNUMERIC",
	googlesql.TypeKindTypeJson:       "JSON",
	googlesql.TypeKindTypeInterval:   "INTERVAL",
	googlesql.TypeKindTypeRange:      "RANGE",
}

// kinds is apiTypes the other way round, for building the analyzer's tables.
var kinds = map[string]googlesql.TypeKind{
	"INTEGER": googlesql.TypeKindTypeInt64, "BOOLEAN": googlesql.TypeKindTypeBool, "FLOAT": googlesql.TypeKindTypeDouble,
	"STRING": googlesql.TypeKindTypeString, "BYTES": googlesql.TypeKindTypeBytes, "DATE": googlesql.TypeKindTypeDate,
	"TIMESTAMP": googlesql.TypeKindTypeTimestamp, "TIME": googlesql.TypeKindTypeTime, "DATETIME": googlesql.TypeKindTypeDatetime,
	"GEOGRAPHY": googlesql.TypeKindTypeGeography, "NUMERIC": googlesql.TypeKindTypeNumeric, "BIGNUMERIC": googlesql.TypeKindTypeBignumeric,
	"JSON": googlesql.TypeKindTypeJson, "INTERVAL": googlesql.TypeKindTypeInterval,
}

// fieldOf turns a driver type into TableFieldSchema.
func fieldOf(name string, t *googlesqlite.Type) (field, error) {
	if t == nil {
		return field{}, fmt.Errorf("column %q has no type", name)
	}
	switch googlesql.TypeKind(t.Kind) {
	case googlesql.TypeKindTypeArray:
		f, err := fieldOf(name, t.ElementType)
		f.Mode = "REPEATED"
		return f, err
	case googlesql.TypeKindTypeStruct:
		f := field{Name: name, Type: "RECORD", Mode: "NULLABLE", Fields: []field{}}
		for i, sub := range t.FieldTypes {
			subName := sub.Name
			if subName == "" {
				subName = "_field_" + strconv.Itoa(i+1)
			}
			sf, err := fieldOf(subName, sub.Type)
			if err != nil {
				return field{}, err
			}
			f.Fields = append(f.Fields, sf)
		}
		return f, nil
	}
	word, ok := apiTypes[googlesql.TypeKind(t.Kind)]
	if !ok {
		return field{}, fmt.Errorf("column %q has type %s, which the API cannot show", name, t.Name)
	}
	return field{Name: name, Type: word, Mode: "NULLABLE"}, nil
}

// cellOf renders one scanned value as the API writes it.
func cellOf(v any, f field) (any, error) {
	if f.Mode == "REPEATED" {
		out := []any{}
		if v == nil { // BigQuery writes a NULL array as an empty one
			return out, nil
		}
		rv := reflect.ValueOf(v)
		if rv.Kind() != reflect.Slice {
			return nil, fmt.Errorf("column %q is REPEATED but its value is a %T", f.Name, v)
		}
		elem := f
		elem.Mode = "NULLABLE"
		for i := range rv.Len() {
			c, err := cellOf(rv.Index(i).Interface(), elem)
			if err != nil {
				return nil, err
			}
			out = append(out, c)
		}
		return out, nil
	}
	if v == nil {
		return nil, nil
	}
	if f.Type == "RECORD" {
		rv := reflect.ValueOf(v)
		if rv.Kind() != reflect.Slice || rv.Len() != len(f.Fields) {
			return nil, fmt.Errorf("column %q is a RECORD of %d fields but its value is a %T", f.Name, len(f.Fields), v)
		}
		out := make([]any, len(f.Fields))
		for i := range f.Fields {
			c, err := cellOf(rv.Index(i).Interface(), f.Fields[i])
			if err != nil {
				return nil, err
			}
			out[i] = c
		}
		return out, nil
	}
	switch x := v.(type) {
	case bool:
		return strconv.FormatBool(x), nil
	case int64:
		return strconv.FormatInt(x, 10), nil
	case float64:
		return formatFloat(x), nil
	case string:
		if f.Type == "TIMESTAMP" {
			t, err := googlesqlite.TimeFromTimestampValue(x)
			if err != nil {
				return nil, fmt.Errorf("column %q: %w", f.Name, err)
			}
			return strconv.FormatInt(t.UnixMicro(), 10), nil
		}
		if f.Type == "DATETIME" {
			return strings.Replace(x, " ", "T", 1), nil
		}
		return x, nil
	}
	return fmt.Sprint(v), nil
}

func formatFloat(x float64) string {
	switch {
	case math.IsNaN(x):
		return "NaN"
	case math.IsInf(x, 1):
		return "Infinity"
	case math.IsInf(x, -1):
		return "-Infinity"
	case x == math.Trunc(x) && math.Abs(x) < 1e15:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return strings.ToUpper(strconv.FormatFloat(x, 'g', -1, 64))
}
