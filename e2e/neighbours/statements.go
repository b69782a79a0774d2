package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// statements are texts whose analysis takes long.
var statements = []flood{
	{"bombs", "16 callers whose statements take the analysis to its deadline",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			ready()
			begin := time.Now().UnixNano()
			hammer(ctx, a, 16, func(ctx context.Context, c *api, k int) {
				c.count(ctx, t, http.MethodPost, "/queries", a.query(bomb(begin+int64(k))))
			})
			return nil
		}},
	{"half-bombs", "16 callers whose statements take a tenth of that",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			ready()
			begin := time.Now().UnixNano()
			hammer(ctx, a, 16, func(ctx context.Context, c *api, k int) {
				c.count(ctx, t, http.MethodPost, "/queries", a.query(additions(begin+int64(k), 1500)))
			})
			return nil
		}},
}

// bomb doubles a STRUCT forty times.
func bomb(n int64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "WITH t0 AS (SELECT %d AS x)", n)
	for i := range 40 {
		fmt.Fprintf(&b, ", t%d AS (SELECT STRUCT(a.x AS l, b.x AS r) AS x FROM t%d a, t%d b)", i+1, i, i)
	}
	b.WriteString(" SELECT TO_JSON_STRING(x) FROM t40")
	return b.String()
}

// additions is a long sum.
func additions(n int64, terms int) string {
	return fmt.Sprintf("SELECT id, %d%s FROM crm.customers", n, strings.Repeat(" + id * LENGTH(CONCAT(name, email))", terms))
}
