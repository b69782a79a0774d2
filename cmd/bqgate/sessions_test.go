package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/e2e/fakegoogle/oidcissuer"
	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/durable/durabletest"
	"github.com/bqgate/bqgate/internal/gateway"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/sealed"
)

// gate is a gateway's session store, its configuration file, and its token endpoint.
type gate struct {
	t        *testing.T
	dir      string
	config   string
	redis    *miniredis.Miniredis
	sessions *identity.Sessions
	issuer   *oidcissuer.Issuer
	tokens   *httptest.Server
	audit    *audit.Key
}

func newGate(t *testing.T) *gate {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	g := &gate{t: t, dir: t.TempDir(), redis: miniredis.RunT(t)}
	var err error
	g.issuer, err = oidcissuer.Start("127.0.0.1:0")
	must(err)
	t.Cleanup(func() { g.issuer.Close() })
	secret, err := sealed.Generate()
	must(err)
	must(os.WriteFile(filepath.Join(g.dir, "sealing.key"), []byte(secret), 0o600))
	g.audit, err = audit.GenerateKey(filepath.Join(g.dir, "audit.key"))
	must(err)
	must(os.Mkdir(filepath.Join(g.dir, "audit"), 0o700))
	g.config = filepath.Join(g.dir, "bqgate.yaml")
	must(os.WriteFile(g.config, []byte(`version: bqgate/v1
sockets: {dir: run}
console: {address: "127.0.0.1:1"}
identity: {issuers: [{name: demo, url: "`+g.issuer.URL()+`"}]}
redis: {url: "redis://`+g.redis.Addr()+`", embedded: true}
sealing_key_file: sealing.key
audit: {dir: audit, key_file: audit.key}
policies: [policy.yaml]
`), 0o600))
	keys, err := sealed.Load(filepath.Join(g.dir, "sealing.key"))
	must(err)
	config := identity.Config{Issuers: []identity.Issuer{{Name: "demo", URL: g.issuer.URL()}}}
	verifier, err := identity.NewVerifier(config)
	must(err)
	t.Cleanup(verifier.Close)
	client := redis.NewClient(&redis.Options{Addr: g.redis.Addr()})
	t.Cleanup(func() { client.Close() })
	log := slog.New(slog.DiscardHandler)
	g.sessions, err = identity.NewSessions(client, keys, config, log)
	must(err)
	g.sessions.Journal = &openedSessions{journal: durabletest.Journal(t)}
	handler, err := identity.TokenHandler(verifier, g.sessions, nil, log)
	must(err)
	g.tokens = httptest.NewServer(handler)
	t.Cleanup(g.tokens.Close)
	return g
}

// openedSessions records the sessions that are opened; the command itself records what it revokes.
type openedSessions struct {
	journal durable.Journal
	pulse   durable.Pulse
}

func (o *openedSessions) SessionGivenAgain(ctx context.Context) (durable.Answer, error) {
	return o.pulse.SessionAgain(ctx, o.journal)
}

func (o *openedSessions) SessionOpened(ctx context.Context, s identity.Session, _ identity.Subject) (durable.Opened, error) {
	return durable.OpenSession(ctx, o.journal, audit.Session{ID: s.ID})
}
func (*openedSessions) SessionRevoked(context.Context, identity.Session) error { return nil }

// exchange opens a session as a stock client does and returns its token.
func (g *gate) exchange(sub string) string {
	g.t.Helper()
	ttl := int64(600)
	raw, err := g.issuer.Token(oidcissuer.Mint{Subject: sub, Audience: oidcissuer.Audience{"bqgate"}, TTLSeconds: &ttl})
	if err != nil {
		g.t.Fatal(err)
	}
	resp, err := http.PostForm(g.tokens.URL+"/v1/token", url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
		"subject_token": {raw},
		"audience":      {"bqgate"}, "requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
	})
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	var out struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(text, &out); err != nil || out.AccessToken == "" {
		g.t.Fatalf("exchange: %s", text)
	}
	return out.AccessToken
}

func (g *gate) list(want int, args ...string) []identity.Session {
	g.t.Helper()
	out, _ := command(context.Background(), g.t, want, append([]string{"sessions", "list", "--config", g.config}, args...)...)
	var list struct{ Sessions []identity.Session }
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		g.t.Fatalf("%v in %s", err, out)
	}
	return list.Sessions
}

func TestSessions(t *testing.T) {
	g := newGate(t)
	token := g.exchange("alice")
	g.exchange("alice")
	bob := g.exchange("bob")
	all := g.list(exitFine)
	if len(all) != 3 || all[0].Subject != "alice" || all[2].Subject != "bob" || all[0].Issuer != g.issuer.URL() ||
		!all[0].Expiry.After(time.Now()) {
		t.Fatalf("got %+v", all)
	}
	if only := g.list(exitFine, "--subject", "bob"); len(only) != 1 || only[0].ID != all[2].ID {
		t.Errorf("of bob: %+v", only)
	}
	if text, _ := command(context.Background(), t, exitFine, "sessions", "list", "--config", g.config); strings.Contains(text, token) {
		t.Error("the list shows a token")
	}

	// One, by the beginning of its id.
	out, _ := command(context.Background(), t, exitFine, "sessions", "revoke", "--config", g.config, "--reason", "laptop lost",
		all[0].ID[:12])
	says(t, out, all[0].ID)
	if _, err := g.sessions.Authenticate(context.Background(), token); err == nil {
		t.Error("a revoked session still opens")
	}
	if _, err := g.sessions.Authenticate(context.Background(), bob); err != nil {
		t.Errorf("another one was ended too: %v", err)
	}
	// All of a subject.
	g.exchange("alice")
	out, errs := command(context.Background(), t, exitFine, "sessions", "revoke", "--config", g.config, "alice", "--reason", "left")
	says(t, errs, "no gateway has told yet")
	var revoked struct{ Subjects []gateway.Ended }
	if err := json.Unmarshal([]byte(out), &revoked); err != nil || len(revoked.Subjects) != 1 || len(revoked.Subjects[0].Sessions) != 2 ||
		revoked.Subjects[0].Subject != "alice" || revoked.Subjects[0].Until.Before(time.Now().Add(time.Hour)) {
		t.Errorf("%v in %s", err, out)
	}
	if left := g.list(exitFine); len(left) != 1 || left[0].Subject != "bob" {
		t.Errorf("left: %+v", left)
	}
	out, _ = command(context.Background(), t, exitFine, "sessions", "list", "--config", g.config)
	says(t, out, `"subject": "alice"`, `"reason": "left"`, `"until":`)
	// It is in the journal: who, why and when.
	found := 0
	report, err := audit.Read(filepath.Join(g.dir, "audit"), g.audit, func(_ audit.Position, r audit.Record) error {
		if s, ok := r.(audit.Session); ok && (s.Event == "revoked" || s.Event == "subject revoked") && s.Subject.Sub == "alice" &&
			strings.HasPrefix(s.By, "operator ") {
			found++
		}
		return nil
	})
	if err := errors.Join(err, report.Err()); err != nil || found != 2 {
		t.Errorf("%d revocations in the journal, want 2: %v", found, err)
	}
}

// Nothing is revoked by guess, and what is wrong is said.
func TestSessionsRefused(t *testing.T) {
	g := newGate(t)
	g.exchange("alice")
	id := g.list(exitFine)[0].ID
	for _, c := range []struct {
		code int
		args []string
		says string
	}{
		{exitUsage, []string{"revoke"}, "--config is missing"},
		{exitUsage, []string{"revoke", "--config", g.config}, "say whom or which sessions"},
		{exitUsage, []string{"revoke", "--config", g.config, id[:4], id}, "give at least 8 characters"},
		{exitUsage, []string{"revoke", "--config", g.config, "--subject", "alice", id}, "either ids or one subject"},
		{exitUsage, []string{"revoke", "--config", g.config, "--issuer", "x", id}, "--issuer narrows a subject"},
		{exitUsage, []string{"list", "--config", filepath.Join(g.dir, "none.yaml")}, "read configuration"},
		{exitFindings, []string{"revoke", "--config", g.config, "00000000"}, "there is no session 00000000; nothing was revoked"},
		{exitFindings, []string{"revoke", "--config", g.config, id, "00000000"}, "nothing was revoked"},
		{exitFindings, []string{"revoke", "--config", g.config, "--subject", "alice", "--issuer", "https://other"}, "no issuer is called"},
		{exitUsage, []string{"revoke", "--config", g.config, "alice", "bob"}, "give at least 8 characters of its id, or one subject"},
	} {
		t.Run(c.says, func(t *testing.T) {
			_, errs := command(context.Background(), t, c.code, append([]string{"sessions"}, c.args...)...)
			says(t, errs, c.says)
		})
	}
	if len(g.list(exitFine)) != 1 {
		t.Error("something was revoked")
	}
}

// An entry that somebody planted in Redis is shown as what it is, and can be removed.
func TestSessionsForged(t *testing.T) {
	g := newGate(t)
	g.exchange("alice")
	planted := strings.Repeat("ab", 32)
	g.redis.Set("bqgate:session:"+planted, "planted")
	found := false
	for _, s := range g.list(exitFindings) {
		found = found || s.Forged && s.ID == planted
	}
	if !found {
		t.Error("a planted entry is not shown")
	}
	command(context.Background(), t, exitFine, "sessions", "revoke", "--config", g.config, planted)
	if len(g.list(exitFine)) != 1 {
		t.Error("the planted entry is still there")
	}
}

// A journal that cannot be written keeps no session alive, and is an error.
func TestSessionsRevokeWithoutJournal(t *testing.T) {
	g := newGate(t)
	g.exchange("alice")
	if err := os.WriteFile(filepath.Join(g.dir, "audit.key"), []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs := command(context.Background(), t, exitFindings, "sessions", "revoke", "--config", g.config, "alice")
	says(t, errs, "revoked, but not in the audit journal")
	if len(g.list(exitFine)) != 0 {
		t.Error("the session lives on")
	}
}

func TestSessionTable(t *testing.T) {
	var out strings.Builder
	err := sessionTable(&out, []identity.Session{
		{ID: strings.Repeat("1", 64), Subject: "repo:acme/app\x1b[2J", Issuer: "https://ci", Created: time.Now(),
			Expiry: time.Now().Add(time.Hour)}, {ID: "ab", Forged: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	says(t, out.String(), "SESSION", "111111111111  repo:acme/app", "not written by this gateway")
	if strings.Contains(out.String(), "\x1b") || strings.Contains(out.String(), strings.Repeat("1", 13)) {
		t.Errorf("got %q", out.String())
	}
}
