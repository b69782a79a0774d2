package durable

import (
	"context"

	"github.com/bqgate/bqgate/internal/audit"
)

// Ask gives the witness with which facts are looked up at Google. It is handed down to whatever may
// have to look something up, and costs nothing where everything is known: the record is appended
// before the first look, once for a request.
type Ask interface {
	// Facts returns when the record of what is asked is durable. Long texts are cut in it. It is
	// called for each look at Google, once, as Text is.
	Facts(ctx context.Context) (Facts, error)
	// Text returns when a record has the whole text of the request: it is what the text itself is
	// sent to Google with.
	Text(ctx context.Context) (Text, error)
	ask()
}

type asked struct{ decision string }

func (a *asked) because() string { return a.decision }
func (*asked) facts()            {}

type askedWhole struct{ asked }

func (*askedWhole) text() {}

// Asking is an Ask that appends the given record when it is first used, and again with its whole
// text where that leaves for Google. Each look, the first too, is counted before: what count
// returns is the error of it. nil counts nothing. It may be used concurrently.
func Asking(j Journal, count func() error, record func() audit.Asked) Ask {
	return &asking{journal: j, count: count, record: record, turn: make(chan struct{}, 1)}
}

type asking struct {
	journal Journal
	count   func() error
	record  func() audit.Asked
	turn    chan struct{} // of capacity 1: whoever appends, and whoever reads made and whole
	made    *asked
	whole   *askedWhole
}

func (*asking) ask() {}

// Facts appends the record, unless that was done. After an error the next caller tries again.
func (a *asking) Facts(ctx context.Context) (Facts, error) {
	if err := a.takeTurn(ctx); err != nil {
		return nil, err
	}
	defer func() { <-a.turn }()
	if a.made == nil {
		r := a.record().Brief()
		if err := a.append(ctx, r); err != nil {
			return nil, err
		}
	}
	return a.made, nil
}

// Text appends the record with its whole text, unless there is one that has it.
func (a *asking) Text(ctx context.Context) (Text, error) {
	if err := a.takeTurn(ctx); err != nil {
		return nil, err
	}
	defer func() { <-a.turn }()
	if a.whole == nil {
		if err := a.append(ctx, a.record()); err != nil {
			return nil, err
		}
	}
	return a.whole, nil
}

func (a *asking) takeTurn(ctx context.Context) error {
	if a.count != nil {
		if err := a.count(); err != nil {
			return err
		}
	}
	select {
	case a.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// append is for whoever has the turn.
func (a *asking) append(ctx context.Context, r audit.Asked) error {
	if _, err := a.journal.Append(ctx, r); err != nil {
		return err
	}
	a.made = &asked{r.Decision}
	if len(r.Cut) == 0 {
		a.whole = &askedWhole{*a.made}
	}
	return nil
}
