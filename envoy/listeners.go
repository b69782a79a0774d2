package envoy

import (
	"fmt"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	connectionlimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/connection_limit/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// surface is what a listener speaks.
type surface string

const (
	surfaceREST  surface = "rest"
	surfaceGRPC  surface = "grpc"
	surfaceToken surface = "token"
)

const (
	filterHTTPConnectionManager = "envoy.filters.network.http_connection_manager"
	filterConnectionLimit       = "envoy.filters.network.connection_limit"
	filterTLSInspector          = "envoy.filters.listener.tls_inspector"

	// firstByteWithin outlasts two lost packets. headersWithin is counted from the first byte of a
	// request to the last of its headers.
	firstByteWithin = 3 * time.Second
	headersWithin   = 5 * time.Second
)

// connectionLimit leaves a quarter of all connections to the other listeners: a flood of one door
// does not close the others. all is how many there may be.
func connectionLimit(s surface, i int, all uint32) *connectionlimitv3.ConnectionLimit {
	return &connectionlimitv3.ConnectionLimit{
		StatPrefix:     fmt.Sprintf("%s_%d", s, i),
		MaxConnections: wrapperspb.UInt64(uint64(all) - uint64(all)/4),
	}
}

func dataListener(c Config, s surface, i int, l Listener) *listenerv3.Listener {
	return listener(s, i, l, c.Limits.MaxConnections, dataManager(c, s))
}

// tokenListener is a listener of its own, not a route beside the data: its filter chain has no
// ext_authz, so nothing that leads to Google may ever be reachable through it.
func tokenListener(c Config, i int, l Listener) *listenerv3.Listener {
	return listener(surfaceToken, i, l, c.Limits.MaxConnections, tokenManager(c))
}

func listener(s surface, i int, l Listener, all uint32, manager *hcmv3.HttpConnectionManager) *listenerv3.Listener {
	chain := &listenerv3.FilterChain{
		Filters: []*listenerv3.Filter{
			{Name: filterConnectionLimit, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(connectionLimit(s, i, all))}},
			{Name: filterHTTPConnectionManager, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(manager)}},
		},
		TransportSocketConnectTimeout: seconds(10 * time.Second),
	}
	if l.TLS != nil {
		chain.TransportSocket = downstreamTLS(*l.TLS, alpn(s))
	}
	return &listenerv3.Listener{
		Name:         fmt.Sprintf("%s_%d", s, i),
		Address:      tcp(l.Address),
		FilterChains: []*listenerv3.FilterChain{chain},
		// Whoever connects is about to speak. The inspector waits for the first byte, and a
		// connection that sends none goes before it costs more than its descriptor. What it finds
		// is not used.
		ListenerFilters: []*listenerv3.ListenerFilter{{
			Name:       filterTLSInspector,
			ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: packed(&tlsinspectorv3.TlsInspector{})},
		}},
		ListenerFiltersTimeout: seconds(firstByteWithin),
		// A flood of new connections takes turns with the requests of those that are there.
		MaxConnectionsToAcceptPerSocketEvent: u32(16),
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
