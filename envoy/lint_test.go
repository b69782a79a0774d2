package envoy

import (
	"os"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func golden(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestLintOfOwnRenderIsClean(t *testing.T) {
	for name := range goldenConfigs {
		text := golden(t, name)
		asJSON, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		for form, text := range map[string]string{"YAML": text, "JSON": string(asJSON)} {
			findings, err := Lint([]byte(text))
			if err != nil || len(findings) > 0 {
				t.Errorf("%s as %s: %v %v", name, form, findings, err)
			}
		}
	}
}

// TestLintFinds changes the configuration as somebody might who wants something to work, or to be let in. The finding must be on
// the first line that changed, but for things that are missing.
func TestLintFinds(t *testing.T) {
	sidecar, remote := golden(t, "sidecar"), golden(t, "remote")
	for _, tt := range []struct {
		name, text, old, new string
		rule                 string
		missing              bool // the finding is on a line around the change
	}{
		{"ext_authz fails open", sidecar, "encode_raw_headers: true", "encode_raw_headers: true\nfailure_mode_allow: true", "fail-closed", false},
		{"ext_authz fails open, in JSON spelling", sidecar, "encode_raw_headers: true", "encode_raw_headers: true\nfailureModeAllow: true", "fail-closed", false},
		{"ext_authz in shadow mode", sidecar, "encode_raw_headers: true", "encode_raw_headers: true\nshadow_mode: true", "fail-closed", false},
		{"ext_authz for some requests", sidecar, "encode_raw_headers: true", "encode_raw_headers: true\nfilter_enabled: {default_value: {numerator: 50}}", "fail-closed", false},
		{"another status on error", sidecar, "code: ServiceUnavailable", "code: Forbidden", "fail-closed", true},
		{"no body", sidecar, "with_request_body:\n  max_request_bytes: 1179648\n  pack_as_bytes: true", "", "request-body", true},
		{"body as text", sidecar, "pack_as_bytes: true", "pack_as_bytes: false", "request-body", false},
		{"partial body", sidecar, "pack_as_bytes: true", "pack_as_bytes: true\nallow_partial_message: true", "request-body", false},
		{"joined headers", sidecar, "encode_raw_headers: true", "encode_raw_headers: false", "client-headers", false},
		{"hidden headers", sidecar, "encode_raw_headers: true", "encode_raw_headers: true\ndisallowed_headers: {patterns: [{exact: x-http-method-override}]}", "client-headers", true},
		{"mutations not validated", sidecar, "validate_mutations: true", "validate_mutations: false", "mutations", false},
		{"route cleared", sidecar, "encode_raw_headers: true", "encode_raw_headers: true\nclear_route_cache: true", "mutations", false},
		{"ext_authz over HTTP", sidecar, "grpc_service:\n  envoy_grpc:\n    cluster_name: ext_authz\n  timeout: 30s", "http_service: {server_uri: {uri: x, cluster: ext_authz, timeout: 1s}}", "inner-link", true},
		{"ext_proc fails open", sidecar, "route_cache_action: RETAIN", "route_cache_action: RETAIN\nfailure_mode_allow: true", "fail-closed", false},
		{"ext_proc watches only", sidecar, "route_cache_action: RETAIN", "route_cache_action: RETAIN\nobservability_mode: true", "fail-closed", false},
		{"ext_proc overrides", sidecar, "route_cache_action: RETAIN", "route_cache_action: RETAIN\nallow_mode_override: true", "body-modes", false},
		{"GRPC body mode", sidecar, "response_body_mode: FULL_DUPLEX_STREAMED", "response_body_mode: GRPC", "body-modes", false},
		{"partly buffered", sidecar, "response_body_mode: FULL_DUPLEX_STREAMED", "response_body_mode: BUFFERED_PARTIAL", "body-modes", false},
		{"no response body", sidecar, "response_body_mode: FULL_DUPLEX_STREAMED", "response_body_mode: NONE", "body-modes", false},
		{"streamed request body", sidecar, "request_body_mode: BUFFERED", "request_body_mode: STREAMED", "body-modes", false},
		{"no response headers", sidecar, "response_header_mode: SEND", "response_header_mode: SKIP", "body-modes", false},
		{"no trailers", sidecar, "response_trailer_mode: SEND", "response_trailer_mode: SKIP", "body-modes", false},
		{"token shown to ext_proc", sidecar, "- exact: authorization", "- exact: authorisation", "secrets", true},
		{"no verdict", sidecar, "- envoy.filters.http.ext_authz", "- envoy.filters.http.other", "metadata", true},
		{"no code details", sidecar, "- response.code_details", "- response.code", "metadata", true},
		{"two ext_procs", sidecar, "- name: envoy.filters.http.router", "- name: again\n  typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor}\n- name: envoy.filters.http.router", "filters", true},
		{"tap", sidecar, "- name: envoy.filters.http.router", "- name: tap\n  typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.tap.v3.Tap}\n- name: envoy.filters.http.router", "filters", true},
		{"Lua", sidecar, "- name: envoy.filters.http.router", "- name: lua\n  typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua}\n- name: envoy.filters.http.router", "filters", true},
		{"Wasm", sidecar, "- name: envoy.filters.http.router", "- name: wasm\n  typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm}\n- name: envoy.filters.http.router", "understood", true},
		{"optional filter", sidecar, "- name: envoy.filters.http.ext_authz", "- is_optional: true\n  name: envoy.filters.http.ext_authz", "filters", false},
		{"disabled filter", sidecar, "- name: envoy.filters.http.ext_proc", "- disabled: true\n  name: envoy.filters.http.ext_proc", "filters", false},
		{"upgrades", sidecar, "merge_slashes: true", "merge_slashes: true\nupgrade_configs: [{upgrade_type: websocket}]", "upgrades", false},
		{"no path normalisation", sidecar, "normalize_path: true", "normalize_path: false", "path", false},
		{"escaped slashes", sidecar, "path_with_escaped_slashes_action: REJECT_REQUEST", "path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD", "path", false},
		{"underscores", sidecar, "headers_with_underscores_action: REJECT_REQUEST", "headers_with_underscores_action: ALLOW", "client-headers", false},
		{"HTTP/1.0", sidecar, "allow_absolute_url: false", "accept_http_10: true", "framing", false},
		{"1xx", sidecar, "merge_slashes: true", "merge_slashes: true\nproxy_100_continue: true", "framing", false},
		{"x-envoy headers", sidecar, "prefix: x-envoy-", "prefix: x-other-", "client-headers", true},
		{"internal addresses", sidecar, "internal_address_config: {}", "internal_address_config: {cidr_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}", "client-headers", false},
		{"headers in the access log", sidecar, "authority: '%REQUEST_HEADER(:AUTHORITY)%'", "authority: '%REQUEST_HEADER(AUTHORIZATION)%'", "secrets", false},
		{"query in the access log", sidecar, "path: '%PATH(NQ)%'", "path: '%REQ(:PATH)%'", "secrets", false},
		{"metadata in the access log", sidecar, "path: '%PATH(NQ)%'", "path: '%DYNAMIC_METADATA(envoy.filters.http.ext_authz)%'", "secrets", false},
		{"token in a response header", sidecar, "value: text/plain", "value: '%REQ(AUTHORIZATION)%'", "secrets", false},
		{"tracing", sidecar, "merge_slashes: true", "merge_slashes: true\ntracing: {}", "secrets", false},
		{"filters off on a data route", sidecar, "request_body_buffer_limit: \"10485760\"", "typed_per_filter_config: {envoy.filters.http.ext_authz: {'@type': type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, disabled: true}}", "exceptions", false},
		{"a cluster by header", sidecar, "cluster: bigquery", "cluster_header: x-cluster", "fixed-clusters", true},
		{"retries", sidecar, "cluster: bigquery", "cluster: bigquery\nretry_policy: {retry_on: 5xx}", "retries", true},
		{"mirror", sidecar, "cluster: bigquery", "cluster: bigquery\nrequest_mirror_policies: [{cluster: ext_proc}]", "mirrors", true},
		{"path rewriting", sidecar, "cluster: bigquery", "cluster: bigquery\nprefix_rewrite: /", "path", true},
		{"compressed answers", sidecar, "- accept-encoding", "", "compressed-answers", true},
		{"no catch-all", sidecar, "prefix: /", "prefix: /x", "catch-all", true},
		{"exact hosts without a catch-all", remote, "- '*'", "- other.example", "catch-all", true},
		{"another way to the token endpoint", sidecar, "path: /v1/token", "prefix: /v1/token", "unguarded", true},
		{"GET token", sidecar, "exact: POST", "exact: GET", "unguarded", true},
		{"ext_authz on TCP", sidecar, "pipe:\n  path: /run/bqgate/ext_authz.sock", "socket_address: {address: 127.0.0.1, port_value: 9001}", "inner-link", true},
		{"token endpoint on TCP", sidecar, "pipe:\n  path: /run/bqgate/token.sock", "socket_address: {address: 127.0.0.1, port_value: 9001}", "inner-link", true},
		{"abstract socket", sidecar, "path: /run/bqgate/ext_proc.sock", "path: '@ext_proc'", "inner-link", true},
		{"one-sided TLS", remote, "tls_certificates:\n- certificate_chain:\n    filename: /etc/bqgate/envoy.crt\n  private_key:\n    filename: /etc/bqgate/envoy.key", "", "inner-link", true},
		{"no keepalive", sidecar, "connection_keepalive:\n  connection_idle_interval: 2s\n  interval: 1s\n  timeout: 2s", "", "keepalive", true},
		{"slow keepalive", sidecar, "interval: 1s\ntimeout: 2s", "interval: 1s\ntimeout: 60s", "keepalive", true},
		{"any authority", sidecar, "trusted_ca:\n  filename: /etc/ssl/certs/ca-certificates.crt", "", "upstream-tls", true},
		{"any name", sidecar, "san_type: DNS", "san_type: URI", "upstream-tls", true},
		{"any name below", sidecar, "exact: bigquery.googleapis.com", "suffix: .googleapis.com", "upstream-tls", true},
		{"untrusted accepted", sidecar, "trusted_ca:\n  filename: /etc/ssl/certs/ca-certificates.crt", "trust_chain_verification: ACCEPT_UNTRUSTED\ntrusted_ca:\n  filename: /x", "upstream-tls", true},
		{"old TLS", sidecar, "tls_minimum_protocol_version: TLSv1_2", "tls_minimum_protocol_version: TLSv1_0", "tls-version", false},
		{"key log", sidecar, "tls_params:", "key_log: {path: /tmp/keys, local_address_range: [{address_prefix: 0.0.0.0}]}\ntls_params:", "secrets", false},
		{"plain listener", sidecar, "address: 127.0.0.1", "address: 0.0.0.0", "plain-listener", true},
		{"admin on TCP", sidecar, "pipe:\n  mode: 384\n  path: /run/bqgate/envoy-admin.sock", "socket_address: {address: 127.0.0.1, port_value: 9901}", "admin", true},
		{"admin for all", sidecar, "mode: 384", "mode: 511", "admin", false},
		{"runtime from the admin interface", sidecar, "- name: static\n  static_layer: {}", "- name: admin\n  admin_layer: {}", "runtime", true},
		{"a reverted fix", sidecar, "static_layer: {}", "static_layer: {envoy.reloadable_features.re2_use_latin1_mode: false}", "runtime", false},
		{"xDS", sidecar, "layered_runtime:", "dynamic_resources: {cds_config: {path: /x}}\nlayered_runtime:", "static", false},
		{"no overload manager", sidecar, "- name: envoy.resource_monitors.fixed_heap\n  typed_config:", "- name: envoy.resource_monitors.other\n  typed_config:", "overload", true},
		{"an unknown field", sidecar, "merge_slashes: true", "merge_slashes: true\nfailure_mode_permit: true", "understood", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, line := edit(t, tt.text, tt.old, tt.new)
			findings, err := Lint([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			at := slices.IndexFunc(findings, func(f Finding) bool { return f.Rule == tt.rule })
			if at < 0 {
				t.Fatalf("found %v, want rule %s", findings, tt.rule)
			}
			f := findings[at]
			if f.Why == "" || f.Want == "" || f.Line < 1 {
				t.Errorf("incomplete: %+v", f)
			}
			if tt.missing {
				return
			}
			if f.Line != line {
				t.Errorf("found on line %d, want %d: %s", f.Line, line, f)
			}
		})
	}
}

// edit replaces whole lines of a YAML text, written without their common indentation, and returns the text and the 1-based line of the first that is
// new.
func edit(t *testing.T, text, old, new string) (string, int) {
	t.Helper()
	lines, from, to := strings.Split(text, "\n"), strings.Split(old, "\n"), strings.Split(new, "\n")
	for i := range lines {
		indent := lines[i][:len(lines[i])-len(strings.TrimLeft(lines[i], " "))]
		indented := func(list []string) []string {
			var out []string
			for _, l := range list {
				out = append(out, indent+l)
			}
			return out
		}
		if i+len(from) > len(lines) || !slices.Equal(lines[i:i+len(from)], indented(from)) {
			continue
		}
		line := i + 1
		for k := 0; k < min(len(from), len(to)) && from[k] == to[k]; k++ {
			line++
		}
		if new == "" {
			to = nil
		}
		return strings.Join(slices.Concat(lines[:i], indented(to), lines[i+len(from):]), "\n"), line
	}
	t.Fatalf("the golden file has no lines %q", old)
	return "", 0
}

func TestLintOfNothing(t *testing.T) {
	for _, text := range []string{"", "\n", "---\n", "x", "- a", "[", "a: b: c", "a: 1\n---\nb: 2\n", "\x00"} {
		if findings, err := Lint([]byte(text)); err == nil && len(findings) == 0 {
			t.Errorf("%q has no findings", text)
		}
	}
	twice := strings.Replace(golden(t, "sidecar"), "merge_slashes: true", "merge_slashes: true\n          merge_slashes: false", 1)
	if findings, err := Lint([]byte(twice)); err == nil && len(findings) == 0 {
		t.Error("a key that is there twice has no findings")
	}
	if findings, err := Lint([]byte("static_resources: {}")); err != nil || len(findings) == 0 {
		t.Errorf("an empty configuration: %v %v", findings, err)
	}
}

// FuzzLint has Lint answer whatever it reads.
func FuzzLint(f *testing.F) {
	f.Add(`static_resources: {listeners: [{address: {pipe: {path: /x}}, filter_chains: [{filters: [{name: h, typed_config: {"@type":
  type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, route_config: {}, http_filters: [
  {name: ext_authz, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz}}]}}]}]}]}`)
	f.Add("a: &x [*x]")
	f.Add("admin: {address: {pipe: {path: '@x'}}}")
	f.Fuzz(func(t *testing.T, text string) {
		findings, err := Lint([]byte(text))
		if err == nil && len(findings) == 0 && !strings.Contains(text, "ext_authz") {
			t.Errorf("no findings in %q", text)
		}
	})
}
