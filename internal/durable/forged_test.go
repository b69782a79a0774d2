package durable_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/audit/audittest"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/durable/durabletest"
)

// I1: code that skips the journal does not compile. Each file of testdata/forged is one attempt,
// given to the compiler as a package of this module.
func TestForgedWitnessesDoNotCompile(t *testing.T) {
	says := map[string]string{ // what the compiler says; "" where it is content
		"honest":             ``,
		"no_witness":         `not enough arguments in call to c.GetTable`,
		"no_witness_token":   `not enough arguments in call to b.Mint`,
		"no_witness_verdict": `not enough arguments in call to verdict.Seal`,
		"literal":            `name decided not exported by package durable`,
		"own_type":           `mine does not implement durable.Decided (unexported method answer)`,
		"asked_runs":         `durable.Facts does not implement durable.Decided`,
		"asked_dry_run":      `durable.Facts does not implement durable.Text`,
		"asked_mints":        `durable.Facts does not implement durable.Runs`,
		"waiting_seals":      `durable.Answer does not implement durable.Decided`,
		"work_looks":         `durable.Stop does not implement durable.Facts`,
	}
	attempts, err := os.ReadDir(filepath.Join("testdata", "forged"))
	if err != nil {
		t.Fatal(err)
	}
	if len(attempts) != len(says) {
		t.Errorf("%d attempts, %d expectations", len(attempts), len(says))
	}
	for name, want := range says {
		t.Run(name, func(t *testing.T) {
			here, err := os.Getwd()
			if err != nil {
				t.Fatal(err)
			}
			overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
				filepath.Join(here, "forged", "forged.go"): filepath.Join(here, "testdata", "forged", name+".go.txt"),
			}})
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "overlay.json")
			if err := os.WriteFile(file, overlay, 0o600); err != nil {
				t.Fatal(err)
			}
			build := exec.Command("go", "build", "-overlay", file, "-o", os.DevNull, "./forged")
			build.Env = append(os.Environ(), "CGO_ENABLED=0")
			out, err := build.CombinedOutput()
			switch {
			case want == "" && err != nil:
				t.Errorf("%v\n%s", err, out)
			case want != "" && (err == nil || !strings.Contains(string(out), want)):
				t.Errorf("%v, want %q:\n%s", err, want, out)
			}
		})
	}
}

type embedded struct{ durable.Decided }

func (embedded) Decision() string { return "d-1" }

// What does compile, a nil witness and a type that holds one, panics where it is used.
func TestForgedWitnessesPanic(t *testing.T) {
	for name, w := range map[string]durable.Witness{
		"nil": nil, "a nil Decided": durable.Decided(nil), "a type that embeds none": embedded{},
		"a type that embeds one": embedded{durabletest.Decided(t, "d-2")},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("used")
				}
			}()
			durable.Because(w)
		})
	}
	if got := durable.Because(durabletest.Decided(t, "d-2")); got != "d-2" {
		t.Errorf("the witness of d-2 is of %q", got)
	}
}

var errFull = errors.New("no space left on device")

// A dead journal gives no witness, and is asked again by the next who wants one.
func TestNoRecordNoWitness(t *testing.T) {
	asked := 0
	f := &audittest.Journal{Refuse: func(context.Context, audit.Record) error { asked++; return errFull }}
	ask := durable.Asking(f, nil, func() audit.Asked { return audit.Asked{Decision: "d-1"} })
	pulse := durable.Pulse{}
	for name, witness := range map[string]func() (durable.Witness, error){
		"a decision": func() (durable.Witness, error) { return durable.Decide(t.Context(), f, audit.Decision{ID: "d-1"}) },
		"a decision without an id": func() (durable.Witness, error) {
			return durable.Decide(t.Context(), durabletest.Journal(t), audit.Decision{})
		},
		"facts":       func() (durable.Witness, error) { return ask.Facts(t.Context()) },
		"a text":      func() (durable.Witness, error) { return ask.Text(t.Context()) },
		"facts again": func() (durable.Witness, error) { return ask.Facts(t.Context()) },
		"a session":   func() (durable.Witness, error) { return durable.OpenSession(t.Context(), f, audit.Session{ID: "s"}) },
		"waiting":     func() (durable.Witness, error) { return pulse.Waiting(t.Context(), f) },
		"a stranger":  func() (durable.Witness, error) { return pulse.Unauthenticated(t.Context(), f) },
	} {
		t.Run(name, func(t *testing.T) {
			w, err := witness()
			if err == nil {
				t.Error("no error")
			}
			defer func() {
				if recover() == nil {
					t.Errorf("a witness: %v", w)
				}
			}()
			durable.Because(w)
		})
	}
	if asked != 7 {
		t.Errorf("the journal was asked %d times, want 7", asked)
	}
}

// Facts are asked for under one record, however many there are.
func TestOneRecordForAllFacts(t *testing.T) {
	c := &audittest.Journal{}
	ask := durable.Asking(c, nil, func() audit.Asked { return audit.Asked{Decision: "d-1"} })
	if len(c.Records()) != 0 {
		t.Fatal("recorded before anything was looked up")
	}
	done := make(chan error)
	for range 8 {
		go func() {
			f, err := ask.Facts(t.Context())
			if err == nil && durable.Because(f) != "d-1" {
				err = errors.New("of another request")
			}
			done <- err
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if len(c.Records()) != 1 {
		t.Errorf("%d records", len(c.Records()))
	}
}
