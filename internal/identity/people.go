package identity

import (
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// peopleOf returns the humans behind a token in every spelling that is known of them, and whether each of them is known by a spelling that the issuers of humans use
// too. Too many spellings only keep somebody from deciding; one too few lets somebody decide on their own request (A7).
func (i *issuer) peopleOf(token *token, entries []string, workload bool) (people []string, mapped bool) {
	mapped = len(entries) > 0
	if !workload {
		entries = append(slices.Clone(entries), human.people...)
		mapped = false
	}
	for _, entry := range entries {
		known := false
		for claim := range strings.SplitSeq(entry, "|") {
			spellings, all := i.spellings(token, claim, workload)
			people = append(people, spellings...)
			known = known || all
		}
		if workload {
			mapped = mapped && known // every human behind a workload must be known
		} else {
			mapped = mapped || known // a person needs one name that others know
		}
	}
	slices.Sort(people)
	return slices.Compact(people), mapped
}

// spellings returns every spelling of the humans that one claim names. Known says that it names some, and each by a name that others know.
func (i *issuer) spellings(token *token, claim string, workload bool) (people []string, known bool) {
	names := values(token.claims[claim])
	known = len(names) > 0
	for _, value := range names {
		name := spell(value)
		base := withoutTag(name)
		found := false
		for _, form := range []string{name, base} {
			if form == "" {
				continue
			}
			people = append(people, form)
			if person, ok := i.people[form]; ok {
				people = append(people, person)
				found = true
			}
		}
		known = known && (found || isEmail(name) && i.vouchesFor(token, claim, name, workload))
	}
	return people, known
}

// vouchesFor says whether an address names a person as the organisation knows them. An issuer of people says so of its own users, unless it has not verified the
// address; an issuer of workloads only for the configured domains, since anyone may register a private address there.
func (i *issuer) vouchesFor(token *token, claim, email string, workload bool) bool {
	if verified, present := token.claims["email_verified"]; claim == "email" && present && verified != true && verified != "true" {
		return false
	}
	if !workload {
		return true
	}
	_, domain, _ := strings.Cut(email, "@")
	return slices.ContainsFunc(i.PeopleDomains, func(d string) bool { return spell(d) == domain })
}

// values are the names in a claim: one, or each of a list (the members of a change's authors).
func values(v any) []string {
	if list := texts(v); list != nil {
		return list
	}
	if s := scalar(v); s != "" {
		return []string{s}
	}
	return nil
}

// spell brings a name into the one form in which people are compared.
func spell(name string) string {
	return strings.ToLower(strings.TrimSpace(norm.NFKC.String(name)))
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

func isEmail(name string) bool {
	local, domain, ok := strings.Cut(name, "@")
	return ok && local != "" && domain != "" && !strings.Contains(domain, "@")
}
