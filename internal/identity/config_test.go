package identity

import (
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

func TestConfigFromYAML(t *testing.T) {
	text := `
issuers:
  - name: github
    url: https://token.actions.githubusercontent.com
    workload: true
    people_map: {alice-gh: alice@corp.example}
  - name: okta
    url: https://corp.okta.example/oauth2/default
    algorithms: [RS256]
max_token_age: 30m
`
	var config Config
	if err := yaml.UnmarshalWithOptions([]byte(text), &config, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	config = config.WithDefaults()
	if config.Audience != "bqgate" || config.ConsoleAudience != "bqgate-console" || config.MaxTokenAge != 30*time.Minute ||
		config.SessionMax != time.Hour || config.SessionsPerToken != 256 ||
		strings.Join(config.Issuers[0].Algorithms, " ") != "RS256 ES256" {
		t.Fatalf("config = %+v", config)
	}
}

func TestConfigMistakes(t *testing.T) {
	good := func() Config { return Config{Issuers: []Issuer{{Name: "okta", URL: "https://okta.example"}}} }
	if err := good().Validate(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no issuer", func(c *Config) { c.Issuers = nil }, "at least one"},
		{"alg none", func(c *Config) { c.Issuers[0].Algorithms = []string{"none"} }, `"none" cannot be configured`},
		{"symmetric", func(c *Config) { c.Issuers[0].Algorithms = []string{"RS256", "HS256"} }, `"HS256" cannot be configured`},
		{"plain http", func(c *Config) { c.Issuers[0].URL = "http://okta.example" }, "must be https"},
		{"plain http keys", func(c *Config) { c.Issuers[0].JWKS = "http://okta.example/keys" }, "jwks_url"},
		{"loopback by name only", func(c *Config) { c.Issuers[0].URL = "http://localhost.evil.example" }, "must be https"},
		{"user in URL", func(c *Config) { c.Issuers[0].URL = "https://a:b@okta.example" }, "without user"},
		{"fragment", func(c *Config) { c.Issuers[0].URL = "https://okta.example#" }, "without user or fragment"},
		{"no URL", func(c *Config) { c.Issuers[0].URL = "" }, "url"},
		{"no name", func(c *Config) { c.Issuers[0].Name = "" }, "name"},
		{"name twice", func(c *Config) { c.Issuers = append(c.Issuers, Issuer{Name: "okta", URL: "https://b.example"}) }, "is taken"},
		{"URL twice", func(c *Config) { c.Issuers = append(c.Issuers, Issuer{Name: "b", URL: "https://okta.example"}) },
			"configured twice"},
		{"one audience for both", func(c *Config) { c.ConsoleAudience = "bqgate" }, "must differ"},
		{"token age", func(c *Config) { c.MaxTokenAge = 25 * time.Hour }, "max_token_age"},
		{"negative age", func(c *Config) { c.MaxTokenAge = -time.Hour }, "max_token_age"},
		{"session", func(c *Config) { c.SessionMax = time.Second }, "session_max"},
		{"sessions per token", func(c *Config) { c.SessionsPerToken = -1 }, "sessions_per_token"},
		{"claim name", func(c *Config) { c.Issuers[0].People = []string{"email|"} }, "not a claim name"},
		{"owner without grant", func(c *Config) { c.Issuers[0].Workload, c.Issuers[0].Owner = true, []string{"sub"} }, "together"},
		{"map to nobody", func(c *Config) { c.Issuers[0].PeopleMap = map[string]string{"alice": " "} }, "names of people are made of"},
		{"map to two", func(c *Config) { c.Issuers[0].PeopleMap = map[string]string{"Alice": "a@x", "alice": "b@x"} }, "two people"},
		{"map from a name with a space", func(c *Config) { c.Issuers[0].PeopleMap = map[string]string{"alice ": "b@x"} },
			"names of people are made of"},
		{"map to a hidden character", func(c *Config) { c.Issuers[0].PeopleMap = map[string]string{"alice": "b\u200b@x"} }, `"b\u200b@x"`},
		{"map to two who look alike", func(c *Config) {
			c.Issuers[0].NameScripts = []string{"Cyrillic"}
			c.Issuers[0].PeopleMap = map[string]string{"a": "cop@x", "b": "\u0441\u043e\u0440@x"}
		}, "look alike"},
		{"script", func(c *Config) { c.Issuers[0].NameScripts = []string{"cyrillic"} }, "is not a script"},
		{"script of everything", func(c *Config) { c.Issuers[0].NameScripts = []string{"Common"} }, "is not a script"},
		{"domain", func(c *Config) { c.Issuers[0].PeopleDomains = []string{"*"} }, "not a domain"},
		{"CA file", func(c *Config) { c.Issuers[0].CAFile = "testdata/none.pem" }, "ca_file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			config := good()
			test.change(&config)
			_, err := NewVerifier(config)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error = %v, want one that says %q", err, test.want)
			}
		})
	}
}
