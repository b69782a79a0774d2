package identity

import (
	"encoding/json"
	"net/url"
	"strings"
)

// maxSub is the most bytes of a `sub` claim. OpenID Connect Core section 2 allows 255.
const maxSub = 1024

// subject computes the Subject of a verified token.
func (i *issuer) subject(token *token) (Subject, *Error) {
	sub := token.text("sub")
	if sub == "" || len(sub) > maxSub || strings.ContainsFunc(sub, isControl) {
		return Subject{}, refuse(CodeClaims, nil, "the token has no usable sub claim; bqgate must know whom it stands for")
	}
	if token.claims["cnf"] != nil {
		// RFC 7800: usable only with a proof of possession, which is not checked here.
		return Subject{}, refuse(CodeClaims, nil, "the token is bound to a key (cnf); request a plain bearer token")
	}
	kind, workload, refused := i.kindOf(token.claims)
	if refused != nil {
		return Subject{}, refused
	}
	owner, grant := orDefault(i.Owner, kind.owner), orDefault(i.Grant, kind.grant)
	if workload && (len(owner) == 0 || len(grant) == 0) {
		return Subject{}, refuse(CodeClaims, nil,
			"the token of workload issuer %s has neither GitHub's nor GitLab's claims; its `preset`, or `owner` and `grant` claims, "+
				"must be configured at the gateway", i.Name)
	}
	if len(grant) == 0 {
		grant = []string{"sub"}
	}
	ownerKey, missing := i.key(token, append([]string{"sub"}, owner...))
	if missing != "" {
		return Subject{}, missingClaim(i.Name, "owner", missing)
	}
	grantKey, missing := i.key(token, grant)
	if missing != "" {
		return Subject{}, missingClaim(i.Name, "grant", missing)
	}
	humans, refused := i.peopleOf(token, orDefault(i.People, kind.people), workload)
	if refused != nil {
		return Subject{}, refused
	}
	issued, _ := token.date("iat")
	expiry, _ := token.date("exp")
	claims, _ := plain(token.claims).(map[string]any)
	return Subject{
		Issuer: i.URL, Name: i.Name, Sub: sub,
		Owner: ownerKey, Grant: grantKey,
		Budget: i.budget(token, orDefault(i.Budget, kind.budget), workload, humans.person),
		People: humans.people, Mapped: humans.mapped, Known: humans.known, Person: humans.person,
		Workload: workload, Groups: i.groupsOf(token.claims), Claims: claims, Run: i.run(token.claims),
		Email: i.emailOf(token, workload), Issued: issued.UTC(), Expiry: expiry.UTC(),
	}, nil
}

// budget is the key of whoever is counted together. What has a run, an attempt or a ref in it is
// none, or each re-run would have a budget of its own (A52): so a `sub`, which may hold a ref,
// tells people apart and no workloads. All workloads of which the claims say nothing share one
// budget, as do all tokens that lack a configured claim.
func (i *issuer) budget(token *token, entries []string, workload bool, person string) string {
	switch {
	case len(entries) > 0:
		if key, missing := i.key(token, entries); missing == "" {
			return key
		}
	case !workload && person != "":
		return i.URL + "#person=" + url.QueryEscape(withoutTag(person))
	case !workload:
		return i.URL + "#sub=" + url.QueryEscape(token.text("sub"))
	}
	return i.URL + "#"
}

func missingClaim(name, key, claim string) *Error {
	return refuse(CodeClaims, nil, "the token of issuer %s lacks the claim %s, which its `%s` key needs; request a token that has it", name,
		claim, key)
}

func orDefault(configured, fallback []string) []string {
	if len(configured) > 0 {
		return configured
	}
	return fallback
}

// key spells claims as one text that two different sets of values never share:
// "https://iss#sub=…&run_id=…", values escaped as in a query. It returns the entry for which the
// token has no value, if there is one.
func (i *issuer) key(token *token, entries []string) (key, missing string) {
	var b strings.Builder
	b.WriteString(i.URL) // has no "#": CheckEndpoint
	separator := "#"
	for _, entry := range entries {
		name, value := firstOf(token.claims, entry)
		if name == "" {
			return "", entry
		}
		b.WriteString(separator + url.QueryEscape(name) + "=" + url.QueryEscape(value))
		separator = "&"
	}
	return b.String(), ""
}

// firstOf returns the first of the alternatives of an entry that has a value.
func firstOf(claims map[string]any, entry string) (name, value string) {
	for name := range strings.SplitSeq(entry, "|") {
		if value := scalar(claims[name]); value != "" {
			return name, value
		}
	}
	return "", ""
}

// scalar is the text of a string, number or boolean; "" for anything else, which no key can be made
// of.
func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		if v {
			return "true"
		}
		return "false"
	default:
		return ""
	}
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }
