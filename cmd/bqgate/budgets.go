package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/budgets"
	"github.com/bqgate/bqgate/internal/gateway"
	"github.com/bqgate/bqgate/policies"
)

func budgetsCommand() *cobra.Command {
	c := &cobra.Command{Use: "budgets", Short: "What has been spent of the policies' budgets", RunE: group}
	c.AddCommand(budgetsListCommand())
	return c
}

func budgetsListCommand() *cobra.Command {
	var path string
	var asJSON bool
	c := &cobra.Command{
		Use: "list --config FILE", Short: "List what is used, reserved and left of each budget, the fullest first", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := configured(c, path)
			if err != nil {
				return err
			}
			lines, err := gateway.ListBudgets(c.Context(), cfg)
			if err != nil {
				return exit{exitFindings, err}
			}
			if asJSON || !terminal(c.OutOrStdout()) {
				return writeJSON(c.OutOrStdout(), map[string]any{"budgets": orEmpty(lines)})
			}
			return budgetTable(c.OutOrStdout(), lines)
		},
	}
	c.Flags().StringVar(&path, "config", "", "the configuration file of `bqgate serve`")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, also on a terminal")
	return c
}

func budgetTable(out io.Writer, lines []budgets.Line) error {
	if len(lines) == 0 {
		_, err := fmt.Fprintln(out, "nothing has been spent of any budget in this hour and this day (UTC)")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "BUDGET\tBY\tWHO\tPER\tUSED\tRESERVED\tLEFT\tOF\tFREE AGAIN")
	for _, l := range lines {
		size := policies.Budget{Unit: policies.Unit(l.Unit)}.Size
		who := l.Who
		if who == "" {
			who = "not known"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Rule, l.By, harmless(who), l.Per, size(l.Used), size(l.Reserved),
			size(l.Left), size(l.Limit), l.Free.UTC().Format(time.RFC3339))
	}
	return w.Flush()
}
