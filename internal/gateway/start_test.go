package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/redistest"
	"github.com/bqgate/bqgate/internal/sealed"
)

const policy = "version: bqgate/v1\ngroups:\n  agents: {issuer: ci, when: 'true'}\nrules:\n  - {name: r, groups: [agents], read: " +
	"[p.crm.*]}\n"

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// installation makes a folder with everything that a gateway needs, and the text of its
// configuration.
func installation(t *testing.T, redis string) (dir, text string) {
	t.Helper()
	dir = t.TempDir()
	secret, err := sealed.Generate()
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, "sealing.key", secret)
	if _, err := audit.GenerateKey(filepath.Join(dir, "audit.key")); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "p.yaml", policy)
	put(t, dir, "token", "x")
	put(t, dir, "gateway.json", fmt.Sprintf(`{"type": "external_account", "audience": "//iam.googleapis.com/x",
		"subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": "https://sts.googleapis.com/v1/token",
		"credential_source": {"file": %q}}`, filepath.Join(dir, "token")))
	return dir, fmt.Sprintf(`version: bqgate/v1
sockets: {dir: run}
console: {address: "127.0.0.1:0"}
identity: {issuers: [{name: ci, url: "https://ci.example", workload: true, owner: [run], grant: [repo]}]}
redis: {url: "redis://%s"}
sealing_key_file: sealing.key
credentials:
  source: {credentials_file: gateway.json}
  accounts: {default: {service_account: "run@acme.iam.gserviceaccount.com"}, inspection: {service_account: "inspect@acme.iam.gserviceaccount.com"}}
  inspection: inspection
audit: {dir: audit, key_file: audit.key}
policies: [p.yaml]
`, redis)
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// configured reads a configuration that has this text.
func configured(t *testing.T, dir, text string) *config.Config {
	t.Helper()
	put(t, dir, "bqgate.yaml", text)
	c, err := config.Load(filepath.Join(dir, "bqgate.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A gateway that lacks anything it needs does not start: the reason names what is wrong and where,
// and no socket is there for Envoy to connect to.
func TestStartWithoutWhatIsNeeded(t *testing.T) {
	redis := redistest.Start(t)
	evicting := redistest.StartServer(t, "--maxmemory-policy", "allkeys-lru")
	for name, c := range map[string]struct {
		damage func(dir string, text *string)
		says   string
	}{
		"no sealing key":      {func(dir string, _ *string) { os.Remove(filepath.Join(dir, "sealing.key")) }, "read sealing key"},
		"sealing key for all": {func(dir string, _ *string) { os.Chmod(filepath.Join(dir, "sealing.key"), 0o644) }, "open to others"},
		"no audit key":        {func(dir string, _ *string) { os.Remove(filepath.Join(dir, "audit.key")) }, "read audit key"},
		"audit folder":        {func(dir string, _ *string) { os.WriteFile(filepath.Join(dir, "audit"), nil, 0o600) }, "audit"},
		"plain issuer":        {replace("https://ci.example", "http://ci.example"), "ci.example"},
		"no issuer": {replace("[{name: ci, url: \"https://ci.example\", workload: true, owner: [run], grant: [repo]}]", "[]"),
			"issuers"},
		"unknown issuer":     {replace("name: ci", "name: other"), `issuer`},
		"no inspection":      {replace("inspection: inspection", "inspection: nobody"), "nobody"},
		"no Google identity": {replace("credentials_file: gateway.json", "credentials_file: none.json"), "none.json"},
		"no policy":          {replace("policies: [p.yaml]", "policies: [none.yaml]"), "none.yaml"},
		"broken policy": {func(dir string, _ *string) {
			os.WriteFile(filepath.Join(dir, "p.yaml"), []byte(policy+"allow_all: true\n"), 0o600)
		}, "allow_all"},
		"unknown credential": {func(dir string, _ *string) {
			os.WriteFile(filepath.Join(dir, "p.yaml"), []byte(strings.Replace(policy, "p.crm.*]", "p.crm.*], credential: root", 1)), 0o600)
		}, "root"},
		"upstream in plain":    {replace("sealing_key_file:", "upstream: {url: \"http://bigquery.example\"}\nsealing_key_file:"), "http"},
		"a Redis that forgets": {replace(redis, evicting.Addr), "noeviction"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, text := installation(t, redis)
			c.damage(dir, &text)
			cfg := configured(t, dir, text)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			err := Run(ctx, cfg, quiet)
			if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want an error that says %q", err, c.says)
			}
			if found, _ := filepath.Glob(filepath.Join(dir, "run", "*.sock")); len(found) > 0 {
				t.Errorf("Envoy could connect to %v", found)
			}
		})
	}
}

// replace changes the configuration's text.
func replace(from, to string) func(string, *string) {
	return func(_ string, text *string) {
		if !strings.Contains(*text, from) {
			panic("the case changes nothing: " + from)
		}
		*text = strings.Replace(*text, from, to, 1)
	}
}

// A second gateway of the same configuration, or one whose console's port is taken, ends before it
// has touched anything of the first: not the sockets, not the journal.
func TestSecondGatewayHarmsNothing(t *testing.T) {
	redis := redistest.Start(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct {
		first func(t *testing.T, cfg *config.Config)
		edit  func(dir string, text *string)
		says  string
	}{
		"the same sockets": {func(t *testing.T, cfg *config.Config) {
			first, err := openListeners(cfg, quiet)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(first.close)
			l, err := first.sockets.Listen("ext_authz.sock")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}, func(string, *string) {}, "another bqgate serves from it"},
		"the console's port": {func(t *testing.T, cfg *config.Config) {
			if err := os.Mkdir(cfg.Sockets.Dir, 0o700); err != nil {
				t.Fatal(err)
			}
			put(t, cfg.Sockets.Dir, "ext_authz.sock", "")
		}, replace("127.0.0.1:0", taken.Addr().String()), "console.address"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, text := installation(t, redis)
			c.edit(dir, &text)
			cfg := configured(t, dir, text)
			c.first(t, cfg)
			before, err := os.Stat(filepath.Join(cfg.Sockets.Dir, "ext_authz.sock"))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := Run(ctx, cfg, quiet); err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want an error that says %q", err, c.says)
			}
			after, err := os.Stat(filepath.Join(cfg.Sockets.Dir, "ext_authz.sock"))
			if err != nil || !os.SameFile(before, after) {
				t.Errorf("the first gateway's socket is not as it was: %v", err)
			}
			if _, err := os.Stat(cfg.Audit.Dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the second gateway wrote into the audit folder: %v", err)
			}
		})
	}
}

// Check says everything that is wrong at once, in the file and in what it names, and leaves the
// disk as it was.
func TestCheckSaysEverything(t *testing.T) {
	redis := redistest.Start(t)
	dir, text := installation(t, redis)
	put(t, dir, "bqgate.yaml", text)
	cfg, err := config.Read(filepath.Join(dir, "bqgate.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(t.Context(), cfg); err != nil {
		t.Fatalf("a whole installation: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 6 {
		t.Errorf("Check has made something: %v", entries)
	}
	for _, damage := range []func(string, *string){
		replace("sockets: {dir: run}", "sockets: {dir: run, envoy_uids: [1]}"),
		replace("sealing_key_file: sealing.key\n", ""),
		replace("https://ci.example", "http://ci.example"),
		replace("inspection: inspection\n", "inspection: nobody\n"),
		replace("policies: [p.yaml]",
			"policies: [p.yaml]\nsql: {deadline: soon}\naproval: {}\nupstream: {url: \"http://evil.example\", ca_file: none.pem}"),
		replace("gateway.json}", "none.json}"),
		replace(redis, "127.0.0.1:1"),
		func(dir string, _ *string) { os.Chmod(filepath.Join(dir, "audit.key"), 0o644) },
		func(dir string, _ *string) { put(t, dir, "audit", "") },
		func(dir string, _ *string) { os.Mkdir(filepath.Join(dir, "run"), 0o755) },
		func(dir string, _ *string) { put(t, dir, "p.yaml", policy+"allow_all: true\n") },
	} {
		damage(dir, &text)
	}
	put(t, dir, "bqgate.yaml", text)
	cfg, wrong := config.Read(filepath.Join(dir, "bqgate.yaml"))
	if cfg == nil || wrong == nil {
		t.Fatalf("%v, %v", cfg, wrong)
	}
	all := errors.Join(wrong, Check(t.Context(), cfg)).Error()
	for _, want := range []string{
		"unknown key sockets.envoy_uids (did you mean envoy_uid?)", "unknown key aproval (did you mean approvals?)",
		"sealing_key_file is missing",
		"in sql, from line 12", "http://ci.example", "nobody", "none.json", "127.0.0.1:1", "audit.key", "is not a folder", "chmod 700",
		"allow_all", "none.pem", "http://evil.example",
	} {
		t.Run(want, func(t *testing.T) {
			if !strings.Contains(all, want) {
				t.Errorf("nothing says %q:\n%s", want, all)
			}
		})
	}
}
