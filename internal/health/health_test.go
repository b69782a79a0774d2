package health

import (
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

func silent() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// Ready is what the parts that concern everybody say, and nothing else.
func TestReady(t *testing.T) {
	type say struct {
		part   string
		of     Concerns
		reason string
	}
	for _, c := range []struct {
		name  string
		say   []say
		ready bool
	}{
		{"no part", nil, true},
		{"all well", []say{{"journal", Everybody, ""}, {"console", Some, ""}}, true},
		{"one that concerns some", []say{{"issuer/a", Some, "its keys cannot be fetched"}}, true},
		{"all that concern some", []say{{"issuer/a", Some, "x"}, {"console", Some, "y"}, {"journal", Everybody, ""}}, true},
		{"one that concerns everybody", []say{{"journal", Everybody, "no space"}, {"console", Some, ""}}, false},
		{"and well again", []say{{"journal", Everybody, "no space"}, {"journal", Everybody, ""}}, true},
		{"one of two well again", []say{{"journal", Everybody, "x"}, {"redis", Everybody, "y"}, {"journal", Everybody, ""}}, false},
		{"a part of both concerns", []say{{"sql", Everybody, ""}, {"sql", Some, "no worker"}}, false},
		{"a fault without words", []say{{"keys", Everybody, " "}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := New(silent())
			for _, s := range c.say {
				p := r.Part(s.part, s.of)
				switch s.reason {
				case "":
					p.Well()
				default:
					p.Fault(s.reason)
				}
			}
			if got := r.Report().Ready; got != c.ready {
				t.Errorf("ready is %v, want %v: %+v", got, c.ready, r.Report())
			}
		})
	}
}

func TestSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(silent())
		p := r.Part("disk", Everybody)
		time.Sleep(time.Minute)
		p.Fault("63 MiB left")
		began := time.Now()
		time.Sleep(time.Minute)
		p.Fault("62 MiB left")
		if s := r.Report().Faults()[0]; !s.Since.Equal(began) || s.Reason != "62 MiB left" {
			t.Errorf("a fault that goes on is %+v, want since %v with the last reason", s, began)
		}
		p.Well()
		if s := r.Report().Parts[0]; !s.Since.Equal(time.Now()) || !s.Well() {
			t.Errorf("well again is %+v, want since now", s)
		}
	})
}

// Who watches sees each change once, and where the process stands when it begins.
func TestWatch(t *testing.T) {
	r := New(silent())
	p := r.Part("redis", Everybody)
	var seen []bool
	r.Watch(func(now Report) { seen = append(seen, now.Ready) })
	p.Well() // no change
	p.Fault("does not answer")
	p.Fault("does not answer")
	p.Well()
	if len(seen) != 3 || !seen[0] || seen[1] || !seen[2] {
		t.Errorf("ready was %v, want true, false, true", seen)
	}
}

func TestNobodyListens(t *testing.T) {
	var r *Registry
	p := r.Part("journal", Everybody)
	p.Fault("x") // must not panic: parts of tests report to nobody
	p.Well()
}
