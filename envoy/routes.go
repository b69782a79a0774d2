package envoy

import (
	"slices"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	healthPath = "/healthz"
	tokenPath  = "/v1/token"

	bigQueryPrefix    = "/bigquery/v2/"
	storageReadPrefix = "/google.cloud.bigquery.storage.v1.BigQueryRead/"

	// rewrittenBodyLimit bounds the body that ext_proc may put in place of the client's. Client
	// bodies are bounded by Limits.MaxRequestBytes; masking inside SQL makes them longer. BigQuery
	// takes 10 MiB.
	rewrittenBodyLimit = 10 << 20
)

// hiddenFromGoogle goes from every request just before it leaves. ext_authz has already removed
// what is not on its allow-list; these are also added or meant by Envoy. Without accept-encoding
// answers come uncompressed, as ext_proc must read them.
var hiddenFromGoogle = []string{
	"accept-encoding", "cookie", "forwarded", "proxy-authorization", "via",
	"x-forwarded-client-cert", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id",
	"x-envoy-attempt-count", "x-envoy-expected-rq-timeout-ms", "x-envoy-external-address", "x-envoy-internal", "x-envoy-original-path",
}

// hiddenFromClients goes from every response of the upstream before ext_proc sees it. ext_proc lets
// an allow-list pass, but cannot see the credential headers that are hidden from it.
var hiddenFromClients = append([]string{"alt-svc", "set-cookie", "www-authenticate", "x-envoy-upstream-service-time"}, credentialHeaders...)

// dataRoutes leads the API's paths to their one cluster and everything else to a 403. ext_authz and
// ext_proc stand before all of them but the health check, so an unknown path gets ext_authz's
// explanation; the 403 is there for the day that a filter fails to. Without a route, ext_authz
// would do nothing (envoyproxy/envoy issue 44397).
func dataRoutes(c Config, s surface) *routev3.RouteConfiguration {
	prefix, cluster, upstream := bigQueryPrefix, clusterBigQuery, c.BigQuery
	if s == surfaceGRPC {
		prefix, cluster, upstream = storageReadPrefix, clusterStorageRead, c.StorageRead
	}
	data := &routev3.Route{
		Name:  string(s),
		Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: prefix}},
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier:     &routev3.RouteAction_Cluster{Cluster: cluster},
			HostRewriteSpecifier: &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: upstream.Host},
			// A download may take as long as it moves; no retries and no hedging.
			Timeout:     seconds(0),
			IdleTimeout: seconds(c.Timeouts.Idle),
			RetryPolicy: nil,
			// The gRPC client's own deadline is not the gateway's.
			MaxStreamDuration: nil,
		}},
		RequestHeadersToRemove:  hiddenFromGoogle,
		ResponseHeadersToRemove: hiddenFromClients,
		RequestBodyBufferLimit:  wrapperspb.UInt64(rewrittenBodyLimit),
	}
	hosts := []*routev3.VirtualHost{{Name: string(s), Domains: c.Domains, Routes: []*routev3.Route{connect(), health(), data, nowhere()}}}
	if !slices.Contains(c.Domains, "*") {
		hosts = append(
			hosts,
			&routev3.VirtualHost{Name: "nowhere", Domains: []string{"*"}, Routes: []*routev3.Route{connect(), health(), nowhere()}},
		)
	}
	return &routev3.RouteConfiguration{Name: string(s), VirtualHosts: hosts, ValidateClusters: yes()}
}

// health is answered by healthFilter, before the filters that this route does without. The route's
// own answer is for the day that it fails to: not 200.
func health() *routev3.Route {
	return &routev3.Route{
		Name:                 "health",
		Match:                &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Path{Path: healthPath}},
		Action:               reply(503, "no health check\n"),
		ResponseHeadersToAdd: []*corev3.HeaderValueOption{headerValue("content-type", "text/plain")},
		TypedPerFilterConfig: withoutFilters(),
	}
}

// connect refuses CONNECT, which has no path and no end of its body: the filters would wait for
// one.
func connect() *routev3.Route {
	return &routev3.Route{
		Name: "connect",
		Match: &routev3.RouteMatch{
			PathSpecifier: &routev3.RouteMatch_ConnectMatcher_{ConnectMatcher: &routev3.RouteMatch_ConnectMatcher{}},
		},
		Action:               reply(403, ungoverned),
		ResponseHeadersToAdd: []*corev3.HeaderValueOption{headerValue("content-type", jsonContentType)},
		TypedPerFilterConfig: withoutFilters(),
	}
}

// withoutFilters is for routes that Envoy answers by itself, and for no others.
func withoutFilters() map[string]*anypb.Any {
	return map[string]*anypb.Any{
		filterEarlyLook: packed(&routev3.FilterConfig{Disabled: true}),
		filterExtAuthz:  packed(&extauthzv3.ExtAuthzPerRoute{Override: &extauthzv3.ExtAuthzPerRoute_Disabled{Disabled: true}}),
		filterExtProc:   packed(&extprocv3.ExtProcPerRoute{Override: &extprocv3.ExtProcPerRoute_Disabled{Disabled: true}}),
	}
}

const ungoverned = `{"error":{"code":403,"message":"bqgate: this path or host is not governed and leads nowhere; ` +
	`what works is BigQuery's REST API under /bigquery/v2/.","errors":[{"domain":"global","reason":"accessDenied",` +
	`"message":"bqgate: this path or host is not governed and leads nowhere; what works is BigQuery's REST API under /bigquery/v2/."}],` +
	`"status":"PERMISSION_DENIED"}}`

// nowhere catches what no other route takes.
func nowhere() *routev3.Route {
	return &routev3.Route{
		Name:                 "nowhere",
		Match:                &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		Action:               reply(403, ungoverned),
		ResponseHeadersToAdd: []*corev3.HeaderValueOption{headerValue("content-type", jsonContentType)},
	}
}

// tokenRoutes has one way through, POST /v1/token.
func tokenRoutes() *routev3.RouteConfiguration {
	return &routev3.RouteConfiguration{Name: "token", ValidateClusters: yes(), VirtualHosts: []*routev3.VirtualHost{{
		Name:    "token",
		Domains: []string{"*"},
		Routes: []*routev3.Route{
			{
				Name: "token",
				Match: &routev3.RouteMatch{
					PathSpecifier: &routev3.RouteMatch_Path{Path: tokenPath},
					Headers: []*routev3.HeaderMatcher{{
						Name:                 ":method",
						HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: exactly("POST")},
					}},
				},
				Action: &routev3.Route_Route{Route: &routev3.RouteAction{
					ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: clusterToken},
					Timeout:          seconds(15 * time.Second),
				}},
				ResponseHeadersToRemove: []string{"x-envoy-upstream-service-time"},
			},
			{
				Name:   "nowhere",
				Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
				Action: reply(404, `{"error":"invalid_request","error_description":"bqgate: only POST /v1/token is served here"}`),
				ResponseHeadersToAdd: []*corev3.HeaderValueOption{
					headerValue("content-type", jsonContentType), headerValue("cache-control", "no-store"),
				},
			},
		},
	}}}
}

func reply(status uint32, body string) *routev3.Route_DirectResponse {
	return &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
		Status: status,
		Body:   &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: body}},
	}}
}
