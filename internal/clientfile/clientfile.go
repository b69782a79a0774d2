// Package clientfile writes what Google's clients need to ask the gateway in Google's place: the
// `external_account` file, which says where a client finds a token of its CI system
// (https://google.aip.dev/auth/4117), and what to set in each client beside it.
package clientfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/bqgate/bqgate/internal/identity"
)

// Gateway is where clients find it.
type Gateway struct {
	Endpoint string // of BigQuery's API: "https://bigquery.gw.example"
	TokenURL string // of the token exchange: "https://sts.gw.example/v1/token"
	Audience string // the gateway's identity.audience, `aud` of clients' tokens
	Project  string // where jobs run; "" where the client says
}

// Check says what of it is missing or wrong.
func (g Gateway) Check() error {
	var errs []error
	for _, u := range []struct{ what, value, example string }{
		{"the endpoint", g.Endpoint, "https://bigquery.gw.example"}, {"the token URL", g.TokenURL, "https://sts.gw.example/v1/token"},
	} {
		if err := identity.CheckEndpoint(u.value); err != nil {
			errs = append(errs, fmt.Errorf("%s %q is no URL such as %s: %w", u.what, u.value, u.example, err))
		}
	}
	if parsed, err := url.Parse(g.Endpoint); err == nil && strings.Trim(parsed.Path, "/") != "" {
		errs = append(errs, fmt.Errorf("the endpoint %s has a path; clients add their own", g.Endpoint))
	}
	if g.Audience == "" || strings.ContainsAny(g.Audience, " \t\r\n\"'$`\\") {
		errs = append(errs, fmt.Errorf("the audience %q is none: it is identity.audience of the gateway's configuration", g.Audience))
	}
	return errors.Join(errs...)
}

// Source is where a client finds its token, as `credential_source` of the file.
type Source struct {
	File    string            `json:"file,omitempty"`
	URL     string            `json:"url,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Format  *Format           `json:"format,omitempty"`
}

// Format is what is read at a Source; nil: the token itself.
type Format struct {
	Type  string `json:"type"`
	Field string `json:"subject_token_field_name"`
}

// FromFile is a token that something keeps in a file.
func FromFile(path string) Source { return Source{File: path} }

// FromGitHub is the token endpoint of a job of GitHub Actions: requestURL and requestToken are
// ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN, which a job with `id-token:
// write` has.
func FromGitHub(requestURL, requestToken, audience string) (Source, error) {
	if requestURL == "" || requestToken == "" {
		return Source{}, errors.New("ACTIONS_ID_TOKEN_REQUEST_URL and _TOKEN are not set: this runs in a job of GitHub Actions, and " +
			"the job needs " +
			"`permissions: {id-token: write}`")
	}
	u, err := url.Parse(requestURL)
	if err != nil || u.Host == "" {
		return Source{}, errors.New("ACTIONS_ID_TOKEN_REQUEST_URL is not a URL")
	}
	q := u.Query()
	q.Set("audience", audience)
	u.RawQuery = q.Encode()
	return Source{URL: u.String(), Headers: map[string]string{"Authorization": "Bearer " + requestToken},
		Format: &Format{Type: "json", Field: "value"}}, nil
}

// File is the `external_account` file.
func File(g Gateway, s Source) ([]byte, error) {
	if err := g.Check(); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(struct {
		Type      string `json:"type"`
		Audience  string `json:"audience"`
		TokenType string `json:"subject_token_type"`
		TokenURL  string `json:"token_url"`
		Source    Source `json:"credential_source"`
	}{"external_account", g.Audience, "urn:ietf:params:oauth:token-type:jwt", g.TokenURL, s}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the client's file: %w", err)
	}
	return append(text, '\n'), nil
}

// Setting is what to set in one client.
type Setting struct {
	Client      string            `json:"client"`
	Environment map[string]string `json:"environment,omitempty"`
	Code        string            `json:"code,omitempty"` // or a line of a configuration or command
	Note        string            `json:"note,omitempty"`
}

// Settings are those of each client that was tried (docs/compatibility.md), and gcloud's.
func Settings(g Gateway, path, token string) []Setting {
	endpoint := strings.TrimSuffix(g.Endpoint, "/")
	all := map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": path}
	if g.Project != "" {
		all["GOOGLE_CLOUD_PROJECT"] = g.Project
	}
	list := []Setting{
		{Client: "all", Environment: all},
		{Client: "python", Code: fmt.Sprintf("bigquery.Client(client_options=ClientOptions(api_endpoint=%q))", endpoint)},
		{Client: "go", Code: fmt.Sprintf("bigquery.NewClient(ctx, project, option.WithEndpoint(%q))", endpoint+"/bigquery/v2/")},
		{Client: "node", Code: fmt.Sprintf("new BigQuery({apiEndpoint: %q})", endpoint)},
		{Client: "java", Code: fmt.Sprintf("BigQueryOptions.newBuilder().setHost(%q)", endpoint)},
		{Client: "dbt", Code: fmt.Sprintf("method: oauth, api_endpoint: %s", endpoint)},
		{Client: "toolbox", Environment: map[string]string{"BIGQUERY_ENDPOINT": endpoint + "/bigquery/v2/"}},
		{Client: "gcloud", Environment: map[string]string{"CLOUDSDK_API_ENDPOINT_OVERRIDES_BIGQUERY": endpoint + "/bigquery/v2/"},
			Code: "gcloud auth login --cred-file=" + path, Note: "gcloud's own setting; not tried with the gateway"},
	}
	if strings.HasPrefix(g.TokenURL, "http:") {
		list[4].Note = "Java's library takes no token URL without https"
	}
	if token != "" {
		list = append(list, Setting{Client: "bq", Code: fmt.Sprintf(`bq --api %s --oauth_access_token "$(cat %s)"`, endpoint, token)})
	}
	return list
}
