package policies

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/spelling"
)

// SubjectFile is who asks, as `policy explain --subject` and policy tests write it down: what a
// verified token would say.
type SubjectFile struct {
	// the issuer's configured name; may be left out where the policy's groups name only one
	Issuer   string         `json:"issuer,omitempty"`
	Sub      string         `json:"sub,omitempty"` // the token's `sub`; `subject` is taken for it too
	Subject  string         `json:"subject,omitempty"`
	Groups   []string       `json:"groups,omitempty"` // the token's `groups` claim, where claims has none
	Claims   map[string]any `json:"claims,omitempty"`
	Workload bool           `json:"workload,omitempty"` // true for issuers of workloads
	// whom the identity map knows behind it; a person is known without by a verified address too
	People []string `json:"people,omitempty"`
	Age    string   `json:"age,omitempty"` // how long ago the token was issued, such as 90m; new if left out
}

// ReadSubject reads a subject's JSON file. Unknown keys are refused.
func ReadSubject(path string) (SubjectFile, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return SubjectFile{}, fmt.Errorf("read subject: %w", err)
	}
	f, err := parseSubject(text)
	if err != nil {
		return SubjectFile{}, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

const subjectShape = `want JSON such as {"issuer": "github", "sub": "repo:acme/app:ref:refs/heads/main", "claims": {"repository_id": ` +
	`"4411"}, "workload": true}`

func parseSubject(text []byte) (f SubjectFile, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return SubjectFile{}, fmt.Errorf("%w; %s", err, subjectShape)
	}
	if d.More() {
		return SubjectFile{}, fmt.Errorf("something stands behind the subject; %s", subjectShape)
	}
	if f.Sub != "" && f.Subject != "" && f.Sub != f.Subject {
		return SubjectFile{}, errors.New("sub and subject differ: write one of them")
	}
	return f, nil
}

// subject makes the Subject that a verifier would make of such a token, for a policy.
func (f SubjectFile) subject(s *Set, now time.Time) (identity.Subject, error) {
	issued := now
	if f.Age != "" {
		age, err := time.ParseDuration(f.Age)
		if err != nil || age < 0 {
			return identity.Subject{}, fmt.Errorf("the subject's age %q is no time such as 90m", shorten(f.Age))
		}
		issued = now.Add(-age)
	}
	sub := f.Sub
	if sub == "" {
		sub = f.Subject
	}
	if sub == "" {
		return identity.Subject{}, errors.New("the subject has no sub")
	}
	issuer, err := s.issuer(f.Issuer)
	if err != nil {
		return identity.Subject{}, err
	}
	claims := map[string]any{"sub": sub}
	if len(f.Groups) > 0 {
		list := make([]any, len(f.Groups))
		for i, g := range f.Groups {
			list[i] = g
		}
		claims["groups"] = list
	}
	for name, v := range f.Claims {
		claims[name] = v
	}
	people, known := f.People, f.People
	if !f.Workload && len(known) == 0 {
		if people, known, err = identity.People(claims); err != nil {
			return identity.Subject{}, fmt.Errorf("the gateway would refuse this subject's token: %w", err)
		}
	}
	return identity.Subject{
		Issuer: issuer, Name: issuer, Sub: sub, Owner: issuer + "/" + sub, Grant: issuer + "/" + sub, Budget: issuer + "/" + sub,
		People: people, Mapped: len(known) > 0, Known: known, Workload: f.Workload, Groups: f.Groups, Claims: claims, Issued: issued,
	}, nil
}

// issuer completes the issuer of a subject by the only one that the policy names.
func (s *Set) issuer(name string) (string, error) {
	issuers := s.Issuers()
	switch {
	case slices.Contains(issuers, ""):
		return "", errors.New("a group of the policy names no issuer, which stands for the only configured one: say its name with " +
			"--issuer (in a test file: issuers)")
	case name != "" && !slices.Contains(issuers, name):
		return "", fmt.Errorf("no group of the policy is of issuer %s%s", shorten(name), spelling.DidYouMean(name, issuers))
	case name != "":
		return name, nil
	case len(issuers) == 1:
		return issuers[0], nil
	default:
		return "", fmt.Errorf("the subject names no issuer, and the policy has groups of several: %s", strings.Join(issuers, ", "))
	}
}

// Issuers lists the issuers that the policy's groups name, sorted; "" stands for groups that name
// none.
func (s *Set) Issuers() []string {
	var all []string
	for _, g := range s.groups {
		all = append(all, g.issuer)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
