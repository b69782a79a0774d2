package wrapping_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/e2e/fakegoogle/fakekms"
	"github.com/bqgate/bqgate/e2e/fakegoogle/fakekms/kmstest"
	"github.com/bqgate/bqgate/internal/wrapping"
)

// What was damaged on the way is asked again, a few times, and never believed
// (https://cloud.google.com/kms/docs/data-integrity-guidelines).
func TestKMSChecksums(t *testing.T) {
	service, config := kmstest.Start(t)
	w := open(t, config)
	good, err := w.Wrap(t.Context(), []byte("secret"), []byte("bound"))
	if err != nil {
		t.Fatal(err)
	}
	wrap := func() error { _, err := w.Wrap(t.Context(), []byte("secret"), []byte("bound")); return err }
	unwrap := func() error { _, err := w.Unwrap(t.Context(), good, []byte("bound")); return err }
	for name, row := range map[string]struct {
		do    func() error
		fault fakekms.Fault
		times int
		fails string // "" where it succeeds in the end
	}{
		"wrapping: not verified once":       {wrap, fakekms.PlaintextLost, 1, ""},
		"wrapping: never verified":          {wrap, fakekms.PlaintextLost, -1, "checksum"},
		"wrapping: a damaged answer twice":  {wrap, fakekms.AnswerDamaged, 2, ""},
		"wrapping: damaged answers":         {wrap, fakekms.AnswerDamaged, -1, "checksum"},
		"wrapping: no checksums":            {wrap, fakekms.ChecksumsNotKnown, -1, "checksum"},
		"wrapping: another key was used":    {wrap, fakekms.OtherKey, -1, "another key"},
		"unwrapping: a damaged answer once": {unwrap, fakekms.AnswerDamaged, 1, ""},
		"unwrapping: damaged answers":       {unwrap, fakekms.AnswerDamaged, -1, "checksum"},
		"unwrapping: no checksums":          {unwrap, fakekms.ChecksumsNotKnown, -1, "checksum"},
		"unwrapping: a disabled version":    {unwrap, fakekms.Disabled, -1, "HTTP 400: The key version is not enabled"},
	} {
		t.Run(name, func(t *testing.T) {
			service.Fail(row.fault, row.times)
			defer service.Fail(fakekms.Well, 0)
			before := len(service.Asked())
			err := row.do()
			if row.fails == "" && err != nil || row.fails != "" && (err == nil || !strings.Contains(err.Error(), row.fails)) {
				t.Errorf("error = %v, want one with %q", err, row.fails)
			}
			if errors.Is(err, wrapping.ErrNotOurs) { // which is for good
				t.Errorf("what passes is said to be another's: %v", err)
			}
			if asked := len(service.Asked()) - before; asked > 3 {
				t.Errorf("asked %d times", asked)
			}
		})
	}
}

// A new version of the KMS's key does not lock out what an older one wrapped.
func TestKMSKeyRotates(t *testing.T) {
	service, config := kmstest.Start(t)
	w := open(t, config)
	wrapped, err := w.Wrap(t.Context(), []byte("secret"), nil)
	if err != nil {
		t.Fatal(err)
	}
	service.AddVersion(kmstest.Key)
	if plain, err := w.Unwrap(t.Context(), wrapped, nil); err != nil || string(plain) != "secret" {
		t.Errorf("unwrap = %q, %v", plain, err)
	}
}

// A KMS that cannot be asked is told from a secret that is not ours.
func TestKMSOutOfReach(t *testing.T) {
	_, config := kmstest.Start(t)
	wrapped, err := open(t, config).Wrap(t.Context(), []byte("secret"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*wrapping.Config){
		"no such key, or no right to it": func(c *wrapping.Config) { c.URI += "-other" },
		"nobody listens":                 func(c *wrapping.Config) { c.Endpoint = "127.0.0.1:1" },
	} {
		t.Run(name, func(t *testing.T) {
			c := config
			change(&c)
			_, err := open(t, c).Unwrap(t.Context(), wrapped, nil)
			if err == nil || errors.Is(err, wrapping.ErrNotOurs) {
				t.Errorf("error = %v, want one that is not ErrNotOurs", err)
			}
			if !strings.Contains(err.Error(), "gcp-kms://"+kmstest.Key) {
				t.Errorf("error = %v does not name the key", err)
			}
		})
	}
}

// The KMS is asked with a federated identity or the machine's, never with a key.
func TestKMSTakesNoPlainKey(t *testing.T) {
	_, config := kmstest.Start(t)
	config.CredentialsFile = filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(config.CredentialsFile, []byte(`{"type": "service_account", "private_key": "MIIEvQ"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := wrapping.Open(t.Context(), config)
	if err == nil || !strings.Contains(err.Error(), `has type "service_account"`) || strings.Contains(err.Error(), "MIIEvQ") {
		t.Errorf("error = %v", err)
	}
}
