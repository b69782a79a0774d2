package googlesql

import (
	"container/list"
	"sync"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// cache keeps the newest analyses. An entry is good as long as the tables that it rests on are as they were.
type cache struct {
	mu    sync.Mutex
	limit int
	order *list.List // of *entry, newest first
	byKey map[string]*list.Element
}

type entry struct {
	key      string
	analysis *Analysis
	tables   map[bigquery.TableID]*bigquery.Table // what the analysis rests on; nil for a table that did not exist
	routines map[bigquery.RoutineID]*bigquery.Routine
}

func newCache(limit int) *cache {
	return &cache{limit: limit, order: list.New(), byKey: map[string]*list.Element{}}
}

func (c *cache) get(key string) (*entry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	if !ok {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*entry), true
}

func (c *cache) put(key string, e *entry) {
	if c.limit <= 0 {
		return
	}
	e.key = key
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.byKey[key]; ok {
		c.order.Remove(old)
	}
	c.byKey[key] = c.order.PushFront(e)
	for c.order.Len() > c.limit {
		oldest := c.order.Back()
		delete(c.byKey, oldest.Value.(*entry).key)
		c.order.Remove(oldest)
	}
}

// requestKey covers everything an analysis depends on but the tables.
func requestKey(r Request, engine string) string {
	dataset := ""
	if r.DefaultDataset != nil {
		dataset = r.DefaultDataset.ProjectID + "." + r.DefaultDataset.DatasetID
	}
	return digest(engine, r.SQL, r.Project, dataset, r.ParameterMode, string(r.Parameters), r.Undeclared)
}

// digests are those of everything the job has read.
func (j *job) digests() map[string]string {
	d := make(map[string]string, len(j.tables)+len(j.routines))
	for id, table := range j.tables {
		d[id.String()] = j.shelf.digest(table)
	}
	for id, routine := range j.routines {
		d[id.String()+"()"] = routineDigest(routine)
	}
	return d
}

// unchanged reads what a known analysis rests on again and reports whether it is as it was.
func (j *job) unchanged(before *entry) (bool, error) {
	for id, was := range before.tables {
		is, refused, err := readTable(j.ctx, j.request.Catalog, id)
		if err != nil {
			return false, err
		}
		if refused != nil || is != was && tableDigest(is) != tableDigest(was) {
			return false, nil
		}
		j.tables[id] = is
	}
	for id, was := range before.routines {
		is, refused, err := readRoutine(j.ctx, j.request.Catalog, id)
		if err != nil {
			return false, err
		}
		if refused != nil || is != was && routineDigest(is) != routineDigest(was) {
			return false, nil
		}
		j.routines[id] = is
	}
	return true, nil
}
