package identity

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"go.mau.fi/util/confusable"
	"golang.org/x/net/idna"
	"golang.org/x/text/secure/precis"
	"golang.org/x/text/width"
)

// Names of people decide who may approve whose request, so two spellings of one human must be one
// name, and no name may pass for another's (A42). They are taken in one narrow form, where a token
// or the identity map brings them in; what has another form is refused there and never put right:
// a name that is put right is a name that somebody else may have chosen.

// maxName is the length of a name in bytes.
const maxName = 256

var (
	// plainName is a login, or a word of an address: dots stand between others only.
	plainName = regexp.MustCompile(`^[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*$`)
	// botName is how GitHub spells the login of an app.
	botName = regexp.MustCompile(`^[A-Za-z0-9_-]+\[bot\]$`)
	// plainDomain is labels of letters, digits and inner hyphens.
	plainDomain = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)
	// opaqueID is a `sub` that names nobody: it only tells accounts apart ("auth0|5f7c",
	// "https://idp.example/u/7").
	opaqueID = regexp.MustCompile(`^[A-Za-z0-9_-]([A-Za-z0-9._+@|:/=~-]*[A-Za-z0-9_+/=~-])?$`)
)

// name is a name of a person in the one form in which people are compared.
type name struct {
	text    string // lower case
	address bool   // an e-mail address: it says where the person is known
}

// nameRules say which names are taken.
type nameRules struct {
	scripts []string // of Unicode, beside ASCII
}

var errName = errors.New("names of people are made of ASCII letters, digits and . _ + - @, dots only between others")

// name reads a name. ASCII is folded to lower case: no provider in use gives two people addresses
// or logins that differ in case alone, and who did would only be kept from deciding for the other.
func (n nameRules) name(text string) (name, error) {
	switch {
	case text == "":
		return name{}, errors.New("a name is empty")
	case len(text) > maxName:
		return name{}, fmt.Errorf("a name has more than %d bytes", maxName)
	case !isASCII(text):
		return n.inScript(text)
	}
	lower := strings.ToLower(text)
	local, domain, isAddress := strings.Cut(text, "@")
	switch {
	case isAddress && plainName.MatchString(local) && plainDomain.MatchString(domain):
		return name{text: lower, address: true}, nil
	case !isAddress && (plainName.MatchString(text) || botName.MatchString(text)):
		return name{text: lower}, nil
	default:
		return name{}, errName
	}
}

// subject reads a person's `sub`: a name, or an id that tells nothing. OpenID Connect Core section
// 2: it is case sensitive, so ids that differ in case are two.
func (n nameRules) subject(text string) (name, error) {
	is, err := n.name(text)
	if err == nil {
		return is, nil
	}
	if len(text) <= maxName && opaqueID.MatchString(text) && (!strings.Contains(text, "@") || strings.ContainsAny(text, "|:/")) {
		return name{text: strings.ToLower(text)}, nil
	}
	return name{}, err
}

// inScript reads a name with letters beyond ASCII, all of one script that the operator allows. RFC
// 8265 (precis) folds case and width and forbids what is no letter or digit; it lets letters of
// several scripts stand together, and invisible joiners, so these are asked for here.
func (n nameRules) inScript(text string) (name, error) {
	if len(n.scripts) == 0 {
		return name{}, errName
	}
	local, domain, isAddress := strings.Cut(text, "@")
	if width.Fold.String(text) != text {
		return name{}, errors.New("the name has letters of another width")
	}
	folded, err := precis.UsernameCaseMapped.String(local)
	if err != nil {
		return name{}, fmt.Errorf("the name is none by RFC 8265: %w", err)
	}
	for part := range strings.SplitSeq(folded+"@"+domain, "@") {
		if isASCII(part) {
			continue // plainDomain and plainName ask for more
		}
		if err := n.oneScript(part); err != nil {
			return name{}, err
		}
	}
	if isASCII(folded) && (!isASCII(local) || !plainName.MatchString(folded)) {
		return name{}, errName // a letter that is an ASCII one in lower case, such as the Kelvin sign
	}
	if !isAddress {
		return name{text: folded}, nil
	}
	// The A-label is the one form of a domain, whichever was sent.
	ascii, err := idna.Lookup.ToASCII(domain)
	if err != nil || !plainDomain.MatchString(ascii) {
		return name{}, errors.New("the domain of the address is none by RFC 5891")
	}
	return name{text: folded + "@" + strings.ToLower(ascii), address: true}, nil
}

// oneScript says what in a folded name is not of one allowed script.
func (n nameRules) oneScript(text string) error {
	script, last := "", '.'
	for _, r := range text {
		switch {
		case r == '.' && last == '.':
			return errName
		case '0' <= r && r <= '9', strings.ContainsRune("._+-", r):
		case unicode.IsLetter(r), unicode.Is(unicode.M, r):
			of := scriptOf(r)
			switch {
			case !slices.Contains(n.scripts, of):
				return fmt.Errorf("%U is of script %s; allowed are %s", r, of, strings.Join(n.scripts, ", "))
			case script != "" && of != script:
				return fmt.Errorf("the name mixes the scripts %s and %s", script, of)
			}
			script = of
		default:
			return fmt.Errorf("%U is no letter, digit or one of . _ + -", r)
		}
		last = r
	}
	if last == '.' {
		return errName
	}
	return nil
}

// scriptOf is a character's script in Unicode. Marks that stand with letters of any script have the
// script "Inherited", which nobody can allow.
func scriptOf(r rune) string {
	if r < unicode.MaxASCII {
		return "Latin"
	}
	for script, table := range unicode.Scripts {
		if unicode.Is(table, r) {
			return script
		}
	}
	return "Unknown"
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

// SamePerson says whether two names of people, as Subjects have them, are one, or look like one to
// a reader (UTS #39). Too many that are one only keep somebody from deciding.
func SamePerson(a, b string) bool {
	if a == b {
		return true
	}
	if isASCII(a) && isASCII(b) && !strings.Contains(a+b, "xn--") {
		return false // what ASCII letters look like is for fonts to say: rn is no m
	}
	return skeleton(a) == skeleton(b)
}

// skeleton is what a name looks like.
func skeleton(name string) string {
	local, domain, isAddress := strings.Cut(name, "@")
	if !isAddress {
		return confusable.Skeleton(name)
	}
	if shown, err := idna.ToUnicode(domain); err == nil {
		domain = shown
	}
	return confusable.Skeleton(local) + "@" + confusable.Skeleton(domain)
}

// withoutTag drops the tag of an address ("alice+ci@corp.example"), which reaches the same person.
func withoutTag(name string) string {
	local, domain, ok := strings.Cut(name, "@")
	if !ok {
		return name
	}
	base, _, tagged := strings.Cut(local, "+")
	if !tagged || base == "" {
		return name
	}
	return base + "@" + domain
}
