package bigquery

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

func zipped(t testing.TB, body string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A compressed request means what the same request means as it is.
func TestDecodeUnpacks(t *testing.T) {
	const body = `{"query": "SELECT 1", "useLegacySql": false}`
	plain, err := Decode(post(queryPath, body))
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range []string{"content-encoding", "Content-Encoding", "content_encoding"} {
		t.Run(header, func(t *testing.T) {
			r := Request{Verb: "POST", Path: queryPath, Body: zipped(t, body),
				Header: map[string][]string{"content-type": {"application/json"}, header: {" GZIP "}}}
			op, err := Decode(r)
			if err != nil || !reflect.DeepEqual(op, plain) || r.Coding() != "gzip" {
				t.Errorf("%s: got %s, %v, coding %q", header, dump(op), err, r.Coding())
			}
		})
	}
	// Java compresses the empty body of jobs.cancel, and names no type for it.
	cancel := Request{Verb: "POST", Path: insertPath + "/j1/cancel", Body: zipped(t, ""),
		Header: map[string][]string{"content-encoding": {"gzip"}}}
	if op, err := Decode(cancel); err != nil || op.Method != MethodCancel || op.Read == nil {
		t.Errorf("cancel: got %s, %v", dump(op), err)
	}
}

func TestDecodeRefusesCompressed(t *testing.T) {
	const body = `{"query": "SELECT 1", "useLegacySql": false}`
	good := zipped(t, body)
	wrongSum := bytes.Clone(good)
	wrongSum[len(wrongSum)-8] ^= 1
	for name, c := range map[string]struct {
		body   []byte
		values []string
		status int
		part   string
	}{
		"not gzip":        {[]byte(body), []string{"gzip"}, 400, "not gzip"},
		"deflate":         {good, []string{"deflate"}, 415, "Content-Encoding"},
		"br":              {good, []string{"br"}, 415, "Content-Encoding"},
		"x-gzip":          {good, []string{"x-gzip"}, 415, "Content-Encoding"},
		"two in one":      {good, []string{"gzip, gzip"}, 415, "Content-Encoding"},
		"two headers":     {good, []string{"gzip", "gzip"}, 415, "Content-Encoding"},
		"beside identity": {good, []string{"identity", "gzip"}, 415, "Content-Encoding"},
		"empty coding":    {good, []string{""}, 415, "Content-Encoding"},
		"truncated":       {good[:len(good)-9], []string{"gzip"}, 400, "whole"},
		"no checksum":     {good[:len(good)-8], []string{"gzip"}, 400, "whole"},
		"wrong checksum":  {wrongSum, []string{"gzip"}, 400, "whole"},
		"trailing byte":   {append(bytes.Clone(good), ' '), []string{"gzip"}, 400, "behind"},
		"second member":   {append(bytes.Clone(good), good...), []string{"gzip"}, 400, "behind"},
		"bomb":            {zipped(t, strings.Repeat(" ", MaxBody+1)), []string{"gzip"}, 400, "unpacked"},
		"empty inside":    {zipped(t, ""), []string{"gzip"}, 400, "body"},
		"bad inside":      {zipped(t, body+"x"), []string{"gzip"}, 400, "JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			op, err := Decode(Request{Verb: "POST", Path: queryPath, Body: c.body,
				Header: map[string][]string{"content-type": {"application/json"}, "content-encoding": c.values}})
			var e *RequestError
			if !errors.As(err, &e) || e.Status != c.status || !strings.Contains(e.Message, c.part) || op.Query != nil {
				t.Fatalf("got %v, want %d naming %q", err, c.status, c.part)
			}
		})
	}
	op, err := Decode(Request{Verb: "POST", Path: insertPath + "/j1/cancel", Body: zipped(t, "{}"),
		Header: map[string][]string{"content-type": {"application/json"}, "content-encoding": {"gzip"}}})
	if err == nil || op.Read != nil {
		t.Error("a cancel with a body inside its gzip is taken")
	}
}

// What is taken is one member and all of the bytes: a reader that goes on to further members gets
// the same, and writing it again leaves nothing over.
func FuzzUnpack(f *testing.F) {
	good := zipped(f, `{"query": "SELECT 1"}`)
	f.Add(good)
	f.Add(append(bytes.Clone(good), good...))
	f.Add(good[:len(good)-4])
	f.Fuzz(func(t *testing.T, body []byte) {
		out, err := unpack(MethodQuery, []string{"gzip"}, body)
		if err != nil || len(body) == 0 {
			if len(out) > 0 {
				t.Fatalf("an error with %d bytes", len(out))
			}
			return
		}
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(z)
		if err != nil || !bytes.Equal(all, out) {
			t.Fatalf("another reader gets %q, %v, not %q", all, err, out)
		}
	})
}
