package verdict

import (
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/durable/durabletest"
	"github.com/bqgate/bqgate/internal/masking"
	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/internal/sealedtest"
)

// A1: a verdict opens for a minute, and only what was sealed as one.
func TestOpen(t *testing.T) {
	keys := sealedtest.Keyring(t, 'k')
	other := sealedtest.Keyring(t, 'o')
	decided := durabletest.Decided(t, "d-1")
	now := time.Now()
	f := Forward{Decision: "d-1", Expires: now.Add(Lifetime)}
	seal := func(ring *sealed.Keyring, f Forward) string {
		text, err := Seal(ring, decided, f)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	if _, err := Seal(keys, decided, Forward{Expires: now.Add(Lifetime)}); err == nil {
		t.Error("a verdict without a decision was sealed")
	}
	if _, err := Seal(keys, decided, Forward{Decision: "d-2", Expires: now.Add(Lifetime)}); err == nil {
		t.Error("a verdict of another decision than the one that is recorded was sealed")
	}
	elsewhere, err := keys.Seal("redis/job", f)
	if err != nil {
		t.Fatal(err)
	}
	good := seal(keys, f)
	later, err := durable.Seal(keys, purpose, decided, map[string]any{ // as a later bqgate may seal it
		"decision": "d-1", "expires": f.Expires, "plan": map[string]any{"version": masking.Version + 1, "columns": nil},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text  string
		at    time.Time
		opens bool
	}{
		"at once":                    {text: good, at: now, opens: true},
		"in the last second":         {text: good, at: now.Add(Lifetime - time.Second), opens: true},
		"when it ends":               {text: good, at: now.Add(Lifetime)},
		"an hour later":              {text: good, at: now.Add(time.Hour)},
		"without an end":             {text: seal(keys, Forward{Decision: "d-1"}), at: now},
		"sealed with another secret": {text: seal(other, f), at: now},
		"sealed for another place":   {text: elsewhere, at: now},
		"of another version":         {text: later, at: now},
		"in the clear":               {text: `{"decision":"d-1"}`, at: now},
		"nothing":                    {at: now},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Open(keys, c.text, c.at)
			if opened := err == nil && got != nil && got.Decision == "d-1"; opened != c.opens {
				t.Errorf("opened %v (%v), want %v", opened, err, c.opens)
			}
			if err != nil && got != nil {
				t.Error("a verdict beside an error")
			}
		})
	}
}
