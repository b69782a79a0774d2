package clientfile

import (
	"encoding/json"
	"strings"
	"testing"
)

var gateway = Gateway{Endpoint: "https://bigquery.gw.example", TokenURL: "https://sts.gw.example/v1/token", Audience: "bqgate",
	Project: "acme"}

// TestFiles: the file is what the clients' libraries take, and says nothing else.
func TestFiles(t *testing.T) {
	github, err := FromGitHub("https://pipelines.example/x?api-version=2.0", "SECRET", "bq gate")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		source Source
		want   string
	}{
		"a file": {FromFile("/run/t.jwt"), `{"file":"/run/t.jwt"}`},
		"GitHub": {github, `{"format":{"subject_token_field_name":"value","type":"json"},"headers":{"Authorization":"Bearer SECRET"},` +
			`"url":"https://pipelines.example/x?api-version=2.0\u0026audience=bq+gate"}`},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := File(gateway, c.source)
			if err != nil {
				t.Fatal(err)
			}
			var whole map[string]any
			if err := json.Unmarshal(text, &whole); err != nil {
				t.Fatal(err)
			}
			source, _ := json.Marshal(whole["credential_source"])
			if string(source) != c.want {
				t.Errorf("credential_source is %s, want %s", source, c.want)
			}
			delete(whole, "credential_source")
			rest, _ := json.Marshal(whole)
			if string(rest) != `{"audience":"bqgate","subject_token_type":"urn:ietf:params:oauth:token-type:jwt",`+
				`"token_url":"https://sts.gw.example/v1/token","type":"external_account"}` {
				t.Errorf("beside it: %s", rest)
			}
		})
	}
}

// TestGatewayMistakes: what cannot be right is said with what would be.
func TestGatewayMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Gateway)
		says   string
	}{
		"no endpoint":           {func(g *Gateway) { g.Endpoint = "" }, "https://bigquery.gw.example"},
		"plain http":            {func(g *Gateway) { g.TokenURL = "http://sts.gw.example/v1/token" }, "must be https"},
		"a path":                {func(g *Gateway) { g.Endpoint += "/bigquery/v2" }, "clients add their own"},
		"an audience of a line": {func(g *Gateway) { g.Audience = "a\nb" }, "identity.audience"},
		"no audience":           {func(g *Gateway) { g.Audience = "" }, "identity.audience"},
	} {
		t.Run(name, func(t *testing.T) {
			g := gateway
			c.change(&g)
			if _, err := File(g, FromFile("x")); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
	if _, err := FromGitHub("", "", "bqgate"); err == nil || !strings.Contains(err.Error(), "id-token: write") {
		t.Errorf("outside a job: %v", err)
	}
}

// TestSettings: each client is told where the gateway is, and none a token.
func TestSettings(t *testing.T) {
	var names []string
	for _, s := range Settings(gateway, "/tmp/bqgate.json", "/run/t.jwt") {
		names = append(names, s.Client)
		text, _ := json.Marshal(s)
		if s.Client != "all" && !strings.Contains(string(text), "https://bigquery.gw.example") {
			t.Errorf("%s: %s", s.Client, text)
		}
	}
	if got := strings.Join(names, " "); got != "all python go node java dbt toolbox gcloud bq" {
		t.Errorf("clients %s", got)
	}
}
