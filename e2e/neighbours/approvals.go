package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// approvals fill what waits for people, or ask for it (A39).
var approvals = []flood{
	{"holds", "6 callers who hold and withdraw queries with parameters of 1 MB",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			ready()
			value := strings.Repeat("x", 1_000_000)
			hammer(ctx, a, 6, func(ctx context.Context, c *api, k int) {
				id := fmt.Sprintf("fill_%d_%d", time.Now().UnixNano(), k)
				status, _, err := c.do(ctx, http.MethodPost, "/jobs", a.heldJob(id, fmt.Sprint(k)+value))
				if err != nil || ctx.Err() != nil {
					return
				}
				t.add(fmt.Sprint("hold: ", status))
				if status == http.StatusOK {
					c.count(ctx, t, http.MethodPost, "/jobs/"+id+"/cancel", nil)
				}
			})
			return nil
		}},
	{"lists-of-requests", "16 lists of requests at once, by somebody who may see none",
		func(ctx context.Context, a attacker, t *tally, ready func()) error {
			if !a.Echo {
				c := a.api(false)
				value := strings.Repeat("x", 200_000)
				for i := range 8 {
					if _, err := a.hold(ctx, c, fmt.Sprint(i)+value); err != nil {
						break // the cap of one owner
					}
				}
			}
			ready()
			if a.Echo {
				hammer(ctx, a, 16, func(ctx context.Context, c *api, _ int) { c.count(ctx, t, http.MethodGet, "/jobs", nil) })
				return nil
			}
			repeat(ctx, t, http.MethodGet, "http://"+a.Console+"/api/v1/requests", "", "authorization", "Bearer "+a.Person)
			return nil
		}},
}
