package difftest

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bqgate/bqgate/internal/googlesql"
)

// TestAWrongAnalysisIsNoticed takes something out of analyses that are right: each time one of the
// rules must be broken.
func TestAWrongAnalysisIsNoticed(t *testing.T) {
	l := newLab(t, "difftest", newAnalyzer(t), newReport())
	all := changes(rand.New(rand.NewPCG(3, 3)))
	for _, sql := range []string{
		"SELECT ssn FROM ds.customers",
		"SELECT id, REVERSE(ssn) AS x FROM ds.customers",
		"SELECT id, LOWER(ssn) AS x FROM ds.customers",
		"SELECT id, TO_HEX(CAST(ssn AS BYTES)) AS x FROM ds.customers",
		"SELECT id, TO_BASE64(CAST(CONCAT('ab', ssn) AS BYTES)) AS x FROM ds.customers",
		"SELECT id, REGEXP_REPLACE(ssn, r'[^0-9]', '') AS x FROM ds.customers",
		"SELECT id, SUBSTR(ssn, 4, 6) AS x FROM ds.customers",
		"SELECT id, LENGTH(ssn) AS x FROM ds.customers",
		"SELECT id, raw FROM ds.vault JOIN ds.customers ON TRUE",
		"SELECT p.number FROM ds.customers, UNNEST(phones) AS p",
		"SELECT STRUCT(name AS a, email AS b) AS s FROM ds.customers",
		"SELECT id FROM ds.customers WHERE LENGTH(ssn) > 3",
		"SELECT id FROM ds.customers ORDER BY ssn",
		"SELECT c.id FROM ds.customers AS c JOIN ds.orders AS o ON c.id = o.customer_id",
		"SELECT COUNT(*) AS n FROM ds.customers GROUP BY region",
		"SELECT id, ROW_NUMBER() OVER (ORDER BY ssn) AS n FROM ds.customers",
		"SELECT ARRAY_AGG(id ORDER BY ssn) AS ids FROM ds.customers",
		"SELECT MAX(1 / (LENGTH(ssn) - 1)) > 100 AS fails FROM ds.customers",
		"SELECT id, part FROM ds.customers, UNNEST(SPLIT(ssn, '-')) AS part",
		"SELECT DISTINCT region FROM ds.customers",
		// Which the engine's driver would answer wrongly, had it not been asked in other words.
		"SELECT name AS a, name AS b FROM ds.customers UNION ALL SELECT email, ssn FROM ds.customers",
		"SELECT b FROM (SELECT seller AS a, seller AS b FROM ds.sales UNION ALL SELECT card, status FROM ds.orders)",
		"WITH w AS (SELECT seller AS a, seller AS b FROM ds.sales UNION ALL SELECT status, card FROM ds.orders) SELECT b FROM w",
		"FROM ds.sales |> SELECT q AS a, q AS b |> UNION ALL (SELECT status, REVERSE(card) AS x FROM ds.orders) |> SELECT b",
		"SELECT id, ARRAY(SELECT AS STRUCT * FROM (SELECT t AS a, t AS b FROM UNNEST(tags) AS t UNION ALL SELECT name, ssn)) AS s FROM " +
			"ds.customers",
		"SELECT region AS a, region AS b FROM ds.customers UNION DISTINCT SELECT 'x', card FROM ds.orders",
	} {
		t.Run(sql, func(t *testing.T) {
			q := &query{sql: sql, project: project}
			ok, why, f := l.look(q)
			if !ok || f != nil || q.base.Error != nil {
				t.Errorf("%s: %s %+v %+v", sql, why, f, q.base)
				return
			}
			if broken := l.anyBroken(q, all, ""); broken != "" {
				t.Errorf("%s: the analysis as it is breaks a rule: %s", sql, broken)
			}
			whole := *q.analysis
			// Only the columns that come from what is taken out: that a join's other key does not
			// matter by itself is true.
			for i, c := range whole.Columns {
				for j := range c.Sources {
					less := whole
					less.Columns = slices.Clone(whole.Columns)
					less.Columns[i].Sources = slices.Delete(slices.Clone(c.Sources), j, j+1)
					less.Uses = withoutUse(whole.Uses, c.Sources[j].Column)
					q.analysis = &less
					if l.anyBroken(q, all, c.Sources[j].Column) == "" {
						t.Errorf("%s: nothing noticed that the source %+v was missing", sql, c.Sources[j])
					}
					if c.Sources[j].Carry == googlesql.CarryDerived && c.Name == "x" {
						less.Columns[i].Sources = slices.Clone(c.Sources)
						less.Columns[i].Sources[j].Carry = googlesql.CarryDirect
						if q.direct(l.values) == nil {
							t.Errorf("%s: nothing noticed that %+v was called direct", sql, c.Sources[j])
						}
					}
				}
			}
			for _, u := range whole.Uses {
				less := whole
				less.Uses = withoutUse(whole.Uses, u.Column)
				q.analysis = &less
				if l.anyBroken(q, all, u.Column) == "" {
					t.Errorf("%s: nothing noticed that the use of %s was missing", sql, u.Column)
				}
			}
		})
	}
}

func withoutUse(uses []googlesql.Use, column string) []googlesql.Use {
	return slices.DeleteFunc(slices.Clone(uses), func(u googlesql.Use) bool { return u.Column == column })
}

// anyBroken names a rule that a query breaks as it is, or with any of the changes of a column.
func (l *lab) anyBroken(q *query, all []change, column string) string {
	if len(q.canaries(l.known)) > 0 {
		return "canary"
	}
	if f := q.direct(l.values); f != nil {
		return f.what
	}
	for i := range all {
		if !q.matters(&all[i]) || !slices.Contains(all[i].columns(), column) {
			continue
		}
		l.alter(&all[i], false)
		changed := l.rows(q)
		l.alter(&all[i], true)
		changed.spread(q.analysis)
		if f := l.compare(q, &all[i], changed); f != nil {
			return f.what + ": " + f.detail
		}
	}
	return ""
}

// TestCanaryForms is the list of what is looked for, in words.
func TestCanaryForms(t *testing.T) {
	found := canaryWindows("Kqf-4821-93750-wZ")
	for _, w := range []string{"kqf-48", "750-wz", "zw-057", "482193", "4b71662d3438", "s3fmltq4"} {
		t.Run(w, func(t *testing.T) {
			if !found[w] {
				t.Errorf("%q is not looked for", w)
			}
		})
	}
	if found["111111"] {
		t.Error("what is not in the word is looked for")
	}
}
