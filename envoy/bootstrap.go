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

// runtimeValues are against clients that reset their requests as soon as they are made
// (CVE-2023-44487).
//
// Envoy takes up one request of a connection before the other connections have their turn. What the
// client has taken back by then is not asked about at all. And a connection ends with 100 requests
// of which more than half were reset within a second; Envoy's own bound of 500 leaves it busy with
// little else.
var runtimeValues = map[string]float64{
	"http.max_requests_per_io_cycle":              1,
	"overload.premature_reset_total_stream_count": 100,
}

// runtime has one layer. Said explicitly, there is no admin layer, so /runtime_modify of the admin
// interface cannot turn a guard off; left out, Envoy would add one.
func runtime() *bootstrapv3.LayeredRuntime {
	values := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for key, v := range runtimeValues {
		values.Fields[key] = structpb.NewNumberValue(v)
	}
	return &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{{
		Name: "static", LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: values},
	}}}
}
