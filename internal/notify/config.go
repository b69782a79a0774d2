package notify

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/approvals"
)

// Config says whom to tell. It is part of the gateway's configuration file.
type Config struct {
	// Allow are networks that targets may have addresses in although they are not public
	// ("10.1.2.0/24"). Plain http goes to these only.
	Allow   []string `yaml:"allow,omitempty"`
	Targets []Target `yaml:"targets,omitempty"`
}

// Target is one receiver.
type Target struct {
	Name string `yaml:"name"`
	Type string `yaml:"type"` // "slack" (an incoming webhook) or "webhook" (Standard Webhooks)

	// URL or URLFile: a Slack webhook's URL is a secret, and belongs into a file.
	URL     string `yaml:"url,omitempty"`
	URLFile string `yaml:"url_file,omitempty"`
	// SecretFile holds the signing secret of a webhook: "whsec_" and base64 of 24 to 64 random
	// bytes.
	SecretFile string `yaml:"secret_file,omitempty"`

	// Events are what is told of: requested, approved, denied, cancelled, used, revoked. Default:
	// requested.
	Events []string `yaml:"events,omitempty"`
	// Groups limits the target to requests that one of these groups may decide on. Default: all.
	Groups []string `yaml:"groups,omitempty"`
}

var (
	targetName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	events     = []approvals.Kind{
		approvals.EventHeld, approvals.EventApprove, approvals.EventDeny, approvals.EventCancelled, approvals.EventUsed,
		approvals.EventRevoked,
	}
)

// Files are the paths in the configuration, for resolving them against its folder.
func (c *Config) Files() []*string {
	var all []*string
	for i := range c.Targets {
		all = append(all, &c.Targets[i].URLFile, &c.Targets[i].SecretFile)
	}
	return all
}

// Targets are the receivers, ready for use. A nil *Targets has none.
type Targets struct {
	all   []target
	allow []netip.Prefix
}

type target struct {
	name   string
	slack  bool
	url    string
	secret []byte
	events []approvals.Kind
	groups []string
}

// Load reads the secrets and checks everything. Its error names every mistake.
func Load(c Config) (*Targets, error) {
	out := &Targets{}
	var errs []error
	for _, text := range c.Allow {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("notifications.allow: %q is not a network, such as 10.1.2.0/24", text))
			continue
		}
		out.allow = append(out.allow, p.Masked())
	}
	names := map[string]bool{}
	for i, t := range c.Targets {
		made, err := t.load(len(out.allow) > 0)
		if names[t.Name] {
			err = errors.Join(err, errors.New("the name is taken by an earlier target"))
		}
		names[t.Name] = true
		if err != nil {
			errs = append(errs, fmt.Errorf("notifications.targets[%d] (%s): %w", i, t.Name, err))
		}
		out.all = append(out.all, made)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return out, nil
}

func (t Target) load(plainAllowed bool) (target, error) {
	out := target{name: t.Name, slack: t.Type == "slack", groups: t.Groups}
	var errs []error
	if !targetName.MatchString(t.Name) {
		errs = append(errs, errors.New("name must be lower case letters, digits, - and _"))
	}
	if t.Type != "slack" && t.Type != "webhook" {
		errs = append(errs, fmt.Errorf("type is %q, want slack or webhook", t.Type))
	}
	for _, e := range t.Events {
		if !slices.Contains(events, approvals.Kind(e)) {
			errs = append(errs, fmt.Errorf("event %q is none of %v", e, events))
		}
		out.events = append(out.events, approvals.Kind(e))
	}
	if len(out.events) == 0 {
		out.events = []approvals.Kind{approvals.EventHeld}
	}
	var err error
	if out.url, err = t.address(plainAllowed); err != nil {
		errs = append(errs, err)
	}
	switch {
	case t.Type == "webhook":
		if out.secret, err = readSecret(t.SecretFile); err != nil {
			errs = append(errs, err)
		}
	case t.SecretFile != "":
		errs = append(errs, errors.New("secret_file is for type webhook; Slack takes no signature"))
	}
	return out, errors.Join(errs...)
}

// address is the URL. It is a secret with Slack, so no error shows it.
func (t Target) address(plainAllowed bool) (string, error) {
	text := t.URL
	switch {
	case (t.URL == "") == (t.URLFile == ""):
		return "", errors.New("give either url or url_file")
	case t.URLFile != "":
		b, err := os.ReadFile(t.URLFile)
		if err != nil {
			return "", fmt.Errorf("url_file: %w", err)
		}
		text = strings.TrimSpace(string(b))
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return "", errors.New("the url must be https://HOST/PATH, without a user and a fragment")
	case u.Scheme == "http" && !plainAllowed:
		return "", errors.New("the url is plain http, which goes to networks under notifications.allow only; use https")
	case u.Scheme != "https" && u.Scheme != "http":
		return "", errors.New("the url must begin with https://")
	}
	return text, nil
}

func readSecret(path string) ([]byte, error) {
	if path == "" {
		return nil, errors.New("secret_file is missing: `whsec_` and base64 of 32 random bytes, which the receiver knows too")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("secret_file: %w", err)
	}
	text, ok := strings.CutPrefix(strings.TrimSpace(string(b)), "whsec_")
	secret, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(secret) < 24 || len(secret) > 64 {
		return nil, errors.New("secret_file must hold `whsec_` and base64 of 24 to 64 random bytes")
	}
	return secret, nil
}

// Of are the names of the targets that are told of an event. It fits approvals.Options.Notify.
func (t *Targets) Of(r approvals.Request, k approvals.Kind) []string {
	if t == nil || k == approvals.EventApprove && r.State != approvals.StateApproved { // one vote of several
		return nil
	}
	var names []string
	for _, target := range t.all {
		grouped := len(target.groups) == 0 ||
			slices.ContainsFunc(target.groups, func(g string) bool { return slices.Contains(r.Reviewers, g) })
		if grouped && slices.Contains(target.events, k) {
			names = append(names, target.name)
		}
	}
	return names
}

func (t *Targets) named(name string) (target, bool) {
	for _, target := range t.all {
		if target.name == name {
			return target, true
		}
	}
	return target{}, false
}
