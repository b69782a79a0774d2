package googlesql

import (
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// entry is a finished analysis. It holds as long as the tables and routines that it rests on have
// not changed.
type entry struct {
	analysis *Analysis
	tables   map[bigquery.TableID]*bigquery.Table // what the analysis rests on; nil for a table that did not exist
	routines map[bigquery.RoutineID]*bigquery.Routine
}

// cache keeps the analyses that were used last, by queryKey.
type cache struct{ analyses *lru.Cache[string, *entry] } // nil: none are kept

func newCache(limit int) *cache {
	if limit <= 0 {
		return &cache{}
	}
	analyses, err := lru.New[string, *entry](limit)
	if err != nil {
		panic(err) // of a limit below 1 alone
	}
	return &cache{analyses}
}

func (c *cache) get(key string) (*entry, bool) {
	if c.analyses == nil {
		return nil, false
	}
	return c.analyses.Get(key)
}

func (c *cache) put(key string, e *entry) {
	if c.analyses != nil {
		c.analyses.Add(key, e)
	}
}

// queryKey covers everything an analysis depends on but the tables.
func queryKey(q Query, engine string) string {
	dataset := ""
	if q.DefaultDataset != nil {
		dataset = q.DefaultDataset.ProjectID + "." + q.DefaultDataset.DatasetID
	}
	return digest(engine, q.SQL, q.Project, dataset, q.ParameterMode, string(q.Parameters), q.Undeclared)
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

// unchanged reads again the tables and routines that a known analysis rests on, and reports whether
// they are the same.
func (j *job) unchanged(before *entry) (bool, error) {
	for id, was := range before.tables {
		is, refused, err := readTable(j.ctx, j.query.Catalog, id)
		if err != nil {
			return false, err
		}
		if refused != nil || is != was && tableDigest(is) != tableDigest(was) {
			return false, nil
		}
		j.tables[id] = is
	}
	for id, was := range before.routines {
		is, refused, err := readRoutine(j.ctx, j.query.Catalog, id)
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
