package wrapping

import (
	"bytes"
	"encoding/binary"
	"errors"
	"path/filepath"
	"testing"

	"filippo.io/age"
)

// Whoever knows the public key can encrypt to it, and makes nothing that opens.
func TestForeignHandsCannotWrap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity")
	if err := GenerateAge(path); err != nil {
		t.Fatal(err)
	}
	w, err := openAge(path)
	if err != nil {
		t.Fatal(err)
	}
	associated := []byte("account a")
	payload := binary.BigEndian.AppendUint32(nil, uint32(len(associated)))
	payload = append(append(payload, associated...), "a key of the attacker's"...)
	for name, sum := range map[string][]byte{
		"no MAC": make([]byte, 32), "one of another key": (&ageWrapper{mac: []byte("guess")}).sum(payload),
	} {
		var out bytes.Buffer
		to, err := age.Encrypt(&out, w.identity.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := to.Write(append(sum, payload...)); err != nil {
			t.Fatal(err)
		}
		if err := to.Close(); err != nil {
			t.Fatal(err)
		}
		if plain, err := w.Unwrap(t.Context(), out.Bytes(), associated); !errors.Is(err, ErrNotOurs) {
			t.Errorf("%s: unwrap = %q, %v, want ErrNotOurs", name, plain, err)
		}
	}
}
