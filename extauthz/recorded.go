package extauthz

import (
	"context"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/limits"
)

// charged is the journal for the records of one asker: what they take of the disk counts against
// the asker's budget, whatever becomes of the request. It is looked at before the next one.
type charged struct {
	Journal
	limits *limits.Owners
	owner  string
}

func (s *Service) journalOf(a asked) Journal {
	if a.subject.Budget == "" { // nobody yet
		return s.Journal
	}
	return charged{s.Journal, s.Limits, a.subject.Budget}
}

// Append returns when the record is durable.
func (c charged) Append(ctx context.Context, r audit.Record) (audit.Position, error) {
	at, err := c.Journal.Append(ctx, r)
	if err == nil {
		c.limits.Charge(c.owner, limits.RecordedBytes, at.Took)
	}
	return at, err
}
