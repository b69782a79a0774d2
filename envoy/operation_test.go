package envoy

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAccessLogHoldsNoSecrets looks for everything secret about a request in what Envoy wrote.
func TestAccessLogHoldsNoSecrets(t *testing.T) {
	w := start(t, &world{})
	header := http.Header{"Authorization": {"Bearer secret-of-agent"}, "Cookie": {"secret-cookie"}, "User-Agent": {"secret-agent"}}
	code, _, _ := do(t, http.DefaultClient, "POST", "http://"+w.rest+queries+"?key=secret-key", header,
		strings.NewReader(`{"query":"SELECT 'secret-sql'"}`))
	if code != 200 {
		t.Fatalf("status %d", code)
	}
	var lines string
	for range 150 { // Envoy flushes it every 10 s, or when it ends
		time.Sleep(100 * time.Millisecond)
		text, err := os.ReadFile(w.accessLog)
		if err != nil {
			t.Fatal(err)
		}
		if lines = string(text); lines != "" {
			break
		}
	}
	for _, want := range []string{`"path":"` + queries + `"`, `"response_code":200`, `"response_code_details":"via_upstream"`,
		`"request_id":"`} {
		t.Run(want, func(t *testing.T) {
			if !strings.Contains(lines, want) {
				t.Errorf("no %s in the access log: %s", want, lines)
			}
		})
	}
	for _, text := range []string{lines, w.log.String()} {
		for _, secret := range []string{"secret", "minted", "sealed"} {
			t.Run(secret, func(t *testing.T) {
				if strings.Contains(text, secret) {
					t.Errorf("found %q in %s", secret, text)
				}
			})
		}
	}
}

// TestAdminIsClosed has the admin interface on a socket of Envoy's own user alone, and runtime out
// of its reach.
func TestAdminIsClosed(t *testing.T) {
	w := start(t, &world{})
	info, err := os.Stat(w.path("admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode()&os.ModeSocket == 0 || info.Mode().Perm() != 0o600 {
		t.Errorf("admin has mode %s, want a socket with 0600", info.Mode())
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", w.path("admin.sock"))
	}}}
	code, _, body := do(t, client, "POST", "http://envoy/runtime_modify?envoy.reloadable_features.no_extension_lookup_by_name=false", nil,
		nil)
	if code == 200 {
		t.Errorf("runtime_modify: %d %s", code, body)
	}
	if strings.Contains(w.log.String(), "[warning]") {
		t.Errorf("Envoy warns about the configuration:\n%s", w.log)
	}
}

// TestValidateGolden has the real binary accept what operators get, with files where the paths
// lead.
func TestValidateGolden(t *testing.T) {
	binary, err := Find(t.Context(), "../build/bin")
	if err != nil {
		t.Fatal(err)
	}
	for name := range goldenConfigs {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cert, key := newAuthority(t).write(t, dir, "localhost")
			text, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			local := strings.NewReplacer(
				"/etc/bqgate/tls.crt", cert, "/etc/bqgate/tls.key", key, "/etc/bqgate/envoy.crt", cert, "/etc/bqgate/envoy.key", key,
				"/etc/bqgate/ca.pem", dir+"/ca.pem", "/etc/bqgate/google-roots.pem", dir+"/ca.pem", systemCAFile, dir+"/ca.pem",
				"/var/log/bqgate", dir,
			).Replace(string(text))
			path := filepath.Join(dir, "envoy.yaml")
			if err := os.WriteFile(path, []byte(local), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := Validate(t.Context(), binary, path); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFind(t *testing.T) {
	script := func(dir, version string) string {
		path := filepath.Join(dir, "envoy")
		text := "#!/bin/sh\necho\necho \"envoy  version: 9e5580933739775e8bce696a57a2e1bc99368f23/" + version +
			"/Clean/RELEASE/BoringSSL\"\n"
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	right, newer, old, empty := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	fits, tooNew, tooOld := script(right, "1.40.3"), script(newer, "1.41.0"), script(old, "1.4.0")
	for _, tt := range []struct {
		name, variable, path string
		dirs                 []string
		want                 string
	}{
		{"variable", fits, old, nil, fits},
		{"variable with an old one", tooOld, right, nil, ""},
		{"variable with a newer one", tooNew, right, nil, ""},
		{"variable with none", empty + "/envoy", right, nil, ""},
		{"path", "", right, nil, fits},
		{"folder", "", empty, []string{right}, fits},
		{"folder after an old one in PATH", "", old, []string{newer, right}, fits},
		{"nothing", "", empty, []string{empty, old, newer}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(BinaryVariable, tt.variable)
			t.Setenv("PATH", tt.path+":/bin:/usr/bin")
			got, err := Find(t.Context(), tt.dirs...)
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}
