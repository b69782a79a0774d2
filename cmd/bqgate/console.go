package main

import (
	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/gateway"
)

func consoleCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use: "console --config FILE", Short: "Run the reviewers' pages and the approval endpoint as a process of their own",
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			return runService(c, path, gateway.RunConsole)
		},
	}
	c.Flags().StringVar(&path, "config", "", "the configuration file")
	return c
}
