// Package metrics counts what the gateway does, for Prometheus.
//
// Who scrapes is not a reader of secrets: no subject, table, column, path, rule or SQL is in it.
// That is not left to care: a label takes its values from a set that is named where the metric is
// made, and what is not in the set is counted as "other". So the number of series is known when
// the process starts, whatever callers do, and each is there from the start, at 0.
package metrics

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// prefix begins every name.
const prefix = "bqgate_"

// Other is the value of a label that is not in its set.
const Other = "other"

// Label is the name of a label and all the values that it may have, but Other, which is added.
type Label struct {
	Name   string
	Values []string
}

// Registry holds the metrics of one process. A nil Registry takes everything and shows nothing.
type Registry struct{ all *prometheus.Registry }

// New makes a Registry that has what Go's runtime and the kernel tell of the process.
func New() *Registry {
	r := &Registry{all: prometheus.NewRegistry()}
	r.all.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Handler answers with everything, in Prometheus' text or OpenMetrics. It answers a few scrapes at
// once and refuses more, and takes 5 seconds at most.
func (r *Registry) Handler() http.Handler {
	return promhttp.HandlerFor(r.all, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 5 * time.Second})
}

// Counter only grows. Its name comes without the prefix "bqgate_", and ends in "_total".
type Counter struct {
	of     *prometheus.CounterVec
	labels []Label
}

// Counter makes one. A name that is taken is a mistake of the code, and panics.
func (r *Registry) Counter(name, help string, labels ...Label) *Counter {
	if r == nil {
		return nil
	}
	c := &Counter{prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, names(labels)), closed(labels)}
	r.all.MustRegister(c.of)
	each(c.labels, func(values []string) { c.of.WithLabelValues(values...) })
	return c
}

// Add adds n, which is not negative, for the values of the labels in their order.
func (c *Counter) Add(n float64, values ...string) {
	if c != nil && n >= 0 {
		c.of.WithLabelValues(within(c.labels, values)...).Add(n)
	}
}

// Inc adds 1.
func (c *Counter) Inc(values ...string) { c.Add(1, values...) }

// Gauge goes up and down.
type Gauge struct {
	of     *prometheus.GaugeVec
	labels []Label
}

// Gauge makes one, as Registry.Counter does.
func (r *Registry) Gauge(name, help string, labels ...Label) *Gauge {
	if r == nil {
		return nil
	}
	g := &Gauge{prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: prefix + name, Help: help}, names(labels)), closed(labels)}
	r.all.MustRegister(g.of)
	each(g.labels, func(values []string) { g.of.WithLabelValues(values...) })
	return g
}

// Set sets it for the values of the labels in their order.
func (g *Gauge) Set(v float64, values ...string) {
	if g != nil {
		g.of.WithLabelValues(within(g.labels, values)...).Set(v)
	}
}

// Add adds to it, also what is negative.
func (g *Gauge) Add(v float64, values ...string) {
	if g != nil {
		g.of.WithLabelValues(within(g.labels, values)...).Add(v)
	}
}

// GaugeFunc is a gauge without labels whose value is asked for at each scrape. f must return soon.
func (r *Registry) GaugeFunc(name, help string, f func() float64) {
	if r != nil {
		r.all.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: prefix + name, Help: help}, f))
	}
}

// CounterFunc is a counter without labels whose value is asked for at each scrape.
func (r *Registry) CounterFunc(name, help string, f func() float64) {
	if r != nil {
		r.all.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: prefix + name, Help: help}, f))
	}
}

// Info is a gauge that is always 1 and whose labels say something of the process that does not
// change: its build.
func (r *Registry) Info(name, help string, facts map[string]string) {
	if r != nil {
		r.all.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: prefix + name, Help: help, ConstLabels: facts},
			func() float64 { return 1 }))
	}
}

// Seconds are upper bounds of durations from 100 microseconds to a minute: a cached decision, a
// dry run at Google, and a poll that waits.
var Seconds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// Histogram counts values by size. Its name ends in the unit.
type Histogram struct {
	of     *prometheus.HistogramVec
	labels []Label
}

// Histogram makes one with these upper bounds, as Registry.Counter does.
func (r *Registry) Histogram(name, help string, bounds []float64, labels ...Label) *Histogram {
	if r == nil {
		return nil
	}
	h := &Histogram{
		prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: prefix + name, Help: help, Buckets: bounds}, names(labels)),
		closed(labels),
	}
	r.all.MustRegister(h.of)
	each(h.labels, func(values []string) { h.of.WithLabelValues(values...) })
	return h
}

// Observe counts a value, for the values of the labels in their order.
func (h *Histogram) Observe(v float64, values ...string) {
	if h != nil {
		h.of.WithLabelValues(within(h.labels, values)...).Observe(v)
	}
}

// Took counts a duration in seconds.
func (h *Histogram) Took(d time.Duration, values ...string) { h.Observe(d.Seconds(), values...) }

func names(labels []Label) []string {
	out := make([]string, len(labels))
	for i, l := range labels {
		out[i] = l.Name
	}
	return out
}

// closed adds Other to each set.
func closed(labels []Label) []Label {
	out := make([]Label, len(labels))
	for i, l := range labels {
		if slices.Contains(l.Values, "") || slices.ContainsFunc(l.Values, func(v string) bool { return strings.ContainsAny(v, " \n\"") }) {
			panic(fmt.Sprintf("metrics: label %s: a value is empty, or more than a word", l.Name))
		}
		out[i] = Label{l.Name, append(slices.Clone(l.Values), Other)}
	}
	return out
}

// within puts Other in the place of what is not in a label's set, and of what is missing.
func within(labels []Label, values []string) []string {
	out := make([]string, len(labels))
	for i, l := range labels {
		out[i] = Other
		if i < len(values) && slices.Contains(l.Values, values[i]) {
			out[i] = values[i]
		}
	}
	return out
}

// each calls f with every combination of values.
func each(labels []Label, f func(values []string)) {
	values := make([]string, len(labels))
	var fill func(i int)
	fill = func(i int) {
		if i == len(labels) {
			f(slices.Clone(values))
			return
		}
		for _, v := range labels[i].Values {
			values[i] = v
			fill(i + 1)
		}
	}
	fill(0)
}
