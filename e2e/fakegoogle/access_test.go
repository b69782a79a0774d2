package fakegoogle

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/iam/credentials/apiv1/credentialspb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bqgate/bqgate/e2e/fakegoogle/oidcissuer"
)

func TestTokens(t *testing.T) {
	s := start(t)
	good := as(t, s, reader)
	if r := good.query("SELECT 1", nil); r.status != 200 {
		t.Fatalf("a good token: %d", r.status)
	}
	for name, change := range map[string]func(*caller) []string{
		"none":        func(c *caller) []string { c.token = ""; return nil },
		"unknown":     func(c *caller) []string { c.token = "ya29.made-up"; return nil },
		"expired":     func(c *caller) []string { c.token = s.MintToken(reader, -time.Second); return nil },
		"two headers": func(c *caller) []string { return []string{"Authorization", "Bearer " + c.token} },
		"two in one":  func(c *caller) []string { c.token += ", Bearer " + c.token; return nil },
		"basic":       func(c *caller) []string { c.token = ""; return []string{"Authorization", "Basic abc"} },
	} {
		t.Run(name, func(t *testing.T) {
			c := as(t, s, reader)
			header := change(c)
			if r := c.do("GET", base+"/jobs", nil, header...); r.status != 401 {
				t.Errorf("%s: %d %s", name, r.status, r.body)
			}
		})
	}
	narrow := as(t, s, reader)
	narrow.token = s.tokens.mint(minted{account: reader, scopes: []string{"https://www.googleapis.com/auth/drive"},
		expires: time.Now().Add(time.Minute)})
	if r := narrow.do("GET", base+"/jobs", nil); r.status != 403 {
		t.Errorf("wrong scope: %d", r.status)
	}
}

// What Google honours, an attacker may send: the stand-in honours it too, so that a test sees
// whether it came through.
func TestLaxWhereGoogleIsLax(t *testing.T) {
	s := start(t)
	theirs := as(t, s, nobody)
	mine := s.MintToken(reader, time.Minute)
	if r := theirs.query("SELECT name FROM crm.customers", nil); r.status != 403 {
		t.Fatalf("nobody: %d", r.status)
	}
	if r := theirs.do("POST", base+"/queries?access_token="+mine,
		map[string]any{"query": "SELECT name FROM crm.customers", "useLegacySql": false}); r.status != 200 {
		t.Errorf("access_token= was not honoured: %d", r.status)
	}
	c := as(t, s, reader)
	if r := c.do("POST", base+"/jobs", nil, "X-HTTP-Method-Override", "GET"); r.status != 200 || r.tree(t)["kind"] != "bigquery#jobList" {
		t.Errorf("method override: %d %s", r.status, r.body)
	}
	body := "--b\r\nContent-Type: application/json\r\n\r\n" + `{"configuration":{"query":{"query":"SELECT 1","useLegacySql":false}}}` +
		"\r\n--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n"
	req, _ := http.NewRequest("POST", s.BigQueryURL()+"/upload/bigquery/v2/projects/demo/jobs?uploadType=multipart",
		strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "multipart/related; boundary=b")
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("upload path: %d", resp.StatusCode)
	}
	for _, sql := range []string{
		"DROP TABLE crm.orders",
		"SELECT 1; DROP TABLE crm.events",
	} {
		if r := c.query(sql, nil); r.status != 200 {
			t.Errorf("%s: %d %s", sql, r.status, r.body)
		}
	}
	cat, err := s.engine.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, tab := range cat.Tables {
		if tab.ID.Table == "orders" || tab.ID.Table == "events" {
			t.Errorf("%s survived", tab.ID)
		}
	}
	if r := c.do("DELETE", base+"/datasets/finance/tables/payroll", nil); r.status != 200 {
		t.Errorf("tables.delete: %d", r.status)
	}
	dest := map[string]any{"configuration": map[string]any{"query": map[string]any{
		"query": "SELECT ssn AS harmless FROM crm.customers", "useLegacySql": false,
		"destinationTable": map[string]any{"projectId": "demo", "datasetId": "crm", "tableId": "laundry"},
	}}}
	if r := c.do("POST", base+"/jobs", dest); r.status != 200 {
		t.Fatalf("destinationTable: %d %s", r.status, r.body)
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		r := c.query("SELECT COUNT(harmless) FROM crm.laundry", nil)
		if r.status == 200 {
			if cell(t, r.tree(t), 0, 0) != "23" {
				t.Errorf("laundry holds %v", cell(t, r.tree(t), 0, 0))
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the destination table never came: %s", r.body)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestPermissions(t *testing.T) {
	s := start(t)
	as(t, s, reader).insert("theirs", "SELECT ssn FROM crm.customers", false)
	as(t, s, reader).results("theirs", nil)
	type want map[string]int
	for _, p := range []struct {
		name string
		do   func(*caller) reply
		want want
	}{
		{"query", func(c *caller) reply { return c.query("SELECT name FROM crm.customers", nil) },
			want{reader: 200, inspect: 403, nobody: 403}},
		{"query without tables", func(c *caller) reply { return c.query("SELECT 1", nil) }, want{reader: 200, inspect: 403, nobody: 403}},
		{"insert", func(c *caller) reply { return c.insert("", "SELECT 1", false) }, want{reader: 200, inspect: 403, nobody: 403}},
		{"dry run", func(c *caller) reply { return c.insert("", "SELECT name FROM crm.customers", true) },
			want{reader: 200, inspect: 200, nobody: 403}},
		{"jobs.get of another's job", func(c *caller) reply { return c.do("GET", base+"/jobs/theirs", nil) },
			want{other: 403, inspect: 200, nobody: 403}},
		{"results of another's job", func(c *caller) reply { return c.results("theirs", nil) },
			want{reader: 200, other: 403, inspect: 403, nobody: 403}},
		{"tables.get", func(c *caller) reply { return c.do("GET", base+"/datasets/crm/tables/customers", nil) },
			want{reader: 200, inspect: 200, nobody: 403}},
		{"tables.get of nothing", func(c *caller) reply { return c.do("GET", base+"/datasets/crm/tables/nope", nil) },
			want{reader: 404, inspect: 404, nobody: 403}},
		{"tabledata.list", func(c *caller) reply { return c.do("GET", base+"/datasets/crm/tables/customers/data", nil) },
			want{reader: 200, inspect: 403, nobody: 403}},
		{"jobs.list of all users", func(c *caller) reply { return c.do("GET", base+"/jobs?allUsers=true", nil) },
			want{reader: 403, inspect: 200, nobody: 403}},
		{"datasets.list", func(c *caller) reply { return c.do("GET", base+"/datasets", nil) },
			want{reader: 200, inspect: 200, nobody: 403}},
		{"datasets.insert", func(c *caller) reply {
			return c.do("POST", base+"/datasets", map[string]any{"datasetReference": map[string]any{"datasetId": "made"}})
		}, want{inspect: 403, nobody: 403, reader: 200}},
		{"routines", func(c *caller) reply { return c.do("GET", base+"/datasets/crm/routines", nil) }, want{reader: 404, inspect: 404}},
	} {
		t.Run(p.name, func(t *testing.T) {
			for who, status := range p.want {
				if r := p.do(as(t, s, who)); r.status != status {
					t.Errorf("%s as %s: %d, want %d: %s", p.name, who, r.status, status, r.body)
				}
			}
		})
	}
}

func TestTablesGet(t *testing.T) {
	s := start(t)
	c := as(t, s, inspect)
	tree := c.do("GET", base+"/datasets/crm/tables/customers", nil).tree(t)
	if at(t, tree, "type") != "TABLE" || at(t, tree, "numRows") != "24" ||
		strings.Join(names(t, tree), " ") != "id name email ssn card_number address phones created" {
		t.Fatalf("%v", tree)
	}
	if at(t, tree, "schema", "fields", 6, "mode") != "REPEATED" || at(t, tree, "schema", "fields", 6, "fields", 1, "name") != "number" {
		t.Fatalf("phones: %v", at(t, tree, "schema", "fields", 6))
	}
	as(t, s, reader).query("CREATE VIEW crm.v AS SELECT ssn AS name FROM crm.customers", nil)
	view := c.do("GET", base+"/datasets/crm/tables/v", nil).tree(t)
	if at(t, view, "type") != "VIEW" || at(t, view, "view", "query") != "SELECT ssn AS name FROM crm.customers" ||
		strings.Join(names(t, view), " ") != "name" {
		t.Fatalf("%v", view)
	}
	old := view["etag"]
	as(t, s, reader).query("CREATE OR REPLACE VIEW crm.v AS SELECT card_number AS name FROM crm.customers", nil)
	if c.do("GET", base+"/datasets/crm/tables/v", nil).tree(t)["etag"] == old {
		t.Error("the etag of a replaced view stayed")
	}
	data := as(t, s, reader).do("GET", base+"/datasets/crm/tables/customers/data?selectedFields=ssn,id&maxResults=1", nil).tree(t)
	if len(at(t, data, "rows", 0, "f").([]any)) != 2 || cell(t, data, 0, 0) != "1" || data["schema"] != nil {
		t.Errorf("selectedFields: %v", data)
	}
}

const gatewayPrincipal = "principal://iam.googleapis.com/projects/481516234200/locations/global/workloadIdentityPools/bqgate" +
	"/subject/gateway"

func TestSTSAndImpersonation(t *testing.T) {
	issuer, err := oidcissuer.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer issuer.Close()
	stranger, err := oidcissuer.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	s := start(t, func(o *Options) {
		o.Issuers = []string{issuer.URL()}
		o.Impersonators = []string{"gateway"}
		o.Seeds = nil
	})
	h := client(t, s)
	mint := func(i *oidcissuer.Issuer, m oidcissuer.Mint) string {
		tok, err := i.Token(m)
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	expired := int64(-10)
	audience := oidcissuer.Audience{"https:" + DefaultProvider}
	goodToken := mint(issuer, oidcissuer.Mint{Subject: "gateway", Audience: audience})
	exchange := func(change func(url.Values)) (int, map[string]any) {
		form := url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "audience": {DefaultProvider}, "scope": {scopeCloudPlatform},
			"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
			"subject_token_type":   {"urn:ietf:params:oauth:token-type:jwt"},
			"subject_token":        {goodToken},
		}
		change(form)
		resp, err := h.PostForm(s.TokenURL(), form)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var out map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, out
	}
	set := func(k, v string) func(url.Values) { return func(f url.Values) { f.Set(k, v) } }
	half := strings.LastIndexByte(goodToken, '.')
	for name, change := range map[string]func(url.Values){
		"no token":         set("subject_token", ""),
		"garbage":          set("subject_token", "a.b.c"),
		"forged signature": set("subject_token", goodToken[:half+1]+"AAAA"),
		"unknown issuer":   set("subject_token", mint(stranger, oidcissuer.Mint{Subject: "gateway", Audience: audience})),
		"claimed issuer": set("subject_token",
			mint(stranger, oidcissuer.Mint{Subject: "gateway", Audience: audience, Claims: map[string]any{"iss": issuer.URL()}})),
		"expired": set("subject_token",
			mint(issuer, oidcissuer.Mint{Subject: "gateway", Audience: audience, TTLSeconds: &expired})),
		"another audience":   set("subject_token", mint(issuer, oidcissuer.Mint{Subject: "gateway"})),
		"wrong provider":     set("audience", "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x"),
		"wrong grant type":   set("grant_type", "authorization_code"),
		"wrong token type":   set("subject_token_type", "urn:ietf:params:oauth:token-type:saml2"),
		"no scope":           set("scope", ""),
		"two subject tokens": func(f url.Values) { f.Add("subject_token", "x") },
	} {
		t.Run(name, func(t *testing.T) {
			if status, out := exchange(change); status == 200 || out["access_token"] != nil {
				t.Errorf("%s: %d %v", name, status, out)
			}
		})
	}
	status1, out := exchange(func(url.Values) {})
	if status1 != 200 || out["token_type"] != "Bearer" || out["expires_in"] == nil {
		t.Fatalf("exchange: %d %v", status1, out)
	}
	federated := out["access_token"].(string)
	_, strangerOut := exchange(set("subject_token", mint(issuer, oidcissuer.Mint{Subject: "agent", Audience: audience})))
	agent := strangerOut["access_token"].(string)
	_, narrowOut := exchange(set("scope", ScopeBigQuery))
	narrow := narrowOut["access_token"].(string)

	creds, err := credentials.NewClientTLSFromFile(s.CAFile(), "iamcredentials.googleapis.com")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(s.IAMAddr(), grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	iam := credentialspb.NewIAMCredentialsClient(conn)
	good := func() *credentialspb.GenerateAccessTokenRequest {
		return &credentialspb.GenerateAccessTokenRequest{
			Name: "projects/-/serviceAccounts/" + reader, Scope: []string{ScopeBigQuery}, Lifetime: durationpb.New(5 * time.Minute),
		}
	}
	call := func(bearer string, req *credentialspb.GenerateAccessTokenRequest) (*credentialspb.GenerateAccessTokenResponse, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if bearer != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+bearer)
		}
		return iam.GenerateAccessToken(ctx, req)
	}
	for _, c := range []struct {
		name   string
		bearer string
		change func(*credentialspb.GenerateAccessTokenRequest)
		code   codes.Code
	}{
		{"no token", "", nil, codes.Unauthenticated},
		{"raw OIDC token", goodToken, nil, codes.Unauthenticated},
		{"the agent's federated token", agent, nil, codes.PermissionDenied},
		{"scope without IAM", narrow, nil, codes.PermissionDenied},
		{"a service account's token", s.MintToken(reader, time.Minute), nil, codes.PermissionDenied},
		{"unknown account", federated, func(r *credentialspb.GenerateAccessTokenRequest) { r.Name = "projects/-/serviceAccounts/x@y" },
			codes.PermissionDenied},
		{"broad scope", federated, func(r *credentialspb.GenerateAccessTokenRequest) { r.Scope = []string{scopeCloudPlatform} },
			codes.InvalidArgument},
		{"two scopes", federated, func(r *credentialspb.GenerateAccessTokenRequest) { r.Scope = append(r.Scope, scopeCloudPlatform) },
			codes.InvalidArgument},
		{"long", federated, func(r *credentialspb.GenerateAccessTokenRequest) { r.Lifetime = durationpb.New(2 * time.Hour) },
			codes.InvalidArgument},
		{"delegates", federated, func(r *credentialspb.GenerateAccessTokenRequest) { r.Delegates = []string{"x"} }, codes.PermissionDenied},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := good()
			if c.change != nil {
				c.change(req)
			}
			if _, err := call(c.bearer, req); status.Code(err) != c.code {
				t.Errorf("%s: %v, want %s", c.name, err, c.code)
			}
		})
	}
	resp, err := call(federated, good())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(resp.GetAccessToken(), "ya29.fake-") || time.Until(resp.GetExpireTime().AsTime()) > 5*time.Minute {
		t.Fatalf("%v", resp)
	}
	c := as(t, s, reader)
	c.token = resp.GetAccessToken()
	if r := c.query("SELECT 1", nil); r.status != 200 {
		t.Fatalf("the minted token: %d %s", r.status, r.body)
	}
	c.token = federated
	if r := c.query("SELECT 1", nil); r.status != 403 {
		t.Fatalf("the federated token at BigQuery: %d", r.status)
	}

	// The REST form.
	body := `{"scope":["` + ScopeBigQuery + `"],"lifetime":"300s"}`
	req, _ := http.NewRequest("POST", "https://"+s.IAMAddr()+"/v1/projects/-/serviceAccounts/"+reader+":generateAccessToken",
		bytes.NewReader([]byte(body)))
	req.Header.Set("Authorization", "Bearer "+federated)
	rr, err := h.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(rr.Body)
	rr.Body.Close()
	if rr.StatusCode != 200 || !strings.Contains(string(text), `"accessToken":"ya29.fake-`) {
		t.Fatalf("REST: %d %s", rr.StatusCode, text)
	}
	for _, r := range s.Requests() {
		if r.Service == "iam" && r.Status == 200 && r.Account == gatewayPrincipal {
			return
		}
	}
	t.Error("the recorder does not show who asked IAM")
}

func TestRecorder(t *testing.T) {
	s := start(t)
	c := as(t, s, reader)
	s.ResetRequests()
	c.do("POST", base+"/queries?quotaUser=x", map[string]any{"query": "SELECT 1", "useLegacySql": false}, "X-Odd", "1")
	all := s.Requests()
	if len(all) != 1 {
		t.Fatalf("%d requests", len(all))
	}
	r := all[0]
	if r.Method != "POST" || r.Path != base+"/queries" || r.Query != "quotaUser=x" || r.Header.Get("X-Odd") != "1" ||
		!strings.Contains(r.Body, "SELECT 1") || r.Account != reader || r.Status != 200 {
		t.Fatalf("%+v", r)
	}
	resp, err := http.Get(s.ControlURL() + "/_fake/requests?contains=quotaUser")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out struct{ Requests []Request }
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || len(out.Requests) != 1 || out.Requests[0].Account != reader {
		t.Fatalf("%v %+v", err, out)
	}
}
