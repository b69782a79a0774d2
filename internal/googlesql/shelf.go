package googlesql

import (
	"container/list"
	"sync"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// shelf keeps what is made of tables for the engine and for the digests of analyses: that costs more than the rest of what this process does for a query. A table is known by its pointer: a catalog
// that has read one anew hands out another. It is safe for concurrent use.
type shelf struct {
	limit int // columns, of all tables

	mu      sync.Mutex
	columns int
	order   *list.List // of *shelved, the one used last at the front
	byID    map[bigquery.TableID]*list.Element
}

type shelved struct {
	table       *bigquery.Table
	description wire.Table
	digest      string // tableDigest
	columns     int
}

func newShelf(limit int) *shelf {
	return &shelf{limit: limit, order: list.New(), byID: map[bigquery.TableID]*list.Element{}}
}

// described is a table as it was when it was last looked at.
func (s *shelf) described(id bigquery.TableID) (wire.Table, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.byID[id]
	if !ok {
		return wire.Table{}, false
	}
	return e.Value.(*shelved).description, true
}

// of is what was made of a table; an *Error for one that the engine cannot be told of.
func (s *shelf) of(t *bigquery.Table) (*shelved, *Error) {
	s.mu.Lock()
	e, ok := s.byID[t.TableReference]
	if ok {
		if known := e.Value.(*shelved); known.table == t {
			s.order.MoveToFront(e)
			s.mu.Unlock()
			return known, nil
		}
	}
	s.mu.Unlock()
	description, refused := describe(t)
	if refused != nil {
		return nil, refused
	}
	made := &shelved{table: t, description: description, digest: tableDigest(t), columns: leaves(description.Columns)}
	s.put(made)
	return made, nil
}

// redescribe keeps what a view's query makes of it: its columns hang on other tables too.
func (s *shelf) redescribe(t *bigquery.Table, description wire.Table) {
	if known, ok := s.described(t.TableReference); ok && known.Digest == description.Digest {
		return
	}
	s.put(&shelved{table: t, description: description, digest: tableDigest(t), columns: leaves(description.Columns)})
}

func (s *shelf) put(made *shelved) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := made.table.TableReference
	if old, ok := s.byID[id]; ok {
		s.remove(old)
	}
	s.byID[id] = s.order.PushFront(made)
	for s.columns += made.columns; s.columns > s.limit; {
		s.remove(s.order.Back())
	}
}

func (s *shelf) remove(e *list.Element) {
	gone := s.order.Remove(e).(*shelved)
	delete(s.byID, gone.table.TableReference)
	s.columns -= gone.columns
}

// digest is tableDigest.
func (s *shelf) digest(t *bigquery.Table) string {
	if t == nil {
		return ""
	}
	if known, refused := s.of(t); refused == nil {
		return known.digest
	}
	return tableDigest(t)
}

// leaves counts columns and the fields below them.
func leaves(fields []wire.Field) int {
	n := 0
	for i := range fields {
		n++
		for t := &fields[i].Type; t != nil; t = t.Element {
			n += leaves(t.Fields)
		}
	}
	return n
}
