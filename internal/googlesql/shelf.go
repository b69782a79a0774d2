package googlesql

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql/wire"
)

// shelf keeps what is made of tables for the engine and for the digests of analyses: that costs
// more than the rest of what this process does for a query. A table is known by its pointer: a
// catalog that has read one anew hands out another. It is safe for concurrent use.
type shelf struct {
	limit int // columns, of all tables

	mu      sync.Mutex
	columns int
	tables  *simplelru.LRU[bigquery.TableID, *shelved] // bounded by columns, not by its own size
}

type shelved struct {
	table       *bigquery.Table
	description wire.Table
	digest      string // tableDigest
	columns     int
}

func newShelf(limit int) *shelf {
	s := &shelf{limit: limit}
	tables, err := simplelru.NewLRU(max(1, limit), func(_ bigquery.TableID, gone *shelved) { s.columns -= gone.columns })
	if err != nil {
		panic(err) // of a size below 1 alone
	}
	s.tables = tables
	return s
}

// described is a table as it was when it was last looked at.
func (s *shelf) described(id bigquery.TableID) (wire.Table, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.tables.Peek(id)
	if !ok {
		return wire.Table{}, false
	}
	return known.description, true
}

// of is what was made of a table; an *Error for one that the engine cannot be told of.
func (s *shelf) of(t *bigquery.Table) (*shelved, *Error) {
	s.mu.Lock()
	known, ok := s.tables.Get(t.TableReference)
	s.mu.Unlock()
	if ok && known.table == t {
		return known, nil
	}
	description, refused := describe(t)
	if refused != nil {
		return nil, refused
	}
	made := &shelved{table: t, description: description, digest: tableDigest(t), columns: leaves(description.Columns)}
	s.put(made)
	return made, nil
}

// redescribe keeps what a view's query makes of it: its columns depend on other tables too.
func (s *shelf) redescribe(t *bigquery.Table, description wire.Table) {
	if known, ok := s.described(t.TableReference); ok && known.Digest == description.Digest {
		return
	}
	s.put(&shelved{table: t, description: description, digest: tableDigest(t), columns: leaves(description.Columns)})
}

func (s *shelf) put(made *shelved) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tables.Remove(made.table.TableReference)
	s.tables.Add(made.table.TableReference, made)
	for s.columns += made.columns; s.columns > s.limit; {
		s.tables.RemoveOldest()
	}
}

// digest is tableDigest, remembered.
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
