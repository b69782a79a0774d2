package signer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/bqgate/bqgate/e2e/fakegoogle/fakekms"
	"github.com/bqgate/bqgate/e2e/fakegoogle/fakekms/kmstest"
	"github.com/bqgate/bqgate/internal/sealedkey"
	"github.com/bqgate/bqgate/internal/sealedkey/sealedkeytest"
	"github.com/bqgate/bqgate/internal/wrapping"
)

const account = "crm-reader@demo.iam.gserviceaccount.com"

var keyID = strings.Repeat("0a1b", 10)

// sealed seals a new key for an identity of its own.
func sealed(t testing.TB) (sealedkeytest.Key, Config) {
	t.Helper()
	return sealedBy(t, sealedkeytest.Age(t))
}

func sealedBy(t testing.TB, wrap wrapping.Config) (sealedkeytest.Key, Config) {
	t.Helper()
	key := sealedkeytest.New(t, account, keyID)
	plain, err := sealedkey.ReadPlain(key.JSON(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	f, err := sealedkey.Seal(t.Context(), sealedkeytest.Wrapper(t, wrap), plain, "ada", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	text, err := f.Text()
	if err != nil {
		t.Fatal(err)
	}
	return key, Config{File: write(t, text), KeyID: keyID, Wrap: wrap}
}

func write(t testing.TB, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.sealed.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func started(t testing.TB, c Config) *Signer {
	t.Helper()
	s, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// An assertion is what Google's documents say, by this key, and good for the token endpoint alone.
func TestSign(t *testing.T) {
	key, config := sealed(t)
	s := started(t, config)
	for scope, life := range map[string]time.Duration{
		ScopeBigQuery: 10 * time.Minute, ScopeBigQueryReadonly: time.Minute, ScopeCloudPlatform: time.Hour,
	} {
		t.Run(scope, func(t *testing.T) {
			before := time.Now()
			assertion, err := s.Sign(t.Context(), scope, life)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := jose.ParseSignedCompact(assertion, []jose.SignatureAlgorithm{jose.RS256})
			if err != nil {
				t.Fatal(err)
			}
			text, err := parsed.Verify(&key.Private.PublicKey)
			if err != nil {
				t.Fatal(err)
			}
			if kid := parsed.Signatures[0].Header.KeyID; kid != keyID {
				t.Errorf("kid = %q", kid)
			}
			var claims map[string]any
			if err := json.Unmarshal(text, &claims); err != nil {
				t.Fatal(err)
			}
			iat, exp := time.Unix(int64(claims["iat"].(float64)), 0), time.Unix(int64(claims["exp"].(float64)), 0)
			if iat.After(before) || before.Sub(iat) > 15*time.Second || exp.Sub(iat) != life {
				t.Errorf("it is good from %s to %s at %s", iat, exp, before)
			}
			delete(claims, "iat")
			delete(claims, "exp")
			want := map[string]any{"iss": account, "aud": "https://oauth2.googleapis.com/token", "scope": scope}
			if len(claims) != len(want) || claims["iss"] != want["iss"] || claims["aud"] != want["aud"] || claims["scope"] != scope {
				t.Errorf("claims = %v, want %v and times", claims, want)
			}
		})
	}
	if s.Account() != account || s.Project() != "demo" {
		t.Errorf("account %s of project %s", s.Account(), s.Project())
	}
}

// Whoever has taken serve over gets no more than serve does: no other scope, no longer life.
func TestSignRefuses(t *testing.T) {
	_, config := sealed(t)
	s := started(t, config)
	for name, row := range map[string]struct {
		scope string
		life  time.Duration
	}{
		"another scope":    {"https://www.googleapis.com/auth/drive", time.Minute},
		"two scopes":       {ScopeBigQuery + " " + ScopeCloudPlatform, time.Minute},
		"no scope":         {"", time.Minute},
		"more than a hour": {ScopeBigQuery, time.Hour + time.Second},
		"no life":          {ScopeBigQuery, 0},
		"ages":             {ScopeBigQuery, 1 << 62},
	} {
		t.Run(name, func(t *testing.T) {
			if assertion, err := s.Sign(t.Context(), row.scope, row.life); err == nil {
				t.Errorf("signed %s", assertion)
			}
		})
	}
	if _, err := s.Sign(t.Context(), ScopeBigQuery, time.Minute); err != nil {
		t.Errorf("it does not sign any more: %v", err)
	}
}

// What is not this gateway's sealed key of this id does not start.
func TestStartRefuses(t *testing.T) {
	key, config := sealed(t)
	text, err := os.ReadFile(config.File)
	if err != nil {
		t.Fatal(err)
	}
	_, other := sealed(t)
	open := write(t, nil)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		change func(*Config)
		says   string
	}{
		"a key in plain text":        {func(c *Config) { c.File = write(t, key.JSON(t, nil)) }, "plain text"},
		"an older key":               {func(c *Config) { c.KeyID = strings.Repeat("f", 40) }, "is it an older file?"},
		"another gateway's":          {func(c *Config) { c.File = other.File }, "is it another gateway's?"},
		"another identity":           {func(c *Config) { c.Wrap = other.Wrap }, "is it another gateway's?"},
		"a bit was flipped":          {func(c *Config) { c.File = write(t, flip(text, `"key": "`, 40)) }, "altered"},
		"no file":                    {func(c *Config) { c.File += "x" }, "no such file"},
		"an identity open to others": {func(c *Config) { c.Wrap = wrapping.Config{URI: "age:" + open} }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := config
			row.change(&c)
			s, err := Start(t.Context(), c)
			if row.says == "" { // mended without a restart, so it starts, and signs nothing
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if _, err := s.Sign(t.Context(), ScopeBigQuery, time.Minute); !errors.Is(err, ErrDown) ||
					!strings.Contains(err.Error(), "open to others") {
					t.Errorf("error = %v", err)
				}
				return
			}
			if err == nil {
				s.Close()
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), row.says) {
				t.Errorf("error = %v, want one with %q", err, row.says)
			}
			for part, trace := range key.Traces(t) {
				if strings.Contains(err.Error(), string(trace)) {
					t.Errorf("the error shows %s", part)
				}
			}
		})
	}
}

// flip changes one bit some bytes behind a text, so that it stays base64.
func flip(text []byte, behind string, by int) []byte {
	text = append([]byte{}, text...)
	at := strings.Index(string(text), behind) + len(behind) + by
	if text[at] == 'A' {
		text[at] = 'B'
	} else {
		text[at] = 'A'
	}
	return text
}

// events sends what is logged.
type events chan string

func (e events) Enabled(context.Context, slog.Level) bool { return true }
func (e events) WithAttrs([]slog.Attr) slog.Handler       { return e }
func (e events) WithGroup(string) slog.Handler            { return e }
func (e events) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	e <- text
	return nil
}

func (e events) next(t testing.TB) string {
	t.Helper()
	select {
	case text := <-e:
		return text
	case <-time.After(time.Minute):
		t.Fatal("nothing was logged")
		return ""
	}
}

// A child that dies is started again; meanwhile nothing is signed, and the log has the cause.
func TestDeadChildIsReplaced(t *testing.T) {
	key, config := sealed(t)
	log := make(events, 100)
	config.Log = slog.New(log)
	s := started(t, config)
	if text := log.next(t); !strings.Contains(text, "is running") {
		t.Fatalf("logged %q", text)
	}
	for name, signal := range map[string]syscall.Signal{"kill": syscall.SIGKILL, "abort": syscall.SIGABRT} {
		pid, _ := s.PID()
		if err := syscall.Kill(pid, signal); err != nil {
			t.Fatal(err)
		}
		text := log.next(t)
		if !strings.Contains(text, "has ended") || !strings.Contains(text, "signal: "+signal.String()) && signal == syscall.SIGKILL {
			t.Errorf("%s: logged %q", name, text)
		}
		for part, trace := range key.Traces(t) {
			if strings.Contains(text, string(trace)) {
				t.Errorf("%s: the log shows %s", name, part)
			}
		}
		if text := log.next(t); !strings.Contains(text, "is running") {
			t.Fatalf("%s: logged %q", name, text)
		}
		if err := s.Health(); err != nil {
			t.Errorf("%s: health: %v", name, err)
		}
		if _, err := s.Sign(t.Context(), ScopeBigQuery, time.Minute); err != nil {
			t.Errorf("%s: it does not sign: %v", name, err)
		}
	}
}

// A child that stands still does not hold queries up: it is ended, and another one signs.
func TestFrozenChildIsReplaced(t *testing.T) {
	_, config := sealed(t)
	log := make(events, 100)
	config.Log = slog.New(log)
	s := started(t, config)
	log.next(t)
	pid, _ := s.PID()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sign(t.Context(), ScopeBigQuery, time.Minute); !errors.Is(err, ErrDown) {
		t.Errorf("error = %v, want ErrDown", err)
	}
	log.next(t)
	log.next(t)
	if _, err := s.Sign(t.Context(), ScopeBigQuery, time.Minute); err != nil {
		t.Errorf("it does not sign: %v", err)
	}
}

// Close leaves no process.
func TestCloseEndsTheChild(t *testing.T) {
	_, config := sealed(t)
	s := started(t, config)
	pid, _ := s.PID()
	s.Close()
	s.Close()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there: %v", pid, err)
	}
	if _, err := s.Sign(t.Context(), ScopeBigQuery, time.Minute); err == nil {
		t.Error("it signs")
	}
}

// A key that a KMS wraps is opened by asking it, and the child is confined all the same. Start does
// not wait for a KMS; one that cannot be had is asked again.
func TestKeyWrappedByKMS(t *testing.T) {
	service, wrap := kmstest.Start(t)
	_, config := sealedBy(t, wrap)
	log := make(events, 100)
	config.Log = slog.New(log)
	service.Fail(fakekms.AnswerDamaged, 3) // all tries of the first child
	s := started(t, config)
	if err := s.Opened(t.Context()); !errors.Is(err, ErrDown) || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("with a KMS that fails: %v", err)
	}
	for !strings.Contains(log.next(t), "is running") {
	}
	if _, err := s.Sign(t.Context(), ScopeBigQuery, time.Minute); err != nil {
		t.Fatal(err)
	}
	pid, fences := s.PID()
	if !fences.Undumpable || !fences.NoCore || !fences.Confined {
		t.Errorf("fences = %+v", fences)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil || !strings.Contains(string(status), "Seccomp:\t2\n") {
		t.Errorf("the process is not confined: %v", err)
	}
	asked := len(service.Asked())
	if _, err := s.Sign(t.Context(), ScopeCloudPlatform, time.Minute); err != nil || len(service.Asked()) != asked {
		t.Errorf("the KMS was asked again to sign: %v", err)
	}
}
