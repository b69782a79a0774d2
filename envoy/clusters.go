package envoy

import (
	"net"
	"net/netip"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// Names of the clusters. They are fixed: no header or route of a request chooses another.
const (
	clusterExtAuthz    = "ext_authz"
	clusterExtProc     = "ext_proc"
	clusterToken       = "token"
	clusterBigQuery    = "bigquery"
	clusterStorageRead = "bigquery_storage_read"
)

// How a service that is frozen is noticed, and what a service may take that is only slow: one whose
// processor is shared with a flood answers a ping late, and its callers are to wait, not to be
// refused. Whoever reads an answer from a frozen one is broken off within frozenWithin (A15).
const (
	pingEvery          = time.Second
	pingAnsweredWithin = 8 * time.Second
	frozenWithin       = pingEvery + pingAnsweredWithin

	// connectedWithin is for the connection and its TLS handshake, which a busy service is late
	// with.
	connectedWithin = 5 * time.Second
)

// resetsUnread is how many frames may wait for a service that is slow to read. Each request that a
// client gives up is one, and Envoy's own bounds, 1,000 and 10,000, end the connection with all the
// other requests on it: a client that resets its requests as soon as they are made
// (CVE-2023-44487) could have everybody's refused. A frame of a reset has 13 bytes.
const resetsUnread = 1_000_000

const httpProtocolOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// grpcServiceCluster reaches ext_authz or ext_proc. requests bounds the calls at once; a held
// query's long-poll is one for as long as it lasts, and Envoy's own default of 1024 would turn a
// busy afternoon of approvals into refusals.
func grpcServiceCluster(name, service string, s Service, requests uint32) *clusterv3.Cluster {
	c := serviceCluster(name, s, requests)
	checkHealth(c, service)
	c.TypedExtensionProtocolOptions = protocolOptions(&httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
					Http2ProtocolOptions: serviceWindows.in(&corev3.Http2ProtocolOptions{
						MaxOutboundFrames: u32(resetsUnread), MaxOutboundControlFrames: u32(resetsUnread),
						// A frozen service keeps its socket open, and a FULL_DUPLEX_STREAMED body
						// has no message timeout: without pings the client would hang until the
						// idle timeout. The services allow pings this often in their keepalive
						// enforcement policy.
						ConnectionKeepalive: &corev3.KeepaliveSettings{
							Interval: seconds(pingEvery),
							Timeout:  seconds(pingAnsweredWithin),
							// An idle connection to a service that froze meanwhile is noticed
							// before a request is put on it.
							ConnectionIdleInterval: seconds(2 * time.Second),
						},
					})},
			}},
	})
	return c
}

// tokenCluster reaches the token endpoint, plain HTTP/1.1.
func tokenCluster(s Service, l Limits) *clusterv3.Cluster {
	c := serviceCluster(clusterToken, s, l.MaxTokenRate*2)
	c.TypedExtensionProtocolOptions = protocolOptions(&httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
					HttpProtocolOptions: &corev3.Http1ProtocolOptions{},
				},
			}},
	})
	return c
}

func serviceCluster(name string, s Service, requests uint32) *clusterv3.Cluster {
	c := &clusterv3.Cluster{
		Name:            name,
		ConnectTimeout:  seconds(connectedWithin),
		CircuitBreakers: circuitBreakers(requests),
	}
	if s.Socket != "" {
		c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
		c.LoadAssignment = oneEndpoint(name, pipe(s.Socket, 0))
		return c
	}
	locate(c, s.Address)
	c.TransportSocket = mutualTLS(*s.TLS)
	return c
}

// upstreamCluster reaches a Google API host: HTTP/2 or HTTP/1.1 for REST, whichever ALPN finds,
// HTTP/2 for gRPC.
func upstreamCluster(name string, u Upstream, s surface, requests uint32) *clusterv3.Cluster {
	c := &clusterv3.Cluster{
		Name:            name,
		ConnectTimeout:  seconds(5 * time.Second),
		CircuitBreakers: circuitBreakers(requests),
		TransportSocket: upstreamTLS(u),
		UpstreamConnectionOptions: &clusterv3.UpstreamConnectionOptions{
			TcpKeepalive: &corev3.TcpKeepalive{KeepaliveTime: u32(60), KeepaliveInterval: u32(10), KeepaliveProbes: u32(3)},
		},
		// Bounds the body chunks that ext_proc gets; 256 KiB costs no speed.
		PerConnectionBufferLimitBytes: u32(256 << 10),
	}
	locate(c, u.Address)
	h2 := upstreamWindows.in(&corev3.Http2ProtocolOptions{
		ConnectionKeepalive: &corev3.KeepaliveSettings{Interval: seconds(30 * time.Second), Timeout: seconds(10 * time.Second)},
	})
	options := &httpv3.HttpProtocolOptions{
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{IdleTimeout: seconds(90 * time.Second)},
	}
	if s == surfaceGRPC {
		options.UpstreamProtocolOptions = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: h2},
			}}
	} else {
		options.UpstreamProtocolOptions = &httpv3.HttpProtocolOptions_AutoConfig{AutoConfig: &httpv3.HttpProtocolOptions_AutoHttpConfig{
			HttpProtocolOptions:  &corev3.Http1ProtocolOptions{},
			Http2ProtocolOptions: h2,
		}}
	}
	c.TypedExtensionProtocolOptions = protocolOptions(options)
	return c
}

// locate gives c the one address it connects to; names are looked up by DNS.
func locate(c *clusterv3.Cluster, address string) {
	kind := clusterv3.Cluster_LOGICAL_DNS
	host, _, _ := net.SplitHostPort(address)
	if _, err := netip.ParseAddr(host); err == nil {
		kind = clusterv3.Cluster_STATIC
	} else {
		c.DnsLookupFamily = clusterv3.Cluster_V4_PREFERRED
	}
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: kind}
	c.LoadAssignment = oneEndpoint(c.Name, tcp(address))
}

func oneEndpoint(cluster string, a *corev3.Address) *endpointv3.ClusterLoadAssignment {
	return &endpointv3.ClusterLoadAssignment{
		ClusterName: cluster,
		Endpoints: []*endpointv3.LocalityLbEndpoints{{
			LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: a}},
			}},
		}},
	}
}

// circuitBreakers bounds what is under way at once, and allows no retry: a POST of a job that is
// sent twice may run twice.
func circuitBreakers(requests uint32) *clusterv3.CircuitBreakers {
	return &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
		MaxConnections:     u32(requests),
		MaxPendingRequests: u32(requests),
		MaxRequests:        u32(requests),
		MaxRetries:         u32(0),
	}}}
}

func protocolOptions(o *httpv3.HttpProtocolOptions) map[string]*anypb.Any {
	return map[string]*anypb.Any{httpProtocolOptions: packed(o)}
}
