package envoy

import (
	"net/netip"
	"slices"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	connectionlimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/connection_limit/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	earlyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

func (l *linter) listener(p path, listener *listenerv3.Listener) {
	l.must(listener.GetApiListener() == nil && listener.GetUdpListenerConfig() == nil, p, "listener", "only TCP listeners are understood",
		"address and filter_chains")
	l.must(listener.GetFilterChainMatcher() == nil && listener.GetFcdsConfig() == nil, p, "listener",
		"filter chains are chosen in a way that is not understood", "filter_chains only")
	l.must(!listener.GetUseOriginalDst().GetValue(), p.field("use_original_dst"), "listener",
		"connections are handed to another listener by where the client meant to go", "false")
	l.must(!listener.GetBypassOverloadManager(), p.field("bypass_overload_manager"), "overload",
		"clients can exhaust memory or connections", "false")
	l.accessLogs(p.field("access_log"), listener.GetAccessLog())
	l.must(listener.GetListenerFiltersTimeout().AsDuration() > 0 && listener.GetListenerFiltersTimeout().AsDuration() <= 15*time.Second &&
		!listener.GetContinueOnListenerFiltersTimeout() && waitsForBytes(listener), p.field("listener_filters_timeout"), "connections",
		"connections that never send a byte stay until their idle timeout, and thousands of them keep others out",
		"the listener filter "+filterTLSInspector+", and listener_filters_timeout of at most 15 s")
	chains := listener.GetFilterChains()
	for i, chain := range chains {
		l.chain(p.field("filter_chains").index(i), listener, chain)
	}
	if chain := listener.GetDefaultFilterChain(); chain != nil {
		l.chain(p.field("default_filter_chain"), listener, chain)
	}
}

// waitsForBytes says that a listener makes a connection only once its client has sent something.
func waitsForBytes(listener *listenerv3.Listener) bool {
	return slices.ContainsFunc(listener.GetListenerFilters(), func(f *listenerv3.ListenerFilter) bool {
		return f.GetTypedConfig().MessageIs(&tlsinspectorv3.TlsInspector{}) && f.GetFilterDisabled() == nil
	})
}

func (l *linter) chain(p path, listener *listenerv3.Listener, chain *listenerv3.FilterChain) {
	if socket := chain.GetTransportSocket(); socket == nil {
		plain := loopback(listener.GetAddress())
		for _, more := range listener.GetAdditionalAddresses() {
			plain = plain && loopback(more.GetAddress())
		}
		l.must(plain, p, "plain-listener", "tokens of agents and answers pass in plain text on a network",
			"a TLS transport_socket, or a loopback address")
	} else {
		l.downstreamTLS(p.field("transport_socket"), socket)
	}
	filters := chain.GetFilters()
	if len(filters) > 0 && filters[0].GetTypedConfig().MessageIs(&connectionlimitv3.ConnectionLimit{}) {
		filters = filters[1:]
	} else {
		l.add(p.field("filters"), "connections", "connections to this listener use up those of the others", filterConnectionLimit+" first")
	}
	if len(filters) != 1 {
		l.add(p.field("filters"), "listener", "a filter chain does something besides HTTP", "one HTTP connection manager")
	}
	for i, f := range filters {
		p := p.field("filters").index(len(chain.GetFilters()) - len(filters) + i).field("typed_config")
		var m hcmv3.HttpConnectionManager
		if f.GetTypedConfig().UnmarshalTo(&m) != nil {
			l.add(p, "listener", "the network filter "+f.GetName()+" lets bytes through that ext_authz and ext_proc do not see",
				"one HTTP connection manager")
			continue
		}
		l.manager(p, &m)
	}
}

func (l *linter) downstreamTLS(p path, socket *corev3.TransportSocket) {
	p = p.field("typed_config")
	var c tlsv3.DownstreamTlsContext
	if socket.GetTypedConfig().UnmarshalTo(&c) != nil {
		l.add(p, "plain-listener", "the transport socket "+socket.GetName()+" is not TLS", "envoy.transport_sockets.tls")
		return
	}
	l.commonTLS(p.field("common_tls_context"), c.GetCommonTlsContext())
}

// manager checks an HTTP connection manager, whatever it leads to.
func (l *linter) manager(p path, m *hcmv3.HttpConnectionManager) {
	const normal = "one path for ext_authz, the routes and Google"
	l.must(m.GetNormalizePath().GetValue(), p.field("normalize_path"), "path",
		"dot segments and escapes reach the routes as the client wrote them", "true: "+normal)
	l.must(m.GetMergeSlashes(), p.field("merge_slashes"), "path", "'//' reaches the routes as the client wrote it", "true: "+normal)
	l.must(m.GetPathWithEscapedSlashesAction() == hcmv3.HttpConnectionManager_REJECT_REQUEST, p.field("path_with_escaped_slashes_action"),
		"path",
		"%2F and %5C mean one thing here and may mean another at Google", "REJECT_REQUEST")
	l.must(m.GetPathNormalizationOptions() == nil, p.field("path_normalization_options"), "path",
		"paths are rewritten in ways that are not understood", "none")
	l.must(m.GetCommonHttpProtocolOptions().GetHeadersWithUnderscoresAction() == corev3.HttpProtocolOptions_REJECT_REQUEST,
		p.field("common_http_protocol_options", "headers_with_underscores_action"), "client-headers",
		"x_goog_… passes lists that name x-goog-…", "REJECT_REQUEST")

	l.must(len(m.GetUpgradeConfigs()) == 0, p.field("upgrade_configs"), "upgrades", "upgraded connections carry bytes that no filter sees",
		"no upgrade_configs")
	l.must(!m.GetHttp2ProtocolOptions().GetAllowConnect(), p.field("http2_protocol_options", "allow_connect"), "upgrades",
		"CONNECT tunnels carry bytes that no filter sees", "false")
	l.must(m.GetHttp3ProtocolOptions() == nil && m.GetCodecType() != hcmv3.HttpConnectionManager_HTTP3, p.field("http3_protocol_options"),
		"upgrades", "HTTP/3 is not understood", "HTTP/1.1 and HTTP/2")
	l.must(!m.GetHttpProtocolOptions().GetAcceptHttp_10(), p.field("http_protocol_options", "accept_http_10"), "framing",
		"HTTP/1.0 bodies end where the connection does", "false")
	l.must(!m.GetHttpProtocolOptions().GetEnableTrailers(), p.field("http_protocol_options", "enable_trailers"), "framing",
		"request trailers are headers that nobody decided about", "false")
	l.must(!m.GetHttpProtocolOptions().GetAllowChunkedLength(), p.field("http_protocol_options", "allow_chunked_length"), "framing",
		"requests with two lengths can be read in two ways", "false")
	l.must(!m.GetHttpProtocolOptions().GetAllowCustomMethods(), p.field("http_protocol_options", "allow_custom_methods"), "framing",
		"methods that no server knows can be read in two ways", "false")
	l.must(len(m.GetHttpProtocolOptions().GetIgnoreHttp_11Upgrade()) == 0, p.field("http_protocol_options", "ignore_http_11_upgrade"),
		"upgrades", "an upgrade that is ignored here may be taken further on", "none")
	l.must(!m.GetHttp2ProtocolOptions().GetAllowMetadata(), p.field("http2_protocol_options", "allow_metadata"), "framing",
		"METADATA frames pass filters by", "false")
	l.must(!m.GetProxy_100Continue(), p.field("proxy_100_continue"), "framing", "1xx responses pass ext_proc by", "false")

	l.must(m.GetUseRemoteAddress().GetValue(), p.field("use_remote_address"), "client-headers",
		"clients say themselves where they come from, and steer Envoy by x-envoy-* headers", "true")
	l.must(len(m.GetInternalAddressConfig().GetCidrRanges()) == 0 && !m.GetInternalAddressConfig().GetUnixSockets(),
		p.field("internal_address_config"), "client-headers",
		"clients at these addresses may steer Envoy by x-envoy-* headers", "no internal addresses")
	l.must(stripsEnvoyHeaders(m), p.field("early_header_mutation_extensions"), "client-headers",
		"x-envoy-* headers of clients are not removed first of all", "remove_on_match of the prefix x-envoy-")
	l.must(seesChunks(m), p.field("early_header_mutation_extensions"), "early-look",
		"chunked bodies look like none, and are buffered without a look at the credential",
		"an append of "+headerTransferEncoding+" after its removal, as \"bqgate envoy render\" writes it")
	l.must(len(m.GetOriginalIpDetectionExtensions()) == 0, p.field("original_ip_detection_extensions"), "client-headers",
		"clients say themselves where they come from", "use_remote_address")
	switch m.GetForwardClientCertDetails() {
	case hcmv3.HttpConnectionManager_SANITIZE:
	default:
		l.add(p.field("forward_client_cert_details"), "client-headers", "x-forwarded-client-cert of a client, or about one, is passed on",
			"SANITIZE")
	}
	l.must(m.GetProxyStatusConfig() == nil, p.field("proxy_status_config"), "secrets",
		"errors between Envoy and Google go to the client in a header that ext_proc does not see", "none")
	l.must(!m.GetPreserveExternalRequestId(), p.field("preserve_external_request_id"), "client-headers",
		"clients choose the id under which they are logged", "false")

	l.windows(p.field("http2_protocol_options"), m.GetHttp2ProtocolOptions())
	l.positive(m.GetRequestTimeout(), p.field("request_timeout"))
	l.positive(m.GetRequestHeadersTimeout(), p.field("request_headers_timeout"))
	if m.StreamIdleTimeout != nil {
		l.positive(m.GetStreamIdleTimeout(), p.field("stream_idle_timeout"))
	}
	l.must(m.GetTracing() == nil, p.field("tracing"), "secrets", "traces carry URLs and headers away", "no tracing")
	l.accessLogs(p.field("access_log"), m.GetAccessLog())

	routes := m.GetRouteConfig()
	if routes == nil {
		l.add(p, "static", "the routes come from elsewhere and cannot be checked", "route_config")
		return
	}
	if l.filters(p.field("http_filters"), m.GetHttpFilters()) {
		l.dataRoutes(p.field("route_config"), routes)
	} else {
		l.unguardedRoutes(p.field("route_config"), routes)
	}
}

func (l *linter) positive(d *durationpb.Duration, p path) {
	l.must(d.AsDuration() > 0, p, "timeouts", "a slow client holds a stream for ever", "a time, such as "+(30*time.Second).String())
}

// seesChunks says that what the early look goes by tells of chunks, and nothing that a client says
// of them.
func seesChunks(m *hcmv3.HttpConnectionManager) bool {
	removed := false
	for _, e := range m.GetEarlyHeaderMutationExtensions() {
		var early earlyv3.HeaderMutation
		if e.GetTypedConfig().UnmarshalTo(&early) != nil {
			return false
		}
		for _, mutation := range early.GetMutations() {
			removed = removed || mutation.GetRemove() == headerTransferEncoding
			if removed && proto.Equal(mutation, keepTransferEncoding()) {
				return true
			}
		}
	}
	return false
}

func stripsEnvoyHeaders(m *hcmv3.HttpConnectionManager) bool {
	for _, e := range m.GetEarlyHeaderMutationExtensions() {
		var early earlyv3.HeaderMutation
		if e.GetTypedConfig().UnmarshalTo(&early) != nil {
			return false
		}
		for _, mutation := range early.GetMutations() {
			if mutation.GetRemoveOnMatch().GetKeyMatcher().GetPrefix() == "x-envoy-" {
				return true
			}
		}
	}
	return false
}

func parseLoopback(address string) bool {
	a, err := netip.ParseAddr(address)
	return err == nil && a.IsLoopback()
}
