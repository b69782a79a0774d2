package bigquery

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// What a request may hold is bounded (docs/operators.md, "What one request may hold"): at the bound
// it is read, and beyond it refused in words that name the bound. Neither takes more memory than
// the row says, though a body of 4 MiB may be one of 4 KiB that is packed.
func TestBounds(t *testing.T) {
	list := func(n int, one string) string { return strings.TrimSuffix(strings.Repeat(one+",", n), ",") }
	labels := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"k%d":""`, i)
		}
		return inQuery(`"labels":{` + strings.TrimPrefix(b.String(), ",") + `}`)
	}
	parameters := func(n int) string {
		return inQuery(`"parameterMode":"POSITIONAL","queryParameters":[` + list(n, `{"parameterType":{"type":"STRING"}}`) + `]`)
	}
	elements := func(n int) string {
		return inQuery(
			`"queryParameters":[{"parameterType":{"type":"ARRAY","arrayType":{"type":"STRING"}},"parameterValue":{"arrayValues":[` +
				list(n, `{"value":"1"}`) + `]}}]`,
		)
	}
	nested := func(depth, leaves int) string {
		return inQuery(`"queryParameters":[{"parameterType":{"type":"STRING"},"parameterValue":` +
			strings.Repeat(`{"arrayValues":[`, depth) + list(leaves, `{"value":"1"}`) + strings.Repeat(`]}`, depth) + `}]`)
	}
	members := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"f%d":{}`, i)
		}
		return inQuery(`"queryParameters":[{"parameterType":{"type":"STRUCT"},"parameterValue":{"structValues":{` +
			strings.TrimPrefix(b.String(), ",") + `}}}]`)
	}
	sql := func(n int) string { return `{"query":"` + strings.Repeat("S", n) + `","useLegacySql":false}` }
	padded := func(n int) string { b := inQuery(`"labels":{}`); return b + strings.Repeat(" ", n-len(b)) }
	for _, c := range []struct {
		name          string
		at, beyond    Request
		named         string
		mostMegabytes uint64 // that are allocated in all while it is read
	}{
		{"labels", post(queryPath, labels(maxLabels)), post(queryPath, labels(maxLabels+1)), "more than 52 members", 4},
		{"100,000 labels", post(queryPath, labels(maxLabels)), post(queryPath, labels(100_000)), "more than 52 members", 64},
		{"parameters", post(queryPath, parameters(10_000)), post(queryPath, parameters(10_001)), "more than 10000 elements", 64},
		{"elements of a parameter", post(queryPath, elements(133_000)), post(queryPath, elements(133_333)),
			"more than 400000 names and values", 256},
		{"an empty million", post(queryPath, elements(1)), post(queryPath, strings.Replace(elements(1), `{"value":"1"}`,
			list(1_390_000, "{}"), 1)), "more than 400000 names and values", 16},
		{"fields of a parameter", post(queryPath, members(10_000)), post(queryPath, members(10_001)), "more than 10000 members", 64},
		{"nested values of a parameter", post(queryPath, nested(maxNestedValues, 1)), post(queryPath, nested(maxNestedValues+1, 1)),
			"nested deeper than 16", 4},
		{"nested values, many", post(queryPath, nested(maxNestedValues, 130_000)), post(queryPath, nested(29, 130_000)),
			"nested deeper than 16", 256},
		{"JSON", post(queryPath, inQuery(`"labels":{}`)), post(queryPath, strings.Repeat("[", 1<<20)), "nested deeper than 64 levels", 4},
		{"the text", post(queryPath, sql(MaxSQL)), post(queryPath, sql(MaxSQL+1)), "longer than 1048576 bytes", 16},
		{"the body", post(queryPath, padded(MaxBody)), post(queryPath, padded(MaxBody+1)), "larger than 4194304 bytes", 16},
		{"the body, packed", packed(t, padded(MaxBody)), packed(t, padded(MaxBody+1)), "larger than 4194304 bytes when it is unpacked", 64},
		{"a gigabyte, packed", packed(t, padded(MaxBody)), packed(t, padded(1<<30)), "larger than 4194304 bytes when it is unpacked", 64},
		{"the query of the URL", get(queryPath + "/j?pageToken=" + strings.Repeat("a", MaxPageToken)),
			get(queryPath + "/j?pageToken=" + strings.Repeat("a", maxQuery)), "longer than 16384 bytes", 4},
		{"a page token", get(queryPath + "/j?pageToken=" + strings.Repeat("a", MaxPageToken)),
			get(queryPath + "/j?pageToken=" + strings.Repeat("a", MaxPageToken+1)), "pageToken is not one that", 4},
		{"a page", get(queryPath + "/j?maxResults=4294967295"), get(queryPath + "/j?maxResults=4294967296"), "between 0 and 4294967295", 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, bound := range []struct {
				name string
				r    Request
			}{{"at", c.at}, {"beyond", c.beyond}} {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				_, err := Decode(bound.r)
				runtime.ReadMemStats(&after)
				took := (after.TotalAlloc - before.TotalAlloc) >> 20
				t.Logf("%s the bound: %d bytes as they came, %d MB allocated", bound.name, len(bound.r.Body), took)
				if took > c.mostMegabytes {
					t.Errorf("%s the bound: %d MB are allocated, at most %d", bound.name, took, c.mostMegabytes)
				}
				var refused *RequestError
				switch {
				case bound.name == "at" && err != nil:
					t.Errorf("at the bound: %v", err)
				case bound.name == "beyond" &&
					(!errors.As(err, &refused) || refused.Status != 400 || !strings.Contains(err.Error(), c.named)):
					t.Errorf("beyond the bound: %v, want %q", err, c.named)
				case bound.name == "beyond" && len(refused.Message) > 1000:
					t.Errorf("a refusal of %d bytes", len(refused.Message))
				}
			}
		})
	}
}

// What a client names something is not repeated at length in a refusal.
func TestLongNamesAreCut(t *testing.T) {
	long := strings.Repeat("n", 1<<20)
	for name, body := range map[string]string{
		"a field": inQuery(`"` + long + `":1`),
		"a value's field": inQuery(`"queryParameters":[{"parameterType":{"type":"STRUCT"},"parameterValue":{"structValues":{"` + long +
			`":{"x":1}}}}]`),
		"a label":         inQuery(`"labels":{"` + long + `":""}`),
		"a label's value": inQuery(`"labels":{"` + long + `":1}`),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode(post(queryPath, body))
			if err == nil || len(err.Error()) > 1000 {
				t.Errorf("a refusal of %d bytes", len(fmt.Sprint(err)))
			}
		})
	}
}

// inQuery is a request that has members beside its SQL.
func inQuery(members string) string {
	return `{"query":"SELECT 1","useLegacySql":false,` + members + `}`
}

func packed(t *testing.T, body string) Request {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(body))
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	r := post(queryPath, b.String())
	r.Header = map[string][]string{"content-type": {"application/json"}, "content-encoding": {"gzip"}}
	return r
}
