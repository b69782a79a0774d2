package approvals

import (
	"context"
)

// Filter chooses requests. The zero Filter chooses all.
type Filter struct {
	State State    // "" for any
	For   *Decider // who looks: only what they may see; nil sees all
	// Match is asked of each request that was opened; nil for any. What State and For say costs
	// less.
	Match func(Request) bool
	Limit int    // at most so many; 0 means 500
	After string // id of the last request of the page before; "" for the first page
}

// Listing is an answer of List.
type Listing struct {
	Requests []Request // newest first
	More     bool      // true when there may be others that were left out
	Next     string    // with More: Filter.After of the next page
}

const (
	listLimit   = 500      // requests in an answer
	listBytes   = 16 << 20 // SQL and parameters in an answer
	listOpened  = 1_000    // requests opened for one
	listsAtOnce = 4        // lists that open requests
	readBatch   = 16       // requests read by one script …
	batchBytes  = 4 << 20  // … unless they are large
)

// List returns the newest requests that the filter chooses. What its State and For leave out is not
// opened: the index knows. It opens at most 1,000, and ends an answer that grows over 16 MiB.
func (s *Store) List(ctx context.Context, f Filter) (Listing, error) {
	if f.Limit <= 0 {
		f.Limit = listLimit
	}
	_, now, err := s.fetch(ctx, nil) // an empty list of a Redis that has lost everything is no answer
	if err != nil {
		return Listing{}, err
	}
	out := Listing{Requests: []Request{}}
	cards := s.index.choose(f.State, f.For, f.After, now)
	if len(cards) == 0 {
		return out, nil
	}
	select {
	case s.lists <- struct{}{}:
		defer func() { <-s.lists }()
	case <-ctx.Done():
		return Listing{}, ctx.Err()
	}
	size, opened := 0, 0
	last := f.After
	for len(cards) > 0 {
		if opened >= listOpened {
			out.More, out.Next = true, last
			return out, nil
		}
		batch := batchOf(cards)
		cards = cards[len(batch):]
		opened += len(batch)
		records, now, err := s.readAll(ctx, batch)
		if err != nil {
			return Listing{}, err
		}
		for _, r := range records {
			request := s.view(r, now)
			if !f.chooses(request) {
				last = request.ID
				continue
			}
			if len(out.Requests) == f.Limit || size > listBytes {
				out.More, out.Next = true, last
				return out, nil
			}
			out.Requests = append(out.Requests, request)
			size += len(request.SQL) + len(request.ForwardedSQL) + len(request.Parameters)
			last = request.ID
		}
	}
	return out, nil
}

func (f Filter) chooses(r Request) bool {
	return (f.State == "" || r.State == f.State) && (f.For == nil || r.VisibleTo(*f.For)) && (f.Match == nil || f.Match(r))
}

// batchOf are the ids of the first few requests.
func batchOf(cards []card) (ids []string) {
	bytes := 0
	for _, c := range cards {
		bytes += c.Bytes
		if len(ids) == readBatch || len(ids) > 0 && bytes > batchBytes {
			break
		}
		ids = append(ids, c.ID)
	}
	return ids
}
