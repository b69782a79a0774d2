package envoy

import (
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
)

const filterExtAuthz = "envoy.filters.http.ext_authz"

// extAuthz asks bqgate about every request, with the whole body, before anything else looks at it.
func extAuthz(c Config) *hcmv3.HttpFilter {
	check := asking(c)
	// The body is what is decided about: all of it or a 413, and as bytes, since SQL may hold any
	// and a string field would change them.
	check.WithRequestBody = &extauthzv3.BufferSettings{
		MaxRequestBytes:     c.Limits.MaxRequestBytes,
		AllowPartialMessage: false,
		PackAsBytes:         true,
	}
	return &hcmv3.HttpFilter{Name: filterExtAuthz, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(check)}}
}

// asking is a filter that asks ext_authz, without the body.
func asking(c Config) *extauthzv3.ExtAuthz {
	return &extauthzv3.ExtAuthz{
		TransportApiVersion: corev3.ApiVersion_V3,
		StatPrefix:          "bqgate",
		Services: &extauthzv3.ExtAuthz_GrpcService{GrpcService: &corev3.GrpcService{
			TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: clusterExtAuthz}},
			Timeout:         seconds(c.Timeouts.Check),
		}},
		// A service that is down, slow or answers nonsense is a 503, which clients retry, and never
		// a pass.
		FailureModeAllow: false,
		StatusOnError:    &typev3.HttpStatus{Code: typev3.StatusCode_ServiceUnavailable},
		// Duplicate headers stay apart and bytes stay bytes. No header is kept from ext_authz: it
		// removes from the request what is not on its allow-list, and could not remove what it does
		// not see.
		EncodeRawHeaders:  true,
		ValidateMutations: true,
		DecoderHeaderMutationRules: &mutationv3.HeaderMutationRules{
			DisallowIsError: yes(),
			DisallowSystem:  yes(), // no pseudo-header; host is not allowed by default
			AllowEnvoy:      yes(), // so that it can remove x-envoy-external-address, which Envoy adds
		},
		// The route was chosen by the path that was decided about, and stays.
		ClearRouteCache: false,
	}
}
