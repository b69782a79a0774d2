package main

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/wrapping"
)

func auditCommand() *cobra.Command {
	c := &cobra.Command{Use: "audit", Short: "Read the audit journal", RunE: group}
	c.AddCommand(auditListCommand(), auditVerifyCommand(), auditKeygenCommand())
	return c
}

func auditListCommand() *cobra.Command {
	var dir, keyFile, label string
	var asJSON bool
	var by wrapping.Config
	c := &cobra.Command{
		Use:   "list --dir DIR --key-file FILE [--label VALUE] [--json]",
		Short: "List every request with its decision and what came of it", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			for flag, value := range map[string]string{"--dir": dir, "--key-file": keyFile} {
				if value == "" {
					return usage(c, errMissing(flag))
				}
			}
			key, err := loadAuditKey(c, keyFile, &by)
			if err != nil {
				return err
			}
			list, err := audit.List(dir, key)
			if err != nil {
				return exit{exitFindings, err}
			}
			if label != "" {
				list.Entries = slices.DeleteFunc(list.Entries, func(e audit.Entry) bool { return !e.Labelled(label) })
			}
			if asJSON || !terminal(c.OutOrStdout()) {
				err = list.WriteJSON(c.OutOrStdout())
			} else {
				err = list.WriteTable(c.OutOrStdout())
			}
			if err != nil {
				return err
			}
			if err := tell(c.ErrOrStderr(), list.Report); err != nil {
				return err
			}
			if n := len(list.Findings); n > 0 {
				return exit{exitFindings, fmt.Errorf("what stands above is what can be read; %s", findings(n))}
			}
			return nil
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "the audit folder")
	c.Flags().StringVar(&keyFile, "key-file", "", "the key the journal was sealed with")
	wrapFlag(c, &by)
	c.Flags().StringVar(&label, "label", "", "only decisions whose job has this label at Google: its value, or KEY:VALUE")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON lines, also on a terminal")
	return c
}

// loadAuditKey reads the key file of a journal, wrapped or not.
func loadAuditKey(c *cobra.Command, path string, by *wrapping.Config) (*audit.Key, error) {
	with, err := wrappers(c, by)
	if err != nil {
		return nil, err
	}
	key, err := audit.LoadKey(path, with...)
	if err != nil {
		return nil, exit{exitUsage, err}
	}
	return key, nil
}

func wrapFlag(c *cobra.Command, by *wrapping.Config) {
	c.Flags().StringVar(
		&by.URI,
		"wrap",
		"",
		"what the key file is wrapped by, as key_wrapping of the configuration says: age:FILE or gcp-kms://…",
	)
}

func auditVerifyCommand() *cobra.Command {
	var dir, keyFile, publicKey string
	var by wrapping.Config
	c := &cobra.Command{
		Use: "verify --dir DIR [--key-file FILE]", Args: exactly(0),
		Short: "Check that the journal is whole: checksums, chains, how each file ends, and what files tell of each other",
		RunE: func(c *cobra.Command, _ []string) error {
			if dir == "" {
				return usage(c, errMissing("--dir"))
			}
			if publicKey != "" {
				return usage(c, errors.New("--public-key: this journal has no signed checkpoints; leave it out to check chains and ends"))
			}
			var key *audit.Key // none: Verify
			if keyFile != "" {
				var err error
				if key, err = loadAuditKey(c, keyFile, &by); err != nil {
					return err
				}
			}
			report, err := audit.Read(dir, key, func(audit.Position, audit.Record) error { return nil })
			if err != nil {
				return exit{exitFindings, err}
			}
			if err := tell(c.ErrOrStderr(), report); err != nil {
				return err
			}
			var records uint64
			var size int64
			for _, f := range report.Files {
				records, size = records+f.Records, size+f.Size
			}
			if _, err := fmt.Fprintf(c.OutOrStdout(), "%d files, %d records, %d bytes; %s\n", len(report.Files), records, size,
				findings(len(report.Findings))); err != nil {
				return err
			}
			if n := len(report.Findings); n > 0 {
				return exit{exitFindings, errors.New(findings(n))}
			}
			return nil
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "the audit folder")
	c.Flags().StringVar(&keyFile, "key-file", "", "the key the journal was sealed with: with it, each record is opened too")
	wrapFlag(c, &by)
	c.Flags().StringVar(&publicKey, "public-key", "", "of the signed checkpoints, where there are any")
	return c
}

// tell writes what a walk over the journal found, to where it mixes with no output.
func tell(w io.Writer, r audit.Report) error {
	for _, note := range r.Notes {
		if _, err := fmt.Fprintf(w, "note: %s\n", note); err != nil {
			return err
		}
	}
	for _, finding := range r.Findings {
		if _, err := fmt.Fprintf(w, "finding: %v\n", finding); err != nil {
			return err
		}
	}
	return nil
}

func findings(n int) string {
	switch n {
	case 0:
		return "nothing is wrong"
	case 1:
		return "1 finding"
	default:
		return fmt.Sprintf("%d findings", n)
	}
}

func auditKeygenCommand() *cobra.Command {
	return &cobra.Command{
		Use: "keygen FILE", Short: "Make a key for a new journal", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := audit.GenerateKey(args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.OutOrStdout(),
				"wrote %s; keep it away from the audit folder, and keep a copy: without it the journal cannot be read\n", args[0])
			return err
		},
	}
}
