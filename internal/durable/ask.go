package durable

import (
	"context"

	"github.com/bqgate/bqgate/internal/audit"
)

// Ask gives the witness with which facts are looked up at Google. It is handed down to whatever may
// have to look something up, and costs nothing where everything is known: the record is appended
// before the first look, once for a request.
type Ask interface {
	// Facts returns when the record of what is asked is durable.
	Facts(ctx context.Context) (Facts, error)
	ask()
}

type asked struct{ decision string }

func (a *asked) because() string { return a.decision }
func (*asked) facts()            {}

// Asking is an Ask that appends the given record when it is first used. It may be used
// concurrently.
func Asking(j Journal, record func() audit.Asked) Ask {
	return &asking{journal: j, record: record, turn: make(chan struct{}, 1)}
}

type asking struct {
	journal Journal
	record  func() audit.Asked
	turn    chan struct{} // of capacity 1: whoever appends, and whoever reads made
	made    *asked
}

func (*asking) ask() {}

// Facts appends the record, unless that was done. After an error the next caller tries again.
func (a *asking) Facts(ctx context.Context) (Facts, error) {
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-a.turn }()
	if a.made != nil {
		return a.made, nil
	}
	r := a.record()
	if _, err := a.journal.Append(ctx, r); err != nil {
		return nil, err
	}
	a.made = &asked{r.Decision}
	return a.made, nil
}
