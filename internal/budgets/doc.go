// Package budgets counts what is spent of the policy's budgets (policies.Budget): bytes that
// BigQuery bills and rows that are returned, in an hour or a day, across replicas and never less
// than what ran (A35, A52).
//
// Each replica counts what it spends itself, in counters of its own that only grow: what it has
// reserved, and what of it was released again because it was not used. What is spent is the sum of
// all replicas' counters. A replica keeps them in memory, sealed in Redis for the others, and in
// its journal for those that come after it.
//
//	Reserve  before a query is sent: the bytes that it may bill. One script in Redis writes the
//	         own counter only if every other one is as the writer knew it, so that two cannot take
//	         the same rest; then the journal has it, and only then anything is sent.
//	Settle   after the job is done: what it did not bill is released. First in the journal, then
//	         in Redis: a crash between gives nothing back twice.
//	Spend    before rows are released: they are counted, and never given back.
//
// Redis is not believed (I8). What others have counted is never forgotten while the process lives,
// and is in the journal for the next one; a counter that Redis shows lower, lacks, or shows
// unsealed means that Redis has lost something or that somebody writes there. Then budgets are
// closed until every replica that lives has written its part again (loss.go). Nothing else is: a
// query that no budget counts runs on.
//
// docs/design/budgets.md has the reasons, and what somebody who writes Redis can gain.
package budgets
