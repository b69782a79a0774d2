package operations

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/bqgate/bqgate/internal/health"
	"github.com/bqgate/bqgate/internal/metrics"
)

func get(t *testing.T, h http.Handler, path, accept string) (int, string) {
	t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func made(t *testing.T) (*health.Registry, http.Handler) {
	t.Helper()
	parts, counted := health.New(slog.New(slog.NewTextHandler(io.Discard, nil))), metrics.New()
	Count(parts, counted, []string{"journal", "issuer"})
	return parts, Handler(parts, counted, func() Status { return Status{Policy: "abc"} })
}

// What concerns everybody makes /readyz 503 with its reason; what concerns some is detail.
func TestReadyz(t *testing.T) {
	parts, h := made(t)
	journal, issuer := parts.Part("journal", health.Everybody), parts.Part("issuer/a", health.Some)

	issuer.Fault("its keys cannot be fetched")
	if code, text := get(t, h, "/readyz", ""); code != 200 || text != "ok\n" {
		t.Errorf("with one issuer gone: %d %q, want 200 ok", code, text)
	}
	code, text := get(t, h, "/readyz?verbose", "")
	var s Status
	if err := json.Unmarshal([]byte(text), &s); err != nil || code != 200 || !s.Ready || len(s.Reasons) != 0 || len(s.Parts) != 2 ||
		s.Parts[1].Reason != "its keys cannot be fetched" || s.Policy != "abc" {
		t.Errorf("with one issuer gone: %d %s", code, text)
	}

	journal.Fault("no space left")
	if code, text := get(t, h, "/readyz", ""); code != 503 || text != "journal: no space left\n" {
		t.Errorf("with the journal gone: %d %q, want 503 with the reason", code, text)
	}
	code, text = get(t, h, "/readyz", "application/json")
	if err := json.Unmarshal([]byte(text), &s); err != nil || code != 503 || s.Ready || len(s.Reasons) != 1 {
		t.Errorf("with the journal gone: %d %s", code, text)
	}
	if code, _ := get(t, h, "/livez", ""); code != 200 {
		t.Errorf("livez: %d, want 200 whatever the parts say", code)
	}

	journal.Well()
	if code, text := get(t, h, "/readyz", ""); code != 200 || text != "ok\n" {
		t.Errorf("well again: %d %q", code, text)
	}
}

func TestOtherPaths(t *testing.T) {
	_, h := made(t)
	for _, path := range []string{"/", "/healthz", "/debug/pprof/", "/metrics/x", "/readyz/x", "/api/v1/requests"} {
		if code, _ := get(t, h, path, ""); code != 404 {
			t.Errorf("%s: %d, want 404", path, code)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/readyz", nil))
	if w.Code != 404 && w.Code != 405 {
		t.Errorf("POST /readyz: %d", w.Code)
	}
}

// Names of the configuration stay out of metrics: the kind of a part is a word of the code.
func TestFaultsAreCounted(t *testing.T) {
	parts, h := made(t)
	parts.Part("issuer/acme-secret-project", health.Some).Fault("x")
	parts.Part("issuer/b", health.Some).Fault("x")
	parts.Part("journal", health.Everybody).Fault("x")
	parts.Part("journal", health.Everybody).Fault("y")
	_, text := get(t, h, "/metrics", "")
	for _, line := range []string{`bqgate_faults{part="issuer"} 2`, `bqgate_faults{part="journal"} 1`, `bqgate_ready 0`,
		`bqgate_faults_total{part="issuer"} 2`, `bqgate_faults_total{part="journal"} 1`} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
	if strings.Contains(text, "acme") {
		t.Error("the name of an issuer is in the metrics")
	}
}

func TestGRPCHealth(t *testing.T) {
	parts, _ := made(t)
	authz, proc := GRPCHealth(parts, "authz"), GRPCHealth(parts, "proc", "sql")
	is := func(s healthpb.HealthServer, service string) string {
		r, err := s.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		if err != nil {
			return err.Error()
		}
		return r.Status.String()
	}
	want := func(what, a, p string) {
		t.Helper()
		for _, c := range []struct{ got, want string }{{is(authz, "authz"), a}, {is(authz, ""), a}, {is(proc, "proc"), p}} {
			if c.got != c.want {
				t.Errorf("%s: %s, want %s", what, c.got, c.want)
			}
		}
	}
	want("all well", "SERVING", "SERVING")
	parts.Part("console", health.Some).Fault("x")
	want("the console gone", "SERVING", "SERVING")
	parts.Part("sql", health.Everybody).Fault("x")
	want("the SQL workers gone", "NOT_SERVING", "SERVING")
	parts.Part("journal", health.Everybody).Fault("x")
	want("the journal gone", "NOT_SERVING", "NOT_SERVING")
	parts.Part("sql", health.Everybody).Well()
	parts.Part("journal", health.Everybody).Well()
	want("well again", "SERVING", "SERVING")
	if got := is(authz, "proc"); got == "SERVING" {
		t.Error("a service that is not there is said to serve")
	}
}
