//go:build e2e

package e2e

import (
	"bytes"
	"testing"
	"time"

	"github.com/bqgate/bqgate/e2e/soak"
)

// Each fault of the table in docs/invariants.md that can be brought about from outside, once, under
// a small load: what everybody gets is their answer, a refusal or a fault in the form of the API,
// or a connection that ends, and never a raw byte; when it is over all is well again without a
// hand; and nothing that was acknowledged is missing from the journal (I1, I2, I7). `make soak` is
// the same for long.
func TestFaultTable(t *testing.T) {
	o := soak.Options{Root: repoRoot(t), Seed: uint64(time.Now().UnixNano()), Callers: 8, Pause: 500 * time.Millisecond, Untimed: true}
	t.Logf("seed %d", o.Seed)
	s, err := soak.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	faults, not, err := s.Faults()
	if err != nil {
		t.Fatal(err)
	}
	for _, why := range not {
		t.Logf("left out: %s", why)
	}
	for _, f := range faults {
		t.Run(f.Name(), func(t *testing.T) {
			if _, err := s.Strike(t.Context(), f); err != nil {
				t.Error(err)
			}
		})
	}
	report, err := s.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := report.Write(&text); err != nil {
		t.Fatal(err)
	}
	if len(report.Findings) > 0 {
		t.Errorf("%s", &text)
	} else {
		t.Logf("%s", &text)
	}
}
