package audit

import (
	"fmt"
	"testing"
	"time"
)

// A process is killed in the middle of answers: of what it had forwarded, that has no end which is
// told of anywhere.
func TestUnfinished(t *testing.T) {
	dir, key := t.TempDir(), testKey(t)
	killed := open(t, dir, key, Options{})
	appendAll(t, killed,
		Decision{ID: "d-whole", Effect: EffectAllow, Forwarded: true}, Outcome{Decision: "d-whole", State: StateComplete},
		Decision{ID: "d-refused", Effect: EffectRefuse},
		Decision{ID: "d-cut", Effect: EffectAllow, Forwarded: true}, Frame{Decision: "d-cut", Bytes: []byte("x")},
		Decision{ID: "d-told-elsewhere", Effect: EffectAllow, Forwarded: true},
		Decision{ID: "d-answered-here", Effect: EffectAllow},
	)
	killed.file.Close() // as the kernel does; no closing record, no lock
	living := open(t, dir, key, Options{})
	appendAll(t, living, Decision{ID: "d-running", Effect: EffectAllow, Forwarded: true},
		Outcome{Decision: "d-told-elsewhere", State: StateBroken})
	ids := func(since time.Time) string {
		t.Helper()
		found, err := Unfinished(dir, key, since)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, d := range found {
			ids = append(ids, d.ID)
		}
		return fmt.Sprint(ids)
	}
	if got := ids(time.Now().Add(-time.Hour)); got != "[d-cut]" {
		t.Errorf("unfinished: %s, want d-cut alone", got)
	}
	if got := ids(time.Now().Add(time.Hour)); got != "[]" {
		t.Errorf("unfinished since later: %s, want none", got)
	}
	appendAll(t, living, Outcome{Decision: "d-cut", State: StateUnknown})
	if got := ids(time.Now().Add(-time.Hour)); got != "[]" {
		t.Errorf("unfinished: %s, although that was closed", got)
	}
}
