package envoy

import (
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	earlyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
)

const (
	filterRouter = "envoy.filters.http.router"

	// flushWithin is for at most a few hundred KiB: at the least rate that ext_proc asks of a
	// reader, that is 40 s.
	flushWithin = time.Minute

	// Headers of a request; beyond them Envoy answers 431.
	maxHeaders    = 64
	maxHeadersKiB = 32
)

// dataManager is the HTTP connection manager of listeners that lead to Google.
func dataManager(c Config, s surface) *hcmv3.HttpConnectionManager {
	m := hardened(c, s, dataRoutes(c, s), []*hcmv3.HttpFilter{
		healthFilter(), requestState(), earlyLook(c), extAuthz(c), extProc(c), router(),
	})
	// Until a route is known; then the route's idle timeout counts, which must outlast long-polls
	// and slow queries.
	m.StreamIdleTimeout = seconds(c.Timeouts.Check + 30*time.Second)
	if s == surfaceREST {
		m.LocalReplyConfig = bigQueryLocalReplies(c.Limits.MaxRequestBytes)
	}
	return m
}

// tokenManager is the HTTP connection manager of listeners that lead to the token endpoint.
func tokenManager(c Config) *hcmv3.HttpConnectionManager {
	m := hardened(c, surfaceToken, tokenRoutes(), []*hcmv3.HttpFilter{tokenRate(c.Limits), tokenBody(), router()})
	m.StreamIdleTimeout = seconds(30 * time.Second)
	m.LocalReplyConfig = oauthLocalReplies()
	return m
}

// hardened is what Envoy's guide for edge proxies asks for, and a few things more.
// https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/best_practices/edge
func hardened(c Config, s surface, routes *routev3.RouteConfiguration, filters []*hcmv3.HttpFilter) *hcmv3.HttpConnectionManager {
	m := &hcmv3.HttpConnectionManager{
		StatPrefix:     string(s),
		CodecType:      hcmv3.HttpConnectionManager_AUTO,
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: routes},
		HttpFilters:    filters,
		AccessLog:      []*accesslogv3.AccessLog{accessLog(c.AccessLog)},

		// One path for ext_authz, the route table and Google. Escaped slashes are the one thing
		// that servers disagree about, so they are refused.
		NormalizePath:                yes(),
		MergeSlashes:                 true,
		PathWithEscapedSlashesAction: hcmv3.HttpConnectionManager_REJECT_REQUEST,

		// Clients are outside, those on loopback too: nobody gets to steer Envoy with x-envoy-*
		// headers.
		UseRemoteAddress:      yes(),
		XffNumTrustedHops:     c.TrustedHops,
		InternalAddressConfig: &hcmv3.HttpConnectionManager_InternalAddressConfig{},
		EarlyHeaderMutationExtensions: []*corev3.TypedExtensionConfig{
			extension("envoy.http.early_header_mutation.header_mutation", &earlyv3.HeaderMutation{
				Mutations: []*mutationv3.HeaderMutation{{Action: &mutationv3.HeaderMutation_RemoveOnMatch_{
					RemoveOnMatch: &mutationv3.HeaderMutation_RemoveOnMatch{KeyMatcher: startingWith("x-envoy-")},
				}}, {Action: &mutationv3.HeaderMutation_Remove{Remove: headerTransferEncoding}}, keepTransferEncoding()},
			}),
		},
		GenerateRequestId:         yes(),
		PreserveExternalRequestId: false,

		RequestTimeout:        seconds(c.Timeouts.Request),
		RequestHeadersTimeout: seconds(headersWithin),
		// What is left of an answer that is whole, and is not taken: ext_proc is through with it.
		StreamFlushTimeout:  seconds(flushWithin),
		MaxRequestHeadersKb: u32(maxHeadersKiB), // OIDC tokens with many groups run to 8 KiB and more
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{
			IdleTimeout:                  seconds(5 * time.Minute),
			MaxHeadersCount:              u32(maxHeaders),
			HeadersWithUnderscoresAction: corev3.HttpProtocolOptions_REJECT_REQUEST,
		},
		HttpProtocolOptions: &corev3.Http1ProtocolOptions{
			AllowAbsoluteUrl:   no(),
			AcceptHttp_10:      false,
			EnableTrailers:     false,
			AllowChunkedLength: false,
		},
		Http2ProtocolOptions: clientWindows.in(&corev3.Http2ProtocolOptions{
			AllowConnect:        false,
			ConnectionKeepalive: &corev3.KeepaliveSettings{Interval: seconds(30 * time.Second), Timeout: seconds(10 * time.Second)},
		}),
		// The upstream is TLS also where the listener is not.
		SchemeHeaderTransformation: &corev3.SchemeHeaderTransformation{MatchUpstream: true},
		ServerName:                 "bqgate",
		ServerHeaderTransformation: hcmv3.HttpConnectionManager_OVERWRITE,
		Proxy_100Continue:          false,
		StripMatchingHostPort:      true,
		// No upgrade_configs: WebSocket, CONNECT and h2c upgrades carry bytes that no filter sees.
	}
	if s == surfaceGRPC {
		m.CodecType = hcmv3.HttpConnectionManager_HTTP2
	}
	return m
}

func router() *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{
		Name:       filterRouter,
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(&routerv3.Router{SuppressEnvoyHeaders: true})},
	}
}
