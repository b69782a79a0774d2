package keyfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A key file is judged by who can read it, not by one mode: as an operator makes it, and as a
// Kubernetes Secret mounts it.
func TestReadPrivate(t *testing.T) {
	for name, row := range map[string]struct {
		mode fs.FileMode
		says string // "" where it is read
	}{
		"its owner's alone":               {0o600, ""},
		"read-only":                       {0o400, ""},
		"a Secret with defaultMode 0440":  {0o440, ""},
		"the group reads":                 {0o640, ""},
		"a Secret's default mode":         {0o644, "open to others (mode 644)"},
		"others read":                     {0o604, "open to others (mode 604)"},
		"others write":                    {0o602, "open to others (mode 602)"},
		"the group could put another one": {0o660, "open to others (mode 660)"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			data := filepath.Join(dir, "..data_key")
			if err := os.WriteFile(data, []byte("secret"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(data, row.mode); err != nil {
				t.Fatal(err)
			}
			link := filepath.Join(dir, "key") // as the kubelet does
			if err := os.Symlink(data, link); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{data, link} {
				text, err := ReadPrivate(path, "audit key")
				if row.says == "" && (err != nil || string(text) != "secret") {
					t.Errorf("read %s: %q, %v", path, text, err)
				}
				if row.says != "" && (err == nil || !strings.Contains(err.Error(), row.says)) {
					t.Errorf("read %s: %v, want an error with %q", path, err, row.says)
				}
			}
		})
	}
}

func TestReadPrivateTakesFilesOnly(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{dir: "is no file", large: "is larger than", filepath.Join(dir, "none"): "read audit key"} {
		if _, err := ReadPrivate(path, "audit key"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("read %s: %v, want an error with %q", path, err, says)
		}
	}
}
