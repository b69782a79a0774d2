package deploy

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// resource is one instance of a resource of the module, with the values of its arguments; those of
// blocks below it have the way to them before their names: "oidc.issuer_uri".
type resource struct {
	kind, name, key string
	args            map[string]cty.Value
}

func (r resource) text(arg string) string {
	v, ok := r.args[arg]
	if !ok || v.IsNull() {
		return ""
	}
	v, err := convert.Convert(v, cty.String)
	if err != nil {
		return ""
	}
	return v.AsString()
}

func (r resource) list(arg string) []string {
	v, ok := r.args[arg]
	if !ok {
		return nil
	}
	var all []string
	for _, one := range v.AsValueSlice() {
		all = append(all, one.AsString())
	}
	slices.Sort(all)
	return all
}

// functions are those of Terraform's that the module uses.
var functions = map[string]function.Function{
	"merge": stdlib.MergeFunc, "concat": stdlib.ConcatFunc,
	"toset": function.New(&function.Spec{
		Params: []function.Parameter{{Name: "v", Type: cty.DynamicPseudoType}},
		Type:   func([]cty.Value) (cty.Type, error) { return cty.Set(cty.String), nil },
		Impl: func(args []cty.Value, want cty.Type) (cty.Value, error) {
			return convert.Convert(args[0], want)
		},
	}),
}

// module evaluates the Terraform module as `terraform plan` would for these variables. No provider
// can be had, so what the module reads of its resources is made here: the e-mail and the name of a
// service account, the id of a role, names that the configuration gives itself.
func module(t *testing.T, variables map[string]cty.Value) []resource {
	t.Helper()
	files, err := filepath.Glob("terraform/*.tf")
	if err != nil || len(files) == 0 {
		t.Fatalf("no module: %v", err)
	}
	e := &evaluation{t: t, made: map[string]map[string]cty.Value{}, context: &hcl.EvalContext{Functions: functions}}
	e.context.Variables = map[string]cty.Value{"local": cty.EmptyObjectVal}
	parser := hclparse.NewParser()
	declared := map[string]cty.Value{}
	var blocks, locals []*hclsyntax.Block
	for _, file := range files {
		parsed, diagnostics := parser.ParseHCLFile(file)
		if diagnostics.HasErrors() {
			t.Fatal(diagnostics)
		}
		for _, b := range parsed.Body.(*hclsyntax.Body).Blocks {
			switch b.Type {
			case "variable":
				declared[b.Labels[0]] = e.variable(b, variables)
			case "resource":
				blocks = append(blocks, b)
			case "locals":
				locals = append(locals, b)
			case "terraform", "output":
			default:
				t.Fatalf("%s: a block %s that this test does not know", file, b.Type)
			}
		}
	}
	for name := range variables {
		if _, ok := declared[name]; !ok {
			t.Errorf("the module has no variable %s", name)
		}
	}
	e.context.Variables["var"] = cty.ObjectVal(declared)
	for _, b := range locals {
		values := map[string]cty.Value{}
		for name, attribute := range b.Body.Attributes {
			values[name] = e.value(attribute.Expr, nil)
		}
		e.context.Variables["local"] = cty.ObjectVal(values)
	}
	return e.all(blocks)
}

type evaluation struct {
	t       *testing.T
	context *hcl.EvalContext
	made    map[string]map[string]cty.Value // by kind and name
}

func (e *evaluation) value(expression hcl.Expression, each map[string]cty.Value) cty.Value {
	e.t.Helper()
	context := e.context
	if each != nil {
		context = context.NewChild()
		context.Variables = map[string]cty.Value{"each": cty.ObjectVal(each)}
	}
	v, diagnostics := expression.Value(context)
	if diagnostics.HasErrors() {
		e.t.Fatal(diagnostics)
	}
	return v
}

// variable is what is given for a variable, or its default; one without either is a mistake.
func (e *evaluation) variable(b *hclsyntax.Block, given map[string]cty.Value) cty.Value {
	if b.Body.Attributes["description"] == nil {
		e.t.Errorf("variable %s has no description", b.Labels[0])
	}
	if v, ok := given[b.Labels[0]]; ok {
		return v
	}
	fallback := b.Body.Attributes["default"]
	if fallback == nil {
		e.t.Fatalf("variable %s has no value", b.Labels[0])
	}
	return e.value(fallback.Expr, nil)
}

// all evaluates resources, those first that others read of.
func (e *evaluation) all(blocks []*hclsyntax.Block) []resource {
	first := []string{
		"google_iam_workload_identity_pool", "google_service_account", "google_project_iam_custom_role",
		"google_access_context_manager_access_level",
	}
	rank := func(b *hclsyntax.Block) int {
		if at := slices.Index(first, b.Labels[0]); at >= 0 {
			return at
		}
		return len(first)
	}
	slices.SortStableFunc(blocks, func(a, b *hclsyntax.Block) int { return rank(a) - rank(b) })
	var all []resource
	for _, b := range blocks {
		kind, name := b.Labels[0], b.Labels[1]
		var made cty.Value
		if each := b.Body.Attributes["for_each"]; each != nil {
			instances := map[string]cty.Value{}
			for it := e.value(each.Expr, nil).ElementIterator(); it.Next(); {
				key, value := it.Element()
				if e.value(each.Expr, nil).Type().IsSetType() {
					key = value
				}
				r := e.instance(b, key.AsString(), map[string]cty.Value{"key": key, "value": value})
				all = append(all, r)
				instances[r.key] = cty.ObjectVal(r.args)
			}
			if made = cty.EmptyObjectVal; len(instances) > 0 {
				made = cty.ObjectVal(instances)
			}
		} else {
			r := e.instance(b, "", nil)
			all = append(all, r)
			made = cty.ObjectVal(r.args)
		}
		if e.made[kind] == nil {
			e.made[kind] = map[string]cty.Value{}
		}
		e.made[kind][name] = made
		e.context.Variables[kind] = cty.ObjectVal(e.made[kind])
	}
	return all
}

func (e *evaluation) instance(b *hclsyntax.Block, key string, each map[string]cty.Value) resource {
	r := resource{b.Labels[0], b.Labels[1], key, map[string]cty.Value{}}
	e.body(r, "", b.Body, each)
	switch r.kind {
	case "google_service_account":
		email := r.text("account_id") + "@" + r.text("project") + ".iam.gserviceaccount.com"
		r.args["email"] = cty.StringVal(email)
		r.args["name"] = cty.StringVal("projects/" + r.text("project") + "/serviceAccounts/" + email)
	case "google_project_iam_custom_role":
		r.args["id"] = cty.StringVal("projects/" + r.text("project") + "/roles/" + r.text("role_id"))
	}
	return r
}

func (e *evaluation) body(r resource, prefix string, body *hclsyntax.Body, each map[string]cty.Value) {
	for name, attribute := range body.Attributes {
		if name != "for_each" {
			r.args[prefix+name] = e.value(attribute.Expr, each)
		}
	}
	for _, b := range body.Blocks {
		e.body(r, prefix+b.Type+".", b.Body, each)
	}
}

// facts says in one form what a resource grants; gcloud_test.go says the same of commands.
func (r resource) fact(t *testing.T) string {
	t.Helper()
	switch r.kind {
	case "google_iam_workload_identity_pool":
		return fmt.Sprintf("pool %s in %s", r.text("workload_identity_pool_id"), r.text("project"))
	case "google_iam_workload_identity_pool_provider":
		return fmt.Sprintf("provider %s of %s in %s: issuer %s keys %s maps %s when %s", r.text("workload_identity_pool_provider_id"),
			r.text("workload_identity_pool_id"), r.text("project"), r.text("oidc.issuer_uri"), r.text("oidc.jwks_json"),
			pairs(r.args["attribute_mapping"]), r.text("attribute_condition"))
	case "google_service_account":
		return fmt.Sprintf("account %s: %s", r.text("email"), r.text("display_name"))
	case "google_project_iam_custom_role":
		return fmt.Sprintf("role %s: %s", r.text("id"), strings.Join(r.list("permissions"), " "))
	case "google_project_iam_member":
		return fmt.Sprintf("project %s: %s for %s", r.text("project"), r.text("role"), r.text("member"))
	case "google_bigquery_dataset_iam_member":
		// BigQuery's word for a principal of a pool, which gcloud does not take.
		member := strings.TrimPrefix(r.text("member"), "iamMember:")
		if strings.HasPrefix(r.text("member"), "principal") {
			t.Errorf("%s.%s: the provider splits %q at its first colon: write iamMember: before it", r.kind, r.name, member)
		}
		return fmt.Sprintf("dataset %s.%s: %s for %s", r.text("project"), r.text("dataset_id"), r.text("role"), member)
	case "google_service_account_iam_member":
		_, email, _ := strings.Cut(r.text("service_account_id"), "/serviceAccounts/")
		return fmt.Sprintf("on account %s: %s for %s", email, r.text("role"), r.text("member"))
	case "google_iam_deny_policy":
		return denies(r.text("name"), strings.ReplaceAll(r.text("parent"), "%2F", "/"), r.list("rules.deny_rule.denied_principals"),
			r.list("rules.deny_rule.denied_permissions"), r.list("rules.deny_rule.exception_principals"))
	case "google_access_context_manager_access_level":
		return fmt.Sprintf("level %s: %s", r.text("name"), strings.Join(r.list("basic.conditions.ip_subnetworks"), " "))
	case "google_access_context_manager_service_perimeter":
		return fmt.Sprintf("perimeter %s around %s of %s for %s", r.text("name"), strings.Join(r.list("status.resources"), " "),
			strings.Join(r.list("status.restricted_services"), " "), strings.Join(r.list("status.access_levels"), " "))
	}
	t.Errorf("resource %s.%s is of a kind that is not compared", r.kind, r.name)
	return ""
}

func pairs(v cty.Value) string {
	var all []string
	values := v.AsValueMap()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		all = append(all, name+"="+values[name].AsString())
	}
	return strings.Join(all, ",")
}

func denies(name, at string, principals, permissions, exceptions []string) string {
	return fmt.Sprintf("deny %s at %s: %s may not %s but for %s", name, at, strings.Join(principals, " "), strings.Join(permissions, " "),
		strings.Join(exceptions, " "))
}
