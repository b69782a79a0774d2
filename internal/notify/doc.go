// Package notify tells people outside the console that a query waits, and what became of it.
//
// A message is made in the Redis script that changes the request (internal/approvals, outbox.go),
// so a gateway that dies in between loses neither. Every replica takes messages that are due, one
// lease each, and sends them at least once: to a Slack incoming webhook, or to a generic one signed
// as Standard Webhooks (https://www.standardwebhooks.com) say. One that nobody takes is tried
// again, later and later, and ends as a dead letter that the console shows.
//
// A message says who asks, which tables, what it costs and where to look. It never holds SQL, a
// parameter, a value or a reviewer's words (attack A22): an agent may have typed a card number into
// its SQL. Addresses that are not public are refused when they are dialled, after DNS, unless the
// configuration allows them: a webhook must not reach the metadata server.
package notify
