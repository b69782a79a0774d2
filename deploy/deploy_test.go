package deploy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
)

const issuerURL, jwks = "https://bqgate.acme.example", `{"keys": []}`

func texts(values ...string) cty.Value {
	var all []cty.Value
	for _, v := range values {
		all = append(all, cty.StringVal(v))
	}
	return cty.ListVal(all)
}

// planned are the facts of the Terraform module for one organisation.
func planned(t *testing.T) []string {
	t.Helper()
	var facts []string
	for _, r := range module(t, map[string]cty.Value{
		"project": cty.StringVal("acme"), "project_number": cty.StringVal("123456789012"), "issuer_url": cty.StringVal(issuerURL),
		"jwks_json": cty.StringVal(jwks), "gateway": cty.StringVal("serviceAccount:gateway@ops.iam.gserviceaccount.com"),
		"readers":            cty.MapVal(map[string]cty.Value{"crm": texts("crm", "sales"), "finance": texts("finance")}),
		"federated_datasets": texts("crm"), "inspected_datasets": texts("crm", "sales", "finance"),
		"exempt": texts("principal://goog/subject/ana@acme.example"), "access_policy": cty.StringVal("987654321"),
		"gateway_networks": texts("203.0.113.0/28", "198.51.100.7/32"),
	}) {
		facts = append(facts, r.fact(t))
	}
	slices.Sort(facts)
	return facts
}

// scripted are those of gcloud.sh for the same.
func scripted(t *testing.T) []string {
	t.Helper()
	keys := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(keys, []byte(jwks), 0o600); err != nil {
		t.Fatal(err)
	}
	var facts []string
	for _, c := range commands(t, "PROJECT=acme", "PROJECT_NUMBER=123456789012", "ISSUER_URL="+issuerURL, "JWKS_FILE="+keys,
		"GATEWAY=serviceAccount:gateway@ops.iam.gserviceaccount.com", "READERS=crm=crm,sales finance=finance", "FEDERATED_DATASETS=crm",
		"INSPECTED_DATASETS=crm sales finance", "EXEMPT=principal://goog/subject/ana@acme.example", "ACCESS_POLICY=987654321",
		"GATEWAY_NETWORKS=203.0.113.0/28 198.51.100.7/32") {
		facts = append(facts, c.fact(t))
	}
	slices.Sort(facts)
	return facts
}

// TestTerraformIsGcloud: the module and the script make the same pool, provider, conditions,
// accounts, roles, members, deny policy and perimeter.
func TestTerraformIsGcloud(t *testing.T) {
	module, script := planned(t), scripted(t)
	if len(module) < 25 {
		t.Errorf("the module makes %d things only", len(module))
	}
	for _, fact := range module {
		if !slices.Contains(script, fact) {
			t.Errorf("terraform/ alone: %s", fact)
		}
	}
	for _, fact := range script {
		if !slices.Contains(module, fact) {
			t.Errorf("gcloud.sh alone: %s", fact)
		}
	}
	if len(slices.Compact(slices.Clone(module))) != len(module) || len(module) != len(script) {
		t.Errorf("something is made twice: %d things, %d commands", len(module), len(script))
	}
}

// TestOnlyTheGatewaysIssuer: the pool has one provider, which trusts the gateway's issuer by keys
// that are given, and by no address that somebody may serve (A46).
func TestOnlyTheGatewaysIssuer(t *testing.T) {
	providers := slices.DeleteFunc(planned(t), func(fact string) bool { return !strings.HasPrefix(fact, "provider ") })
	want := "provider gateway of bqgate in acme: issuer " + issuerURL + " keys " + jwks +
		" maps google.subject=assertion.sub when assertion.iss == '" + issuerURL + "' && has(assertion.sub)"
	if len(providers) != 1 || providers[0] != want {
		t.Errorf("providers %q, want %q", providers, want)
	}
}

// TestLeastRoles: the custom roles are those of permissions.go, no other role is granted, and the
// operators' table names each permission.
func TestLeastRoles(t *testing.T) {
	operators, err := os.ReadFile("../docs/operators.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, role := range Roles {
		var names []string
		for _, p := range role.Permissions {
			names = append(names, p.Name)
			if _, short, _ := strings.Cut(p.Name, "."); !strings.Contains(string(operators), short) {
				t.Errorf("docs/operators.md does not name %s", p.Name)
			}
		}
		want = append(want, "role projects/acme/roles/"+role.ID+": "+strings.Join(names, " "))
	}
	var got []string
	for _, fact := range planned(t) {
		if strings.HasPrefix(fact, "role ") {
			got = append(got, fact)
		} else if _, granted, ok := strings.Cut(fact, ": "); ok && strings.Contains(fact, " for ") && !strings.HasPrefix(fact, "deny ") &&
			!strings.HasPrefix(fact, "provider ") && !strings.HasPrefix(granted, "projects/acme/roles/bqgate") {
			t.Errorf("a role that is none of the list: %s", fact)
		}
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("roles\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
