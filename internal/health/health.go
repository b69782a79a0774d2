// Package health is what the gateway knows of its own state: which of its parts are well, and for
// whom it matters where one is not.
//
// A part reports itself: Fault with a reason when it cannot do what it is there for, Well when it
// can again. What concerns everybody makes the gateway not ready, so that whoever leads callers to
// it leads them to another replica. What concerns some is detail: one dead issuer must not take all
// replicas away from the callers of the others (A40).
//
// Reasons are read by operators, in the log, at /readyz and in `bqgate status`. They say what is
// wrong and what ends it, and never hold a secret, SQL, or the name of a caller, table or column.
package health

import (
	"cmp"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// Concerns says for whom a part's fault matters.
type Concerns int

// The zero value is the stricter one.
const (
	Everybody Concerns = iota // no caller could be served: the gateway is not ready
	Some                      // some callers or features: detail, and still ready
)

// String is "everybody" or "some".
func (c Concerns) String() string {
	if c == Some {
		return "some"
	}
	return "everybody"
}

// Registry holds the parts of one process. It is used by many goroutines. A nil Registry keeps
// nothing, and gives parts that report to nobody.
type Registry struct {
	log *slog.Logger
	now func() time.Time

	mu       sync.Mutex
	parts    map[string]*Part
	watchers []func(Report)
}

// New makes a Registry without parts, which is ready. Whatever changes is logged.
func New(log *slog.Logger) *Registry {
	return &Registry{log: log, now: time.Now, parts: map[string]*Part{}}
}

// Part returns the part of this name, and makes it if it is not there: well until it says
// otherwise. The name is a word, or a word, a slash and a name of the configuration: "journal",
// "issuer/github". A part that was made before keeps the stricter of both Concerns.
func (r *Registry) Part(name string, c Concerns) *Part {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.parts[name]
	if p == nil {
		p = &Part{registry: r, state: State{Name: name, Concerns: c, Since: r.now()}}
		r.parts[name] = p
	}
	p.state.Concerns = min(p.state.Concerns, c)
	return p
}

// Watch calls f with what is known, now and whenever a part becomes faulty, well, or faulty for
// another reason. Calls come one after the other; f must return soon and must not report itself.
func (r *Registry) Watch(f func(Report)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watchers = append(r.watchers, f)
	f(r.report())
}

// Report is what is known of all parts.
func (r *Registry) Report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.report()
}

func (r *Registry) report() Report {
	all := Report{Ready: true}
	for _, p := range r.parts {
		all.Parts = append(all.Parts, p.state)
		if p.state.Concerns == Everybody && !p.state.Well() {
			all.Ready = false
		}
	}
	slices.SortFunc(all.Parts, func(a, b State) int {
		return cmp.Or(cmp.Compare(a.Concerns, b.Concerns), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// Part is one thing that can be faulty. A nil Part reports to nobody.
type Part struct {
	registry *Registry
	state    State // guarded by the registry's mutex
}

// Fault says that the part cannot do what it is there for, and why. Saying so again changes the
// reason; since when stays.
func (p *Part) Fault(reason string) { p.set(cmp.Or(strings.TrimSpace(reason), "not said why")) }

// Well says that the part can do again what it is there for.
func (p *Part) Well() { p.set("") }

// Report is Fault with the error's text, or Well for nil.
func (p *Part) Report(err error) {
	if err == nil {
		p.Well()
		return
	}
	p.Fault(err.Error())
}

func (p *Part) set(reason string) {
	if p == nil {
		return
	}
	r := p.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	before := p.state
	if before.Reason == reason {
		return
	}
	p.state.Reason = reason
	if before.Well() != p.state.Well() {
		p.state.Since = r.now()
		r.say(p.state, p.state.Since.Sub(before.Since))
	}
	report := r.report()
	for _, f := range r.watchers {
		f(report)
	}
}

// say logs that a part changed. A reason that changes while the part stays faulty is not logged: it
// may hold a number that moves.
func (r *Registry) say(s State, after time.Duration) {
	log := r.log.With("part", s.Name, "concerns", s.Concerns.String())
	switch {
	case s.Well():
		log.Info("well again", "after", after.Round(time.Millisecond).String())
	case s.Concerns == Everybody:
		log.Error("faulty: the gateway is not ready", "reason", s.Reason)
	default:
		log.Warn("faulty", "reason", s.Reason)
	}
}

// Report is the state of a process.
type Report struct {
	Ready bool    // no part that concerns everybody is faulty
	Parts []State // those that concern everybody first, each group by name
}

// Faults are the parts that are faulty.
func (r Report) Faults() []State {
	return slices.DeleteFunc(slices.Clone(r.Parts), State.Well)
}

// State is what is known of a part.
type State struct {
	Name     string
	Concerns Concerns
	Reason   string    // empty: well
	Since    time.Time // when it became what it is
}

// Well says that the part is not faulty.
func (s State) Well() bool { return s.Reason == "" }

// Kind is the name without what comes after a slash: a word of the code, never of a configuration.
func (s State) Kind() string {
	kind, _, _ := strings.Cut(s.Name, "/")
	return kind
}
