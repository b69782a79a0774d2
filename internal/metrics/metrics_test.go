package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func scrape(t *testing.T, r *Registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("the scrape is answered by %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// Whatever is said as a label, the series are those that were there at the start.
func TestClosedLabels(t *testing.T) {
	r := New()
	c := r.Counter("decisions_total", "Decisions.", Label{"effect", []string{"allow", "refuse"}}, Label{"reason", []string{"none"}})
	before := strings.Count(scrape(t, r), "\nbqgate_decisions_total{")
	for _, values := range [][]string{
		{"allow", "none"}, {"alice@corp.example", "crm.customers"}, {"allow", "123-45-6789"}, {"refuse"}, {}, {"", ""},
		{"allow", "none", "one too many"},
	} {
		c.Inc(values...)
	}
	text := scrape(t, r)
	if after := strings.Count(text, "\nbqgate_decisions_total{"); before != 6 || after != before {
		t.Errorf("%d series before and %d after, want 6 both times (2+1 effects, 1+1 reasons)", before, after)
	}
	for _, secret := range []string{"alice", "customers", "6789"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in the metrics", secret)
		}
	}
	for _, line := range []string{
		`bqgate_decisions_total{effect="allow",reason="none"} 2`, `bqgate_decisions_total{effect="allow",reason="other"} 1`,
		`bqgate_decisions_total{effect="refuse",reason="other"} 1`, `bqgate_decisions_total{effect="other",reason="other"} 3`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
}

func TestKinds(t *testing.T) {
	r := New()
	r.Gauge("queue_length", "Waiting.", Label{"queue", []string{"journal"}}).Set(3, "journal")
	r.GaugeFunc("free_bytes", "Free.", func() float64 { return 42 })
	r.CounterFunc("written_bytes_total", "Written.", func() float64 { return 7 })
	r.Histogram("step_seconds", "Steps.", []float64{1, 2}, Label{"step", []string{"analyze"}}).Observe(1.5, "analyze")
	r.Info("build_info", "The build.", map[string]string{"version": "v1"})
	text := scrape(t, r)
	for _, line := range []string{
		`bqgate_queue_length{queue="journal"} 3`, `bqgate_free_bytes 42`, `bqgate_written_bytes_total 7`,
		`bqgate_step_seconds_bucket{step="analyze",le="2"} 1`, `bqgate_build_info{version="v1"} 1`,
		`bqgate_step_seconds_count{step="other"} 0`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
}

func TestNobodyScrapes(t *testing.T) {
	var r *Registry
	r.Counter("x_total", "X.").Inc()
	r.Gauge("x", "X.").Set(1)
	r.Histogram("x_seconds", "X.", Seconds).Observe(1)
	r.GaugeFunc("y", "Y.", func() float64 { return 0 })
	r.CounterFunc("y_total", "Y.", func() float64 { return 0 })
	r.Info("z", "Z.", nil)
}

func TestMistakesOfTheCode(t *testing.T) {
	for name, make := range map[string]func(r *Registry){
		"a name twice":   func(r *Registry) { r.Counter("x_total", "X."); r.Counter("x_total", "X.") },
		"an empty value": func(r *Registry) { r.Counter("x_total", "X.", Label{"a", []string{""}}) },
		"a sentence":     func(r *Registry) { r.Counter("x_total", "X.", Label{"a", []string{"no such table"}}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("taken")
				}
			}()
			make(New())
		})
	}
}
