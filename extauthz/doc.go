// Package extauthz is the ext_authz service: it decides about every request before Envoy lets it leave for BigQuery.
//
// Check reads from top to bottom as the list of the design:
//
//	1 bigquery    the request becomes an Operation, or is refused
//	2 identity    the token becomes a Subject, or is refused
//	3 googlesql   the SQL becomes an Analysis
//	4 policies    Subject, Operation and Analysis become a Decision
//	5 approvals   a Decision to hold becomes a pending job, and reviewers are asked
//	6 audit       the decision is durable
//	7 credentials a token is minted for this run, and the verdict goes out
//
// A verdict is a Forward, sealed for ext_proc, or a reply that Envoy sends itself. Whatever is unknown, late or broken on the way ends in a refusal; no code path
// returns an OK response but the one in respond.go that carries a sealed Forward and a minted token.
package extauthz
