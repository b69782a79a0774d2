package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/console/client"
)

var listGrants = listing[approvals.Grant]{
	use: "grants", short: "List what was approved and how often it ran, newest first; what may still run, unless --state says otherwise",
	state: string(approvals.GrantLive), states: "live, spent, expired, revoked or all",
	name: "grants", ask: (*client.Client).Grants,
	none: "there are none", header: "REQUEST\tSTATE\tWHO\tREADS\tRAN\tUNTIL",
	row: func(g approvals.Grant) []string {
		return []string{
			g.ID, string(g.State), harmless(g.Subject), harmless(strings.Join(g.Tables, ", ")),
			fmt.Sprintf("%d of %d", g.Used, g.Uses), g.Until.Local().Format(time.DateTime),
		}
	},
}

func revokeCommand() *cobra.Command {
	var r reviewer
	var reason string
	c := &cobra.Command{
		Use: "revoke --console URL --token-file FILE REQUEST --reason TEXT", Short: "Take an approval back: nothing more runs on it",
		Args: exactly(1),
		RunE: asking(&r, func(ctx context.Context, asker *client.Client, args []string) (approvals.Grant, error) {
			return asker.Revoke(ctx, args[0], reason)
		}, func(g approvals.Grant) string {
			return fmt.Sprintf("the approval of request %s is %s, after %d of %d runs\n", g.ID, g.State, g.Used, g.Uses)
		}),
	}
	r.flags(c)
	c.Flags().StringVar(&reason, "reason", "", "why; it is kept")
	return c
}
