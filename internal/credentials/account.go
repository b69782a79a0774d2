package credentials

import (
	"fmt"
	"slices"
	"strings"
)

// scopes are what tokens may be asked for: what a query job needs, and what is narrower.
var scopes = []string{Scope, Scope + ".readonly"}

// maxDelegates bounds a chain of service accounts.
const maxDelegates = 10

// email is the service account that BigQuery sees in the end, "" for a federated principal of its
// own.
func (a Account) email() string {
	if a.Federated != nil {
		return a.Federated.ServiceAccount
	}
	return a.ServiceAccount
}

// AsRequester says whether queries run as whoever asks, with no account between.
func (a Account) AsRequester() bool { return a.Federated != nil && a.Federated.ServiceAccount == "" }

// problems reports what is wrong with an account, defaults filled in.
func (a Account) problems() []error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch {
	case a.Federated != nil:
		if a.ServiceAccount != "" || len(a.Delegates) > 0 || a.Key != nil {
			add("it is of two kinds: write the service account that the requester's principal may impersonate under federated")
		}
		errs = append(errs, a.Federated.problems()...)
	case !accountEmail.MatchString(a.ServiceAccount):
		add("service_account %q is not a service account's e-mail in lower case", a.ServiceAccount)
	}
	if a.Key != nil {
		if len(a.Delegates) > 0 {
			add("delegates: nobody stands between a key and its account")
		}
		for _, err := range a.Key.problems() {
			add("key: %w", err)
		}
	}
	for i, email := range a.Delegates {
		switch {
		case !accountEmail.MatchString(email):
			add("delegates: %q is not a service account's e-mail in lower case", email)
		case email == a.ServiceAccount || slices.Contains(a.Delegates[:i], email):
			add("delegates: %s is in the chain twice", email)
		}
	}
	if len(a.Delegates) > maxDelegates {
		add("delegates: there are %d; a chain has at most %d", len(a.Delegates), maxDelegates)
	}
	if a.Project != "" && !projectName.MatchString(a.Project) {
		add("project %q is not the id of a project: lower-case letters, digits and -", a.Project)
	}
	if a.Lifetime < MinLifetime || a.Lifetime > MaxLifetime {
		add("lifetime is %s; it must be between %s and %s", a.Lifetime, MinLifetime, MaxLifetime)
	}
	if !slices.Contains(scopes, a.Scope) {
		add("scope %q is wider than queries need, or no scope of BigQuery's; choose from %s", a.Scope, strings.Join(scopes, ", "))
	}
	return errs
}
