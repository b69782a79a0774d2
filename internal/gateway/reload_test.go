package gateway

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/limits"
)

// A reload takes over everything or nothing: what is wrong is named with its place, and what was in
// force stays.
func TestReload(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, dir string, text *string)
		says   string // "" where it is taken over
	}{
		"another policy": {func(t *testing.T, dir string, _ *string) { put(t, dir, "p.yaml", policy+"# another\n") }, ""},
		"other limits":   {func(_ *testing.T, _ string, text *string) { *text += "limits: {queries: {at_once: 3}}\n" }, ""},
		"a broken policy": {func(t *testing.T, dir string, _ *string) { put(t, dir, "p.yaml", policy+"allow_all: true\n") },
			"p.yaml:6:1"},
		"a broken file": {func(_ *testing.T, _ string, text *string) { *text += "allow_all: true\n" }, "unknown key allow_all"},
		"good limits beside a broken policy": {func(t *testing.T, dir string, text *string) {
			*text += "limits: {queries: {at_once: 3}}\n"
			put(t, dir, "p.yaml", policy+"allow_all: true\n")
		}, "allow_all"},
		"a good policy beside another Redis": {func(t *testing.T, dir string, text *string) {
			put(t, dir, "p.yaml", policy+"# another\n")
			*text = strings.Replace(*text, "redis://127.0.0.1:1", "redis://127.0.0.1:2", 1)
		}, "changed in redis,"},
		"a notification that is none": {func(_ *testing.T, _ string, text *string) {
			*text += "notifications: {targets: [{name: x, type: pigeon}]}\n"
		}, "notifications"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, text := installation(t, "127.0.0.1:1")
			g := newGateway(configured(t, dir, text), quiet)
			defer g.close()
			if err := g.readInForce(); err != nil {
				t.Fatal(err)
			}
			g.limits = limits.New(g.config.Limits)
			before, limit := g.current.Load(), g.limits.Limit(limits.Queries)
			c.change(t, dir, &text)
			put(t, dir, filepath.Base(g.config.Path), text)
			g.reloadLogged(t.Context())
			err := g.reload()
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
			kept := g.current.Load() == before && g.limits.Limit(limits.Queries) == limit
			if kept != (c.says != "") {
				t.Errorf("what was in force stayed: %v, want %v", kept, c.says != "")
			}
			if (g.refused.Load() != nil) != (c.says != "") {
				t.Errorf("the status tells of a refused reload: %v", g.refused.Load())
			}
		})
	}
}

// The console takes over the policy that the gateway has in force, and no other.
func TestReloadAs(t *testing.T) {
	dir, text := installation(t, "127.0.0.1:1")
	g := newGateway(configured(t, dir, text), quiet)
	defer g.close()
	if err := g.readInForce(); err != nil {
		t.Fatal(err)
	}
	old := g.policySet().Digest()
	put(t, dir, "p.yaml", policy+"# another\n")
	if err := g.reloadAs("0123"); err == nil || g.policySet().Digest() != old {
		t.Errorf("a policy of another digest was taken over: %v", err)
	}
	now, err := readInForce(g.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.reloadAs(now.policies.Digest()); err != nil || g.policySet().Digest() == old {
		t.Errorf("the policy of this digest was not taken over: %v", err)
	}
}
