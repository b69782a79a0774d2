package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/approvals"
)

func grantsCommand() *cobra.Command {
	var r reviewer
	state := string(approvals.GrantLive)
	c := &cobra.Command{
		Use:   "grants --console URL --token-file FILE",
		Short: "List what was approved and how often it ran, newest first; what may still run, unless --state says otherwise",
		Args:  exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			asker, err := r.client(c)
			if err != nil {
				return err
			}
			if state == "all" {
				state = ""
			}
			list, more, err := asker.Grants(c.Context(), state)
			if err != nil {
				return err
			}
			if r.json(c) {
				return writeJSON(c.OutOrStdout(), struct {
					Grants []approvals.Grant `json:"grants"`
					More   bool              `json:"more,omitempty"`
				}{orEmpty(list), more})
			}
			return grantTable(c.OutOrStdout(), list, more)
		},
	}
	r.flags(c)
	c.Flags().StringVar(&state, "state", state, "live, spent, expired, revoked or all")
	return c
}

func grantTable(out io.Writer, list []approvals.Grant, more bool) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "there are none")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "REQUEST\tSTATE\tWHO\tREADS\tRAN\tUNTIL")
	for _, g := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d of %d\t%s\n", g.ID, g.State, harmless(g.Subject), harmless(strings.Join(g.Tables, ", ")), g.Used,
			g.Uses, g.Until.Local().Format(time.DateTime))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if more {
		fmt.Fprintln(out, "there are older ones")
	}
	return nil
}

func revokeCommand() *cobra.Command {
	var r reviewer
	var reason string
	c := &cobra.Command{
		Use: "revoke --console URL --token-file FILE REQUEST --reason TEXT", Short: "Take an approval back: nothing more runs on it",
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			asker, err := r.client(c)
			if err != nil {
				return err
			}
			g, err := asker.Revoke(c.Context(), args[0], reason)
			if err != nil {
				return err
			}
			if r.json(c) {
				return writeJSON(c.OutOrStdout(), g)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "the approval of request %s is %s, after %d of %d runs\n", g.ID, g.State, g.Used, g.Uses)
			return err
		},
	}
	r.flags(c)
	c.Flags().StringVar(&reason, "reason", "", "why; it is kept")
	return c
}
