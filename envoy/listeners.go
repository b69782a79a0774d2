package envoy

import (
	"fmt"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
)

// surface is what a listener speaks.
type surface string

const (
	surfaceREST  surface = "rest"
	surfaceGRPC  surface = "grpc"
	surfaceToken surface = "token"
)

const filterHTTPConnectionManager = "envoy.filters.network.http_connection_manager"

func dataListener(c Config, s surface, i int, l Listener) *listenerv3.Listener {
	return listener(s, i, l, dataManager(c, s))
}

// tokenListener is a listener of its own, not a route beside the data: its filter chain has no
// ext_authz, so nothing that leads to Google may ever be reachable through it.
func tokenListener(c Config, i int, l Listener) *listenerv3.Listener {
	return listener(surfaceToken, i, l, tokenManager(c))
}

func listener(s surface, i int, l Listener, manager *hcmv3.HttpConnectionManager) *listenerv3.Listener {
	chain := &listenerv3.FilterChain{
		Filters: []*listenerv3.Filter{{
			Name:       filterHTTPConnectionManager,
			ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(manager)},
		}},
		TransportSocketConnectTimeout: seconds(10 * time.Second),
	}
	if l.TLS != nil {
		chain.TransportSocket = downstreamTLS(*l.TLS, alpn(s))
	}
	return &listenerv3.Listener{
		Name:         fmt.Sprintf("%s_%d", s, i),
		Address:      tcp(l.Address),
		FilterChains: []*listenerv3.FilterChain{chain},
		// Small: slow clients hold little memory. Request bodies get more by route.
		PerConnectionBufferLimitBytes: u32(64 << 10),
		// A second Envoy on the same port is a mistake that must show, not one that takes half of
		// the connections.
		EnableReusePort:  no(),
		TrafficDirection: corev3.TrafficDirection_INBOUND,
	}
}

func alpn(s surface) []string {
	if s == surfaceGRPC {
		return []string{"h2"}
	}
	return []string{"h2", "http/1.1"}
}
