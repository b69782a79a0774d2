package policies

import (
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/identity"
)

const federatedPolicy = `version: bqgate/v1
groups: {g: {issuer: demo, when: '"g" in claims.groups'}}
rules:
  - {name: r, groups: [g], read: [demo.crm.*], credential: own}
`

// Under a credential that is the requester's own principal, SESSION_USER() and row access policies
// mean the requester, and nothing is asked about them. Under one account between they do not. A
// subject that many share has no principal, whatever the query asks for.
func TestUnderTheRequestersOwnPrincipal(t *testing.T) {
	pullRequest := func(s identity.Subject) identity.Subject { s.Sub = "repo:acme/app:pull_request"; return s }
	onTarget := func(s identity.Subject) identity.Subject {
		s.Sub, s.Claims["event_name"] = "repo:acme/app:ref:refs/heads/main", "pull_request_target"
		return s
	}
	asItIs := func(s identity.Subject) identity.Subject { return s }
	const rows, user, plain = "SELECT id FROM crm.regional", "SELECT SESSION_USER() AS u", "SELECT id FROM crm.orders"
	for name, c := range map[string]struct {
		federated map[string]bool
		who       func(identity.Subject) identity.Subject
		sql       string
		says      string // "" where it is allowed
		as        bool
	}{
		"rows":              {map[string]bool{"own": true}, asItIs, rows, "", true},
		"user":              {map[string]bool{"own": true}, asItIs, user, "", true},
		"rows, shared":      {nil, asItIs, rows, "has row access policies", false},
		"user, shared":      {nil, asItIs, user, "which gives the gateway's account", false},
		"rows, by way of":   {map[string]bool{"own": false}, asItIs, rows, "has row access policies", false},
		"user, by way of":   {map[string]bool{"own": false}, asItIs, user, "which gives the gateway's account", false},
		"of another name":   {map[string]bool{"other": true}, asItIs, user, "which gives the gateway's account", false},
		"a pull request":    {map[string]bool{"own": true}, pullRequest, plain, "and you have none: the token is of a pull request", false},
		"on its target":     {map[string]bool{"own": true}, onTarget, plain, "and you have none: the token is of a pull request", false},
		"and by way of":     {map[string]bool{"own": false}, pullRequest, plain, "and you have none", false},
		"shared, anybody's": {nil, pullRequest, plain, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := LoadBytes("policy.yaml", []byte(federatedPolicy), Options{Issuers: []string{"demo"}, Federated: c.federated})
			if err != nil {
				t.Fatal(err)
			}
			st := googlesql.Statement{Kind: "SELECT", Columns: []googlesql.Column{{Name: "x", Type: "STRING"}}}
			r := Input{Subject: c.who(subject("a", "g")), Now: now, Method: "jobs.query", Project: "demo", SQL: c.sql,
				Tables: map[string]*bigquery.Table{}, RowAccess: map[string]bigquery.RowAccess{}, Estimate: &Estimate{Bytes: 1}}
			switch c.sql {
			case user:
				st.Functions = []string{"SESSION_USER"}
			default:
				name := "demo." + strings.Fields(c.sql)[3]
				st.Tables = []string{name}
				table := *catalog(t)["demo.crm.orders"]
				table.TableReference.Table = strings.TrimPrefix(name, "demo.crm.")
				r.Tables[name] = &table
				r.RowAccess[name] = bigquery.RowAccessNone
				if c.sql == rows {
					r.RowAccess[name] = bigquery.RowAccessPolicies
				}
			}
			r.Analysis = &googlesql.Analysis{Statements: []googlesql.Statement{st}}
			d := set.in("demo").decide(r)
			switch {
			case c.says == "" && (d.Effect != Allow || d.AsRequester != c.as || d.Credential != "own"):
				t.Errorf("%s, as requester %v, credential %q: %s", d.Effect, d.AsRequester, d.Credential, d.Message)
			case c.says != "" && (d.Effect != Refuse || !strings.Contains(d.Message, c.says) || d.Remedy == "" || d.Rule.ID() == ""):
				t.Errorf("%s %q, would pass %q", d.Effect, d.Message, d.Remedy)
			}
		})
	}
}
