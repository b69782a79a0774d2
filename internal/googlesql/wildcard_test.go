package googlesql

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// BigQuery: "the wildcard character, *, represents one or more characters of a table name", and it
// "uses the schema for the most recently created table that matches the wildcard as the schema for
// the wildcard table" (https://cloud.google.com/bigquery/docs/querying-wildcard-tables).
func TestWildcardMembers(t *testing.T) {
	made := func(name, created string, columns ...string) *bigquery.Table {
		m := table(name)
		m.CreationTime = created
		for _, c := range columns {
			m.Schema.Fields = append(m.Schema.Fields, bigquery.Field{Name: c, Type: "STRING"})
		}
		return m
	}
	for name, c := range map[string]struct {
		tables  []*bigquery.Table
		want    string // members: columns of the newest; those of others
		refused string
	}{
		"one": {[]*bigquery.Table{made("p.d.log_1", "1", "a")}, "log_1: a", ""},
		"the newest counts": {[]*bigquery.Table{made("p.d.log_1", "10", "a"), made("p.d.log_2", "9", "b")}, "log_1 log_2: a; b",
			""},
		"all alike": {[]*bigquery.Table{made("p.d.log_1", "1", "a"), made("p.d.log_2", "2", "a")}, "log_1 log_2: a", ""},
		"three kinds": {[]*bigquery.Table{made("p.d.log_1", "3", "a"), made("p.d.log_2", "2", "b"),
			made("p.d.log_3", "1", "a", "b")}, "log_1 log_2 log_3: a; b; a b", ""},
		"in another order": {[]*bigquery.Table{made("p.d.log_1", "2", "a", "b"), made("p.d.log_2", "1", "b", "a")},
			"log_1 log_2: a b; b a", ""},
		"other tables": {[]*bigquery.Table{made("p.d.log_1", "1", "a"), made("p.d.lag_1", "2", "b"),
			made("p.e.log_2", "2", "b"), made("p.d.LOG_3", "9", "b")}, "log_1: a", ""},
		"a table of the prefix": {[]*bigquery.Table{made("p.d.log_", "2", "a", "extra"), made("p.d.log_1", "1", "a", "ssn")}, "",
			"p.d.log_ is a table of its own"},
		"only that": {[]*bigquery.Table{made("p.d.log_", "2", "a")}, "", "p.d.log_ is a table of its own"},
		"a view of the prefix": {[]*bigquery.Table{{TableReference: tableID("p.d.log_"), Type: "VIEW"}, made("p.d.log_1", "1", "a")},
			"", "p.d.log_ is a table of its own"},
		"a snapshot among them": {[]*bigquery.Table{made("p.d.log_1", "1", "a"), snapshotOf("p.d.log_2", "p.d.t")}, "",
			"of type SNAPSHOT"},
		"none":                     {nil, "", "not found"},
		"made at the same moment":  {[]*bigquery.Table{made("p.d.log_1", "1", "a"), made("p.d.log_2", "1", "b")}, "log_1 log_2: b; a", ""},
		"a member that is a clone": {[]*bigquery.Table{cloneOf("p.d.log_1", "p.d.t")}, "log_1: ssn", ""},
		"one of a deeper structure": {
			[]*bigquery.Table{made("p.d.log_1", "1", "a"),
				table("p.d.log_2", bigquery.Field{Name: "a", Type: "RECORD", Fields: []bigquery.Field{{Name: "ssn", Type: "STRING"}}})},
			"log_1 log_2: a; a", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &store{tables: map[bigquery.TableID]*bigquery.Table{}}
			s.put(c.tables...)
			got, err := ReadTable(t.Context(), s, "p.d.log_*")
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Fatalf("%v, want %q", err, c.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			told := []string{}
			for _, schema := range append([]bigquery.Schema{got.Schema}, got.Others...) {
				var names []string
				for _, f := range schema.Fields {
					names = append(names, f.Name)
				}
				told = append(told, strings.Join(names, " "))
			}
			if text := fmt.Sprintf("%s: %s", strings.Join(got.Members, " "), strings.Join(told, "; ")); text != c.want {
				t.Errorf("got %q, want %q", text, c.want)
			}
		})
	}
}
