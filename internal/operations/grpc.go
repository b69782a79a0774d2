package operations

import (
	"slices"

	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	parts "github.com/bqgate/bqgate/internal/health"
)

// GRPCHealth is grpc.health.v1 for a server of one service: the service's name and "" are SERVING
// while the parts that concern everybody are well, but those that this service does not use.
func GRPCHealth(registry *parts.Registry, service string, unused ...string) *health.Server {
	s := health.NewServer()
	registry.Watch(func(r parts.Report) {
		is := healthpb.HealthCheckResponse_SERVING
		for _, p := range r.Faults() {
			if p.Concerns == parts.Everybody && !slices.Contains(unused, p.Kind()) {
				is = healthpb.HealthCheckResponse_NOT_SERVING
			}
		}
		s.SetServingStatus("", is)
		s.SetServingStatus(service, is)
	})
	return s
}
