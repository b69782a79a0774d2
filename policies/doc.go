// Package policies is the policy language of bqgate: who may read what, what of it is sensitive,
// and what needs a person.
//
// A policy is one or more YAML files (file.go has their shape) that Load reads strictly into one
// Set: an unknown key, a group nobody defined, a condition that does not type-check or a mask that
// does not exist is an error with file, line and the place in the line, and then nothing is loaded.
// Set.Decide answers one analysed request with a Decision; it does no I/O, keeps no state and is
// safe for concurrent use.
//
// A request passes these questions in this order, and each may end it with a refusal (decide.go
// reads the same way):
//
//  1. Is the subject in a group that has rules? Groups are CEL conditions over the verified claims
//     of one issuer. Where a condition has no answer for a token, only what restricts the group
//     counts (membership.go).
//  2. May jobs run in the request's project? (jobsin.go)
//  3. Is it exactly one SELECT?
//  4. Does a rule of the subject's groups cover every table? A table that nobody may read and one
//     that does not exist get the same words. (cover.go)
//  5. Is the token still young enough for these rules? (age.go)
//  6. Was the SQL understood, and are the columns of all tables known? (understood.go)
//  7. Does one credential read all tables, does nothing ask for the account behind it (account.go),
//     and has none of them row access policies of BigQuery that nobody named? (rowaccess.go)
//  8. Is every sensitive column carried into the result unchanged, so that masking the cells hides
//     all of it? (masks.go)
//  9. Is it within the byte limit and the budgets (budget.go), and does something hold it for
//     reviewers? (approval.go)
//
// Default is deny, and what is stricter wins: the smallest limit, the shortest session, the
// strictest mask. Only an explicit exemption (`clear:` in a rule) shows a sensitive column.
// Patterns that restrict are read widely (in any case of letters, and when they only overlap),
// patterns that grant narrowly (exactly, and only when they cover all of what is asked).
package policies
