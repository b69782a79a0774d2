package envoy

import (
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// Bootstrap builds the whole configuration.
func Bootstrap(c Config) (*bootstrapv3.Bootstrap, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	b := &bootstrapv3.Bootstrap{
		Node:            &corev3.Node{Id: "bqgate", Cluster: "bqgate"},
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{Listeners: listeners(c), Clusters: clusters(c)},
		OverloadManager: overloadManager(c.Limits),
		LayeredRuntime:  runtime(),
	}
	if c.Admin != "" {
		b.Admin = admin(c.Admin)
	}
	return b, nil
}

func listeners(c Config) []*listenerv3.Listener {
	var out []*listenerv3.Listener
	for i, l := range c.REST {
		out = append(out, dataListener(c, surfaceREST, i, l))
	}
	for i, l := range c.GRPC {
		out = append(out, dataListener(c, surfaceGRPC, i, l))
	}
	for i, l := range c.Token {
		out = append(out, tokenListener(c, i, l))
	}
	return out
}

func clusters(c Config) []*clusterv3.Cluster {
	out := []*clusterv3.Cluster{
		grpcServiceCluster(clusterExtAuthz, extAuthzService, c.ExtAuthz, c.Limits.MaxChecks),
		// Also what never had headers is answered through ext_proc: thousands of connections whose
		// time is up at once must not use up the calls of everybody else.
		grpcServiceCluster(clusterExtProc, extProcService, c.ExtProc, c.Limits.MaxStreams+c.Limits.MaxConnections),
		upstreamCluster(clusterBigQuery, c.BigQuery, surfaceREST, c.Limits.MaxStreams),
	}
	if len(c.GRPC) > 0 {
		out = append(out, upstreamCluster(clusterStorageRead, c.StorageRead, surfaceGRPC, c.Limits.MaxStreams))
	}
	if len(c.Token) > 0 {
		out = append(out, tokenCluster(c.TokenEndpoint, c.Limits))
	}
	return out
}

// requestsPerTurn is how many requests of one connection Envoy takes up before the other connections
// have their turn. What a client has taken back by then is not asked about at all: so one that
// resets its requests as soon as they are made keeps nobody busy but itself.
const (
	runtimeRequestsPerTurn = "http.max_requests_per_io_cycle"
	requestsPerTurn        = 1
)

// runtime has one layer. Said explicitly, there is no admin layer, so /runtime_modify of the admin
// interface cannot turn a guard off; left out, Envoy would add one.
func runtime() *bootstrapv3.LayeredRuntime {
	return &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{{
		Name: "static",
		LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: &structpb.Struct{Fields: map[string]*structpb.Value{
			runtimeRequestsPerTurn: structpb.NewNumberValue(requestsPerTurn),
		}}},
	}}}
}
