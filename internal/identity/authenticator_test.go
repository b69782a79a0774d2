package identity

import (
	"context"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"github.com/bqgate/bqgate/internal/sessionstore"
)

func TestAuthorizationHeader(t *testing.T) {
	g := newGate(t, miniredis.RunT(t).Addr(), nil)
	raw := g.issuer.mint(g.clock.now(), nil)
	other := g.issuer.mint(g.clock.now(), claims{"sub": "bob"})
	session, _ := g.open(t, nil)

	for name, value := range map[string]string{"token": "Bearer " + raw, "lower-case scheme": "bearer " + raw,
		"session": "Bearer " + session} {
		t.Run(name, func(t *testing.T) {
			if subject, err := g.auth.Authenticate(context.Background(), []string{value}); err != nil || subject.Sub != "alice" {
				t.Errorf("%s: %+v, %v", name, subject, err)
			}
		})
	}
	tests := []struct {
		name   string
		values []string
		code   Code
		status int
	}{
		{"none", nil, CodeMissing, 401},
		{"empty", []string{""}, CodeMissing, 401},
		{"blank", []string{"  "}, CodeMissing, 401},
		{"two headers", []string{"Bearer " + raw, "Bearer " + other}, CodeMalformed, 403},
		{"the same header twice", []string{"Bearer " + raw, "Bearer " + raw}, CodeMalformed, 403},
		{"an empty one first", []string{"", "Bearer " + raw}, CodeMalformed, 403},
		{"joined by a comma", []string{"Bearer " + raw + ",Bearer " + other}, CodeMalformed, 403},
		{"joined by comma and space", []string{"Bearer " + raw + ", Bearer " + other}, CodeMalformed, 403},
		{"two tokens", []string{"Bearer " + raw + " " + other}, CodeMalformed, 403},
		{"two spaces", []string{"Bearer  " + raw}, CodeMalformed, 403},
		{"space before", []string{" Bearer " + raw}, CodeMalformed, 403},
		{"space behind", []string{"Bearer " + raw + " "}, CodeMalformed, 403},
		{"tab", []string{"Bearer\t" + raw}, CodeMalformed, 403},
		{"line break", []string{"Bearer " + raw + "\r\nX: y"}, CodeMalformed, 403},
		{"NUL", []string{"Bearer " + raw + "\x00"}, CodeMalformed, 403},
		{"quoted", []string{`Bearer "` + raw + `"`}, CodeMalformed, 403},
		{"Basic", []string{"Basic YTpi"}, CodeMalformed, 403},
		{"scheme alone", []string{"Bearer"}, CodeMalformed, 403},
		{"no token", []string{"Bearer "}, CodeMalformed, 403},
		{"token alone", []string{raw}, CodeMalformed, 403},
		{"a Google token", []string{"Bearer ya29.a0AfH6SMBx"}, CodeMalformed, 403},
		{"huge", []string{"Bearer " + strings.Repeat("a", 1<<20)}, CodeMalformed, 403},
		{"an unknown session", []string{"Bearer " + SessionPrefix + strings.Repeat("A", 43)}, CodeSession, 401},
		{"a session of odd length", []string{"Bearer " + session + "A"}, CodeSession, 401},
		{"the session prefix alone", []string{"Bearer " + SessionPrefix}, CodeSession, 401},
		{"the session's id", []string{"Bearer " + SessionPrefix + sessionstore.ID(session)}, CodeSession, 401},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			subject, err := g.auth.Authenticate(context.Background(), test.values)
			wantCode(t, err, test.code, test.status, raw)
			if subject.Sub != "" {
				t.Errorf("subject %+v", subject)
			}
		})
	}
	if _, err := (&Authenticator{}).Authenticate(context.Background(), []string{"Bearer " + raw}); err == nil {
		t.Error("the zero Authenticator accepts a token")
	}
	console := g.issuer.mint(g.clock.now(), claims{"aud": "bqgate-console"})
	_, err := g.ask(console)
	wantCode(t, err, CodeAudience, 403, console)
}

func FuzzBearer(f *testing.F) {
	f.Add("Bearer abc")
	f.Add("Bearer a,b")
	f.Add("bearer a==")
	f.Fuzz(func(t *testing.T, value string) {
		raw, refused := (&Authenticator{Audience: "bqgate"}).bearer([]string{value})
		if refused != nil {
			if raw != "" {
				t.Fatalf("refused with a token")
			}
			return
		}
		if raw == "" || strings.ContainsAny(raw, " ,\t\r\n\"'") || !strings.HasSuffix(value, raw) || len(value) != len("Bearer ")+len(raw) {
			t.Fatalf("token of %q is %q", value, raw)
		}
	})
}
