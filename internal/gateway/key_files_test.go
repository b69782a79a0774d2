package gateway

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/health"
	"github.com/bqgate/bqgate/internal/keyfile"
	"github.com/bqgate/bqgate/internal/wrapping"
)

// The files of the gateway's own keys, plain and wrapped, as they change while it runs.
func TestKeyFilesChange(t *testing.T) {
	for _, wrapped := range []bool{false, true} {
		name := "plain"
		if wrapped {
			name = "wrapped"
		}
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c := &config.Config{SealingKeyFile: filepath.Join(dir, "sealing.key")}
			c.Audit.KeyFile = filepath.Join(dir, "audit.key")
			if wrapped {
				if err := wrapping.GenerateAge(filepath.Join(dir, "id")); err != nil {
					t.Fatal(err)
				}
				c.KeyWrapping = &wrapping.Config{URI: "age:" + filepath.Join(dir, "id")}
			}
			by, err := keyWrappers(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			write := func(path string, set keyfile.Set) {
				t.Helper()
				if err := set.Write(path, by...); err != nil {
					t.Fatal(err)
				}
			}
			first, err := keyfile.New()
			if err != nil {
				t.Fatal(err)
			}
			write(c.SealingKeyFile, first)
			write(c.Audit.KeyFile, first)
			var log strings.Builder
			g := newGateway(c, slog.New(slog.NewTextHandler(&log, nil)))
			defer g.close()
			if err := g.openKeys(context.Background()); err != nil {
				t.Fatal(err)
			}
			part := g.parts.Part("key-files", health.Some)
			look := func() string {
				t.Helper()
				g.takeKeys(part)
				for _, p := range g.parts.Report().Parts {
					if p.Name == "key-files" {
						return p.Reason
					}
				}
				return ""
			}
			if why := look(); why != "" || log.String() != "" {
				t.Fatalf("nothing has changed: %q, %s", why, log.String())
			}
			two, id, err := first.Add()
			if err != nil {
				t.Fatal(err)
			}
			active, err := two.Activate(id, keyfile.Forever)
			if err != nil {
				t.Fatal(err)
			}
			write(c.SealingKeyFile, active)
			if why := look(); why != "" || g.keys.Seals() != id || g.auditKey.Writes() != first.Keys[0].ID() {
				t.Fatalf("%q, %s seals", why, g.keys.Seals())
			}
			for what, harm := range map[string]func(path string) error{
				"garbage":        func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) },
				"gone":           os.Remove,
				"open to others": func(path string) error { return os.Chmod(path, 0o644) },
				"the other way": func(path string) error {
					if wrapped {
						return active.Write(path)
					}
					return os.WriteFile(path, []byte("bqgate-wrapped-keys/v1 AAAA"), 0o600)
				},
			} {
				t.Run(what, func(t *testing.T) {
					log.Reset()
					if err := harm(c.SealingKeyFile); err != nil {
						t.Fatal(err)
					}
					for range 3 {
						if why := look(); !strings.Contains(why, "sealing key cannot be used; the keys of before stay in force") {
							t.Errorf("health says %q", why)
						}
					}
					if n := strings.Count(log.String(), "level=ERROR"); n != 1 || g.keys.Seals() != id {
						t.Errorf("%d errors in the log, %s seals:\n%s", n, g.keys.Seals(), log.String())
					}
					os.Chmod(c.SealingKeyFile, 0o600)
					write(c.SealingKeyFile, active)
					if why := look(); why != "" {
						t.Errorf("after it was mended: %q", why)
					}
				})
			}
		})
	}
}
