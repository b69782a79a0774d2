package gateway

import (
	"context"
	"fmt"
	"io"
	"log/slog"
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

// A gateway that lacks anything it needs does not start: the reason names what is wrong and where, and no socket is there for Envoy to connect to.
func TestStartWithoutWhatIsNeeded(t *testing.T) {
	redis := redistest.Start(t)
	evicting := redistest.StartServer(t, "--maxmemory-policy", "allkeys-lru")
	const policy = "version: bqgate/v1\ngroups:\n  agents: {issuer: ci, when: 'true'}\nrules:\n  - {name: r, groups: [agents], read: [p.crm.*]}\n"
	for name, c := range map[string]struct {
		damage func(dir string, text *string)
		says   string
	}{
		"no sealing key":      {func(dir string, _ *string) { os.Remove(filepath.Join(dir, "sealing.key")) }, "read sealing secret"},
		"sealing key for all": {func(dir string, _ *string) { os.Chmod(filepath.Join(dir, "sealing.key"), 0o644) }, "open to others"},
		"no audit key":        {func(dir string, _ *string) { os.Remove(filepath.Join(dir, "audit.key")) }, "read audit key"},
		"audit folder":        {func(dir string, _ *string) { os.WriteFile(filepath.Join(dir, "audit"), nil, 0o600) }, "audit"},
		"plain issuer":        {replace("https://ci.example", "http://ci.example"), "ci.example"},
		"no issuer":           {replace("[{name: ci, url: \"https://ci.example\", workload: true, owner: [run], grant: [repo]}]", "[]"), "issuers"},
		"unknown issuer":      {replace("name: ci", "name: other"), `issuer`},
		"no inspection":       {replace("inspection: inspection", "inspection: nobody"), "nobody"},
		"no Google identity":  {replace("credentials_file: gateway.json", "credentials_file: none.json"), "none.json"},
		"no policy":           {replace("policies: [p.yaml]", "policies: [none.yaml]"), "none.yaml"},
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
			dir := t.TempDir()
			write := func(name, text string) {
				t.Helper()
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			secret, err := sealed.Generate()
			if err != nil {
				t.Fatal(err)
			}
			write("sealing.key", secret)
			if _, err := audit.GenerateKey(filepath.Join(dir, "audit.key")); err != nil {
				t.Fatal(err)
			}
			write("p.yaml", policy)
			write("token", "x")
			write("gateway.json", fmt.Sprintf(`{"type": "external_account", "audience": "//iam.googleapis.com/x", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
				"token_url": "https://sts.googleapis.com/v1/token", "credential_source": {"file": %q}}`, filepath.Join(dir, "token")))
			text := fmt.Sprintf(`version: bqgate/v1
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
			c.damage(dir, &text)
			write("bqgate.yaml", text)
			cfg, err := config.Load(filepath.Join(dir, "bqgate.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			err = Run(ctx, cfg, slog.New(slog.NewTextHandler(io.Discard, nil)))
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
