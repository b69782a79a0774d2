package identity

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/spelling"
)

// preset is what is known of one vendor's tokens: where its issuers are, which kinds of tokens they
// sign, and what a condition on them easily lets through. An Issuer names one by Preset, and what
// it says beside that counts instead. presets_workloads.go and presets_people.go have them, each
// with the vendor's documents; docs/issuers.md tells operators.
type preset struct {
	// urls are the forms of the issuer's URL, for the parameters in braces. The form is taken that
	// has just the parameters that were given.
	urls []string
	ids  bool // org and tenant are ids, not names
	// also is what a URL that is written out may look like beside these forms; nil: nothing else.
	also *regexp.Regexp

	// kinds are the kinds of tokens; the first whose marks a token has counts. A token of none is
	// refused.
	kinds []kind
	// alsoPeople says that the issuer signs people's tokens too, which WithPeople lets in.
	alsoPeople bool

	claims   map[string]string // what Claims of an Issuer says otherwise
	verified string            // the claim by which the issuer says that it verified an address, beside email_verified
	runURL   string            // where a run is looked at: {web} and claims in braces
	web      func(issuer *url.URL) string
	pitfalls []Pitfall
	// forbids are claims that say nothing of people in this vendor's tokens, with what does.
	forbids map[string]string
}

// kind is one kind of tokens: of a job, of a person, of a service account. It gives the defaults of
// Owner, Grant, Budget and People.
type kind struct {
	what     string
	marks    []mark // a token with all these is of this kind
	workload bool
	owner    []string
	grant    []string
	budget   []string
	people   []string
}

// mark is what a claim of a token must be.
type mark struct {
	claim  string
	like   *regexp.Regexp // its text; nil: it is there
	absent bool           // it is not there
	sameAs string         // it has the value of this other claim
}

func (m mark) of(claims map[string]any) bool {
	value := claims[m.claim]
	switch {
	case m.absent:
		return value == nil
	case m.sameAs != "":
		return scalar(value) != "" && scalar(value) == scalar(claims[m.sameAs])
	case m.like != nil:
		return m.like.MatchString(scalar(value))
	}
	return value != nil
}

func (k kind) of(claims map[string]any) bool {
	return !slices.ContainsFunc(k.marks, func(m mark) bool { return !m.of(claims) })
}

func has(claims ...string) []mark {
	var marks []mark
	for _, claim := range claims {
		marks = append(marks, mark{claim: claim})
	}
	return marks
}

// person is what a token of a person is read as.
var person = kind{what: "a person", people: []string{"sub|email|preferred_username"}}

// Presets lists the names that Issuer.Preset takes, sorted.
func Presets() []string { return slices.Sorted(maps.Keys(presets)) }

var presets = map[string]preset{
	"github-actions": githubActions, "gitlab": gitlab, "buildkite": buildkite, "circleci": circleci,
	"google": google, "okta": okta, "entra": entra, "auth0": auth0, "keycloak": keycloak, "dex": dex,
}

// ForPeople says whether people may have tokens of the issuer.
func (i Issuer) ForPeople() bool {
	p, ok := presets[i.Preset]
	switch {
	case i.Workload:
		return false
	case ok && i.WithPeople && p.alsoPeople:
		return true
	case ok:
		return slices.ContainsFunc(p.kinds, func(k kind) bool { return !k.workload })
	}
	return true
}

// kindOf is the kind of a token, and whether it stands for a workload.
func (i *issuer) kindOf(claims map[string]any) (k kind, workload bool, refused *Error) {
	kinds := []kind{githubKind, gitlabKind, person}
	if p, ok := presets[i.Preset]; ok {
		kinds = slices.Clone(p.kinds)
		if p.alsoPeople && i.WithPeople {
			kinds = append(kinds, person)
		}
	}
	var known []string
	for _, k := range kinds {
		if k.of(claims) {
			if i.Workload && !k.workload {
				k = kind{} // its keys are those of a person, and it stands for a machine
			}
			return k, i.Workload || k.workload, nil
		}
		known = append(known, k.what)
	}
	return kind{}, false, refuse(CodeClaims, nil, "the token of issuer %s is not that of %s, by its claims; send one that is", i.Name,
		strings.Join(known, ", nor of "))
}

// parameters are those of the URL that were given, by name.
func (i Issuer) parameters() map[string]string {
	given := map[string]string{"host": i.Host, "org": i.Org, "tenant": i.Tenant, "realm": i.Realm}
	maps.DeleteFunc(given, func(_, value string) bool { return value == "" })
	return given
}

var (
	placeholder = regexp.MustCompile(`\{[a-z]+\}`)
	// parameterShapes are what may stand in a URL for a parameter.
	parameterShapes = map[string]string{
		"host": `[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?`, "org": `[A-Za-z0-9][A-Za-z0-9_-]*`,
		"tenant": `[A-Za-z0-9][A-Za-z0-9-]*`, "realm": `[A-Za-z0-9][A-Za-z0-9_.-]*`,
	}
)

const uuidShape = `[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`

// shape is what may stand for a parameter.
func (p preset) shape(name string) string {
	if p.ids && (name == "org" || name == "tenant") {
		return uuidShape
	}
	return parameterShapes[name]
}

func parametersOf(form string) []string {
	names := placeholder.FindAllString(form, -1)
	for i := range names {
		names[i] = strings.Trim(names[i], "{}")
	}
	slices.Sort(names)
	return names
}

// filled is the issuer's URL of the parameters that were given; "" where they do not make one.
func (p preset) filled(given map[string]string) string {
	for _, form := range p.urls {
		if slices.Equal(parametersOf(form), slices.Sorted(maps.Keys(given))) {
			return placeholder.ReplaceAllStringFunc(form, func(name string) string { return given[strings.Trim(name, "{}")] })
		}
	}
	return ""
}

// fits says whether a URL that was written out is one of this vendor's.
func (p preset) fits(issuer string) bool {
	if u, err := url.Parse(issuer); err == nil && u.Scheme == "http" && isLoopback(u.Hostname()) {
		return true // a stand-in
	}
	for _, form := range p.urls {
		shape := regexp.QuoteMeta(form)
		for name := range parameterShapes {
			shape = strings.ReplaceAll(shape, `\{`+name+`\}`, p.shape(name))
		}
		if regexp.MustCompile(`^` + shape + `$`).MatchString(issuer) {
			return true
		}
	}
	return p.also != nil && p.also.MatchString(issuer)
}

// forms are the URLs that would be right, for a message.
func (p preset) forms() string { return strings.Join(p.urls, " or ") }

// resolved fills in what the preset says of the URL and of algorithms.
func (i Issuer) resolved() Issuer {
	if p, ok := presets[i.Preset]; ok && i.URL == "" {
		i.URL = p.filled(i.parameters())
	}
	if len(i.Algorithms) == 0 {
		i.Algorithms = []string{"RS256", "ES256"}
		if i.Preset != "" {
			i.Algorithms = []string{"RS256"} // all these vendors', unless the operator chose another there
		}
	}
	return i
}

// contradictions are what is written beside a preset and cannot be right.
func (i Issuer) contradictions() []error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	given := i.parameters()
	if i.Preset == "" {
		for _, name := range slices.Sorted(maps.Keys(given)) {
			add("%s stands for a part of a preset's URL, and there is no preset; write the whole url", name)
		}
		if i.WithPeople {
			add("with_people is for preset gitlab; without a preset, people's tokens are believed unless workload is true")
		}
		return errs
	}
	p, ok := presets[i.Preset]
	if !ok {
		near := spelling.DidYouMean(i.Preset, Presets())
		add("preset %q is not known%s; there are %s", i.Preset, near, strings.Join(Presets(), ", "))
		return errs
	}
	for name, value := range given {
		if !regexp.MustCompile(`^(` + p.shape(name) + `)$`).MatchString(value) {
			what := "a part of a URL"
			if p.shape(name) == uuidShape {
				what = "an id in small letters, such as 2c1f0a3e-1111-4222-8333-0123456789ab"
			}
			add("%s is %q; preset %s makes %s of it, so it must be %s", name, value, i.Preset, p.forms(), what)
		}
	}
	made := p.filled(given)
	switch {
	case len(given) == 0 && !p.fits(i.URL) && i.URL != "":
		add("url %s is none of preset %s%s; right would be %s", i.URL, i.Preset, slashHint(p, i.URL), p.forms())
	case made == "" && len(given) > 0:
		add("preset %s makes no URL of %s; give what stands in braces in %s, or the whole url", i.Preset,
			strings.Join(slices.Sorted(maps.Keys(given)), " and "), p.forms())
	case made == "" && i.URL == "":
		add("preset %s needs to know where: give what stands in braces in %s, or the whole url", i.Preset, p.forms())
	case len(given) > 0 && made != i.URL:
		add("url %s is not what preset %s makes of its parameters, %s; leave out one of them", i.URL, i.Preset, made)
	}
	errs = append(errs, i.contradictoryClaims(p)...)
	return errs
}

// slashHint says where nothing but a slash at the end is wrong.
func slashHint(p preset, issuer string) string {
	other := strings.TrimSuffix(issuer, "/")
	if other == issuer {
		other += "/"
	}
	if p.fits(other) {
		return fmt.Sprintf(" (its tokens say %s, to the letter)", other)
	}
	return ""
}

func (i Issuer) contradictoryClaims(p preset) []error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	people := slices.ContainsFunc(p.kinds, func(k kind) bool { return !k.workload })
	for _, entry := range i.People {
		for claim := range strings.SplitSeq(entry, "|") {
			if instead, ok := p.forbids[claim]; ok {
				add("people: %s names nobody in a token of preset %s; %s", claim, i.Preset, instead)
			}
		}
	}
	switch {
	case !people && i.EmailsVerified:
		add("emails_verified is of people, and preset %s is of workloads; name domains in people_domains, or people in people_map",
			i.Preset)
	case i.Preset == "entra" && i.EmailsVerified:
		add("emails_verified: Entra ID does not verify the addresses in its tokens; let the application send xms_edov, or map oid in " +
			"people_map")
	case people && i.Workload && len(i.Owner) == 0:
		add("workload: preset %s is of people, and knows its applications by their claims; leave workload out, "+
			"or write owner and grant, the claims that tell one run from another", i.Preset)
	}
	if i.WithPeople && !p.alsoPeople {
		add("with_people is for preset gitlab, which signs people's tokens beside those of jobs; preset %s does not", i.Preset)
	}
	return errs
}
