package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/gateway"
)

func reopenCommand() *cobra.Command {
	var path, reason string
	var acknowledge int64
	var asJSON bool
	c := &cobra.Command{
		Use:   "reopen --config FILE [--acknowledge N [--reason TEXT]]",
		Short: "See why approvals are closed after Redis has lost something, and open them again", Args: exactly(0),
		Long: "Without --acknowledge it says what Redis has lost, as far as the audit journals of this host know, and what " +
			"would be told\n" +
			"anew. With the number that it names, it does that: what was used, denied or revoked stays so, and requests that " +
			"Redis still\n" +
			"shows as they were go on. It is recorded in the audit journal. Replicas that run open approvals within seconds; one that\n" +
			"stays closed knows of more, and its log names a higher number: run this on its host.\n\n" +
			"Exit code 0: approvals are open. 1: they are closed.",
		RunE: func(c *cobra.Command, _ []string) error {
			if path != "" && acknowledge < 0 {
				return usage(c, errors.New("--acknowledge is the number that this command names without it"))
			}
			cfg, err := configured(c, path)
			if err != nil {
				return err
			}
			log := slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelError + 1}))
			found, err := gateway.ReopenApprovals(c.Context(), cfg,
				gateway.Reopening{Acknowledged: acknowledge, By: operator(), Reason: reason}, log)
			if err != nil {
				return exit{exitFindings, err}
			}
			if asJSON || !terminal(c.OutOrStdout()) {
				err = writeJSON(c.OutOrStdout(), found)
			} else {
				_, err = fmt.Fprint(c.OutOrStdout(), findingText(found, acknowledge > 0))
			}
			if err == nil && !found.Open {
				return exit{
					exitFindings,
					fmt.Errorf("approvals are closed: make sure of what was used or revoked since, then run this with "+
						"--acknowledge %d", found.Acknowledge),
				}
			}
			return err
		},
	}
	c.Flags().StringVar(&path, "config", "", "the configuration file of `bqgate serve`")
	c.Flags().Int64Var(&acknowledge, "acknowledge", 0, "the number up to which you know of what Redis has lost")
	c.Flags().StringVar(&reason, "reason", "", "what happened to Redis, for the audit journal")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, also on a terminal")
	return c
}

// findingText is what an operator reads before, or after, approvals are opened.
func findingText(f approvals.Finding, acknowledged bool) string {
	var b strings.Builder
	told, opened := "would be told anew", "approvals are closed: "+f.Why
	switch {
	case f.Why == "":
		return fmt.Sprintf("approvals are open: Redis shows all %d messages that this host knows of\n", f.Known)
	case acknowledged:
		told, opened = "was told anew", "approvals are open again. They were closed: "+f.Why
	}
	fmt.Fprintf(&b, "%s\n", opened)
	fmt.Fprintf(&b, "known here  %d messages\nRedis shows %d\n", f.Known, f.Shown)
	fmt.Fprintf(&b, "%s: %d requests that wait, %d that are approved, %d that have ended, %d revoked sessions or tokens\n", told, f.Waiting,
		f.Approved, f.Ended, f.Revoked)
	if f.Lost > 0 {
		fmt.Fprintf(&b, "%d requests are known and not in Redis as they were: their queries ask again\n", f.Lost)
	}
	return b.String()
}
