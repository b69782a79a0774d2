package main

import (
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/gateway"
)

func serveCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use: "serve --config FILE", Short: "Run the ext_authz and ext_proc services, the token endpoint and the approval endpoint", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if path == "" {
				return usage(c, errMissing("--config"))
			}
			cfg, err := config.Load(path)
			if err != nil {
				return exit{exitUsage, err}
			}
			log := slog.New(slog.NewJSONHandler(c.ErrOrStderr(), nil))
			slog.SetDefault(log)
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(50) // clients that poll leave deep stacks behind, which only the collector shrinks; docs/performance.md has what a thousand of them take
			}
			return gateway.Run(c.Context(), cfg, log)
		},
	}
	c.Flags().StringVar(&path, "config", "", "the configuration file")
	return c
}
