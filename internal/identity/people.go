package identity

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// peopleOf returns the humans behind a token in every spelling that is known of them, and whether
// each of them is known: by a name that the issuers of humans use too. Too many spellings only keep
// somebody from deciding; one too few lets somebody decide on their own request (A7).
//
// A person is known by an address that the issuer has verified, by a `sub` that is an address, or
// by the identity map (A61). An opaque `sub` tells nothing, and so does what a person may choose
// freely (preferred_username).
func (i *issuer) peopleOf(token *token, entries []string, workload bool) (humans, *Error) {
	h := humans{mapped: len(entries) > 0}
	if !workload {
		entries = append(slices.Clone(entries), person.people...)
		h.mapped = false
	}
	for _, entry := range entries {
		known := false
		for claim := range strings.SplitSeq(entry, "|") {
			one, refused := i.spellings(token, claim, workload)
			if refused != nil {
				return humans{}, refused
			}
			h.people = append(h.people, one.people...)
			h.known = append(h.known, one.known...)
			h.person = cmp.Or(h.person, one.person)
			known = known || one.mapped
		}
		if workload {
			h.mapped = h.mapped && known // every human behind a workload must be known
		} else {
			h.mapped = h.mapped || known // a person needs one name that others know
		}
	}
	slices.Sort(h.people)
	h.people = slices.Compact(h.people)
	slices.Sort(h.known)
	h.known = slices.Compact(h.known)
	return h, nil
}

// humans are the people behind a token, or those whom one claim of it names.
type humans struct {
	people []string // every spelling
	known  []string // those by which they are known
	mapped bool     // there are some, and each is known by a name that others know
	person string   // the name by which the first is known, "" where nobody is
}

// spellings returns the humans that one claim names.
func (i *issuer) spellings(token *token, claim string, workload bool) (h humans, refused *Error) {
	values, ok := values(token.claims[claim])
	if !ok {
		return h, refuse(CodeClaims, nil, "the claim %s of the token should name people, and is neither text nor a list of it; "+
			"request a token whose %s does", claim, claim)
	}
	rules := nameRules{scripts: i.NameScripts}
	h.mapped = len(values) > 0
	for _, value := range values {
		read := rules.name
		if claim == "sub" && !workload {
			read = rules.subject
		}
		is, err := read(value)
		if err != nil {
			return h, refuse(CodeClaims, nil, "the claim %s of the token is %+q, which is not taken for a name: %w; "+
				"another name at your identity provider would pass, or the operator of bqgate allows the script (name_scripts)", claim,
				clip(value), err)
		}
		var known []string
		for _, form := range []string{is.text, withoutTag(is.text)} {
			h.people = append(h.people, form)
			person, ok := i.people[form]
			if claim == "sub" && !workload && !is.address {
				person, ok = i.ids[value] // letter by letter
			}
			if ok {
				h.people = append(h.people, person)
				known = append(known, person)
			}
		}
		if is.address && i.vouchesFor(is.text, claim, token, workload) {
			known = append(known, is.text, withoutTag(is.text))
		}
		if !i.holds(token, claim, workload) {
			known = nil
		}
		if h.mapped = h.mapped && len(known) > 0; len(known) > 0 {
			h.known, h.person = append(h.known, known...), cmp.Or(h.person, known[0])
		}
	}
	return h, nil
}

// holds says whether a claim may make somebody known at all. Names in others still count as theirs:
// they keep from deciding.
func (i *issuer) holds(token *token, claim string, workload bool) bool {
	switch {
	case claim == "email" && (i.unverified(token) || !workload && !i.verifies(token)):
		return false // whoever may write the address there would choose whom the map makes of them
	case claim == "preferred_username" && !workload:
		// OpenID Connect Core section 5.7: it is not unique and a person may change it. An operator
		// who knows better names it under `people`.
		return i.names(claim)
	default:
		return true
	}
}

// names says whether the operator has named a claim under `people`.
func (i *issuer) names(claim string) bool {
	return slices.ContainsFunc(i.People, func(entry string) bool { return slices.Contains(strings.Split(entry, "|"), claim) })
}

// unverified says that the issuer has not verified the address of the token, and says so.
func (i *issuer) unverified(token *token) bool {
	if verified, said := i.says(token); said && !verified {
		return true
	}
	v, present := token.claims["email_verified"]
	return present && v != true && v != "true"
}

// says reads the claim by which an issuer's preset says that it verified the address (xms_edov).
func (i *issuer) says(token *token) (verified, said bool) {
	name := presets[i.Preset].verified
	if name == "" {
		return false, false
	}
	v, said := token.claims[name]
	text := scalar(v)
	return text == "true" || text == "1", said
}

// emailOf is the address that a token has, if it may be taken for whom it stands for.
func (i *issuer) emailOf(token *token, workload bool) string {
	for claim := range strings.SplitSeq(i.claimFor("email"), "|") {
		is, err := nameRules{scripts: i.NameScripts}.name(scalar(claimAt(token.claims, claim)))
		if err == nil && is.address && !i.unverified(token) && (workload || i.verifies(token)) {
			return is.text
		}
	}
	return ""
}

// verifies says that the address of a person's token is one that the issuer has verified.
func (i *issuer) verifies(token *token) bool {
	_, said := token.claims["email_verified"]
	_, also := i.says(token)
	return i.EmailsVerified || (said || also) && !i.unverified(token)
}

// vouchesFor says whether an address names a person as the organisation knows them. An issuer of
// people says so of its own users by `email_verified`, or by making the address their `sub`; an
// issuer of workloads only for the configured domains, since anyone may register a private address
// there. Where a token says that its address is not verified, none of its addresses counts.
func (i *issuer) vouchesFor(email, claim string, token *token, workload bool) bool {
	if i.unverified(token) {
		return false
	}
	if !workload {
		return claim != "email" || i.verifies(token)
	}
	_, domain, _ := strings.Cut(email, "@")
	return slices.ContainsFunc(i.PeopleDomains, func(d string) bool { return strings.EqualFold(d, domain) })
}

// values are the names in a claim: one, or each of a list (the members of a change's authors). An
// absent claim has none; false is for what is not made of names.
func values(v any) ([]string, bool) {
	switch v := v.(type) {
	case nil:
		return nil, true
	case json.Number:
		return []string{v.String()}, true
	case float64:
		return []string{strconv.FormatFloat(v, 'f', -1, 64)}, true
	case string:
		if v == "" {
			return nil, true
		}
		return []string{v}, true
	default:
		list := texts(v)
		return list, list != nil
	}
}

func clip(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// People says whom a token with these claims would name at an issuer of people without an identity
// map, and whether they would be known.
func People(claims map[string]any) (people, known []string, err error) {
	h, refused := (&issuer{}).peopleOf(&token{claims: claims}, person.people, false)
	if refused != nil {
		return nil, nil, refused
	}
	return h.people, h.known, nil
}
