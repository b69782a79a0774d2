package wrapping_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/e2e/fakegoogle/fakekms/kmstest"
	"github.com/bqgate/bqgate/internal/wrapping"
)

// ageFile makes an identity file.
func ageFile(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "identity")
	if err := wrapping.GenerateAge(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, c wrapping.Config) wrapping.Wrapper {
	t.Helper()
	w, err := wrapping.Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// every runs a test with each kind of wrapper, and another of the same kind.
func every(t *testing.T, run func(t *testing.T, ours, other wrapping.Wrapper)) {
	t.Helper()
	t.Run("age", func(t *testing.T) {
		run(t, open(t, wrapping.Config{URI: "age:" + ageFile(t)}), open(t, wrapping.Config{URI: "age:" + ageFile(t)}))
	})
	t.Run("Cloud KMS", func(t *testing.T) {
		service, config := kmstest.Start(t)
		service.AddVersion(kmstest.Key + "2")
		other := config
		other.URI += "2"
		run(t, open(t, config), open(t, other))
	})
}

func TestUnwrapGivesBackWhatWasWrapped(t *testing.T) {
	every(t, func(t *testing.T, w, _ wrapping.Wrapper) {
		for name, associated := range map[string][]byte{"associated data": []byte("for this place"), "none": nil} {
			wrapped, err := w.Wrap(t.Context(), []byte("a secret of ours"), associated)
			if err != nil {
				t.Fatalf("%s: wrap: %v", name, err)
			}
			if bytes.Contains(wrapped, []byte("secret of ours")) || bytes.Contains(wrapped, []byte("this place")) {
				t.Errorf("%s: what was wrapped can be read", name)
			}
			plain, err := w.Unwrap(t.Context(), wrapped, associated)
			if err != nil || string(plain) != "a secret of ours" {
				t.Errorf("%s: unwrap = %q, %v", name, plain, err)
			}
		}
	})
}

// Nothing but what this very key wrapped with this very associated data opens.
func TestUnwrapRefuses(t *testing.T) {
	every(t, func(t *testing.T, ours, other wrapping.Wrapper) {
		associated := []byte("account a, key 1")
		wrapped, err := ours.Wrap(t.Context(), []byte("secret"), associated)
		if err != nil {
			t.Fatal(err)
		}
		foreign, err := other.Wrap(t.Context(), []byte("secret"), associated)
		if err != nil {
			t.Fatal(err)
		}
		refused := func(t *testing.T, w wrapping.Wrapper, wrapped, associated []byte) {
			t.Helper()
			plain, err := w.Unwrap(t.Context(), wrapped, associated)
			if !errors.Is(err, wrapping.ErrNotOurs) || plain != nil {
				t.Errorf("unwrap = %q, %v, want ErrNotOurs", plain, err)
			}
			if err != nil && strings.Contains(err.Error(), "account a") {
				t.Errorf("the error tells the associated data: %v", err)
			}
		}
		for name, row := range map[string]struct {
			w                   wrapping.Wrapper
			wrapped, associated []byte
		}{
			"of another key":          {ours, foreign, associated},
			"by another key":          {other, wrapped, associated},
			"other associated data":   {ours, wrapped, []byte("account b, key 1")},
			"longer associated data":  {ours, wrapped, append(bytes.Clone(associated), 0)},
			"shorter associated data": {ours, wrapped, associated[:len(associated)-1]},
			"no associated data":      {ours, wrapped, nil},
			"nothing":                 {ours, nil, associated},
			"half":                    {ours, wrapped[:len(wrapped)/2], associated},
			"one byte more":           {ours, append(bytes.Clone(wrapped), '\n'), associated},
		} {
			t.Run(name, func(t *testing.T) { refused(t, row.w, row.wrapped, row.associated) })
		}
		for bit := range len(wrapped) * 8 {
			flipped := bytes.Clone(wrapped)
			flipped[bit/8] ^= 1 << (bit % 8)
			if plain, err := ours.Unwrap(t.Context(), flipped, associated); !errors.Is(err, wrapping.ErrNotOurs) {
				t.Fatalf("bit %d: unwrap = %q, %v, want ErrNotOurs", bit, plain, err)
			}
		}
	})
}

func TestWrapTakesSmallSecretsOnly(t *testing.T) {
	every(t, func(t *testing.T, w, _ wrapping.Wrapper) {
		for name, row := range map[string][2]int{
			"nothing":            {0, 0},
			"a large secret":     {wrapping.MaxPlain + 1, 0},
			"much to bind it to": {1, wrapping.MaxAssociated + 1},
		} {
			if _, err := w.Wrap(t.Context(), make([]byte, row[0]), make([]byte, row[1])); err == nil {
				t.Errorf("%s: wrapped", name)
			}
		}
		most, bound := make([]byte, wrapping.MaxPlain), make([]byte, wrapping.MaxAssociated)
		wrapped, err := w.Wrap(t.Context(), most, bound)
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := w.Unwrap(t.Context(), wrapped, bound); err != nil || !bytes.Equal(plain, most) {
			t.Errorf("the largest secret does not open: %v", err)
		}
	})
}

func TestValidate(t *testing.T) {
	for name, row := range map[string]struct {
		config wrapping.Config
		says   string // "" where it is fine
	}{
		"age":                    {wrapping.Config{URI: "age:/etc/bqgate/identity"}, ""},
		"KMS":                    {wrapping.Config{URI: "gcp-kms://" + kmstest.Key}, ""},
		"nothing":                {wrapping.Config{}, "uri is missing"},
		"a path alone":           {wrapping.Config{URI: "/etc/bqgate/identity"}, "neither age:FILE nor"},
		"age without a file":     {wrapping.Config{URI: "age:"}, "neither age:FILE nor"},
		"a version of a KMS key": {wrapping.Config{URI: "gcp-kms://" + kmstest.Key + "/cryptoKeyVersions/1"}, "without a version"},
		"a path that climbs":     {wrapping.Config{URI: "gcp-kms://" + kmstest.Key + "/../other"}, "does not name a key"},
		"another KMS":            {wrapping.Config{URI: "aws-kms://arn:aws:kms:1"}, "neither age:FILE nor"},
		"an endpoint without port": {wrapping.Config{URI: "gcp-kms://" + kmstest.Key, Endpoint: "kms.example"},
			"is not host:port"},
		"age with an endpoint": {wrapping.Config{URI: "age:/f", Endpoint: "kms.example:443"}, "age asks nobody"},
	} {
		t.Run(name, func(t *testing.T) {
			err := row.config.Validate()
			if row.says == "" && err != nil || row.says != "" && (err == nil || !strings.Contains(err.Error(), row.says)) {
				t.Errorf("error = %v, want one with %q", err, row.says)
			}
		})
	}
}

// An identity file is the gateway's alone, and what cannot be read of one is not shown.
func TestOpenRefusesIdentities(t *testing.T) {
	const secret = "AGE-SECRET-KEY-1QQPZRY9X8GF2TVDW0S3JN54KHCE6MUA7LQQPZRY9X8GF2TVDW0S3JN54KHC"
	good, err := os.ReadFile(ageFile(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		text string
		mode os.FileMode
		says string
	}{
		"open to others":   {string(good), 0o644, "open to others"},
		"two identities":   {string(good) + string(good), 0o600, "want one X25519 identity"},
		"no identity":      {"# nothing\n", 0o600, "want one X25519 identity"},
		"a wrong checksum": {secret + "\n", 0o600, "want one X25519 identity"},
		"another text":     {"hunter2-hunter2\n", 0o600, "want one X25519 identity"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "identity")
			if err := os.WriteFile(path, []byte(row.text), row.mode); err != nil {
				t.Fatal(err)
			}
			_, err := wrapping.Open(t.Context(), wrapping.Config{URI: "age:" + path})
			if err == nil || !strings.Contains(err.Error(), row.says) {
				t.Fatalf("error = %v, want one with %q", err, row.says)
			}
			if strings.Contains(err.Error(), "QQPZRY9X8") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error tells what was read: %v", err)
			}
		})
	}
}

func TestGenerateAgeNeverOverwrites(t *testing.T) {
	path := ageFile(t)
	before, _ := os.ReadFile(path)
	if err := wrapping.GenerateAge(path); err == nil {
		t.Error("an identity was overwritten")
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the file is another one")
	}
}

// The identity is not shown by a wrapper that is printed.
func TestWrapperPrintsNoSecret(t *testing.T) {
	path := ageFile(t)
	w := open(t, wrapping.Config{URI: "age:" + path})
	text, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if printed := fmt.Sprintf(format, w); strings.Contains(printed, lines[len(lines)-1]) || strings.Contains(printed, "age1") {
			t.Errorf("%s prints %s", format, printed)
		}
	}
}
