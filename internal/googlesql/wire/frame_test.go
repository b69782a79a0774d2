package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
)

func TestFrames(t *testing.T) {
	var b bytes.Buffer
	for _, name := range []string{"a", "b"} {
		if err := WriteFrame(&b, Hello{Engine: name}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a", "b"} {
		var h Hello
		if err := ReadFrame(&b, &h); err != nil || h.Engine != name {
			t.Errorf("read %+v, %v, want %s", h, err, name)
		}
	}
	if err := ReadFrame(&b, &Hello{}); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v, want io.EOF", err)
	}
	if err := WriteFrame(&b, strings.Repeat("x", MaxFrame)); err == nil || b.Len() > 0 {
		t.Errorf("a frame over the limit was written (%d bytes), %v", b.Len(), err)
	}
}

func TestBrokenFrames(t *testing.T) {
	for name, input := range map[string]string{
		"half a length": "\x00\x00",
		"half a body":   "\x00\x00\x00\x05{}",
		"too long":      "\xff\xff\xff\xff{}",
		"not JSON":      "\x00\x00\x00\x02[[",
		"empty":         "\x00\x00\x00\x00",
		"another type":  "\x00\x00\x00\x02[]",
	} {
		t.Run(name, func(t *testing.T) {
			if err := ReadFrame(strings.NewReader(input), &Hello{}); err == nil ||
				err == io.EOF { //nolint:errorlint // a clean end is io.EOF itself
				t.Errorf("%s: %v, want an error that is not a clean end", name, err)
			}
		})
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02{}"))
	f.Add([]byte("\x00\x00\x00\x10{\"id\":1,\"error\":"))
	f.Fuzz(func(t *testing.T, input []byte) {
		r := bytes.NewReader(input)
		var reply Reply
		if err := ReadFrame(r, &reply); err == nil {
			var b bytes.Buffer
			if err := WriteFrame(&b, reply); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// An answer that says nothing is an answer: `ASSERT FALSE` has no columns, tables or uses.
func TestEmptyAnswersArrive(t *testing.T) {
	var b bytes.Buffer
	for _, sent := range []any{Reply{Analysis: &Analysis{}}, Reply{Script: &Script{}}, Reply{Error: &Error{}},
		Question{Parse: &ParseQuestion{Ahead: &AnalyzeQuestion{}}}, Question{Analyze: &AnalyzeQuestion{}}} {
		t.Run(fmt.Sprint(sent), func(t *testing.T) {
			if err := WriteFrame(&b, sent); err != nil {
				t.Fatal(err)
			}
			got := reflect.New(reflect.TypeOf(sent))
			if err := ReadFrame(&b, got.Interface()); err != nil {
				t.Fatal(err)
			}
			for i := range got.Elem().NumField() {
				if was, is := reflect.ValueOf(sent).Field(i), got.Elem().Field(i); was.IsZero() != is.IsZero() {
					t.Errorf("%+v arrived as %+v", sent, got.Elem().Interface())
				}
			}
		})
	}
}
