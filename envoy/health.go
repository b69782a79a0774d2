package envoy

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	healthcheckv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/health_check/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
)

const filterHealthCheck = "envoy.filters.http.health_check"

// checkHealth has Envoy ask a service of bqgate by grpc.health.v1 whether it could serve anybody.
//
// What is found answers /healthz (healthFilter), so that whoever leads callers to this Envoy leads
// them elsewhere. It does not keep requests from the service: a cluster of one host below the panic
// threshold is used all the same, here whenever it is not healthy. The service itself says what it
// cannot do, with BigQuery's error body, and still serves what it can: the pages of a query that
// runs while the disk is nearly full. So a check that is late under load makes no refusal, and a
// service that is gone or frozen is found by its socket and by pings, a 503 either way.
func checkHealth(c *clusterv3.Cluster, service string) {
	c.HealthChecks = []*corev3.HealthCheck{{
		Timeout:            seconds(5 * time.Second),
		Interval:           seconds(2 * time.Second),
		NoTrafficInterval:  seconds(2 * time.Second), // the default of a minute would be how long an idle gateway looks well
		UnhealthyInterval:  seconds(time.Second),
		UnhealthyThreshold: u32(3),
		HealthyThreshold:   u32(1),
		HealthChecker: &corev3.HealthCheck_GrpcHealthCheck_{
			GrpcHealthCheck: &corev3.HealthCheck_GrpcHealthCheck{ServiceName: service},
		},
	}}
	c.CommonLbConfig = &clusterv3.Cluster_CommonLbConfig{HealthyPanicThreshold: &typev3.Percent{Value: 100}}
}

// The services, by the names that grpc.health.v1 knows them by.
var (
	extAuthzService = authv3.Authorization_ServiceDesc.ServiceName
	extProcService  = procv3.ExternalProcessor_ServiceDesc.ServiceName
)

// healthFilter answers /healthz by itself: 200 while both services say that they could serve, 503
// otherwise. It says nothing of why; that is at the gateway's own /readyz.
func healthFilter() *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{
		Name: filterHealthCheck,
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(&healthcheckv3.HealthCheck{
			PassThroughMode: no(),
			Headers: []*routev3.HeaderMatcher{{
				Name: ":path", HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: exactly(healthPath)},
			}},
			ClusterMinHealthyPercentages: map[string]*typev3.Percent{clusterExtAuthz: {Value: 100}, clusterExtProc: {Value: 100}},
		})},
	}
}
