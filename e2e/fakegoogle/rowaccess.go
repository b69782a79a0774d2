package fakegoogle

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/bigquery"
)

// rowAccessPolicy is a policy as it was made. A service account reads all rows whatever it says: an
// account that sees everything is the worst case for those who share it. A federated principal
// reads the rows of the policies that are granted to it, and of a table with others no row.
type rowAccessPolicy struct {
	id        string
	members   []string // as IAM writes them, or allAuthenticatedUsers
	predicate string
}

// rowFilters are the predicates under which a federated principal reads tables (Statement.Filters).
// They hold where a query names a table, not behind its views.
func (s *Server) rowFilters(principal string) string {
	m := s.tokens.newest(principal)
	if m.subject == "" {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	filters := map[string]string{}
	for table, policies := range s.rowAccess {
		var own []string
		for _, p := range policies {
			if slices.ContainsFunc(p.members, func(member string) bool { return member == "allAuthenticatedUsers" || m.is(member) }) {
				own = append(own, "("+sessionUser.ReplaceAllLiteralString(p.predicate, "'"+principal+"'")+")")
			}
		}
		if filters[table] = strings.Join(own, " OR "); len(own) == 0 {
			filters[table] = "FALSE"
		}
	}
	if len(filters) == 0 {
		return ""
	}
	text, err := json.Marshal(filters)
	if err != nil {
		panic(err) // of texts there is none
	}
	return string(text)
}

var (
	sessionUser = regexp.MustCompile(`(?i)SESSION_USER\s*\(\s*\)`)
	quotedText  = regexp.MustCompile(`'([^']*)'|"([^"]*)"`)
)

// grantees reads the list of GRANT TO.
func grantees(list string) []string {
	var all []string
	for _, m := range quotedText.FindAllStringSubmatch(list, -1) {
		all = append(all, m[1]+m[2])
	}
	return all
}

var (
	createRowAccess = regexp.MustCompile(
		"(?is)^(?:--[^\\n]*\\n\\s*)*CREATE(?:\\s+OR\\s+REPLACE)?\\s+ROW\\s+ACCESS\\s+POLICY\\s+(\\w+)\\s+ON\\s+`?([\\w.*-]+)`?" +
			"\\s+GRANT\\s+TO\\s*\\(([^()]*)\\)\\s*FILTER\\s+USING\\s*\\((.*)\\)$")
	dropRowAccess = regexp.MustCompile("(?is)^(?:--[^\\n]*\\n\\s*)*DROP\\s+ALL\\s+ROW\\s+ACCESS\\s+POLICIES\\s+ON\\s+`?([\\w.-]+)`?$")
)

// makeRowAccessPolicy runs a statement of a seed that is about row access policies; done is false
// for any other.
func (s *Server) makeRowAccessPolicy(ctx context.Context, sql string) (done bool, err error) {
	create, drop := createRowAccess.FindStringSubmatch(sql), dropRowAccess.FindStringSubmatch(sql)
	if create == nil && drop == nil {
		return false, nil
	}
	name := ""
	if create != nil {
		name = create[2]
	} else {
		name = drop[1]
	}
	id, err := s.tableID(name)
	if err != nil {
		return true, err
	}
	cat, err := s.engine.Catalog(ctx)
	if err != nil {
		return true, err
	}
	t, apiErr := findTable(cat, id)
	if apiErr != nil {
		return true, apiErr
	}
	if t.View {
		return true, fmt.Errorf("%s is a view: row access policies are for tables", id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if create == nil {
		delete(s.rowAccess, id.String())
		return true, nil
	}
	var kept []rowAccessPolicy
	for _, p := range s.rowAccess[id.String()] {
		if p.id != create[1] {
			kept = append(kept, p)
		}
	}
	s.rowAccess[id.String()] = append(kept, rowAccessPolicy{
		id: create[1], members: grantees(create[3]), predicate: strings.TrimSpace(create[4]),
	})
	return true, nil
}

// WithholdRowAccess takes bigquery.rowAccessPolicies.list from every account, or gives it back.
func (s *Server) WithholdRowAccess(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.withheld = on
}

// listRowAccessPolicies is rowAccessPolicies.list. As at Google, a table without policies is
// answered with an empty object, and the page's size is pageSize.
func (s *Server) listRowAccessPolicies(project, dataset, table string) handler {
	return func(c *call) (object, *apiError) {
		id := bigquery.TableID{Project: project, Dataset: dataset, Table: table}
		s.mu.Lock()
		policies, withheld := s.rowAccess[id.String()], s.withheld
		s.mu.Unlock()
		if !c.may.RowAccess || withheld {
			return nil, errDenied("Access Denied: Table " + tableText(id) + ": Permission bigquery.rowAccessPolicies.list denied on " +
				"table " + tableText(id) + " (or it may not exist).")
		}
		cat, err := s.engine.Catalog(c.Context())
		if err != nil {
			return nil, queryFailure(err)
		}
		t, apiErr := findTable(cat, id)
		if apiErr != nil {
			return nil, apiErr
		}
		if t.View {
			return nil, errInvalid("Row access policies are not supported on " + tableText(id) + ", which is a VIEW.")
		}
		list := []any{}
		for _, p := range policies {
			list = append(list, object{
				{"etag", etag(p.id + p.predicate)},
				{"rowAccessPolicyReference",
					object{{"projectId", project}, {"datasetId", dataset}, {"tableId", table}, {"policyId", p.id}}},
				{"filterPredicate", p.predicate}, {"creationTime", "2026-11-01T00:00:00Z"}, {"lastModifiedTime", "2026-11-01T00:00:00Z"},
			})
		}
		if c.query.Has("maxResults") {
			return nil, errInvalid("Invalid JSON payload received. Unknown name \"maxResults\": Cannot bind query parameter.")
		}
		c.query.Set("maxResults", c.query.Get("pageSize"))
		list, next, apiErr := c.cut(s, "row access policies of "+id.String(), list)
		if apiErr != nil {
			return nil, apiErr
		}
		if len(list) == 0 {
			return next, nil
		}
		return append(object{{"rowAccessPolicies", list}}, next...), nil
	}
}
