package console

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
)

const (
	activityShown    = 12   // of one subject: what a reviewer reads at a glance
	activitySubjects = 2000 // remembered; of more, those that were silent longest are forgotten
)

// Activity remembers what subjects asked for lately and was decided without a person, for the
// reviewers of what they ask next. It knows what this process decided since it started; the audit
// log knows the rest. It holds no SQL. The zero Activity is empty; it is safe for concurrent use.
type Activity struct {
	mu sync.Mutex
	by map[who]*lately
}

type who struct{ issuer, sub string }

type lately struct {
	last time.Time
	acts []act // oldest first
}

// act is one thing that a subject asked for, and how often in a row.
type act struct {
	At            time.Time // the last time
	Times         int
	Allowed       bool
	Tables        []string
	Rule, Message string
}

// Saw takes a decision in, if it is of the kind that is shown: a query or a read of a table that no
// person had to decide on.
func (a *Activity) Saw(d audit.Decision) {
	switch bigquery.Method(d.Method) {
	case bigquery.MethodQuery, bigquery.MethodInsert, bigquery.MethodListTableData, "":
	default:
		return
	}
	if d.RequestID != "" || d.Subject.Sub == "" || d.Subject.Owner == "" /* a token that is good for nothing */ ||
		(d.Effect != audit.EffectAllow && d.Effect != audit.EffectRefuse) {
		return
	}
	next := act{At: d.Time, Times: 1, Allowed: d.Effect == audit.EffectAllow, Tables: d.Tables, Rule: d.Rule}
	if !next.Allowed {
		next.Message = d.Message
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.by == nil {
		a.by = map[who]*lately{}
	}
	key := who{d.Subject.Issuer, d.Subject.Sub}
	l := a.by[key]
	if l == nil {
		if len(a.by) >= activitySubjects {
			a.forget()
		}
		l = &lately{}
		a.by[key] = l
	}
	l.last = d.Time
	if n := len(l.acts); n > 0 && l.acts[n-1].like(next) {
		next.Times += l.acts[n-1].Times
		l.acts[n-1] = next
		return
	}
	if len(l.acts) == activityShown {
		l.acts = slices.Delete(l.acts, 0, 1)
	}
	l.acts = append(l.acts, next)
}

// When says how long ago it was, and how often in a row.
func (a act) When(now time.Time) string {
	if a.Times > 1 {
		return fmt.Sprintf(" · %d times, the last %s", a.Times, ago(a.At, now))
	}
	return " · " + ago(a.At, now)
}

func (a act) like(b act) bool {
	return a.Allowed == b.Allowed && a.Rule == b.Rule && a.Message == b.Message && slices.Equal(a.Tables, b.Tables)
}

// forget drops a quarter of the subjects, so that a crowd of new ones does not search for the
// oldest at every decision.
func (a *Activity) forget() {
	times := make([]time.Time, 0, len(a.by))
	for _, l := range a.by {
		times = append(times, l.last)
	}
	slices.SortFunc(times, time.Time.Compare)
	until := times[len(times)/4]
	for key, l := range a.by {
		if !l.last.After(until) {
			delete(a.by, key)
		}
	}
}

// of lists what a subject did, newest first.
func (a *Activity) of(issuer, sub string) []act {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.by[who{issuer, sub}]
	if l == nil {
		return nil
	}
	out := slices.Clone(l.acts)
	slices.Reverse(out)
	return out
}

// Seen is a journal whose decisions are taken in once they are durable.
type Seen struct {
	Journal interface {
		Append(ctx context.Context, r audit.Record) (audit.Position, error)
	}
	Activity *Activity
}

// Append writes a record to the journal.
func (s Seen) Append(ctx context.Context, r audit.Record) (audit.Position, error) {
	at, err := s.Journal.Append(ctx, r)
	if d, ok := r.(audit.Decision); ok && err == nil {
		s.Activity.Saw(d)
	}
	return at, err
}
