package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/envoy"
)

func envoyCommand() *cobra.Command {
	c := &cobra.Command{Use: "envoy", Short: "Envoy's configuration", RunE: group}
	c.AddCommand(renderCommand(), lintCommand())
	return c
}

func renderCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use: "render --config FILE", Short: "Print the Envoy bootstrap for a configuration", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := configured(c, path)
			if err != nil {
				return err
			}
			text, err := envoy.Render(cfg.EnvoyConfig())
			if err != nil {
				return exit{exitUsage, err}
			}
			_, err = c.OutOrStdout().Write(text)
			return err
		},
	}
	c.Flags().StringVar(&path, "config", "", "the configuration file of `bqgate serve`")
	return c
}

func lintCommand() *cobra.Command {
	return &cobra.Command{
		Use: "lint FILE", Short: "Find settings of an Envoy bootstrap by which data or credentials would leak", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return exit{exitUsage, err}
			}
			findings, err := envoy.Lint(text)
			if err != nil {
				return exit{exitUsage, fmt.Errorf("%s: %w", args[0], err)}
			}
			for _, f := range findings {
				fmt.Fprintf(c.OutOrStdout(), "%s:%d: %s: %s\n  %s\n  want: %s\n", args[0], f.Line, f.Rule, f.Path, f.Why, f.Want)
			}
			if len(findings) > 0 {
				return exit{code: exitFindings}
			}
			return nil
		},
	}
}
