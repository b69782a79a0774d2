package spelling

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"credential", "columns", "clear", "for"}
	for word, want := range map[string]string{
		"credentials": "credential", "COLUMN": "columns", "claer": "clear", "four": "for", "xyzzy": "", "": "", "fro": "for",
		strings.Repeat("c", 70): "", "cre": "", "credentail": "credential",
	} {
		t.Run(word, func(t *testing.T) {
			if got := Nearest(word, known); got != want {
				t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
			}
		})
	}
	if got := DidYouMean("clera", known); got != " (did you mean clear?)" {
		t.Error(got)
	}
}
