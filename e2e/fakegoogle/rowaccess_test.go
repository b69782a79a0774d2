package fakegoogle

import (
	"context"
	"net/url"
	"strings"
	"testing"
)

func TestRowAccessPolicies(t *testing.T) {
	s := start(t)
	seed := func(sql string) error { return s.Seed(context.Background(), sql) }
	for _, sql := range []string{
		"-- who sees what\nCREATE ROW ACCESS POLICY north ON crm.orders GRANT TO (\"group:a@demo.example\", \"user:b@demo.example\") " +
			"FILTER USING (status = 'a)b' AND (id > 1));",
		"CREATE OR REPLACE ROW ACCESS POLICY south ON `demo.crm.orders` GRANT TO (\"domain:demo.example\") FILTER USING (TRUE)",
		"CREATE OR REPLACE ROW ACCESS POLICY south ON crm.orders GRANT TO (\"domain:demo.example\") FILTER USING (FALSE)",
		"CREATE VIEW crm.some_orders AS SELECT id FROM demo.crm.orders",
	} {
		if err := seed(sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	for _, sql := range []string{
		"CREATE ROW ACCESS POLICY p ON crm.nothing GRANT TO (\"user:a@demo.example\") FILTER USING (TRUE)",
		"CREATE ROW ACCESS POLICY p ON crm.some_orders GRANT TO (\"user:a@demo.example\") FILTER USING (TRUE)",
		"CREATE ROW ACCESS POLICY p ON crm.orders FILTER USING (TRUE)",
	} {
		if err := seed(sql); err == nil {
			t.Errorf("%s: done", sql)
		}
	}
	list := func(account, table, query string) reply {
		return as(t, s, account).do("GET", base+"/datasets/crm/tables/"+table+"/rowAccessPolicies"+query, nil)
	}
	first := list(inspect, "orders", "?pageSize=1").tree(t)
	if got := at(t, first, "rowAccessPolicies", 0, "filterPredicate"); got != "status = 'a)b' AND (id > 1)" {
		t.Errorf("predicate %v", got)
	}
	if got := at(t, first, "rowAccessPolicies", 0, "rowAccessPolicyReference", "tableId"); got != "orders" {
		t.Errorf("table %v", got)
	}
	token, _ := first["nextPageToken"].(string)
	next := url.QueryEscape(token)
	second := list(inspect, "orders", "?pageSize=1&pageToken="+next).tree(t)
	if got := at(t, second, "rowAccessPolicies", 0, "rowAccessPolicyReference", "policyId"); got != "south" ||
		second["nextPageToken"] != nil {
		t.Errorf("page 2: %v", second)
	}
	if both := list(inspect, "orders", "").tree(t)["rowAccessPolicies"].([]any); len(both) != 2 {
		t.Errorf("%d policies", len(both))
	}
	if r := list(inspect, "customers", ""); r.status != 200 || strings.TrimSpace(string(r.body)) != "{}" {
		t.Errorf("none: %d %s", r.status, r.body)
	}
	for name, c := range map[string]struct {
		account, table, query string
		status                int
	}{
		"an account without the permission": {reader, "orders", "", 403}, "nobody": {nobody, "orders", "", 403},
		"no table": {inspect, "nothing", "", 404}, "a view": {inspect, "some_orders", "", 400},
		"the other methods' parameter": {inspect, "orders", "?maxResults=1", 400},
		"another table's page":         {inspect, "customers", "?pageToken=" + next, 400},
	} {
		t.Run(name, func(t *testing.T) {
			if r := list(c.account, c.table, c.query); r.status != c.status || strings.Contains(string(r.body), "a)b") {
				t.Errorf("%s: %d %s", name, r.status, r.body)
			}
		})
	}
	s.WithholdRowAccess(true)
	if r := list(inspect, "orders", ""); r.status != 403 {
		t.Errorf("withheld: %d", r.status)
	}
	s.WithholdRowAccess(false)
	if err := seed("DROP ALL ROW ACCESS POLICIES ON crm.orders"); err != nil {
		t.Fatal(err)
	}
	if r := list(inspect, "orders", ""); r.status != 200 || strings.TrimSpace(string(r.body)) != "{}" {
		t.Errorf("dropped: %d %s", r.status, r.body)
	}
}
