package envoy

import (
	"strings"
	"testing"
	"time"
)

func TestValidateRefuses(t *testing.T) {
	sound := func() Config {
		return Config{
			REST:     []Listener{{Address: "127.0.0.1:8080"}},
			ExtAuthz: Service{Socket: "/run/bqgate/a.sock"},
			ExtProc:  Service{Socket: "/run/bqgate/p.sock"},
		}
	}
	if err := sound().Validate(); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"nothing":              {func(c *Config) { *c = Config{} }, "rest: no listener"},
		"plain listener":       {func(c *Config) { c.REST[0].Address = "0.0.0.0:8080" }, "not loopback"},
		"plain token listener": {func(c *Config) { c.Token = []Listener{{Address: "10.0.0.1:80"}} }, "not loopback"},
		"port 0":               {func(c *Config) { c.REST[0].Address = "127.0.0.1:0" }, "port 0"},
		"no address":           {func(c *Config) { c.REST[0].Address = "localhost:80" }, "not IP:PORT"},
		"no key":               {func(c *Config) { c.REST[0].TLS = &ServerTLS{CertFile: "/x"} }, "tls.key_file"},
		"no ext_authz":         {func(c *Config) { c.ExtAuthz = Service{} }, "ext_authz: neither"},
		"no ext_proc":          {func(c *Config) { c.ExtProc = Service{} }, "ext_proc: neither"},
		"TCP ext_authz":        {func(c *Config) { c.ExtAuthz = Service{Address: "127.0.0.1:9001"} }, "either a Unix socket or mutual TLS"},
		"TCP ext_proc":         {func(c *Config) { c.ExtProc = Service{Address: "127.0.0.1:9001"} }, "either a Unix socket or mutual TLS"},
		"TLS without client": {func(c *Config) { c.ExtProc = Service{Address: "h:9001", TLS: &ClientTLS{CAFile: "/ca", SAN: "h"}} },
			"tls.cert_file"},
		"TLS without name": {func(c *Config) {
			c.ExtProc = Service{Address: "h:9001", TLS: &ClientTLS{CAFile: "/ca", CertFile: "/c", KeyFile: "/k"}}
		}, "tls.san"},
		"both":            {func(c *Config) { c.ExtProc.Address = "h:1" }, "both socket and address"},
		"relative socket": {func(c *Config) { c.ExtProc.Socket = "p.sock" }, "not an absolute path"},
		"abstract socket": {func(c *Config) { c.ExtProc.Socket = "@p" }, "not an absolute path"},
		"long socket":     {func(c *Config) { c.ExtProc.Socket = "/" + strings.Repeat("x", 107) }, "107 bytes"},
		"token without service": {
			func(c *Config) { c.Token = []Listener{{Address: "127.0.0.1:80"}} }, "token_endpoint: neither"},
		"admin on TCP":     {func(c *Config) { c.Admin = "127.0.0.1:9901" }, "admin: \"127.0.0.1:9901\" is not an absolute path"},
		"upstream name":    {func(c *Config) { c.BigQuery.Host = "*.googleapis.com" }, "not a DNS name"},
		"upstream control": {func(c *Config) { c.BigQuery.Host = "a\nb" }, "unprintable"},
		"not UTF-8":        {func(c *Config) { c.Domains = []string{"\xff"} }, "unprintable"},
		"huge bodies":      {func(c *Config) { c.Limits.MaxRequestBytes = 64 << 20 }, "10 MiB"},
		"negative":         {func(c *Config) { c.Timeouts.Check = -1 }, "check is"},
		"idle":             {func(c *Config) { c.Timeouts.Idle = time.Second }, "would cut long-polls"},
	} {
		t.Run(name, func(t *testing.T) {
			c := sound()
			tt.change(&c)
			err := c.Validate()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			if text, err := Render(c); err == nil || text != nil {
				t.Error("Render gave a configuration")
			}
		})
	}
}

// FuzzRender has no string of a Config break the YAML, panic, or pass lint unless the whole is as
// safe as ever.
func FuzzRender(f *testing.F) {
	f.Add("127.0.0.1:80", "/run/a.sock", "bigquery.googleapis.com", "*", "/ca.pem")
	f.Add("[::1]:80", "/run/%a\nb", "a", "\"x\": y", "{{")
	f.Fuzz(func(t *testing.T, address, socket, host, domain, file string) {
		c := Config{
			REST:     []Listener{{Address: address, TLS: &ServerTLS{CertFile: file, KeyFile: file}}},
			Domains:  []string{domain},
			ExtAuthz: Service{Socket: socket},
			ExtProc:  Service{Socket: socket},
			BigQuery: Upstream{Host: host, CAFile: file},
		}
		text, err := Render(c)
		if err != nil {
			return
		}
		findings, err := Lint(text)
		if err != nil || len(findings) > 0 {
			t.Fatalf("lint of what was rendered: %v %v\n%s", err, findings, text)
		}
	})
}
