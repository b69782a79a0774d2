package fakegoogle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// object is a JSON object that keeps its order. Values are string, bool, nil, json.Number, object,
// []any, or a *page of rows.
type object []member

type member struct {
	key   string
	value any
}

func itoa(n int) string { return strconv.Itoa(n) }

func int64Text(n int64) string { return strconv.FormatInt(n, 10) }

// get returns the value under a key, or nil.
func (o object) get(key string) any {
	for _, m := range o {
		if m.key == key {
			return m.value
		}
	}
	return nil
}

// encode renders an object that holds no rows.
func (o object) encode(pretty bool) []byte {
	var b bytes.Buffer
	if err := writeValue(&b, o, 0, pretty); err != nil {
		return []byte(`{"error":{"code":500,"message":"could not encode an answer"}}`)
	}
	if pretty {
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// writeValue streams a value, rows included, compact or with two spaces a level as Google's
// prettyPrint does.
func writeValue(w io.Writer, v any, depth int, pretty bool) error {
	newline := func(d int) string {
		if !pretty {
			return ""
		}
		return "\n" + strings.Repeat("  ", d)
	}
	put := func(s string) error {
		_, err := io.WriteString(w, s)
		return err
	}
	switch x := v.(type) {
	case object:
		if len(x) == 0 {
			return put("{}")
		}
		for i, m := range x {
			lead := ","
			if i == 0 {
				lead = "{"
			}
			colon := ":"
			if pretty {
				colon = ": "
			}
			if err := put(lead + newline(depth+1) + quote(m.key) + colon); err != nil {
				return err
			}
			if err := writeValue(w, m.value, depth+1, pretty); err != nil {
				return err
			}
		}
		return put(newline(depth) + "}")
	case []any:
		if len(x) == 0 {
			return put("[]")
		}
		for i, e := range x {
			lead := ","
			if i == 0 {
				lead = "["
			}
			if err := put(lead + newline(depth+1)); err != nil {
				return err
			}
			if err := writeValue(w, e, depth+1, pretty); err != nil {
				return err
			}
		}
		return put(newline(depth) + "]")
	case *page:
		return x.writeTo(w, depth, pretty)
	case string:
		return put(quote(x))
	case bool:
		return put(strconv.FormatBool(x))
	case json.Number:
		return put(x.String())
	case nil:
		return put("null")
	}
	return fmt.Errorf("a %T cannot be written", v)
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return string(b)
}

// fromJSON turns decoded JSON into an object tree, so that what a client sent can be echoed. Key
// order of the request is not kept: sorted.
func fromJSON(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := object{}
		for _, k := range sortedKeys(x) {
			out = append(out, member{k, fromJSON(x[k])})
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = fromJSON(x[i])
		}
		return out
	}
	return v
}
