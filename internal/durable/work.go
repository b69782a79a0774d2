package durable

import (
	"context"
	"errors"

	"github.com/bqgate/bqgate/internal/audit"
)

// Work is what the gateway does at Google, or at an issuer, without a request that a record could
// be of. The set is closed: what is not here needs a record.
type Work interface {
	Witness
	work()
}

type named struct{ name string }

func (n *named) because() string { return n.name }
func (*named) work()             {}

// Keys is needed to fetch the keys of an issuer.
type Keys interface {
	Work
	keys()
}

type issuerKeys struct{ named }

func (*issuerKeys) keys() {}

// IssuerKeys fetches the public keys of identity providers, at addresses of the configuration.
// Whether a request has a subject at all is only known with them.
func IssuerKeys() Keys { return &issuerKeys{named{"keys of an issuer"}} }

// Names is needed to look for the tables that the policy names.
type Names interface {
	Work
	Facts
	Ask
}

type absentTables struct{ named }

func (*absentTables) facts()                                 {}
func (*absentTables) ask()                                   {}
func (w *absentTables) Facts(context.Context) (Facts, error) { return w, nil }
func (*absentTables) Text(context.Context) (Text, error) {
	return nil, errors.New("the tables of the policy have no text")
}

// AbsentTables lists, at start, the datasets that the policy names, to say which of its tables are
// not there. The names are the operator's own.
func AbsentTables() Names { return &absentTables{named{"tables of the policy"}} }

// Stop is needed to cancel a job without a decision.
type Stop interface {
	Work
	Runs
}

type stop struct{ named }

func (*stop) runs() {}

// StopJob cancels a job whose answer cannot be recorded: with a dead journal there can be no record
// of it, and what nobody may read needs not run (A31).
func StopJob() Stop { return &stop{named{"stop a job whose answer cannot be recorded"}} }

// StopJobsOf cancels the jobs of a subject that was revoked, once the record that says which is
// durable.
func StopJobsOf(ctx context.Context, j Journal, r audit.Session) (Stop, error) {
	r.Event = audit.SubjectEnding
	if _, err := j.Append(ctx, r); err != nil {
		return nil, err
	}
	return &stop{named{"stop the jobs of a revoked subject"}}, nil
}

// Bills is needed to ask what a job was billed.
type Bills interface {
	Work
	Facts
}

type settle struct{ named }

func (*settle) facts() {}

// SettleJob asks what a job of the gateway's own was billed, so that what was reserved for it and
// not used is free again.
func SettleJob() Bills { return &settle{named{"what a job was billed"}} }
