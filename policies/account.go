package policies

import (
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/googlesql/functions"
)

// asRequester says whether a credential runs queries under the requester's own principal at Google,
// so that what BigQuery says of "the user" is about whoever asks. Every other one is an account
// that its users share.
func (s *Set) asRequester(credential string) bool { return s.federated[credential] }

// federate refuses a subject that cannot have a principal of its own, where the query would run
// under one: many could ask in its name.
func (e *evaluation) federate() error {
	if _, federated := e.set.federated[e.decision.Credential]; !federated {
		return nil
	}
	if _, err := e.input.Subject.Requester(); err != nil {
		return refuse(e.decision.Rule, "the same query from a run of a branch, a tag or an environment, whose token names it",
			"the query would run under your own principal at Google, and you have none: %v", err)
	}
	return nil
}

// account: SESSION_USER() gives, and filters by, the account that the query runs under. Whoever
// asks would read its name, and see in a view that keeps to each user's own rows those of the
// account, whatever their own are.
func (e *evaluation) account() error {
	if e.decision.AsRequester {
		return nil
	}
	calls := accountFunctions(e.statement)
	if len(calls) == 0 {
		return nil
	}
	all := strings.Join(calls, "() and ") + "()"
	where, remedy := "the query calls", "the query without "+all
	if !slices.ContainsFunc(calls, func(name string) bool { return strings.Contains(strings.ToUpper(e.input.SQL), name) }) {
		where, remedy = "a view or a function behind the query calls", "a query of tables, or of views and functions that do not call "+all
	}
	return refuse(e.decision.Rule, remedy, "%s %s, which gives the gateway's account, under which the query runs, and not you", where, all)
}

// accountFunctions are the functions, called anywhere in the statement and in what is behind it,
// whose result is the account that runs it.
func accountFunctions(st *googlesql.Statement) []string {
	var calls []string
	for _, name := range st.Functions {
		if f, known := functions.Lookup(strings.TrimPrefix(strings.ToUpper(name), "SAFE.")); known && f.Account {
			calls = append(calls, f.Name)
		}
	}
	slices.Sort(calls)
	return slices.Compact(calls)
}
