package identity

import (
	"log/slog"
	"strings"
	"time"
)

// ClockSkew is what the clock of an issuer may differ from the gateway's where the age of a token
// counts.
const ClockSkew = time.Minute

// Subject is who asks: the verified claims of one OIDC token, reduced to the keys that decisions
// and limits hang on. The zero Subject belongs to no group and is refused by every policy.
type Subject struct {
	Issuer string // issuer URL, the token's `iss`
	Name   string // the issuer's name in the configuration ("github"), as policies spell it
	Sub    string // the token's `sub`

	Owner string // who may read a job: issuer, subject and run
	Grant string // who may use an approval: issuer, repository id, workflow, ref or environment; the subject for a person
	// Budget is whose caps and budgets a request counts against: issuer and repository, issuer and
	// person. No run, attempt, ref or session is in it (A52).
	Budget string
	People []string // the humans behind the token in every spelling, lower case, sorted; none of them may decide on its requests
	// true when the people are known by names that others use; who is unmapped decides on nothing,
	// and its requests need two reviewers
	Mapped bool
	Known  []string // those of People by which they are known, sorted: what a token may not make up
	Person string   // the name by which the first of them is known, for people to read; "" where nobody is

	Run   Run    // where the request comes from, as far as the token says
	Email string // the token's address, lower case, where its issuer has verified it; of a workload, whoever started it

	Workload bool           // true for issuers of workloads: such a subject never decides on a request
	Groups   []string       // policy groups are computed from claims by policies; these are the token's own `groups` claim
	Claims   map[string]any // verified claims, for CEL conditions and the reviewer's page
	Issued   time.Time      // the subject token's `iat`; a session keeps that of the token it was opened with
	Expiry   time.Time      // the subject token's `exp`; nothing outlives it
	Session  string         // id of the gateway session, "" for a raw bearer token
	Token    string         // Sessions.TokenDigest of the OIDC token; with a session, of the one that opened it
}

// DisplayName is what people are shown: the name by which a person is known, never one that the
// person may choose; the subject where nobody is known.
func (s Subject) DisplayName() string {
	switch {
	case s.Person != "":
		return s.Person
	case !s.Mapped && !s.Workload:
		return s.Sub // the names of an unknown person are of their own choice
	}
	for _, p := range s.People {
		if strings.Contains(p, "@") {
			return p
		}
	}
	if len(s.People) > 0 {
		return s.People[0]
	}
	return s.Sub
}

// LogValue keeps claims out of logs: a token's claims may hold personal data.
func (s Subject) LogValue() slog.Value {
	return slog.GroupValue(slog.String("issuer", s.Issuer), slog.String("sub", s.Sub))
}
