package envoy

import (
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	matchingv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/matching/v3"
	bufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/buffer/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	healthcheckv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/health_check/v3"
	localratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	setfilterstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
)

// filters checks the HTTP filters of a connection manager and says whether they guard what stands
// behind: one ext_authz, then one ext_proc.
func (l *linter) filters(p path, filters []*hcmv3.HttpFilter) (guarded bool) {
	var order []string
	for i, f := range filters {
		p := p.index(i)
		l.must(!f.GetDisabled(), p.field("disabled"), "filters", "the filter "+f.GetName()+" is off", "no disabled filters")
		l.must(!f.GetIsOptional(), p.field("is_optional"), "filters",
			"Envoy starts without the filter "+f.GetName()+" if it does not know it", "no optional filters")
		p = p.field("typed_config")
		m, err := f.GetTypedConfig().UnmarshalNew()
		if err != nil {
			l.add(p, "filters", "the configuration of "+f.GetName()+" is not in this file", "typed_config")
			continue
		}
		switch m := m.(type) {
		case *matchingv3.ExtensionWithMatcher:
			order = append(order, l.matched(p, f.GetName(), m))
		case *extauthzv3.ExtAuthz:
			order = append(order, "ext_authz")
			l.extAuthz(p, m)
			l.requestBody(p, m)
		case *extprocv3.ExternalProcessor:
			order = append(order, "ext_proc")
			l.extProc(p, m)
		case *routerv3.Router:
			order = append(order, "router")
			l.must(m.GetSuppressEnvoyHeaders(), p.field("suppress_envoy_headers"), "client-headers",
				"x-envoy-* headers go to Google and to clients", "true")
			l.must(!m.GetRespectExpectedRqTimeout(), p.field("respect_expected_rq_timeout"), "client-headers",
				"clients set timeouts by a header", "false")
			l.must(len(m.GetUpstreamHttpFilters()) == 0, p.field("upstream_http_filters"), "filters",
				"filters behind ext_proc change what it decided", "none")
			l.accessLogs(p.field("upstream_log"), m.GetUpstreamLog())
		case *healthcheckv3.HealthCheck:
			l.healthCheck(p, m)
		case *setfilterstatev3.Config:
			l.must(proto.Equal(f.GetTypedConfig(), requestState().GetTypedConfig()), p, "early-look",
				"requests are told apart by other things than the framing of their body", "what \"bqgate envoy render\" writes")
		case *localratelimitv3.LocalRateLimit, *bufferv3.Buffer:
		default:
			l.add(p, "filters", "the filter "+f.GetName()+" can read or change what ext_authz and ext_proc decide about",
				"ext_authz, ext_proc and router only")
		}
	}
	guards := strings.Join(order, " ")
	switch guards {
	case "early_look ext_authz ext_proc router":
		return true
	case "ext_authz ext_proc router":
		l.add(p, "early-look", "bodies are buffered of whoever sends them, without a look at the credential",
			"an early look before ext_authz, as \"bqgate envoy render\" writes it")
		return true
	case "router":
		return false
	default:
		l.add(p, "filters", "the order of the filters is \""+guards+"\"",
			"an early look, then exactly one ext_authz, then exactly one ext_proc, then the router")
		return slices.Contains(order, "ext_authz")
	}
}

// healthCheck answers by itself, and only for the path of health checks.
func (l *linter) healthCheck(p path, f *healthcheckv3.HealthCheck) {
	l.must(f.GetPassThroughMode() != nil && !f.GetPassThroughMode().GetValue(), p.field("pass_through_mode"), "filters",
		"requests to the health check lead on", "false")
	h := f.GetHeaders()
	l.must(len(h) == 1 && h[0].GetName() == ":path" && h[0].GetStringMatch().GetExact() == healthPath && !h[0].GetInvertMatch(),
		p.field("headers"), "filters", "other requests are answered as health checks", "exactly :path "+healthPath)
}

func (l *linter) extAuthz(p path, f *extauthzv3.ExtAuthz) {
	l.service(p, f.GetGrpcService(), "ext_authz")
	l.must(f.GetGrpcService().GetTimeout().AsDuration() > 0, p.field("grpc_service", "timeout"), "timeouts",
		"a check is given up after Envoy's default of 200 ms", "a time, such as 30s")
	const closed = "false: fail closed"
	l.must(!f.GetFailureModeAllow(), p.field("failure_mode_allow"), "fail-closed",
		"while bqgate is down everything passes, with the caller's own credential", closed)
	l.must(!f.GetFailureModeAllowHeaderAdd(), p.field("failure_mode_allow_header_add"), "fail-closed", "it belongs to failing open", closed)
	l.must(!f.GetShadowMode(), p.field("shadow_mode"), "fail-closed", "denials are not enforced", "false")
	l.must(f.GetFilterEnabled() == nil && f.GetFilterEnabledMetadata() == nil, p.field("filter_enabled"), "fail-closed",
		"the check can be off for some requests", "no filter_enabled")
	l.must(f.GetStatusOnError().GetCode() == 503, p.field("status_on_error"), "fail-closed", "a failure looks like a denial to clients",
		"code 503 (ServiceUnavailable)")

	l.must(f.GetEncodeRawHeaders(), p.field("encode_raw_headers"), "client-headers",
		"duplicate headers are joined and bytes replaced before ext_authz sees them", "true")
	l.must(f.GetAllowedHeaders() == nil && f.GetDisallowedHeaders() == nil, p.field("allowed_headers"), "client-headers",
		"headers that ext_authz does not see are headers that it does not remove", "neither allowed_headers nor disallowed_headers")
	l.must(f.GetValidateMutations(), p.field("validate_mutations"), "mutations", "mutations that Envoy cannot apply are skipped", "true")
	rules := f.GetDecoderHeaderMutationRules()
	l.must(rules.GetDisallowIsError().GetValue() && !rules.GetAllowAllRouting().GetValue(), p.field("decoder_header_mutation_rules"),
		"mutations",
		"ext_authz could change routing headers, or have a mutation dropped in silence",
		"disallow_is_error: true, without allow_all_routing")
	l.must(!f.GetClearRouteCache(), p.field("clear_route_cache"), "mutations", "the route may change after the decision", "false")
	l.must(f.GetEnableDynamicMetadataIngestion() == nil || f.GetEnableDynamicMetadataIngestion().GetValue(),
		p.field("enable_dynamic_metadata_ingestion"), "metadata",
		"ext_proc gets no verdict", "true")
}

// requestBody wants the whole body in the check that decides, which is no early look.
func (l *linter) requestBody(p path, f *extauthzv3.ExtAuthz) {
	l.must(len(f.GetGrpcService().GetInitialMetadata()) == 0, p.field("grpc_service", "initial_metadata"), "early-look",
		"ext_authz takes the check for an early look and decides about nothing", "none")
	body := p.field("with_request_body")
	l.must(f.GetWithRequestBody() != nil, body, "request-body", "ext_authz decides without seeing the SQL",
		"max_request_bytes and pack_as_bytes: true")
	if b := f.GetWithRequestBody(); b != nil {
		l.must(b.GetPackAsBytes(), body.field("pack_as_bytes"), "request-body",
			"bytes that are not UTF-8 are changed before ext_authz sees them", "true")
		l.must(!b.GetAllowPartialMessage(), body.field("allow_partial_message"), "request-body",
			"ext_authz decides about the beginning of a body, and all of it is sent on", "false")
		l.must(b.GetMaxRequestBytes() > 0, body.field("max_request_bytes"), "request-body", "no body fits", "a size")
	}
}

// matched checks a filter that runs for some requests, and says which it is.
func (l *linter) matched(p path, name string, m *matchingv3.ExtensionWithMatcher) string {
	var f extprocv3.ExternalProcessor
	if m.GetExtensionConfig().GetTypedConfig().UnmarshalTo(&f) != nil {
		l.earlyLook(p, name, m)
		return "early_look"
	}
	//nolint:staticcheck // SA1019: a configuration may still say it in the deprecated way
	l.must(m.GetMatcher() == nil && proto.Equal(m.GetXdsMatcher(), replied()), p.field("xds_matcher"), "fail-closed",
		"ext_proc does not see every answer that BigQuery gives", "what \"bqgate envoy render\" writes, or ext_proc without a matcher")
	l.extProc(p.field("extension_config", "typed_config"), &f)
	return "ext_proc"
}

// earlyLook checks the filter that looks at the credential before the body is buffered. It is known
// in one shape: whatever it skips, or lets pass, ext_authz decides about behind it.
func (l *linter) earlyLook(p path, name string, m *matchingv3.ExtensionWithMatcher) {
	var f extauthzv3.ExtAuthz
	if m.GetExtensionConfig().GetTypedConfig().UnmarshalTo(&f) != nil {
		l.add(p, "filters", "a filter that runs for some requests can read or change what ext_authz and ext_proc decide about",
			"ext_authz, ext_proc and router only")
		return
	}
	//nolint:staticcheck // SA1019: a configuration may still say it in the deprecated way
	l.must(name == filterEarlyLook && m.GetMatcher() == nil && proto.Equal(m.GetXdsMatcher(), unlessSmall()), p.field("xds_matcher"),
		"early-look", "bodies are buffered of requests whose credential nobody looked at", "what \"bqgate envoy render\" writes")
	p = p.field("extension_config", "typed_config")
	l.extAuthz(p, &f)
	l.must(f.GetWithRequestBody() == nil, p.field("with_request_body"), "early-look",
		"the body is buffered before the credential is looked at", "no with_request_body")
	look := f.GetGrpcService().GetInitialMetadata()
	l.must(
		len(look) == 1 && look[0].GetKey() == LookMetadata && look[0].GetValue() == LookEarly,
		p.field("grpc_service", "initial_metadata"),
		"early-look",
		"ext_authz takes the early look for a request without a body, and decides about that",
		LookMetadata+": "+LookEarly+", and nothing else",
	)
}

func (l *linter) extProc(p path, f *extprocv3.ExternalProcessor) {
	l.service(p, f.GetGrpcService(), "ext_proc")
	l.must(!f.GetFailureModeAllow(), p.field("failure_mode_allow"), "fail-closed",
		"when bqgate fails in the middle of an answer the rest goes out unmasked", "false: fail closed")
	l.must(!f.GetObservabilityMode(), p.field("observability_mode"), "fail-closed", "answers go out while ext_proc only watches", "false")
	l.must(!f.GetDisableImmediateResponse(), p.field("disable_immediate_response"), "fail-closed", "ext_proc cannot replace an answer",
		"false")
	l.must(f.GetMessageTimeout().AsDuration() > 0, p.field("message_timeout"), "timeouts", "ext_proc has 200 ms or no time at all",
		"a time, such as 20s")

	mode := p.field("processing_mode")
	m := f.GetProcessingMode()
	l.must(m.GetRequestHeaderMode() != extprocv3.ProcessingMode_SKIP, mode.field("request_header_mode"), "body-modes",
		"ext_proc does not see the request", "SEND")
	l.must(m.GetRequestBodyMode() == extprocv3.ProcessingMode_BUFFERED, mode.field("request_body_mode"), "body-modes",
		"the body that goes to Google is not the one that was decided about", "BUFFERED")
	l.must(m.GetRequestTrailerMode() == extprocv3.ProcessingMode_SEND, mode.field("request_trailer_mode"), "body-modes",
		"request trailers go to Google unseen", "SEND")
	l.must(m.GetResponseHeaderMode() != extprocv3.ProcessingMode_SKIP, mode.field("response_header_mode"), "body-modes",
		"response headers go out unseen", "SEND")
	l.must(m.GetResponseBodyMode() == extprocv3.ProcessingMode_FULL_DUPLEX_STREAMED, mode.field("response_body_mode"), "body-modes",
		"rows can pass unmasked: NONE and GRPC send nothing to ext_proc, BUFFERED_PARTIAL only the beginning, STREAMED cuts cells at "+
			"chunk borders", "FULL_DUPLEX_STREAMED")
	l.must(m.GetResponseTrailerMode() == extprocv3.ProcessingMode_SEND, mode.field("response_trailer_mode"), "body-modes",
		"response trailers go out unseen", "SEND")
	l.must(!f.GetAllowModeOverride() && len(f.GetAllowedOverrideModes()) == 0, p.field("allow_mode_override"), "body-modes",
		"an override can switch masking off", "false")

	l.must(slices.Contains(f.GetMetadataOptions().GetForwardingNamespaces().GetUntyped(), filterExtAuthz),
		p.field("metadata_options", "forwarding_namespaces"), "metadata",
		"ext_proc gets no verdict", "untyped: ["+filterExtAuthz+"]")
	l.must(f.GetMetadataOptions().GetReceivingNamespaces() == nil, p.field("metadata_options", "receiving_namespaces"), "metadata",
		"ext_proc may write metadata", "none")
	l.must(slices.Contains(f.GetResponseAttributes(), "response.code_details"), p.field("response_attributes"), "metadata",
		"ext_proc cannot tell BigQuery's answers from Envoy's own", "response.code_details")
	hidden := map[string]bool{}
	for _, pattern := range f.GetForwardRules().GetDisallowedHeaders().GetPatterns() {
		hidden[pattern.GetExact()] = true
	}
	l.must(hidden["authorization"] && f.GetForwardRules().GetAllowedHeaders() == nil, p.field("forward_rules"), "secrets",
		"ext_proc gets the minted Google token", "disallowed_headers: authorization, and no allowed_headers")
	rules := f.GetMutationRules()
	l.must(rules.GetDisallowIsError().GetValue() && !rules.GetAllowAllRouting().GetValue(), p.field("mutation_rules"), "mutations",
		"ext_proc could change routing headers, or have a mutation dropped in silence",
		"disallow_is_error: true, without allow_all_routing")
	l.must(rules.GetDisallowSystem().GetValue() && rules.GetAllowExpression().GetRegex() == pathHeader,
		p.field("mutation_rules", "allow_expression"), "mutations",
		"ext_proc cannot write the query that was decided on, or may write other routing headers",
		"disallow_system: true, and the regex "+pathHeader)
	l.must(f.GetRouteCacheAction() == extprocv3.ExternalProcessor_RETAIN, p.field("route_cache_action"), "mutations",
		"the route may change after the decision", "RETAIN")
	l.must(!f.GetAllowContentLengthHeader(), p.field("allow_content_length_header"), "framing",
		"ext_proc could send a length that is not the body's", "false")
	l.must(f.GetProcessingRequestModifier() == nil && f.GetOnProcessingResponse() == nil, p, "understood",
		"extensions change what ext_proc sees or says", "none")
}

// service wants a gRPC service by way of a cluster of this file.
func (l *linter) service(p path, s *corev3.GrpcService, name string) {
	cluster := s.GetEnvoyGrpc().GetClusterName()
	if cluster == "" {
		l.add(p, "inner-link", name+" is not reached by Envoy's own gRPC client (HTTP services alter bodies, google_grpc is not checked)",
			"grpc_service.envoy_grpc")
		return
	}
	l.must(s.GetRetryPolicy() == nil && s.GetEnvoyGrpc().GetRetryPolicy() == nil, p.field("grpc_service"), "retries",
		"a call that is made twice may mint twice", "no retry_policy")
	l.inner[cluster] = true
}
