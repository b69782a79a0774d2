package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// example reads the example of the documents, changed.
func example(t *testing.T, changes ...string) (*Config, error) {
	t.Helper()
	text, err := os.ReadFile("../../docs/bqgate.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := string(text)
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(s, changes[i]) {
			t.Fatalf("the example lacks %q", changes[i])
		}
		s = strings.Replace(s, changes[i], changes[i+1], 1)
	}
	path := filepath.Join(t.TempDir(), "bqgate.yaml")
	if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path)
}

const ownOperations = "operations:\n  address: 127.0.0.1:9180"

func TestOperations(t *testing.T) {
	for name, c := range map[string]struct{ with, says string }{
		"on loopback":              {"operations: {address: \"127.0.0.1:9180\"}", ""},
		"without":                  {"operations: {}", ""},
		"on all addresses":         {"operations: {address: \":9180\"}", "operations.address :9180 is not on loopback"},
		"of another host":          {"operations: {address: \"10.0.0.1:9180\"}", "is not on loopback"},
		"in plain, accepted":       {"operations: {address: \"10.0.0.1:9180\", plain: accepted}", ""},
		"in plain, said otherwise": {"operations: {address: \"10.0.0.1:9180\", plain: yes}", "the one value is accepted"},
		"with mutual TLS":          {"operations: {address: \":9180\", tls: {cert_file: c, key_file: k, client_ca_file: a}}", ""},
		"with TLS for anybody":     {"operations: {address: \":9180\", tls: {cert_file: c, key_file: k}}", "client_ca_file"},
		"TLS and plain": {
			"operations: {address: \":9180\", plain: accepted, tls: {cert_file: c, key_file: k, client_ca_file: a}}", "exclude"},
		"at the console's address":    {"operations: {address: \"127.0.0.1:8443\"}", "is that of console.address"},
		"at the agents' address":      {"operations: {address: \"127.0.0.1:9050\"}", "is that of envoy.rest[0]"},
		"no address":                  {"operations: {plain: accepted}", "operations.address is missing"},
		"no port":                     {"operations: {address: localhost}", "want host:port"},
		"a key that is not there":     {"operations: {adress: \"127.0.0.1:9180\"}", "did you mean address?"},
		"the path of the file itself": {"operations: {}\n\"-\": x", "unknown key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := example(t, ownOperations, c.with, "address: 0.0.0.0:443", "address: 127.0.0.1:9050")
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}

func TestConsoleProcess(t *testing.T) {
	for name, c := range map[string]struct{ with, says string }{
		"separate":       {"process: separate", ""},
		"within serve":   {"process: serve", ""},
		"elsewhere":      {"process: other", "console.process is \"other\""},
		"connections":    {"max_connections: 10", ""},
		"none":           {"max_connections: -1", "max_connections"},
		"more of one":    {"max_connections: 10\n  max_connections_per_address: 11", "max_connections_per_address 11"},
		"too many":       {"max_connections: 1000000", "max_connections is 1000000"},
		"less than none": {"max_connections_per_address: -1", "max_connections_per_address -1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := example(t, "process: separate", c.with)
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}

// What a running gateway takes over is what may change; anything else beside it is named, and then
// nothing is taken over.
func TestReloadable(t *testing.T) {
	for name, c := range map[string]struct {
		changes []string
		says    string
	}{
		"nothing":          {nil, ""},
		"policies":         {[]string{"policies: [policies/acme.yaml]", "policies: [policies/other.yaml]"}, ""},
		"limits":           {[]string{"queries: {at_once: 200}", "queries: {at_once: 3}"}, ""},
		"notifications":    {[]string{"notifications:\n", "notifications:\n  allow: [10.0.0.0/8]\n"}, ""},
		"budgets":          {[]string{"rows: 10000000", "rows: 5000"}, ""},
		"how fast to read": {[]string{"within: 10s", "within: 20s"}, "changed in reading,"},
		"prices":           {[]string{"price_per_tib: 6.25", "price_per_tib: 5"}, ""},
		"how long to poll": {[]string{"price_per_tib: 6.25", "long_poll: 5s"}, "changed in approvals,"},
		"another Redis":    {[]string{"redis.internal", "redis.other"}, "changed in redis,"},
		"another folder":   {[]string{"dir: /var/lib/bqgate/audit", "dir: /var/lib/bqgate/audit2"}, "changed in audit,"},
		"another issuer":   {[]string{"acme.okta.com", "evil.okta.com"}, "changed in identity,"},
		"limits and keys": {
			[]string{"queries: {at_once: 200}", "queries: {at_once: 3}", "sealing.key", "other.key"}, "changed in sealing_key_file,"},
	} {
		t.Run(name, func(t *testing.T) {
			old, err := example(t)
			if err != nil {
				t.Fatal(err)
			}
			next, err := example(t, c.changes...)
			if err != nil {
				t.Fatal(err)
			}
			// The two were read from different folders.
			base := func(c *Config) *Config {
				for _, p := range []*string{
					&c.Sockets.Dir, &c.SealingKeyFile, &c.Redis.PasswordFile, &c.Console.ClientSecretFile,
					&c.Credentials.Source.CredentialsFile,
				} {
					*p = filepath.Base(*p)
				}
				for i, key := range c.Credentials.Issuer.Keys {
					c.Credentials.Issuer.Keys[i] = filepath.Base(key)
				}
				return c
			}
			err = base(old).Reloadable(base(next))
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}
