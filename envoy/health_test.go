package envoy

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	grpchealth "google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// registerHealth makes a service say that it serves, as the gateway's do.
func (w *world) registerHealth(s *grpc.Server, service string) {
	if w.health == nil {
		w.health = map[string]*grpchealth.Server{}
	}
	w.health[service] = grpchealth.NewServer()
	w.health[service].SetServingStatus(service, healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(s, w.health[service])
}

// becomes waits until /healthz has this status.
func (w *world) becomes(t *testing.T, code int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for got := 0; got != code; {
		if got, _, _ = get(t, "http://"+w.rest+"/healthz"); got == code {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("/healthz is %d after 20 s, want %d", got, code)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// /healthz is what the services say of themselves. What they say keeps no request from them: a
// service that is not ready answers in its own words, and never does a request pass without it.
func TestHealthz(t *testing.T) {
	for service, named := range map[string]string{extAuthzService: "ext_authz", extProcService: "ext_proc"} {
		t.Run(named, func(t *testing.T) {
			w := start(t, &world{check: deny(http.StatusForbidden, `{"error":{"message":"in its own words"}}`)})
			w.becomes(t, 200)
			w.health[service].SetServingStatus(service, healthpb.HealthCheckResponse_NOT_SERVING)
			w.becomes(t, 503)
			code, _, body := get(t, "http://"+w.rest+"/bigquery/v2/projects/demo/jobs")
			if code != 403 || !strings.Contains(body, "in its own words") {
				t.Errorf("a request to a service that is not ready: %d %s, want its own answer", code, body)
			}
			w.health[service].SetServingStatus(service, healthpb.HealthCheckResponse_SERVING)
			w.becomes(t, 200)
			if n := len(w.requests()); n != 0 {
				t.Errorf("%d requests arrived upstream", n)
			}
		})
	}
}

// Without the services there is a 503 with BigQuery's error body, and nothing passes.
func TestNoServices(t *testing.T) {
	w := start(t, &world{noExtAuthz: true, noExtProc: true})
	w.becomes(t, 503)
	code, contentType, body := get(t, "http://"+w.rest+"/bigquery/v2/projects/demo/jobs")
	if code != 503 || contentType != jsonContentType || !strings.Contains(body, `"reason":"backendError"`) {
		t.Errorf("%d %s %s, want 503 with BigQuery's error", code, contentType, body)
	}
	if n := len(w.requests()); n != 0 {
		t.Errorf("%d requests arrived upstream", n)
	}
}
