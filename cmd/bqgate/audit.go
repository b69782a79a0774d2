package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/audit"
)

func auditCommand() *cobra.Command {
	c := &cobra.Command{Use: "audit", Short: "Read the audit journal", RunE: group}
	c.AddCommand(auditListCommand(), auditKeygenCommand())
	return c
}

func auditListCommand() *cobra.Command {
	var dir, keyFile string
	var asJSON bool
	c := &cobra.Command{
		Use: "list --dir DIR --key-file FILE [--json]", Short: "List every request with its decision and what came of it", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			for flag, value := range map[string]string{"--dir": dir, "--key-file": keyFile} {
				if value == "" {
					return usage(c, errMissing(flag))
				}
			}
			key, err := audit.LoadKey(keyFile)
			if err != nil {
				return exit{exitUsage, err}
			}
			list, err := audit.List(dir, key)
			if err != nil {
				return exit{exitFindings, err}
			}
			if asJSON || !terminal(c.OutOrStdout()) {
				return list.WriteJSON(c.OutOrStdout())
			}
			return list.WriteTable(c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "the audit folder")
	c.Flags().StringVar(&keyFile, "key-file", "", "the key the journal was sealed with")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON lines, also on a terminal")
	return c
}

func auditKeygenCommand() *cobra.Command {
	return &cobra.Command{
		Use: "keygen FILE", Short: "Make a key for a new journal", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := audit.GenerateKey(args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "wrote %s; keep it away from the audit folder, and keep a copy: without it the journal cannot be read\n", args[0])
			return err
		},
	}
}
