package credentials

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

func TestConfigFromYAML(t *testing.T) {
	text := `
source: {credentials_file: /etc/bqgate/source.json}
iam_endpoint: {address: "127.0.0.1:443", ca_file: /etc/bqgate/ca.pem}
accounts:
  crm-reader: {service_account: crm-reader@demo.iam.gserviceaccount.com}
  default: {service_account: reader@demo.iam.gserviceaccount.com, lifetime: 5m}
  inspection: {service_account: inspector@demo.iam.gserviceaccount.com}
inspection: inspection
`
	var config Config
	if err := yaml.UnmarshalWithOptions([]byte(text), &config, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(config.Runs(), []string{"crm-reader", "default"}) {
		t.Errorf("run accounts %q", config.Runs())
	}
	config = config.WithDefaults()
	if config.Accounts["crm-reader"].Lifetime != 10*time.Minute || config.Accounts["default"].Lifetime != 5*time.Minute {
		t.Errorf("accounts %+v", config.Accounts)
	}
}

func TestConfigMistakes(t *testing.T) {
	google := startFakes(t)
	tests := []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no source", func(c *Config) { c.Source = Source{} }, "choose credentials_file"},
		{"two sources", func(c *Config) { c.Source.ApplicationDefault = true }, "not both"},
		{"no such file", func(c *Config) { c.Source.CredentialsFile += ".gone" }, "read credentials_file"},
		{"a static key in plain text", func(c *Config) {
			c.Source.CredentialsFile = google.write("key.json",
				`{"type":"service_account","private_key":"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\n"}`)
		}, `must be "external_account"`},
		{"token endpoint in plain text", func(c *Config) {
			c.Source.CredentialsFile = google.write("http.json", `{"type":"external_account","token_url":"http://sts.example/v1/token"}`)
		}, "token_url must be https"},
		{"not JSON", func(c *Config) { c.Source.CredentialsFile = google.write("x.json", subjectToken) }, "is not a JSON object"},
		{"CA file of the source", func(c *Config) { c.Source.CAFile = google.write("e.pem", "x") }, "holds no PEM certificate"},
		{"endpoint without port", func(c *Config) { c.IAMEndpoint.Address = "localhost" }, "not host:port"},
		{"CA file of the endpoint", func(c *Config) { c.IAMEndpoint.CAFile += ".gone" }, "read ca_file"},
		{"no inspection", func(c *Config) { c.Inspection = "" }, "inspection: name"},
		{"inspection unknown", func(c *Config) { c.Inspection = "x" }, `no account is called "x"`},
		{"inspection alone", func(c *Config) { c.Accounts = map[string]Account{"inspection": c.Accounts["inspection"]} },
			"at least one account to run"},
		{"inspection runs queries", func(c *Config) { c.Accounts["crm-reader"] = Account{ServiceAccount: inspector} },
			"queries must run with another"},
		{"inspection in another case", func(c *Config) { c.Accounts["crm-reader"] = Account{ServiceAccount: strings.ToUpper(inspector)} },
			"in lower case"},
		{"inspection by number", func(c *Config) { c.Accounts["crm-reader"] = Account{ServiceAccount: "103847592837465"} }, "e-mail"},
		{"path in the account", func(c *Config) { c.Accounts["crm-reader"] = Account{ServiceAccount: "a@b.example/../x@c.example"} },
			"e-mail"},
		{"no account", func(c *Config) { c.Accounts["crm-reader"] = Account{} }, "e-mail"},
		{"account name", func(c *Config) { c.Accounts["A b"] = Account{ServiceAccount: reader} }, "lower-case"},
		{"lifetime too long", func(c *Config) {
			c.Accounts["crm-reader"] = Account{ServiceAccount: reader, Lifetime: 61 * time.Minute}
		}, "lifetime"},
		{"lifetime too short", func(c *Config) { c.Accounts["crm-reader"] = Account{ServiceAccount: reader, Lifetime: time.Minute} },
			"lifetime"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			config := google.config()
			test.change(&config)
			b, err := New(context.Background(), config)
			if err == nil {
				b.Close()
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v, want one that says %q", err, test.want)
			}
			for _, secret := range []string{subjectToken, "MIIEvQ"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("error holds a secret: %v", err)
				}
			}
		})
	}
}

func FuzzClean(f *testing.F) {
	f.Add("you sent ", subjectToken)
	f.Add("code = Unavailable desc = ", sourceToken)
	f.Fuzz(func(t *testing.T, before, after string) {
		const secret = "ya29.a0AfH6SMBxyz-0123456789_ABCDEFGHIJ"
		got := clean(fmtError(before + " " + secret + " " + after))
		if strings.Contains(got, secret) || strings.Contains(got, "a0AfH6SMBxyz") && !strings.Contains(before+after, "a0AfH6SMBxyz") {
			t.Fatalf("clean left %q", got)
		}
		if strings.ContainsAny(got, "\n\r") || len(got) > 450 {
			t.Fatalf("clean made %q", got)
		}
	})
}

type fmtError string

func (e fmtError) Error() string { return string(e) }

// The project of an account is what is configured, or else what its e-mail tells, and never a
// guess.
func TestProjects(t *testing.T) {
	for email, c := range map[string]struct{ configured, want string }{
		"reader@acme.iam.gserviceaccount.com":                   {"", "acme"},
		"reader@acme-warehouse-1.iam.gserviceaccount.com":       {"", "acme-warehouse-1"},
		"other@acme.iam.gserviceaccount.com":                    {"billing", "billing"},
		"reader@acme.example.com.iam.gserviceaccount.com":       {"", ""}, // of a domain: example.com:acme
		"4815162342-compute@developer.gserviceaccount.com":      {"", ""},
		"4815162342-compute2@developer.gserviceaccount.com":     {"acme", "acme"},
		"acme@appspot.gserviceaccount.com":                      {"", ""},
		"service-1@gcp-sa-bigquerydatatransfer.iam.example.com": {"", ""},
		"reader@4815162342.iam.gserviceaccount.com":             {"", ""}, // a project is not named by its number
		"reader@acme.iam.gserviceaccount.com.evil.example":      {"", ""},
	} {
		t.Run(email, func(t *testing.T) {
			config := Config{Inspection: "inspection", Accounts: map[string]Account{
				"a":          {ServiceAccount: email, Project: c.configured},
				"inspection": {ServiceAccount: "inspection@acme.iam.gserviceaccount.com"},
			}}
			projects := config.Projects()
			if got := projects["a"]; got != c.want || projects == nil || projects["inspection"] != "" {
				t.Errorf("projects %v, want %q", projects, c.want)
			}
		})
	}
	for _, project := range []string{"Acme", "example.com:acme", "4815162342", "a b", "*", "-a"} {
		t.Run(project, func(t *testing.T) {
			config := Config{Source: Source{ApplicationDefault: true}, Inspection: "i", Accounts: map[string]Account{
				"a": {ServiceAccount: "a@acme.iam.gserviceaccount.com", Project: project},
				"i": {ServiceAccount: "i@acme.iam.gserviceaccount.com"},
			}}
			if err := config.Validate(); err == nil || !strings.Contains(err.Error(), "is not the id of a project") {
				t.Errorf("project %q: %v", project, err)
			}
		})
	}
}
