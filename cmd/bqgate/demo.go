//go:build demo

package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/e2e/demo"
)

// demoCommands exist in binaries built with the tag demo alone: they link stand-ins for Google that
// a product must not carry.
func demoCommands() []*cobra.Command {
	return []*cobra.Command{demoCommand(), askCommand(), requestsCommand(), decideCommand("approve"), decideCommand("deny")}
}

func demoCommand() *cobra.Command {
	o := demo.Options{Started: time.Now()}
	c := &cobra.Command{
		Use: "demo", Short: "Run everything on loopback with example data", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			o.Stdout = c.OutOrStdout()
			return demo.Run(c.Context(), o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Dir, "dir", "build/demo", "folder for everything the demo writes; emptied at start")
	f.StringArrayVar(&o.Policies, "policy", nil, "policy file in place of the default one (may be repeated)")
	f.StringArrayVar(&o.Seeds, "seed", nil, "SQL file in place of the default data (may be repeated)")
	f.StringVar(&o.Gateway, "gateway", "", "file with the sections approvals and notifications of a gateway's configuration")
	f.StringVar(&o.Project, "project", "demo", "project of the data and of the clients")
	f.StringVar(&o.Redis, "redis", "", "URL of a real Redis in place of the embedded one")
	f.StringVar(&o.Engine, "engine", "sqlengine",
		"what runs the SQL: sqlengine, emulator, or for measurements remembering, which runs a query once")
	f.IntVar(&o.RESTPort, "rest-port", 0, "port of the BigQuery listener (default: a free one)")
	f.IntVar(&o.ConsolePort, "console-port", 0, "port of the approval endpoint (default: a free one)")
	return c
}

func personaFlags(c *cobra.Command, path, name *string, who string) {
	c.Flags().StringVar(path, "demo", "build/demo/demo.json", "the running demo's demo.json")
	c.Flags().StringVar(name, "as", who, "persona")
}

func askCommand() *cobra.Command {
	var path, name string
	c := &cobra.Command{
		Use: "ask SQL", Short: "Query the running demo as one of its personas", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := demo.Open(path, name, false, c.OutOrStdout())
			if err != nil {
				return err
			}
			return p.Ask(c.Context(), args[0])
		},
	}
	personaFlags(c, &path, &name, "agent")
	return c
}

func requestsCommand() *cobra.Command {
	var path, name string
	c := &cobra.Command{
		Use: "requests", Short: "List what waits for approval in the running demo", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := demo.Open(path, name, true, c.OutOrStdout())
			if err != nil {
				return err
			}
			return p.Requests(c.Context())
		},
	}
	personaFlags(c, &path, &name, "reviewer")
	return c
}

func decideCommand(choice string) *cobra.Command {
	var path, name, reason string
	c := &cobra.Command{
		Use: choice + " [REQUEST]", Short: fmt.Sprintf("%s a request in the running demo, or the only one that waits", choice),
		Args: between(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := demo.Open(path, name, true, c.OutOrStdout())
			if err != nil {
				return err
			}
			id := ""
			if len(args) == 1 {
				id = args[0]
			}
			return p.Vote(c.Context(), id, choice, reason)
		},
	}
	personaFlags(c, &path, &name, "reviewer")
	c.Flags().StringVar(&reason, "reason", "", "why")
	return c
}
