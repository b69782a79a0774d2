package sealed_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/sealed"
)

type grant struct {
	Owner string
	Uses  int
}

func ring(t *testing.T, fill byte) *sealed.Keyring {
	t.Helper()
	k, err := sealed.New(bytes.Repeat([]byte{fill}, sealed.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealOpens(t *testing.T) {
	k := ring(t, 1)
	text, err := k.Seal("redis/grant/1", grant{"repo:a", 3})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "repo:a") {
		t.Error("a sealed value shows its content")
	}
	var got grant
	if err := k.Open("redis/grant/1", text, &got); err != nil || got != (grant{"repo:a", 3}) {
		t.Fatalf("got %+v, %v", got, err)
	}
}

// What an attacker with write access to Redis can do: move a value, cut it, flip a bit, invent one,
// or use the secret of another gateway.
func TestForgeriesDoNotOpen(t *testing.T) {
	k := ring(t, 1)
	text, err := k.Seal("redis/grant/1", grant{"repo:a", 3})
	if err != nil {
		t.Fatal(err)
	}
	other, err := ring(t, 2).Seal("redis/grant/1", grant{"repo:a", 3})
	if err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]struct{ purpose, text string }{
		"moved to another key": {"redis/grant/2", text},
		"another purpose":      {"envoy/grant/1", text},
		"another gateway":      {"redis/grant/1", other},
		"cut":                  {"redis/grant/1", text[:len(text)-2]},
		"empty":                {"redis/grant/1", ""},
		"plain JSON":           {"redis/grant/1", `{"Owner":"repo:a","Uses":9}`},
		"short":                {"redis/grant/1", "AAAA"},
	} {
		t.Run(name, func(t *testing.T) {
			var got grant
			if err := k.Open(try.purpose, try.text, &got); !errors.Is(err, sealed.ErrForged) {
				t.Errorf("%s: error %v, want ErrForged", name, err)
			}
			if got != (grant{}) {
				t.Errorf("%s: content was filled in: %+v", name, got)
			}
		})
	}
	for i := range len(text) {
		flipped := []byte(text)
		flipped[i] ^= 0x15
		var got grant
		if err := k.Open("redis/grant/1", string(flipped), &got); err == nil && !bytes.Equal(flipped, []byte(text)) {
			// base64 leaves unused bits in the last character: the bytes are then the same ones.
			if i != len(text)-1 {
				t.Fatalf("flip at %d opened", i)
			}
		}
	}
}

func TestMACSeparatesPartsAndPurposes(t *testing.T) {
	k := ring(t, 1)
	a := k.MAC("job", "ab", "c")
	for name, b := range map[string][32]byte{
		"shifted border": k.MAC("job", "a", "bc"), "another purpose": k.MAC("session", "ab", "c"), "one part": k.MAC("job", "abc"),
	} {
		t.Run(name, func(t *testing.T) {
			if a == b {
				t.Errorf("%s gives the same MAC", name)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	text, err := sealed.Generate()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sealed.Load(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := sealed.Load(path); err == nil || !strings.Contains(err.Error(), "open to others") {
		t.Errorf("a file that others may read: %v", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{"short": "YWJj\n", "not base64": "!!!"} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := sealed.Load(path); err == nil || !strings.Contains(err.Error(), "openssl rand") {
				t.Errorf("%s: %v: want an error that says how to make one", name, err)
			}
		})
	}
}
