// Package extauthz is the ext_authz service: it decides about every request before Envoy lets it
// leave for BigQuery.
//
// check.go has Check, which asks these questions in this order and then concludes:
//
//	1 bigquery    the request becomes an Operation, or is refused
//	2 identity    the token becomes a Subject, or is refused
//	3 googlesql   the SQL becomes an Analysis
//	4 policies    Subject, Operation and Analysis become a Decision
//	5 approvals   a Decision to hold becomes a pending job, and reviewers are asked
//	6 audit       the decision is durable
//	7 credentials a token is minted for this run, and the verdict goes out
//
// What was asked (asked) does not change. The questions of a query are in query.go, those of reads
// of jobs, held ones too, in poll.go, those of metadata in metadata.go, datasets.go and joblist.go.
// They write nothing and return a ruling (ruling.go): what was found, and what is to become of the
// request, or the error that refuses it. conclude.go and release.go carry the ruling out: record
// it, and only then mint, send and answer.
//
// A verdict is a Forward, sealed for ext_proc, or a reply that Envoy sends itself. Whatever is
// unknown, late or broken on the way ends in a refusal; no code path returns an OK response but the
// one in respond.go that carries a sealed Forward and a minted token.
package extauthz
