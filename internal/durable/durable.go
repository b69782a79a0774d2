// Package durable is invariant I1 as types: nothing leaves for Google, and nothing is answered,
// before the record of it is durable.
//
// A witness is a value that only a successful append to the audit journal makes. Whatever sends a
// request to Google, mints a token, seals a verdict or answers an agent takes one as a parameter,
// so that code that skips the journal does not compile. The interfaces are sealed by unexported
// methods, and their only implementations are unexported structs of this package: another package
// can neither build a witness nor write a type that passes for one. A nil witness, and one that was
// wrapped, panics where it is used (Because).
//
//	Decided  a decision's record is durable: anything may be done for that request
//	Asked    a record says who asks for what: facts for its decision may be looked up, no more;
//	         and where it has the whole text, that may be sent for a dry run
//	Opened   a session's record is durable: the session may be stored and given out
//	Answer   an answer that has no record of its own, if the journal took a record within the last
//	         second (pulse.go), is of a closed set as well
//	Work     what no request asks for, a closed set with names (work.go)
//
// Functions take the interface that says what they do: Facts, Text, Runs, Answer.
// docs/design/journal-before-verdict.md tells why, and shows what does not compile.
package durable

import (
	"context"
	"fmt"

	"github.com/bqgate/bqgate/internal/audit"
)

// Journal is the audit journal: Append returns when the record is durable.
type Journal interface {
	Append(ctx context.Context, r audit.Record) (audit.Position, error)
}

// Witness is any of the witnesses.
type Witness interface{ because() string }

// Facts is needed for calls of the inspection identity, which read no rows: schemas, routines,
// lists, row access policies, dry runs, jobs. Decided, Asked and the work that looks at tables have
// it.
type Facts interface {
	Witness
	facts()
}

// Text is needed to send the SQL of a request to Google while nothing is decided about it: a record
// has it whole. Decided has it, and so has what asks with its text.
type Text interface {
	Facts
	text()
}

// Runs is needed to mint a token of an account that runs queries, and to stop a job with it.
// Decided and the work that stops a job have it.
type Runs interface {
	Witness
	runs()
}

// Answer is needed to answer an agent. Decided has it, and so has a Pulse; a fault needs
// none.
type Answer interface {
	Witness
	answer()
}

// Decided says that the record of a decision is durable.
type Decided interface {
	Text
	Runs
	Answer
	Ask
	// Decision is the decision's id.
	Decision() string
	decided()
}

// Opened says that the record of a new session is durable.
type Opened interface {
	Witness
	opened()
}

type decided struct{ id string }

func (d *decided) because() string                      { return d.id }
func (d *decided) Decision() string                     { return Because(d) }
func (d *decided) Facts(context.Context) (Facts, error) { return d, nil }
func (d *decided) Text(context.Context) (Text, error)   { return d, nil }
func (*decided) facts()                                 {}
func (*decided) text()                                  {}
func (*decided) runs()                                  {}
func (*decided) answer()                                {}
func (*decided) ask()                                   {}
func (*decided) decided()                               {}

type opened struct{ session string }

func (o *opened) because() string { return o.session }
func (*opened) opened()           {}

// Decide appends the record of a decision and returns when it is durable.
func Decide(ctx context.Context, j Journal, d audit.Decision) (Decided, error) {
	if d.ID == "" {
		return nil, fmt.Errorf("record a decision: it has no id")
	}
	if _, err := j.Append(ctx, d); err != nil {
		return nil, err
	}
	return &decided{d.ID}, nil
}

// OpenSession appends the record of a new session and returns when it is durable.
func OpenSession(ctx context.Context, j Journal, s audit.Session) (Opened, error) {
	if s.ID == "" {
		return nil, fmt.Errorf("record a session: it has no id")
	}
	s.Event = audit.SessionCreated
	if _, err := j.Append(ctx, s); err != nil {
		return nil, err
	}
	return &opened{s.ID}, nil
}

// Because is the use of a witness: what something is done for, as the id of a decision or session,
// or the name of the work. It panics for one that no append made: nil, or a type of another package
// that holds one.
func Because(w Witness) string {
	switch w.(type) {
	case *decided, *asked, *askedWhole, *opened, *unrecorded, *issuerKeys, *absentTables, *stop, *settle:
		if why := w.because(); why != "" {
			return why
		}
	}
	panic(fmt.Sprintf("durable: %T is no witness of a durable record", w))
}
