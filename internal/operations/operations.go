// Package operations is what those who run the gateway ask it: whether it lives, whether it is
// ready and if not why, and what it counts.
//
//	GET /livez    200 while the process can answer at all
//	GET /readyz   200, or 503 with the reasons, a line each. ?verbose, or
//	              Accept: application/json, for everything: Status as JSON
//	GET /metrics  for Prometheus
//
// It answers those who can reach it, without asking who they are; so it holds no secret, no SQL and
// no name of a caller, table or column, and is never behind the listener that agents use.
package operations

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/health"
	"github.com/bqgate/bqgate/internal/metrics"
)

// Status is what /readyz?verbose says, and `bqgate status` shows.
type Status struct {
	Ready   bool       `json:"ready"`
	Reasons []string   `json:"reasons"` // why it is not, "part: reason" each; empty if it is
	Parts   []Part     `json:"parts"`   // those that concern everybody first
	Process int        `json:"process"` // its id
	Started time.Time  `json:"started"`
	Version string     `json:"version"`
	Policy  string     `json:"policy_digest"`            // of the policy in force
	Loaded  time.Time  `json:"policy_loaded"`            // when it came into force
	Refused *time.Time `json:"reload_refused,omitempty"` // when the last reload was refused, if it was; the log says why
}

// Part is one part of the gateway.
type Part struct {
	Name     string    `json:"name"`
	Concerns string    `json:"concerns"` // "everybody" or "some"
	Well     bool      `json:"well"`
	Reason   string    `json:"reason,omitempty"`
	Since    time.Time `json:"since"`
}

// Handler serves them. about gives what Status has beside the parts.
func Handler(parts *health.Registry, counted *metrics.Registry, about func() Status) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { ready(w, r, of(parts.Report(), about())) })
	mux.Handle("GET /metrics", counted.Handler())
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		text(w, http.StatusNotFound, "there is /livez, /readyz (also ?verbose) and /metrics\n")
	})
	return mux
}

// of is a Status with what is known of the parts.
func of(r health.Report, s Status) Status {
	s.Ready, s.Reasons, s.Parts = r.Ready, []string{}, []Part{}
	for _, p := range r.Parts {
		s.Parts = append(s.Parts, Part{p.Name, p.Concerns.String(), p.Well(), p.Reason, p.Since.UTC()})
		if p.Concerns == health.Everybody && !p.Well() {
			s.Reasons = append(s.Reasons, p.Name+": "+p.Reason)
		}
	}
	return s
}

func ready(w http.ResponseWriter, r *http.Request, s Status) {
	status := http.StatusOK
	if !s.Ready {
		status = http.StatusServiceUnavailable
	}
	_, verbose := r.URL.Query()["verbose"]
	if verbose || strings.Contains(r.Header.Get("Accept"), "application/json") {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(s) // the caller has gone
		return
	}
	if s.Ready {
		text(w, status, "ok\n")
		return
	}
	text(w, status, strings.Join(s.Reasons, "\n")+"\n")
}

func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	fmt.Fprint(w, body)
}

// Count keeps bqgate_ready and bqgate_faults at what the parts say.
func Count(parts *health.Registry, counted *metrics.Registry, kinds []string) {
	isReady := counted.Gauge("ready", "1 while no part that concerns everybody is faulty, else 0.")
	faults := counted.Gauge("faults", "Parts that are faulty, by kind of part.", metrics.Label{Name: "part", Values: kinds})
	began := counted.Counter("faults_total", "How often a part became faulty, by kind of part.", metrics.Label{Name: "part", Values: kinds})
	before := map[string]bool{}
	parts.Watch(func(r health.Report) {
		n := map[string]float64{}
		for _, p := range r.Faults() {
			n[p.Kind()]++
			if !before[p.Name] {
				began.Inc(p.Kind())
			}
		}
		clear(before)
		for _, p := range r.Faults() {
			before[p.Name] = true
		}
		for _, kind := range kinds {
			faults.Set(n[kind], kind)
		}
		isReady.Set(0)
		if r.Ready {
			isReady.Set(1)
		}
	})
}
