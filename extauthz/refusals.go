package extauthz

import (
	"github.com/bqgate/bqgate/internal/refusal"
	"github.com/bqgate/bqgate/policies"
)

// denied is the refusal that a policy's Decision says.
func denied(d policies.Decision) *refusal.Refusal {
	r := &refusal.Refusal{What: d.Message, Rule: refusal.Rule(d.Rule), Remedy: d.Remedy}
	if d.Invalid {
		// As BigQuery says it: tools show a 400 to the model that wrote the SQL, and a 403 to
		// nobody.
		r.Status, r.Reason, r.Bare = 400, "invalidQuery", true
	}
	if d.Exceeded != "" {
		r.Reason = "quotaExceeded"
	}
	return r
}
