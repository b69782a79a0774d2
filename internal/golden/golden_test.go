package golden

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fake takes the failures of the helper itself.
type fake struct {
	testing.TB
	said string
}

func (*fake) Helper() {}
func (f *fake) Errorf(format string, args ...any) {
	f.said += strings.TrimSpace(format)
	for _, a := range args {
		f.said += " " + a.(string)
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "want")
	if err := os.WriteFile(path, []byte("a\nb\nc\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for made, says := range map[string]string{
		"a\nb\nc\n": "", "a\nx\nc\n": "Line 2 of the file is\n\tb\nand would be\n\tx",
		"a\nb\n":     "Line 3 of the file is\n\tc\nand would be\n\t",
		"a\nb\nc\nd": "Line 4 of the file is\n\t\nand would be\n\td",
	} {
		t.Run(made, func(t *testing.T) {
			f := &fake{}
			File(f, path, []byte(made))
			if says == "" && f.said != "" || !strings.Contains(f.said, says) {
				t.Errorf("%q: %q, want %q", made, f.said, says)
			}
		})
	}
	*update = true
	defer func() { *update = false }()
	File(&fake{}, path, []byte("new"))
	if text, err := os.ReadFile(path); err != nil || string(text) != "new" {
		t.Errorf("with -update the file is %q, %v", text, err)
	}
}
