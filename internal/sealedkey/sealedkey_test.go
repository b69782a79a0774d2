package sealedkey_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/sealedkey"
	"github.com/bqgate/bqgate/internal/sealedkey/sealedkeytest"
	"github.com/bqgate/bqgate/internal/wrapping"
)

const account = "crm-reader@demo.iam.gserviceaccount.com"

var (
	now = time.Date(2026, 12, 1, 15, 0, 0, 0, time.UTC)
	id  = strings.Repeat("0a1b", 10)
)

// sealFile seals a new key.
func sealFile(t testing.TB, w wrapping.Wrapper) (sealedkeytest.Key, *sealedkey.File, []byte) {
	t.Helper()
	key := sealedkeytest.New(t, account, id)
	plain, err := sealedkey.ReadPlain(key.JSON(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	f, err := sealedkey.Seal(t.Context(), w, plain, "operator ada", now)
	if err != nil {
		t.Fatal(err)
	}
	text, err := f.Text()
	if err != nil {
		t.Fatal(err)
	}
	return key, f, text
}

func TestSealedKeyOpens(t *testing.T) {
	w := sealedkeytest.Wrapper(t, sealedkeytest.Age(t))
	key, _, text := sealFile(t, w)
	f, err := sealedkey.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := f.Open(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	if !opened.Equal(key.Private) {
		t.Error("another key was opened")
	}
	if f.Account != account || f.KeyID != id || f.Project != "demo" || !f.SealedAt.Equal(now) || f.SealedBy != "operator ada" {
		t.Errorf("the file says %+v", f.Header)
	}
	for name, trace := range key.Traces(t) {
		if bytes.Contains(text, trace) {
			t.Errorf("the file holds %s", name)
		}
	}
}

// A file of which any one bit is another does not open.
func TestEveryBitCounts(t *testing.T) {
	w := sealedkeytest.Wrapper(t, sealedkeytest.Age(t))
	_, _, text := sealFile(t, w)
	for bit := range len(text) * 8 {
		flipped := bytes.Clone(text)
		flipped[bit/8] ^= 1 << (bit % 8)
		f, err := sealedkey.Read(flipped)
		if err != nil {
			continue
		}
		if _, err := f.Open(t.Context(), w); err == nil {
			t.Fatalf("bit %d of byte %d (%q) does not count", bit%8, bit/8, text[max(0, bit/8-10):min(len(text), bit/8+10)])
		}
	}
}

// What is written beside the secrets cannot be changed, nor the secrets exchanged.
func TestHeaderIsBound(t *testing.T) {
	config := sealedkeytest.Age(t)
	w := sealedkeytest.Wrapper(t, config)
	_, other, _ := sealFile(t, w)
	for name, change := range map[string]func(*sealedkey.File){
		"the account":      func(f *sealedkey.File) { f.Account = "admin@demo.iam.gserviceaccount.com" },
		"the key id":       func(f *sealedkey.File) { f.KeyID = strings.Repeat("f", 40) },
		"the project":      func(f *sealedkey.File) { f.Project = "other" },
		"when":             func(f *sealedkey.File) { f.SealedAt = f.SealedAt.Add(time.Second) },
		"by whom":          func(f *sealedkey.File) { f.SealedBy = "operator bob" },
		"the digest":       func(f *sealedkey.File) { f.PublicKey = other.PublicKey },
		"another key":      func(f *sealedkey.File) { f.Key = other.Key },
		"another keyset":   func(f *sealedkey.File) { f.Keyset = other.Keyset },
		"both of another":  func(f *sealedkey.File) { f.Key, f.Keyset = other.Key, other.Keyset },
		"no key":           func(f *sealedkey.File) { f.Key = nil },
		"no keyset":        func(f *sealedkey.File) { f.Keyset = nil },
		"the wrapper":      func(f *sealedkey.File) { f.Wrapper = "age:0000000000000000" },
		"nothing (a test)": nil,
	} {
		t.Run(name, func(t *testing.T) {
			_, f, _ := sealFile(t, w)
			if change == nil {
				if _, err := f.Open(t.Context(), w); err != nil {
					t.Fatal(err)
				}
				return
			}
			change(f)
			if _, err := f.Open(t.Context(), w); !errors.Is(err, wrapping.ErrNotOurs) {
				t.Errorf("error = %v, want ErrNotOurs", err)
			}
		})
	}
}

// A sealed key of another gateway is told from one that was altered.
func TestAnotherGatewaysKey(t *testing.T) {
	_, f, _ := sealFile(t, sealedkeytest.Wrapper(t, sealedkeytest.Age(t)))
	_, err := f.Open(t.Context(), sealedkeytest.Wrapper(t, sealedkeytest.Age(t)))
	if !errors.Is(err, wrapping.ErrNotOurs) || !strings.Contains(err.Error(), "is it another gateway's?") {
		t.Errorf("error = %v", err)
	}
}

func TestRewrap(t *testing.T) {
	from, to := sealedkeytest.Wrapper(t, sealedkeytest.Age(t)), sealedkeytest.Wrapper(t, sealedkeytest.Age(t))
	key, f, _ := sealFile(t, from)
	again, err := f.Rewrap(t.Context(), from, to, "operator bob", now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := again.Open(t.Context(), to); err != nil || !opened.Equal(key.Private) {
		t.Errorf("the key does not open under the new wrapper: %v", err)
	}
	if _, err := again.Open(t.Context(), from); err == nil {
		t.Error("it opens under the old wrapper")
	}
	if again.KeyID != f.KeyID || again.PublicKey != f.PublicKey || again.SealedBy != "operator bob" {
		t.Errorf("the file says %+v", again.Header)
	}
}

// Only a service-account key is sealed, and what is refused is not shown.
func TestReadPlainRefuses(t *testing.T) {
	key := sealedkeytest.New(t, account, id)
	const refresh = "1//0gMIIEvQrefresh"
	w := sealedkeytest.Wrapper(t, sealedkeytest.Age(t))
	_, _, sealed := sealFile(t, w)
	for name, row := range map[string]struct {
		text []byte
		says string
	}{
		"a user's credentials": {key.JSON(t, map[string]any{"type": "authorized_user", "refresh_token": refresh}),
			"a user's refresh token"},
		"federation": {key.JSON(t, map[string]any{"type": "external_account"}), "federated and holds no key"},
		"a workforce user": {key.JSON(t, map[string]any{"type": "external_account_authorized_user", "refresh_token": refresh}),
			"workforce user's"},
		"impersonation":     {key.JSON(t, map[string]any{"type": "impersonated_service_account"}), "names another credential"},
		"Distributed Cloud": {key.JSON(t, map[string]any{"type": "gdch_service_account"}), "Distributed Cloud"},
		"another type":      {key.JSON(t, map[string]any{"type": "magic"}), `type "service_account"`},
		"an OAuth client":   {[]byte(`{"installed":{"client_secret":"` + refresh + `"}}`), "secret of an OAuth client"},
		"two types":         {[]byte(`{"type":"service_account","type":"authorized_user"}`), "not the JSON file"},
		"a P12 file":        {[]byte("0\x82\x09"), "P12"},
		"sealed already":    {sealed, "sealed already"},
		"no e-mail":         {key.JSON(t, map[string]any{"client_email": nil}), "client_email"},
		"no id":             {key.JSON(t, map[string]any{"private_key_id": "x\n"}), "private_key_id"},
		"no key":            {key.JSON(t, map[string]any{"private_key": nil}), "private_key is not one PEM block"},
		"two keys": {key.JSON(t, map[string]any{"private_key": "-----BEGIN PRIVATE KEY-----\nMIIEvQ==\n-----END PRIVATE KEY-----\n" +
			"-----BEGIN PRIVATE KEY-----\nMIIEvQ==\n-----END PRIVATE KEY-----\n"}), "private_key is not one PEM block"},
		"a key that cannot be read": {key.JSON(t, map[string]any{"private_key": "-----BEGIN PRIVATE KEY-----\nMIIEvQ==\n" +
			"-----END PRIVATE KEY-----\n"}), "private_key is not a private key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sealedkey.ReadPlain(row.text)
			if err == nil || !strings.Contains(err.Error(), row.says) {
				t.Fatalf("error = %v, want one with %q", err, row.says)
			}
			if strings.Contains(err.Error(), "MII") || strings.Contains(err.Error(), refresh) {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

// Where assertions go and whose universe it is are not the file's to say.
func TestElsewhereIsIgnored(t *testing.T) {
	key := sealedkeytest.New(t, account, id)
	for name, row := range map[string]struct {
		change map[string]any
		says   string
	}{
		"Google's own":     {nil, ""},
		"neither":          {map[string]any{"token_uri": nil, "universe_domain": nil}, ""},
		"another endpoint": {map[string]any{"token_uri": "https://evil.example/token"}, "token_uri is ignored"},
		"another universe": {map[string]any{"universe_domain": "evil.example"}, "universe_domain is ignored"},
	} {
		t.Run(name, func(t *testing.T) {
			plain, err := sealedkey.ReadPlain(key.JSON(t, row.change))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(plain.Elsewhere, row.says) || row.says == "" && plain.Elsewhere != "" {
				t.Errorf("Elsewhere = %q, want %q", plain.Elsewhere, row.says)
			}
			f, err := sealedkey.Seal(t.Context(), sealedkeytest.Wrapper(t, sealedkeytest.Age(t)), plain, "ada", now)
			if err != nil {
				t.Fatal(err)
			}
			if text, _ := f.Text(); bytes.Contains(text, []byte("evil")) {
				t.Errorf("the sealed file holds it: %s", text)
			}
		})
	}
}

// A plain key where a sealed one is meant is refused in words, and not shown.
func TestReadRefuses(t *testing.T) {
	w := sealedkeytest.Wrapper(t, sealedkeytest.Age(t))
	key, _, text := sealFile(t, w)
	replace := func(from, to string) []byte { return bytes.Replace(bytes.Clone(text), []byte(from), []byte(to), 1) }
	for name, row := range map[string]struct {
		text []byte
		says string
	}{
		"a key in plain text":     {key.JSON(t, nil), "a key in plain text"},
		"both":                    {key.JSON(t, map[string]any{"format": "bqgate-sealed-key/v1"}), "plain text"},
		"nothing":                 {nil, "not a sealed key"},
		"a newer format":          {replace("key/v1", "key/v2"), "not a sealed key"},
		"a member more":           {replace("{", "{\n  \"more\": 1,"), "not a sealed key"},
		"a member twice":          {replace("{", "{\n  \"account\": \"a@b.example\","), "altered"},
		"a space more":            {replace("{\n", "{ \n"), "altered"},
		"something behind it":     {append(bytes.Clone(text), "{}"...), "altered"},
		"a name in other letters": {replace(`"account"`, `"Account"`), "altered"},
		"too large":               {bytes.Repeat([]byte(" "), 65<<10), "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sealedkey.Read(row.text)
			if err == nil || !strings.Contains(err.Error(), row.says) {
				t.Fatalf("error = %v, want one with %q", err, row.says)
			}
			for part, trace := range key.Traces(t) {
				if strings.Contains(err.Error(), string(trace)) {
					t.Errorf("the error shows %s", part)
				}
			}
		})
	}
}

func TestPlainPrintsNoSecret(t *testing.T) {
	key := sealedkeytest.New(t, account, id)
	plain, err := sealedkey.ReadPlain(key.JSON(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		for part, trace := range key.Traces(t) {
			if strings.Contains(fmt.Sprintf(format, plain), string(trace)) {
				t.Errorf("%s shows %s", format, part)
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"format": "bqgate-sealed-key/v1"}`))
	f.Add([]byte(`{"type": "service_account"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := sealedkey.Read(text)
		if err != nil {
			return
		}
		again, err := file.Text()
		if err != nil || !bytes.Equal(again, text) {
			t.Errorf("what was read is written otherwise: %q", again)
		}
	})
}
