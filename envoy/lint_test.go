package envoy

import (
	"os"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func rendered(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestLintOfOwnRenderIsClean(t *testing.T) {
	for name := range goldenConfigs {
		text := rendered(t, name)
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

// turns is the runtime as it must be.
const turns = "static_layer:\n  http.max_requests_per_io_cycle: 1\n  overload.premature_reset_total_stream_count: 100"

// TestLintFinds changes the configuration as somebody might who wants something to work, or to be
// let in. The finding must be on the first line that changed, but for things that are missing.
func TestLintFinds(t *testing.T) {
	sidecar, remote := rendered(t, "sidecar"), rendered(t, "remote")
	for _, tt := range []struct {
		name, text, old, with string
		rule                  string
		missing               bool // the finding is on a line around the change
	}{
		{"ext_authz fails open", sidecar, "encode_raw_headers: true", "encode_raw_headers: true\nfailure_mode_allow: true", "fail-closed",
			false},
		{"ext_authz fails open, in JSON spelling", sidecar, "encode_raw_headers: true", "encode_raw_headers: true\nfailureModeAllow: true",
			"fail-closed", false},
		{"ext_authz in shadow mode", sidecar, "encode_raw_headers: true", "encode_raw_headers: true\nshadow_mode: true", "fail-closed",
			false},
		{"ext_authz for some requests", sidecar, "encode_raw_headers: true",
			"encode_raw_headers: true\nfilter_enabled: {default_value: {numerator: 50}}", "fail-closed", false},
		{"health check for every path", sidecar, "exact: /healthz", "prefix: /", "filters", true},
		{"health check leads on", sidecar, "pass_through_mode: false", "pass_through_mode: true", "filters", false},
		{"health check refuses for the service", sidecar, "value: 100", "value: 50", "health", true},
		{"another status on error", sidecar, "code: ServiceUnavailable", "code: Forbidden", "fail-closed", true},
		{"no body", sidecar, "with_request_body:\n  max_request_bytes: 1179648\n  pack_as_bytes: true", "", "request-body", true},
		{"body as text", sidecar, "pack_as_bytes: true", "pack_as_bytes: false", "request-body", false},
		{"partial body", sidecar, "pack_as_bytes: true", "pack_as_bytes: true\nallow_partial_message: true", "request-body", false},
		{"joined headers", sidecar, "encode_raw_headers: true", "encode_raw_headers: false", "client-headers", false},
		{"hidden headers", sidecar, "encode_raw_headers: true",
			"encode_raw_headers: true\ndisallowed_headers: {patterns: [{exact: x-http-method-override}]}", "client-headers", true},
		{"mutations not validated", sidecar, "validate_mutations: true", "validate_mutations: false", "mutations", false},
		{"route cleared", sidecar, "encode_raw_headers: true", "encode_raw_headers: true\nclear_route_cache: true", "mutations", false},
		{"ext_authz over HTTP", sidecar, "grpc_service:\n  envoy_grpc:\n    cluster_name: ext_authz\n  timeout: 30s",
			"http_service: {server_uri: {uri: x, cluster: ext_authz, timeout: 1s}}", "inner-link", true},
		{"ext_proc fails open", sidecar, "route_cache_action: RETAIN", "route_cache_action: RETAIN\nfailure_mode_allow: true",
			"fail-closed", false},
		{"ext_proc watches only", sidecar, "route_cache_action: RETAIN", "route_cache_action: RETAIN\nobservability_mode: true",
			"fail-closed", false},
		{"ext_proc overrides", sidecar, "route_cache_action: RETAIN", "route_cache_action: RETAIN\nallow_mode_override: true", "body-modes",
			false},
		{"GRPC body mode", sidecar, "response_body_mode: FULL_DUPLEX_STREAMED", "response_body_mode: GRPC", "body-modes", false},
		{"partly buffered", sidecar, "response_body_mode: FULL_DUPLEX_STREAMED", "response_body_mode: BUFFERED_PARTIAL", "body-modes",
			false},
		{"no response body", sidecar, "response_body_mode: FULL_DUPLEX_STREAMED", "response_body_mode: NONE", "body-modes", false},
		{"streamed request body", sidecar, "request_body_mode: BUFFERED", "request_body_mode: STREAMED", "body-modes", false},
		{"no response headers", sidecar, "response_header_mode: SEND", "response_header_mode: SKIP", "body-modes", false},
		{"no trailers", sidecar, "response_trailer_mode: SEND", "response_trailer_mode: SKIP", "body-modes", false},
		{"token shown to ext_proc", sidecar, "- exact: authorization", "- exact: authorisation", "secrets", true},
		{"no verdict", sidecar, "- envoy.filters.http.ext_authz", "- envoy.filters.http.other", "metadata", true},
		{"no code details", sidecar, "- response.code_details", "- response.code", "metadata", true},
		{"two ext_procs", sidecar, "- name: envoy.filters.http.router",
			"- name: again\n  typed_config: {'@type': " +
				"type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor}\n- name: envoy.filters.http.router",
			"filters", true},
		{"tap", sidecar, "- name: envoy.filters.http.router",
			"- name: tap\n  typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.tap.v3.Tap}\n- name: " +
				"envoy.filters.http.router", "filters", true},
		{"Lua", sidecar, "- name: envoy.filters.http.router",
			"- name: lua\n  typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua}\n- name: " +
				"envoy.filters.http.router", "filters", true},
		{"Wasm", sidecar, "- name: envoy.filters.http.router",
			"- name: wasm\n  typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm}\n- name: " +
				"envoy.filters.http.router", "understood", true},
		{"optional filter", sidecar, "- name: envoy.filters.http.ext_authz", "- is_optional: true\n  name: envoy.filters.http.ext_authz",
			"filters", false},
		{"disabled filter", sidecar, "- name: envoy.filters.http.ext_proc", "- disabled: true\n  name: envoy.filters.http.ext_proc",
			"filters", false},
		{"upgrades", sidecar, "merge_slashes: true", "merge_slashes: true\nupgrade_configs: [{upgrade_type: websocket}]", "upgrades",
			false},
		{"no path normalisation", sidecar, "normalize_path: true", "normalize_path: false", "path", false},
		{"escaped slashes", sidecar, "path_with_escaped_slashes_action: REJECT_REQUEST",
			"path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD", "path", false},
		{"underscores", sidecar, "headers_with_underscores_action: REJECT_REQUEST", "headers_with_underscores_action: ALLOW",
			"client-headers", false},
		{"HTTP/1.0", sidecar, "allow_absolute_url: false", "accept_http_10: true", "framing", false},
		{"1xx", sidecar, "merge_slashes: true", "merge_slashes: true\nproxy_100_continue: true", "framing", false},
		{"x-envoy headers", sidecar, "prefix: x-envoy-", "prefix: x-other-", "client-headers", true},
		{"internal addresses", sidecar, "internal_address_config: {}",
			"internal_address_config: {cidr_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}", "client-headers", false},
		{"headers in the access log", sidecar, "authority: '%REQUEST_HEADER(:AUTHORITY)%'", "authority: '%REQUEST_HEADER(AUTHORIZATION)%'",
			"secrets", false},
		{"query in the access log", sidecar, "path: '%PATH(NQ)%'", "path: '%REQ(:PATH)%'", "secrets", false},
		{"metadata in the access log", sidecar, "path: '%PATH(NQ)%'", "path: '%DYNAMIC_METADATA(envoy.filters.http.ext_authz)%'", "secrets",
			false},
		{"token in a response header", sidecar, "value: text/plain", "value: '%REQ(AUTHORIZATION)%'", "secrets", false},
		{"tracing", sidecar, "merge_slashes: true", "merge_slashes: true\ntracing: {}", "secrets", false},
		{"filters off on a data route", sidecar, "request_body_buffer_limit: \"10485760\"",
			"typed_per_filter_config: {envoy.filters.http.ext_authz: {'@type': " +
				"type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, disabled: true}}", "exceptions", false},
		{"a cluster by header", sidecar, "cluster: bigquery", "cluster_header: x-cluster", "fixed-clusters", true},
		{"retries", sidecar, "cluster: bigquery", "cluster: bigquery\nretry_policy: {retry_on: 5xx}", "retries", true},
		{"mirror", sidecar, "cluster: bigquery", "cluster: bigquery\nrequest_mirror_policies: [{cluster: ext_proc}]", "mirrors", true},
		{"path rewriting", sidecar, "cluster: bigquery", "cluster: bigquery\nprefix_rewrite: /", "path", true},
		{"compressed answers", sidecar, "- accept-encoding", "", "compressed-answers", true},
		{"no catch-all", sidecar, "prefix: /", "prefix: /x", "catch-all", true},
		{"exact hosts without a catch-all", remote, "- '*'", "- other.example", "catch-all", true},
		{"another way to the token endpoint", sidecar, "path: /v1/token", "prefix: /v1/token", "unguarded", true},
		{"GET token", sidecar, "exact: POST", "exact: GET", "unguarded", true},
		{"ext_authz on TCP", sidecar, "pipe:\n  path: /run/bqgate/ext_authz.sock", "socket_address: {address: 127.0.0.1, port_value: 9001}",
			"inner-link", true},
		{"token endpoint on TCP", sidecar, "pipe:\n  path: /run/bqgate/token.sock",
			"socket_address: {address: 127.0.0.1, port_value: 9001}", "inner-link", true},
		{"abstract socket", sidecar, "path: /run/bqgate/ext_proc.sock", "path: '@ext_proc'", "inner-link", true},
		{"one-sided TLS", remote, "tls_certificates:\n- certificate_chain:\n    filename: /etc/bqgate/envoy.crt\n  private_key:\n    " +
			"filename: /etc/bqgate/envoy.key", "", "inner-link", true},
		{"no keepalive", sidecar, "connection_keepalive:\n  connection_idle_interval: 2s\n  interval: 1s\n  timeout: 8s", "", "keepalive",
			true},
		{"slow keepalive", sidecar, "interval: 1s\ntimeout: 8s", "interval: 1s\ntimeout: 60s", "keepalive", true},
		{"any authority", sidecar, "trusted_ca:\n  filename: /etc/ssl/certs/ca-certificates.crt", "", "upstream-tls", true},
		{"any name", sidecar, "san_type: DNS", "san_type: URI", "upstream-tls", true},
		{"any name below", sidecar, "exact: bigquery.googleapis.com", "suffix: .googleapis.com", "upstream-tls", true},
		{"untrusted accepted", sidecar, "trusted_ca:\n  filename: /etc/ssl/certs/ca-certificates.crt",
			"trust_chain_verification: ACCEPT_UNTRUSTED\ntrusted_ca:\n  filename: /x", "upstream-tls", true},
		{"old TLS", sidecar, "tls_minimum_protocol_version: TLSv1_2", "tls_minimum_protocol_version: TLSv1_0", "tls-version", false},
		{"key log", sidecar, "tls_params:", "key_log: {path: /tmp/keys, local_address_range: [{address_prefix: 0.0.0.0}]}\ntls_params:",
			"secrets", false},
		{"plain listener", sidecar, "address: 127.0.0.1", "address: 0.0.0.0", "plain-listener", true},
		{"admin on TCP", sidecar, "pipe:\n  mode: 384\n  path: /run/bqgate/envoy-admin.sock",
			"socket_address: {address: 127.0.0.1, port_value: 9901}", "admin", true},
		{"admin for all", sidecar, "mode: 384", "mode: 511", "admin", false},
		{"runtime from the admin interface", sidecar, "- name: static\n  static_layer:\n    http.max_requests_per_io_cycle: 1\n" +
			"    overload.premature_reset_total_stream_count: 100", "- name: admin\n  admin_layer: {}", "runtime",
			true},
		{"a reverted fix", sidecar, turns, turns + "\n  envoy.reloadable_features.re2_use_latin1_mode: false", "runtime",
			false},
		{"xDS", sidecar, "layered_runtime:", "dynamic_resources: {cds_config: {path: /x}}\nlayered_runtime:", "static", false},
		{"no overload manager", sidecar, "- name: envoy.resource_monitors.fixed_heap\n  typed_config:",
			"- name: envoy.resource_monitors.other\n  typed_config:", "overload", true},
		{"an unknown field", sidecar, "merge_slashes: true", "merge_slashes: true\nfailure_mode_permit: true", "understood", true},
		{"a cluster of the client's own", sidecar, "type: LOGICAL_DNS", "type: ORIGINAL_DST", "fixed-clusters", false},
		{"a dynamic forward proxy", sidecar, "type: LOGICAL_DNS", "cluster_type: {name: envoy.clusters.dynamic_forward_proxy}",
			"fixed-clusters", true},
		{"any name, by SNI alone", sidecar,
			"match_typed_subject_alt_names:\n- matcher:\n    exact: bigquery.googleapis.com\n  san_type: DNS", "", "upstream-tls", true},
		{"retries of a cluster", sidecar, "auto_config:", "retry_policy: {retry_on: 5xx}\nauto_config:", "retries", true},
		{"a mirror of a cluster", sidecar, "auto_config:", "request_mirror_policies: [{cluster: ext_proc}]\nauto_config:", "mirrors", true},
		{"the client's protocol upstream", sidecar,
			"auto_config:\n  http_protocol_options: {}\n  http2_protocol_options:\n    connection_keepalive:\n      interval: 30s\n      " +
				"timeout: 10s\n    initial_connection_window_size: 67108864\n    initial_stream_window_size: 524288\n    " +
				"max_concurrent_streams: 64", "use_downstream_protocol_config: {}", "framing", true},
		{"a header added behind ext_authz", sidecar, "request_headers_to_remove:",
			"request_headers_to_add: [{header: {key: authorization, value: Bearer x}}]\nrequest_headers_to_remove:", "mutations", false},
		{"attempt count", sidecar, "virtual_hosts:\n- domains:", "virtual_hosts:\n- include_request_attempt_count: true\n  domains:",
			"client-headers", false},
		{"weighted clusters", sidecar, "cluster: bigquery", "weighted_clusters: {clusters: [{name: bigquery, weight: 1}]}",
			"fixed-clusters", true},
		{"host by header", sidecar, "host_rewrite_literal: bigquery.googleapis.com", "host_rewrite_header: x-host", "path", true},
		{"upgrades of a route", sidecar, "cluster: bigquery", "cluster: bigquery\nupgrade_configs: [{upgrade_type: websocket}]", "upgrades",
			true},
		{"internal redirects", sidecar, "cluster: bigquery", "cluster: bigquery\ninternal_redirect_policy: {max_internal_redirects: 1}",
			"fixed-clusters", true},
		{"no slash merging", sidecar, "merge_slashes: true", "merge_slashes: false", "path", false},
		{"absent normalisation", sidecar, "normalize_path: true", "", "path", true},
		{"CONNECT", sidecar, "max_concurrent_streams: 100", "max_concurrent_streams: 100\nallow_connect: true", "upgrades", false},
		{"METADATA frames", sidecar, "max_concurrent_streams: 100", "max_concurrent_streams: 100\nallow_metadata: true", "framing", false},
		{"two lengths", sidecar, "allow_absolute_url: false", "allow_chunked_length: true", "framing", false},
		{"request trailers", sidecar, "allow_absolute_url: false", "enable_trailers: true", "framing", false},
		{"custom methods", sidecar, "allow_absolute_url: false", "allow_custom_methods: true", "framing", false},
		{"ignored upgrades", sidecar, "allow_absolute_url: false", "ignore_http_11_upgrade: [{exact: websocket}]", "upgrades", false},
		{"client certificates passed on", sidecar, "merge_slashes: true",
			"merge_slashes: true\nforward_client_cert_details: ALWAYS_FORWARD_ONLY", "client-headers", false},
		{"Proxy-Status", sidecar, "merge_slashes: true", "merge_slashes: true\nproxy_status_config: {}", "secrets", false},
		{"request ids of clients", sidecar, "merge_slashes: true", "merge_slashes: true\npreserve_external_request_id: true",
			"client-headers", false},
		{"remote addresses of clients", sidecar, "use_remote_address: true", "use_remote_address: false", "client-headers", false},
		{"no request timeout", sidecar, "request_timeout: 30s", "request_timeout: 0s", "timeouts", false},
		{"a listener's access log", sidecar, "enable_reuse_port: false",
			"enable_reuse_port: false\naccess_log: [{name: x, typed_config: {'@type': " +
				"type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog}}]", "secrets", false},
		{"an access log by gRPC", sidecar, "- name: envoy.access_loggers.stdout",
			"- name: x\n  typed_config: {'@type': " +
				"type.googleapis.com/envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig}\n- name: envoy.access_loggers.stdout",
			"secrets", true},
		{"the original destination", sidecar, "enable_reuse_port: false", "enable_reuse_port: false\nuse_original_dst: true", "listener",
			false},
		{"a listener past the overload manager", sidecar, "enable_reuse_port: false",
			"enable_reuse_port: false\nbypass_overload_manager: true", "overload", false},
		{"an access log of the admin interface", sidecar, "admin:",
			"admin:\n  access_log: [{name: x, typed_config: {'@type': " +
				"type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog}}]", "secrets", true},
		{"statistics elsewhere", sidecar, "layered_runtime:", "stats_sinks: [{name: x}]\nlayered_runtime:", "secrets", false},
		{"hosts from elsewhere", sidecar, "layered_runtime:", "hds_config: {api_type: GRPC}\nlayered_runtime:", "static", false},
		{"joined headers of one's own", sidecar, "layered_runtime:",
			"inline_headers: [{inline_header_name: x-http-method-override, inline_header_type: REQUEST_HEADER}]\nlayered_runtime:",
			"client-headers", false},
		{"another prefix", sidecar, "layered_runtime:", "header_prefix: x-mine\nlayered_runtime:", "client-headers", false},
		{"runtime from disk", sidecar, turns, "disk_layer: {symlink_root: /x}", "runtime", true},
		{"shorter timeouts under load", sidecar, "- name: envoy.overload_actions.shrink_heap",
			"- name: envoy.overload_actions.reduce_timeouts", "overload", false},
		{"ext_authz by another client", sidecar, "envoy_grpc:\n  cluster_name: ext_authz", "google_grpc: {target_uri: x, stat_prefix: x}",
			"inner-link", true},
		{"ext_authz retried", sidecar, "envoy_grpc:\n  cluster_name: ext_authz",
			"retry_policy: {num_retries: 2}\nenvoy_grpc:\n  cluster_name: ext_authz", "retries", true},
		{"no time for ext_authz", sidecar, "timeout: 30s", "timeout: 0s", "timeouts", false},
		{"mutations dropped in silence", sidecar, "disallow_is_error: true", "disallow_is_error: false", "mutations", true},
		{"routing headers changed", sidecar, "disallow_is_error: true", "allow_all_routing: true\ndisallow_is_error: true", "mutations",
			true},
		{"ext_proc may not write the query", sidecar, "allow_expression:\n  regex: :path", "", "mutations", true},
		{"ext_proc may write any pseudo-header", sidecar, "regex: :path", "regex: ':.*'", "mutations", true},
		{"ext_proc may write system headers", sidecar,
			"disallow_expression:\n  regex: authorization|proxy-authorization|cookie|x-goog-iam-authorization-token\ndisallow_is_error: " +
				"true\ndisallow_system: true",
			"disallow_expression:\n  regex: authorization|proxy-authorization|cookie|x-goog-iam-authorization-token\ndisallow_is_error: " +
				"true\ndisallow_system: false", "mutations", true},
		{"no forward rules", sidecar, "- exact: authorization\n- exact: proxy-authorization\n- exact: cookie\n- exact: " +
			"x-goog-iam-authorization-token", "- exact: cookie", "secrets", true},
		{"ext_proc writes metadata", sidecar, "metadata_options:", "metadata_options:\n  receiving_namespaces: {untyped: [x]}", "metadata",
			true},
		{"no immediate responses", sidecar, "route_cache_action: RETAIN", "route_cache_action: RETAIN\ndisable_immediate_response: true",
			"fail-closed", false},
		{"content length by ext_proc", sidecar, "route_cache_action: RETAIN",
			"route_cache_action: RETAIN\nallow_content_length_header: true", "framing", false},
		{"route cleared by ext_proc", sidecar, "route_cache_action: RETAIN", "route_cache_action: CLEAR", "mutations", false},
		{"no time for ext_proc", sidecar, "message_timeout: 20s", "message_timeout: 0s", "timeouts", false},
		{"streamed answers", sidecar, "response_body_mode: FULL_DUPLEX_STREAMED", "response_body_mode: STREAMED", "body-modes", false},
		{"no request trailers", sidecar, "request_trailer_mode: SEND", "request_trailer_mode: SKIP", "body-modes", false},
		{"a decompressor", sidecar, "- name: envoy.filters.http.router",
			"- name: d\n  typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.decompressor.v3.Decompressor}\n- " +
				"name: envoy.filters.http.router", "filters", true},
		{"header mutation behind the decision", sidecar, "- name: envoy.filters.http.router",
			"- name: d\n  typed_config: {'@type': " +
				"type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation}\n- name: envoy.filters.http.router",
			"filters", true},
		{"TCP proxy", sidecar, "- name: envoy.filters.network.http_connection_manager",
			"- name: tcp\n  typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, " +
				"stat_prefix: x, cluster: bigquery}\n- name: envoy.filters.network.http_connection_manager", "listener", true},
		{"expired certificates", sidecar, "trusted_ca:\n  filename: /etc/ssl/certs/ca-certificates.crt",
			"allow_expired_certificate: true\ntrusted_ca:\n  filename: /x", "upstream-tls", true},
		{"no server name", sidecar, "sni: bigquery.googleapis.com", "", "upstream-tls", true},
		{"little room for holds", sidecar, "max_requests: 4096", "max_requests: 10", "hold-room", true},
		{"network filters of a cluster", sidecar, "connect_timeout: 5s", "filters: [{name: x}]\nconnect_timeout: 5s", "filters", false},
		{"streams that use up a client's connection", sidecar, "initial_stream_window_size: 131072\nmax_concurrent_streams: 100",
			"initial_stream_window_size: 1048576\nmax_concurrent_streams: 100", "windows", true},
		{"streams that use up a connection to ext_proc", sidecar,
			"initial_connection_window_size: 67108864\ninitial_stream_window_size: 262144\nmax_concurrent_streams: 128",
			"initial_connection_window_size: 16777216\ninitial_stream_window_size: 1048576", "windows", true},
		{"streams that use up a connection to Google", sidecar, "initial_stream_window_size: 524288\nmax_concurrent_streams: 64",
			"initial_stream_window_size: 524288\nmax_concurrent_streams: 65", "windows", true},
		{"a connection to Google as Envoy would have it", sidecar,
			"initial_connection_window_size: 67108864\ninitial_stream_window_size: 524288\n" +
				"max_concurrent_streams: 64", "", "windows", true},
		{"an early look that decides", sidecar, "initial_metadata:\n- key: bqgate-look\n  value: early", "", "early-look", true},
		{"an early look in place of the decision", sidecar, "grpc_service:\n  envoy_grpc:\n    cluster_name: ext_authz\n  timeout: 30s",
			"grpc_service:\n  envoy_grpc:\n    cluster_name: ext_authz\n  initial_metadata: [{key: bqgate-look, value: early}]\n" +
				"  timeout: 30s",
			"early-look", true},
		{"an early look with the body", sidecar, "stat_prefix: bqgate_early",
			"stat_prefix: bqgate_early\nwith_request_body: {max_request_bytes: 1000, pack_as_bytes: true}", "early-look", true},
		{"an early look that fails open", sidecar, "stat_prefix: bqgate_early", "stat_prefix: bqgate_early\nfailure_mode_allow: true",
			"fail-closed", true},
		{"an early look at few requests", sidecar, `regex: HTTP/1\.1;-;(-|[0-9]{1,4}|1[0-5][0-9]{3})`, "regex: .*", "early-look", true},
		{"another framing", sidecar,
			"inline_string: '%PROTOCOL%;%REQUEST_HEADER(X-BQGATE-TRANSFER-ENCODING)%;%REQUEST_HEADER(CONTENT-LENGTH)%'",
			"inline_string: 'HTTP/1.1;-;-'", "early-look", true},
		{"chunks unseen", sidecar, "- remove: x-bqgate-transfer-encoding", "- remove: x-other", "early-look", true},
		{"another filter for some requests", sidecar,
			"'@type': type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz\ndecoder_header_mutation_rules:\n  " +
				"allow_envoy: true\n  disallow_is_error: true\n  disallow_system: true\nencode_raw_headers: true\ngrpc_service:\n  " +
				"envoy_grpc:\n    cluster_name: ext_authz\n  initial_metadata:\n  - key: bqgate-look\n    value: early\n  timeout: 30s\n" +
				"stat_prefix: bqgate_early\nstatus_on_error:\n  code: ServiceUnavailable\ntransport_api_version: V3\n" +
				"validate_mutations: true",
			"'@type': type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation", "filters", true},
		{"no ext_proc for what says that it replies", sidecar, "filter: envoy.filters.http.ext_authz\npath:\n- key: bqgate_reply",
			"filter: envoy.lb\npath:\n- key: bqgate_reply", "fail-closed", true},
		{"no ext_proc for what BigQuery answers", sidecar, "string_value: ext_authz_denied", "string_value: via_upstream",
			"fail-closed", true},
		{"no ext_proc for one reason of the two", sidecar, "and_matcher:", "or_matcher:", "fail-closed", true},
		{"silent connections", sidecar, "listener_filters_timeout: 3s", "", "connections", true},
		{"silent connections for an hour", sidecar, "listener_filters_timeout: 3s",
			"listener_filters_timeout: 3600s", "connections", false},
		{"silent connections let in", sidecar, "listener_filters_timeout: 3s",
			"listener_filters_timeout: 3s\ncontinue_on_listener_filters_timeout: true", "connections", true},
		{"nothing waits for the first byte", sidecar,
			"listener_filters:\n- name: envoy.filters.listener.tls_inspector\n  typed_config:\n    " +
				"'@type': type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector", "", "connections", true},
		{"shorter timeouts of streams under load", sidecar, "timer: HTTP_DOWNSTREAM_CONNECTION_IDLE", "timer: HTTP_DOWNSTREAM_STREAM_IDLE",
			"overload", true},
		{"all requests of a connection in one turn", sidecar, "http.max_requests_per_io_cycle: 1", "http.max_requests_per_io_cycle: 100",
			"turns", true},
		{"connections that reset all they ask", sidecar, "overload.premature_reset_total_stream_count: 100",
			"overload.premature_reset_total_stream_count: 1000000", "turns", true},
		{"an unknown file", sidecar, turns, turns + "\n  a: 1", "runtime", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text, line := edit(t, tt.text, tt.old, tt.with)
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

func TestLintWantsAnEarlyLook(t *testing.T) {
	text := rendered(t, "sidecar")
	before, rest, _ := strings.Cut(text, "          - name: bqgate.early_look\n")
	_, after, found := strings.Cut(rest, "          - name: envoy.filters.http.ext_authz\n")
	if !found {
		t.Fatal("the golden file has another shape than this test knows")
	}
	findings, err := Lint([]byte(before + "          - name: envoy.filters.http.ext_authz\n" + after))
	if err != nil || len(findings) != 1 || findings[0].Rule != "early-look" {
		t.Errorf("found %v %v, want early-look", findings, err)
	}
}

// edit replaces whole lines of a YAML text, written without their common indentation, and returns
// the text and the 1-based line of the first that is new.
func edit(t *testing.T, text, old, with string) (string, int) {
	t.Helper()
	lines, from, to := strings.Split(text, "\n"), strings.Split(old, "\n"), strings.Split(with, "\n")
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
		if with == "" {
			to = nil
		}
		return strings.Join(slices.Concat(lines[:i], indented(to), lines[i+len(from):]), "\n"), line
	}
	t.Fatalf("the golden file has no lines %q", old)
	return "", 0
}

func TestLintOfNothing(t *testing.T) {
	for _, text := range []string{"", "\n", "---\n", "x", "- a", "[", "a: b: c", "a: 1\n---\nb: 2\n", "\x00"} {
		t.Run(text, func(t *testing.T) {
			if findings, err := Lint([]byte(text)); err == nil && len(findings) == 0 {
				t.Errorf("%q has no findings", text)
			}
		})
	}
	twice := strings.Replace(rendered(t, "sidecar"), "merge_slashes: true", "merge_slashes: true\n          merge_slashes: false", 1)
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
