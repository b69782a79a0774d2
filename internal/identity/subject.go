package identity

import (
	"log/slog"
	"time"
)

// Subject is who asks: the verified claims of one OIDC token, reduced to the three keys that decisions hang on.
// The zero Subject belongs to no group and is refused by every policy.
type Subject struct {
	Issuer string // issuer URL, the token's `iss`
	Name   string // the issuer's name in the configuration ("github"), as policies spell it
	Sub    string // the token's `sub`

	Owner  string   // who may read a job: issuer, subject and run
	Grant  string   // who may use an approval: issuer, repository id, workflow, ref or environment; the subject for a person
	People []string // the humans behind the token, lower case, sorted; none of them may decide on its requests
	Mapped bool     // true when People is known to be complete; an unmapped workload needs two reviewers

	Workload bool           // true for issuers of workloads: such a subject never decides on a request
	Groups   []string       // policy groups are computed from claims by policies; these are the token's own `groups` claim
	Claims   map[string]any // verified claims, for CEL conditions and the reviewer's page
	Expiry   time.Time      // the subject token's `exp`; nothing outlives it
	Session  string         // id of the gateway session, "" for a raw bearer token
}

// LogValue keeps claims out of logs: a token's claims may hold personal data.
func (s Subject) LogValue() slog.Value {
	return slog.GroupValue(slog.String("issuer", s.Issuer), slog.String("sub", s.Sub))
}
