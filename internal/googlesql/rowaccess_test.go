package googlesql

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// accessCatalog knows of tables by name whether they have row access policies, and counts who is
// asked about at once.
type accessCatalog struct {
	Files
	access map[string]bigquery.RowAccess
	fail   map[string]error

	mu              sync.Mutex
	asked, now, top int
}

func (c *accessCatalog) RowAccess(_ context.Context, id bigquery.TableID) (bigquery.RowAccess, error) {
	c.mu.Lock()
	c.asked++
	c.now++
	c.top = max(c.top, c.now)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.now--
		c.mu.Unlock()
	}()
	return c.access[id.Table], c.fail[id.Table]
}

func TestRowAccess(t *testing.T) {
	table := func(name string, members ...string) *bigquery.Table {
		return &bigquery.Table{TableReference: bigquery.TableID{Project: "p", Dataset: "d", Table: name}, Members: members}
	}
	const has, none = bigquery.RowAccessPolicies, bigquery.RowAccessNone
	boom := errors.New("boom")
	c := &accessCatalog{access: map[string]bigquery.RowAccess{"open": none, "closed": has, "e_1": none, "e_2": none, "f_1": none,
		"f_2": has, "f_3": none}, fail: map[string]error{"broken": boom}}
	for name, test := range map[string]struct {
		tables []*bigquery.Table
		want   map[string]bigquery.RowAccess
		fails  bool
	}{
		"no table": {nil, map[string]bigquery.RowAccess{}, false},
		"tables": {[]*bigquery.Table{table("open"), table("closed")},
			map[string]bigquery.RowAccess{"p.d.open": none, "p.d.closed": has}, false},
		"wildcards": {[]*bigquery.Table{table("e_*", "e_1", "e_2"), table("f_*", "f_1", "f_2", "f_3")},
			map[string]bigquery.RowAccess{"p.d.e_*": none, "p.d.f_*": has}, false},
		"one fails":                  {[]*bigquery.Table{table("open"), table("broken")}, nil, true},
		"nothing is said":            {[]*bigquery.Table{table("open"), table("unheard")}, nil, true},
		"nothing is said of members": {[]*bigquery.Table{table("g_*", "e_1", "g_1")}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			known, err := RowAccess(t.Context(), c, test.tables)
			if (err != nil) != test.fails || !maps.Equal(known, test.want) {
				t.Errorf("%s: %v, %v", name, known, err)
			}
		})
	}
	if _, err := RowAccess(t.Context(), c, []*bigquery.Table{table("broken")}); !errors.Is(err, boom) {
		t.Errorf("%v", err)
	}
	if known, err := RowAccess(t.Context(), noCatalog{}, []*bigquery.Table{table("open")}); err == nil {
		t.Errorf("a catalog that cannot know: %v", known)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if known, err := RowAccess(gone, c, []*bigquery.Table{table("open")}); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits: %v, %v", known, err)
	}
	wide := table("w_*")
	for i := range maxMembers {
		name := fmt.Sprintf("w_%d", i)
		wide.Members, c.access[name] = append(wide.Members, name), none
	}
	c.asked, c.top = 0, 0
	known, err := RowAccess(t.Context(), c, []*bigquery.Table{wide})
	if err != nil || known["p.d.w_*"] != none || c.asked != maxMembers || c.top > rowAccessAtOnce {
		t.Errorf("%v, %v: asked %d times, %d at once", known, err, c.asked, c.top)
	}
}

// noCatalog knows nothing of row access policies.
type noCatalog struct{}

func (noCatalog) Table(context.Context, bigquery.TableID) (*bigquery.Table, error) {
	return nil, ErrNotFound
}

func TestFilesRowAccess(t *testing.T) {
	folder := t.TempDir()
	id := bigquery.TableID{Project: "p", Dataset: "d", Table: "t"}
	for text, want := range map[string]bigquery.RowAccess{
		"":                          bigquery.RowAccessNone, // no file
		`{}`:                        bigquery.RowAccessNone,
		`[]`:                        bigquery.RowAccessNone,
		`{"rowAccessPolicies": []}`: bigquery.RowAccessNone,
		`{"rowAccessPolicies": [{"filterPredicate": "a = 1"}]}`: bigquery.RowAccessPolicies,
		` [{"filterPredicate": "a = 1"}]`:                       bigquery.RowAccessPolicies,
		`{"rowAccesPolicies": [{}]}`:                            "",
		`{"rowAccessPolicies": 1}`:                              "",
		`x`:                                                     "",
		` `:                                                     "",
	} {
		t.Run(text, func(t *testing.T) {
			if text != "" {
				if err := os.WriteFile(filepath.Join(folder, "p.d.t.rowAccessPolicies.json"), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			} else if err := os.RemoveAll(filepath.Join(folder, "p.d.t.rowAccessPolicies.json")); err != nil {
				t.Fatal(err)
			}
			got, err := Files{folder}.RowAccess(t.Context(), id)
			if got != want || (err != nil) != (want == "") {
				t.Errorf("%s: %q, %v", text, got, err)
			}
		})
	}
	if tables, err := (Files{folder}).Tables(t.Context(), bigquery.DatasetReference{ProjectID: "p", DatasetID: "d"}); err != nil ||
		len(tables) != 0 {
		t.Errorf("the list of policies is taken for a table: %v, %v", tables, err)
	}
}
