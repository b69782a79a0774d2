package envoy

import (
	"strings"

	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
)

const filterExtProc = "envoy.filters.http.ext_proc"

// credentialHeaders are kept from ext_proc, the access log and responses. `authorization` holds the
// minted Google token by the time that ext_proc runs.
var credentialHeaders = []string{"authorization", "proxy-authorization", "cookie", "x-goog-iam-authorization-token"}

// pathHeader is the one pseudo-header that ext_proc may set, as a regular expression. The route
// does not depend on it any more: its cache is kept.
const pathHeader = ":path"

// responseAttributes tell ext_proc who made a response. Nothing else does: a denial, a pending job,
// Envoy's own errors and BigQuery's answer arrive alike.
var responseAttributes = []string{"response.code_details", "response.flags"}

// extProc shows bqgate every request body after ext_authz, and every response but ext_authz's own.
// There is exactly one such filter: bodies get truncated between two (envoyproxy/envoy issues
// 41654, 43983, 47449).
func extProc(c Config) *hcmv3.HttpFilter {
	return unlessReplied(filterExtProc, &extprocv3.ExternalProcessor{
		StatPrefix: "bqgate",
		// No timeout of the call itself: it lives as long as the download. Silence is bounded
		// by the message timeout, by the route's idle timeout and by the pings of the cluster.
		GrpcService: &corev3.GrpcService{
			TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: clusterExtProc}},
		},
		FailureModeAllow: false,
		StatusOnError:    &typev3.HttpStatus{Code: typev3.StatusCode_ServiceUnavailable},
		MessageTimeout:   seconds(c.Timeouts.Process),
		ProcessingMode: &extprocv3.ProcessingMode{
			RequestHeaderMode:  extprocv3.ProcessingMode_SEND,
			RequestBodyMode:    extprocv3.ProcessingMode_BUFFERED,
			RequestTrailerMode: extprocv3.ProcessingMode_SEND, // no client has a use for them: ext_proc refuses them
			ResponseHeaderMode: extprocv3.ProcessingMode_SEND,
			ResponseBodyMode: extprocv3.
				ProcessingMode_FULL_DUPLEX_STREAMED, // lets ext_proc hold bytes back until it understands them
			ResponseTrailerMode: extprocv3.ProcessingMode_SEND,
		},
		AllowModeOverride: false, // an override could switch masking off
		RouteCacheAction:  extprocv3.ExternalProcessor_RETAIN,
		MetadataOptions: &extprocv3.MetadataOptions{
			ForwardingNamespaces: &extprocv3.MetadataOptions_MetadataNamespaces{Untyped: []string{filterExtAuthz}},
		},
		ResponseAttributes: responseAttributes,
		ForwardRules:       &extprocv3.HeaderForwardingRules{DisallowedHeaders: exactlyOneOf(credentialHeaders)},
		MutationRules: &mutationv3.HeaderMutationRules{
			DisallowIsError: yes(),
			DisallowSystem:  yes(),
			AllowExpression: &matcherv3.RegexMatcher{Regex: pathHeader}, // ext_proc writes the query that was decided on
			// so that it can remove x-envoy-* of a proxy between here and Google
			AllowEnvoy:         yes(),
			DisallowExpression: &matcherv3.RegexMatcher{Regex: strings.Join(credentialHeaders, "|")},
		},
	})
}
