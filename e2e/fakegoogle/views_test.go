package fakegoogle

import (
	"strings"
	"testing"
)

// tables.get shows a view as Google stores it: the query without the list of columns, the schema
// with its names, and the flag. A view over a table that grew keeps the schema that it had; queries
// and dry runs give today's columns.
func TestViewsAsGoogleStoresThem(t *testing.T) {
	s := start(t)
	if err := s.Seed(t.Context(), `CREATE SCHEMA v;
CREATE TABLE v.base AS SELECT id, name, ssn FROM crm.customers;
CREATE VIEW v.listed(customer, tax_no OPTIONS(description = 'why')) AS SELECT name, ssn FROM v.base;
CREATE VIEW v.star AS SELECT * FROM v.base;
ALTER TABLE v.base ADD COLUMN extra STRING;`); err != nil {
		t.Fatal(err)
	}
	c, i := as(t, s, reader), as(t, s, inspect)
	for view, want := range map[string]struct {
		shown, gives, query string
		flag                any
	}{
		"listed": {"customer tax_no", "customer tax_no", "SELECT name, ssn FROM v.base", true},
		"star":   {"id name ssn", "id name ssn extra", "SELECT * FROM v.base", nil},
	} {
		t.Run(view, func(t *testing.T) {
			table := i.do("GET", base+"/datasets/v/tables/"+view, nil).tree(t)
			if got := strings.Join(names(t, table), " "); got != want.shown {
				t.Errorf("%s shows %s, want %s", view, got, want.shown)
			}
			if got := at(t, table, "view", "query"); got != want.query {
				t.Errorf("%s has the query %s, want %s", view, got, want.query)
			}
			if got := at(t, table, "view", "useExplicitColumnNames"); got != want.flag {
				t.Errorf("%s: useExplicitColumnNames is %v, want %v", view, got, want.flag)
			}
			if got := strings.Join(names(t, c.query("SELECT * FROM v."+view, nil).tree(t)), " "); got != want.gives {
				t.Errorf("%s gives %s, want %s", view, got, want.gives)
			}
			dry := c.insert("", "SELECT * FROM v."+view, true).tree(t)
			if got := strings.Join(names(t, at(t, dry, "statistics", "query").(map[string]any)), " "); got != want.gives {
				t.Errorf("a dry run of %s says %s, want %s", view, got, want.gives)
			}
		})
	}
}
