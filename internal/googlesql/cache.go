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
	tables   map[bigquery.TableID]string // digests; "" for a table that did not exist
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
	return digest(engine, r.SQL, r.Project, dataset, r.ParameterMode, string(r.Parameters))
}

// tableDigest covers all of a table that an analysis depends on.
func tableDigest(t *bigquery.Table) string {
	if t == nil {
		return ""
	}
	return digest(t.TableReference, t.Type, t.Schema, t.View)
}

// digests are those of the tables the job has read.
func (j *job) digests() map[bigquery.TableID]string {
	d := make(map[bigquery.TableID]string, len(j.tables))
	for id, table := range j.tables {
		d[id] = tableDigest(table)
	}
	return d
}

// unchanged reads the tables of a known analysis again and reports whether they are as they were.
func (j *job) unchanged(known *entry) (bool, error) {
	for id, before := range known.tables {
		table, refused, err := j.read(id)
		if err != nil {
			return false, err
		}
		if refused != nil || tableDigest(table) != before {
			return false, nil
		}
		j.tables[id] = table
	}
	return true, nil
}
