package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/gateway"
)

func serveCommand() *cobra.Command {
	var path string
	var check bool
	c := &cobra.Command{
		Use: "serve --config FILE", Short: "Run the ext_authz and ext_proc services, the token endpoint and the approval endpoint",
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if check && path != "" {
				return checkConfiguration(c, path)
			}
			return runService(c, path, gateway.Run)
		},
	}
	c.Flags().StringVar(&path, "config", "", "the configuration file")
	c.Flags().BoolVar(&check, "check", false, "say everything that is wrong with the configuration, and serve nothing")
	return c
}

// runService runs a service of a configuration until it ends.
func runService(c *cobra.Command, path string, run func(context.Context, *config.Config, *slog.Logger) error) error {
	cfg, err := configured(c, path)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(c.ErrOrStderr(), nil))
	slog.SetDefault(log)
	err = run(c.Context(), cfg, log)
	if errors.Is(err, audit.ErrFailed) {
		return exit{exitJournal, err}
	}
	return err
}

// checkConfiguration prints everything for which the gateway would not start: what is wrong with
// the file, and with what the file names. Notes are of what it would start with all the same.
func checkConfiguration(c *cobra.Command, path string) error {
	cfg, wrong := config.Read(path)
	if cfg != nil {
		notes, misnamed := gateway.LookAtIssuers(c.Context(), cfg)
		wrong = errors.Join(wrong, gateway.Check(c.Context(), cfg), misnamed)
		for _, note := range append(notes, gateway.Notes(cfg)...) {
			fmt.Fprintln(c.OutOrStdout(), "note:", note)
		}
	}
	if wrong == nil {
		fmt.Fprintf(c.OutOrStdout(), "%s is fine\n", path)
		return nil
	}
	fmt.Fprintln(c.OutOrStdout(), wrong)
	return exit{code: exitFindings}
}
