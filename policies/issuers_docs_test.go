package policies

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/bqgate/bqgate/e2e/fakegoogle/oidcissuer"
	"github.com/bqgate/bqgate/internal/golden"
	"github.com/bqgate/bqgate/internal/identity"
)

const issuersPage = "../docs/issuers.md"

// fenced is the block of a section with an info string, and where it stands in it.
func fenced(t *testing.T, section, info string) (text string, from, to int) {
	t.Helper()
	begin := strings.Index(section, "```"+info+"\n")
	if begin < 0 {
		t.Fatalf("the section has no block %q", info)
	}
	from = begin + len("```"+info+"\n")
	length := strings.Index(section[from:], "```")
	return section[from : from+length], from, from + length
}

// TestIssuersPage follows each section of docs/issuers.md to its end: the issuer is a whole
// configuration, a token of the vendor's shape is verified and becomes the subject that is shown,
// the policy's condition lets it in, and lint finds nothing in that.
func TestIssuersPage(t *testing.T) {
	standIn, err := oidcissuer.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer standIn.Close()
	page, err := os.ReadFile(issuersPage)
	if err != nil {
		t.Fatal(err)
	}
	sections := strings.SplitAfter(string(page), "\n## ")
	told := map[string]bool{}
	for i, section := range sections[1:] {
		title, _, _ := strings.Cut(section, "\n")
		t.Run(title, func(t *testing.T) {
			var issuer identity.Issuer
			text, _, _ := fenced(t, section, "yaml issuer")
			if err := yaml.UnmarshalWithOptions([]byte(text), &issuer, yaml.Strict()); err != nil {
				t.Fatal(err)
			}
			told[issuer.Preset] = true
			subject := follow(t, standIn, issuer, section)
			was, from, to := fenced(t, section, "text subject")
			if was != subject && golden.Update() {
				sections[i+1] = section[:from] + subject + section[to:]
			} else if was != subject {
				t.Errorf("the subject is not the one that is shown (-update writes it):\n%s\nshown:\n%s", subject, was)
			}
		})
	}
	for _, preset := range identity.Presets() {
		if !told[preset] {
			t.Errorf("docs/issuers.md has no section with preset %s", preset)
		}
	}
	if golden.Update() {
		if err := os.WriteFile(issuersPage, []byte(strings.Join(sections, "")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// follow verifies the section's token and describes its subject.
func follow(t *testing.T, standIn *oidcissuer.Issuer, issuer identity.Issuer, section string) string {
	t.Helper()
	config := identity.Config{Issuers: []identity.Issuer{issuer}}
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	whole := config.WithDefaults().Issuers[0]
	config.Issuers[0].JWKS = standIn.URL() + "/jwks" // whose keys are trusted; all else is the section's
	verifier, err := identity.NewVerifier(config)
	if err != nil {
		t.Fatal(err)
	}
	defer verifier.Close()
	text, _, _ := fenced(t, section, "json token")
	var claims map[string]any
	if err := json.Unmarshal([]byte(text), &claims); err != nil {
		t.Fatal(err)
	}
	claims["iss"] = whole.URL
	token, err := standIn.Token(oidcissuer.Mint{Claims: claims})
	if err != nil {
		t.Fatal(err)
	}
	subject, err := verifier.Verify(context.Background(), token, "bqgate")
	if err != nil {
		t.Fatal(err)
	}
	group, _, _ := fenced(t, section, "yaml policy")
	name, _, _ := strings.Cut(group, ":")
	set := mustLoadNamed(t, issuer.Name, "version: bqgate/v1\ngroups:\n  "+strings.ReplaceAll(strings.TrimRight(group, "\n"), "\n", "\n  ")+
		"\nrules:\n  - {name: r, groups: ["+name+"], read: [p.d.*]}\n")
	if findings := set.Pitfalls([]identity.Issuer{issuer}); len(findings) > 0 {
		t.Errorf("lint finds in the section's own condition: %+v", findings)
	}
	member := set.Membership(subject)
	if len(member.Groups) != 1 || member.Groups[0] != name {
		t.Errorf("the token is not in group %s: %+v", name, member)
	}
	return strings.ReplaceAll(described(subject, member.Groups), whole.URL, "ISSUER")
}

func mustLoadNamed(t *testing.T, issuer, text string) *Set {
	t.Helper()
	set, err := LoadBytes("policy.yaml", []byte(text), Options{Issuers: []string{issuer}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// described has a line for each thing that is known, which are all that hang on the preset.
func described(s identity.Subject, groups []string) string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-12s %s\n", name, value)
		}
	}
	stands := "a person"
	if s.Workload {
		stands = "a workload"
	}
	line("stands for", stands)
	line("owner", s.Owner)
	line("grant", s.Grant)
	line("budget", s.Budget)
	line("people", strings.Join(s.People, ", "))
	line("known as", strings.Join(s.Known, ", "))
	line("email", s.Email)
	line("own groups", strings.Join(s.Groups, ", "))
	line("in groups", strings.Join(groups, ", "))
	line("repository", s.Run.Repository)
	line("ref", s.Run.Ref)
	line("workflow", s.Run.Workflow)
	line("environment", s.Run.Environment)
	line("commit", s.Run.Commit)
	line("actor", s.Run.Actor)
	line("run", s.Run.URL)
	return b.String()
}
