package console

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/audit/audittest"
)

// decided is a decision about something that carol's pipeline asked for.
func decided(change func(*audit.Decision)) audit.Decision {
	d := audit.Decision{
		Time: time.Now(), Method: "jobs.query", Effect: audit.EffectAllow,
		Subject: audit.Subject{Issuer: callers["run1"].Issuer, Sub: callers["run1"].Sub, Owner: callers["run1"].Owner},
		SQL:     "SELECT '123-45-6789'", Tables: []string{"acme.finance.budget"},
	}
	if change != nil {
		change(&d)
	}
	return d
}

func TestActivity(t *testing.T) {
	b := newWeb(t)
	for range 3 {
		b.activity.Saw(decided(nil))
	}
	b.activity.Saw(decided(func(d *audit.Decision) {
		d.Effect, d.Message, d.Tables = audit.EffectRefuse, "DROP_TABLE is not allowed on <b>", nil
	}))
	for name, change := range map[string]func(*audit.Decision){
		"somebody else's":     func(d *audit.Decision) { d.Subject.Sub = "another" },
		"of another issuer":   func(d *audit.Decision) { d.Subject.Issuer = "https://other.example" },
		"held":                func(d *audit.Decision) { d.Effect = audit.EffectHold },
		"ran on an approval":  func(d *audit.Decision) { d.RequestID = "r-1" },
		"a poll":              func(d *audit.Decision) { d.Method = "jobs.getQueryResults" },
		"nobody's":            func(d *audit.Decision) { d.Subject = audit.Subject{} },
		"neither yes nor no":  func(d *audit.Decision) { d.Effect = "fault" },
		"somebody unknown's?": func(d *audit.Decision) { d.Subject.Sub = "" },
	} {
		d := decided(change)
		d.Tables, d.Message = []string{"acme.secret.table"}, name
		b.activity.Saw(d)
	}
	page := "/requests/" + b.hold("").ID
	a := b.as("dana").get(page)
	for _, want := range []string{"finance.budget", "3 times, the last just now", "DROP_TABLE is not allowed on &lt;b&gt;"} {
		t.Run(want, func(t *testing.T) {
			if !strings.Contains(a.text, want) {
				t.Errorf("the page lacks %s", want)
			}
		})
	}
	if strings.Index(a.text, "DROP_TABLE") > strings.Index(a.text, "finance.budget") {
		t.Error("the newest is not first")
	}
	for _, private := range []string{"123-45-6789", "secret.table"} {
		if strings.Contains(a.text, private) {
			t.Errorf("the page shows %s", private)
		}
	}
}

// A crowd of subjects, each with much to do, does not fill the memory, and who was busy last is
// remembered.
func TestActivityIsBounded(t *testing.T) {
	var a Activity
	for i := range 2 * activitySubjects {
		for n := range 2 * activityShown {
			a.Saw(decided(func(d *audit.Decision) {
				d.Subject.Sub, d.Rule, d.Time = fmt.Sprint(i), fmt.Sprint(n), time.Unix(int64(i), 0)
			}))
		}
	}
	if len(a.by) > activitySubjects {
		t.Errorf("%d subjects", len(a.by))
	}
	last := a.of(callers["run1"].Issuer, fmt.Sprint(2*activitySubjects-1))
	if len(last) != activityShown || last[0].Rule != fmt.Sprint(2*activityShown-1) {
		t.Errorf("%v", last)
	}
}

// What did not become durable did not happen.
func TestActivityIsDurable(t *testing.T) {
	var a Activity
	if _, err := (Seen{Journal: &audittest.Journal{Refuse: audittest.Broken(errors.New("the disk is full"))}, Activity: &a}).
		Append(context.Background(), decided(nil)); err == nil {
		t.Error("the failure of the journal is swallowed")
	}
	if len(a.by) != 0 {
		t.Error("it is shown all the same")
	}
}
