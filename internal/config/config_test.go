package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/envoy"
	"github.com/bqgate/bqgate/internal/config"
)

const whole = `version: bqgate/v1
sockets: {dir: run}
console: {address: "127.0.0.1:8181"}
identity:
  issuers:
    - {name: github, url: "https://token.actions.githubusercontent.com", ca_file: issuer.pem}
redis: {url: "redis://127.0.0.1:6379/0"}
sealing_key_file: sealing.key
credentials:
  source: {credentials_file: gateway.json, ca_file: google.pem}
  iam_endpoint: {address: "iam.internal:443", ca_file: iam.pem}
  inspection: inspection
  accounts:
    inspection: {service_account: "inspect@acme.iam.gserviceaccount.com"}
audit: {dir: audit, key_file: /etc/bqgate/audit.key}
policies: [policies/crm.yaml]
`

func load(t *testing.T, text string) (*config.Config, string, error) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "bqgate.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path)
	return c, dir, err
}

func TestPathsAreTakenFromTheFilesOwnFolder(t *testing.T) {
	c, dir, err := load(t, whole)
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		c.Sockets.Dir:                        filepath.Join(dir, "run"),
		c.Credentials.Source.CredentialsFile: filepath.Join(dir, "gateway.json"),
		c.Credentials.Source.CAFile:          filepath.Join(dir, "google.pem"),
		c.Credentials.IAMEndpoint.CAFile:     filepath.Join(dir, "iam.pem"),
		c.Identity.Issuers[0].CAFile:         filepath.Join(dir, "issuer.pem"),
		c.SealingKeyFile:                     filepath.Join(dir, "sealing.key"),
		c.Audit.Dir:                          filepath.Join(dir, "audit"),
		c.Audit.KeyFile:                      "/etc/bqgate/audit.key",
		c.Policies[0]:                        filepath.Join(dir, "policies/crm.yaml"),
		c.Upstream.URL:                       "https://bigquery.googleapis.com",
		c.Console.URL:                        "http://127.0.0.1:8181",
	} {
		t.Run(got, func(t *testing.T) {
			if got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
	e := c.EnvoyConfig()
	for _, s := range []string{e.ExtAuthz.Socket, e.ExtProc.Socket, e.TokenEndpoint.Socket} {
		t.Run(s, func(t *testing.T) {
			if filepath.Dir(s) != c.Sockets.Dir {
				t.Errorf("Envoy looks for %s outside sockets.dir", s)
			}
		})
	}
}

// The example in the documents is a whole configuration, and the Envoy that it renders has nothing
// that lint would refuse.
func TestExample(t *testing.T) {
	text, err := os.ReadFile("../../docs/bqgate.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := load(t, string(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Identity.Validate(), c.Credentials.Validate()); err != nil {
		t.Error(err)
	}
	rendered, err := envoy.Render(c.EnvoyConfig())
	if err != nil {
		t.Fatal(err)
	}
	findings, err := envoy.Lint(rendered)
	if err != nil || len(findings) > 0 {
		t.Errorf("lint: %v %v", findings, err)
	}
}

// A mistake is named with its place, and nothing is served with it.
func TestMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		from, to string
		says     []string
	}{
		"unknown key":      {"sockets: {dir: run}", "sockets: {dir: run, mode: 0777}", []string{"bqgate.yaml", "mode", "2:"}},
		"unknown section":  {"version: bqgate/v1", "version: bqgate/v1\nfail_open: true", []string{"fail_open"}},
		"duplicate key":    {"version: bqgate/v1", "version: bqgate/v1\nversion: bqgate/v1", []string{"version"}},
		"another version":  {"bqgate/v1", "bqgate/v2", []string{`"bqgate/v2"`, `"bqgate/v1"`}},
		"no sockets":       {"sockets: {dir: run}\n", "", []string{"sockets.dir"}},
		"no console":       {"console: {address: \"127.0.0.1:8181\"}\n", "", []string{"console.address"}},
		"no Redis":         {"redis: {url: \"redis://127.0.0.1:6379/0\"}\n", "", []string{"redis.url"}},
		"no sealing key":   {"sealing_key_file: sealing.key\n", "", []string{"sealing_key_file", "openssl rand"}},
		"no audit":         {"audit: {dir: audit, key_file: /etc/bqgate/audit.key}\n", "", []string{"audit.dir", "audit.key_file"}},
		"no policies":      {"policies: [policies/crm.yaml]\n", "", []string{"policies"}},
		"wrong type":       {"policies: [policies/crm.yaml]", "policies: 7", []string{"bqgate.yaml"}},
		"a list of maps":   {"policies: [policies/crm.yaml]", "policies: [{file: x}]", []string{"bqgate.yaml"}},
		"not a duration":   {"policies:", "sql: {deadline: soon}\npolicies:", []string{"bqgate.yaml"}},
		"not YAML":         {"version: bqgate/v1", "version: [", []string{"bqgate.yaml"}},
		"an empty version": {"version: bqgate/v1", "version:", []string{"version"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(whole, c.from, c.to, 1)
			if text == whole {
				t.Fatalf("%s: the case changes nothing", name)
			}
			_, _, err := load(t, text)
			if err == nil {
				t.Errorf("%s: accepted", name)
				return
			}
			for _, word := range c.says {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%s: %q does not say %q", name, err, word)
				}
			}
		})
	}
	if _, err := config.Load(filepath.Join(t.TempDir(), "none.yaml")); err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("a missing file: %v", err)
	}
}

// Limits are read by the table of internal/limits, and what is wrong with one says where.
func TestLimits(t *testing.T) {
	for limits, wrong := range map[string]string{
		"{}": "",
		"{queries: {at_once: 20}, lookups: {burst: 600, per_second: 10}, recorded_bytes: {per_hour: 64GiB}}": "",
		"{querys: {at_once: 20}}":                 "limits.querys is no limit (did you mean queries?)",
		"{queries: {at_onec: 20}}":                "unknown key limits.queries.at_onec (did you mean at_once?)",
		"{queries: {at_once: 0}}":                 "limits.queries: want at_once from 1",
		"{queries: {at_once: many}}":              "many",
		"{lookups: {burst: 600}}":                 "limits.lookups: want burst",
		"{recorded_bytes: {per_hour: 64}}":        "64",
		"{asks_at_once: 600}":                     "limits",
		"{lookups: {burst: 1, per_second: .inf}}": "limits.lookups: want burst",
		"{lookups: {burst: 1, per_second: .nan}}": "limits.lookups: want burst",
	} {
		t.Run(limits, func(t *testing.T) {
			_, _, err := load(t, whole+"limits: "+limits+"\n")
			if (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
				t.Errorf("%v, want %q", err, wrong)
			}
		})
	}
}

// What becomes of jobs that cannot be compared is said key by key: refuse, accept, and tables by
// their full names. Anything else does not load.
func TestChecks(t *testing.T) {
	for name, c := range map[string]struct {
		text, wrong string
	}{
		"nothing": {"", ""},
		"empty":   {"checks: {}", ""},
		"all": {"checks: {referenced_tables: {cached_results: accept, missing_tables: refuse, many_tables: accept, " +
			"information_schema: accept, materialized_views: accept, row_access_lookups: [p.d.t]}}", ""},
		"another answer": {"checks: {referenced_tables: {cached_results: allow}}",
			`checks.referenced_tables.cached_results is "allow", want refuse or accept`},
		"another key": {"checks: {referenced_tables: {cached_result: accept}}", "unknown key checks.referenced_tables.cached_result"},
		"all at once": {"checks: {referenced_tables: accept}", "checks"},
		"a pattern": {"checks: {referenced_tables: {row_access_lookups: ['p.d.*']}}",
			`row_access_lookups: "p.d.*" is not project.dataset.table`},
		"two parts":        {"checks: {referenced_tables: {row_access_lookups: [d.t]}}", `"d.t" is not project.dataset.table`},
		"an empty name":    {"checks: {referenced_tables: {row_access_lookups: ['']}}", `"" is not project.dataset.table`},
		"yes":              {"checks: {referenced_tables: {cached_results: yes}}", "want refuse or accept"},
		"true":             {"checks: {referenced_tables: {cached_results: true}}", "refuse or accept"},
		"lookups accepted": {"checks: {referenced_tables: {row_access_lookups: accept}}", "row_access_lookups"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := load(t, whole+c.text+"\n")
			if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%v, want %q", err, c.wrong)
			}
		})
	}
}
