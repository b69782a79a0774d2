package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/spelling"
	"github.com/bqgate/bqgate/policies"
)

func policyCommand() *cobra.Command {
	c := &cobra.Command{Use: "policy", Short: "Check, test and explain policies", RunE: group}
	c.AddCommand(policyCheckCommand(), policyTestCommand(), policyExplainCommand(), policyLintCommand())
	return c
}

func nameFlags(c *cobra.Command, o *policies.Options) {
	c.Flags().StringArrayVar(&o.Issuers, "issuer", nil, "name of a configured issuer; without any, whatever issuer a policy names is taken")
	c.Flags().StringArrayVar(&o.Credentials, "credential", nil,
		"name of a configured credential; without any, whatever credential a policy names is taken")
	c.Flags().Var(federatedFlag{&o.Federated}, "federated", "name of a credential that runs as the requester's own principal")
}

// federatedFlag collects names of credentials that run as the requester.
type federatedFlag struct{ to *map[string]bool }

func (f federatedFlag) String() string { return "" }
func (f federatedFlag) Type() string   { return "string" }
func (f federatedFlag) Set(name string) error {
	if *f.to == nil {
		*f.to = map[string]bool{}
	}
	(*f.to)[name] = true
	return nil
}

func policyCheckCommand() *cobra.Command {
	var o policies.Options
	c := &cobra.Command{
		Use: "check FILE…", Short: "Load policy files and say what is in them, or what is wrong and where", Args: between(1, 1000),
		RunE: func(c *cobra.Command, args []string) error {
			set, err := policies.Load(args, o)
			if err != nil { // the problems are what the command is there to show
				if _, err := fmt.Fprintln(c.OutOrStdout(), err); err != nil {
					return err
				}
				return exit{code: exitFindings}
			}
			return writeOutline(c.OutOrStdout(), set)
		},
	}
	nameFlags(c, &o)
	return c
}

func policyTestCommand() *cobra.Command {
	return &cobra.Command{
		Use: "test DIR", Short: "Run the policy tests of a folder (*_test.yaml) and show what differs", Args: exactly(1),
		Long: "Each test says who asks, the SQL, and what must become of it: decision, rule, masks. docs/policies.md has the format.\n" +
			"Exit code 0: all passed; 1: some failed; 2: a file is wrong, or there is none.",
		RunE: func(c *cobra.Command, args []string) error {
			analyzer, done, err := oneAnalyzer(c)
			if err != nil {
				return err
			}
			defer done()
			ran, failed, err := policies.Test(c.Context(), args[0], analyzer.Analyze)
			if werr := writeFailures(c.OutOrStdout(), failed); err == nil {
				err = werr
			}
			if err != nil {
				return exit{exitUsage, err}
			}
			summary := fmt.Sprintf("%s passed", counted(ran, "test"))
			if len(failed) > 0 {
				summary = fmt.Sprintf("%d of %s failed", len(failed), counted(ran, "test"))
			}
			if _, err := fmt.Fprintln(c.OutOrStdout(), summary); err != nil {
				return exit{exitUsage, fmt.Errorf("write results: %w", err)}
			}
			if len(failed) > 0 {
				return exit{code: exitFindings}
			}
			return nil
		},
	}
}

func policyExplainCommand() *cobra.Command {
	var (
		o              policies.Options
		files          []string
		subject, bytes string
		q              policies.WhatIf
		asJSON         bool
	)
	c := &cobra.Command{
		Use:   "explain --policy FILE --subject FILE.json --catalog DIR SQL",
		Short: "Say what would happen if this subject ran this query, and why", Args: exactly(1),
		Long: "SQL - is read from standard input. The subject is JSON: issuer, sub, claims, groups, workload, people; docs/policies.md " +
			"has examples.\n" +
			"DIR holds project.dataset.table.json files, each a Table resource as `bq show --format=json` prints it.\n" +
			"Exit code 0: explained, whatever is decided; 1: a policy file is wrong; 2: wrong usage.",
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case len(files) == 0:
				return usage(c, errMissing("--policy"))
			case subject == "":
				return usage(c, errMissing("--subject"))
			case q.Catalog == "":
				return usage(c, errors.New("--catalog is missing: what SQL means depends on the columns of its tables; name a folder "+
					"with their resources, as `bq show --format=json` prints them"))
			}
			if info, err := os.Stat(q.Catalog); err != nil || !info.IsDir() {
				return usage(c, fmt.Errorf("--catalog %s is not a folder", q.Catalog))
			}
			var err error
			if q.SQL = args[0]; q.SQL == "-" {
				text, err := io.ReadAll(c.InOrStdin())
				if err != nil {
					return usage(c, err)
				}
				q.SQL = string(text)
			}
			if bytes != "" {
				if q.Estimate, err = policies.ParseEstimate(bytes); err != nil {
					return usage(c, fmt.Errorf("--bytes: %w", err))
				}
			}
			if q.Subject, err = policies.ReadSubject(subject); err != nil {
				return usage(c, err)
			}
			set, err := policies.Load(files, o)
			if err != nil {
				return exit{exitFindings, err}
			}
			return explainPolicy(c, set, q, asJSON || !terminal(c.OutOrStdout()))
		},
	}
	f := c.Flags()
	f.StringArrayVar(&files, "policy", nil, "policy file (may be repeated)")
	f.StringVar(&subject, "subject", "", "JSON file of who asks")
	f.StringVar(&q.Catalog, "catalog", "", "folder with the tables' resources")
	f.StringVar(&q.Project, "project", "", "project of the query (default: the catalog's, where it has only one)")
	f.StringVar(&q.DefaultDataset, "default-dataset", "", "PROJECT.DATASET for names of one part")
	f.StringVar(&bytes, "bytes", "", "what a dry run says the query would read, such as 5GiB, or unknown")
	f.BoolVar(&asJSON, "json", false, "print JSON, also on a terminal")
	nameFlags(c, &o)
	return c
}

func explainPolicy(c *cobra.Command, set *policies.Set, q policies.WhatIf, asJSON bool) error {
	analyzer, done, err := oneAnalyzer(c)
	if err != nil {
		return err
	}
	defer done()
	d, err := set.Ask(c.Context(), analyzer.Analyze, q)
	assumed := errors.Is(err, policies.ErrNeedsEstimate)
	if err != nil && !assumed {
		return exit{exitUsage, err}
	}
	e := policies.Explain(d)
	if asJSON {
		return writeJSON(c.OutOrStdout(), struct {
			policies.Explanation
			// no --bytes was given, and the policy decides by it: decided as for a query that reads
			// nothing
			EstimateAssumed bool `json:"estimate_assumed,omitempty"`
		}{e, assumed})
	}
	text := e.String()
	if assumed {
		text += "size        taken as 0 B; the policy decides by it, so say with --bytes what a dry run would\n"
	}
	_, err = io.WriteString(c.OutOrStdout(), text)
	return err
}

func policyLintCommand() *cobra.Command {
	var o policies.Options
	var catalog, config string
	var asJSON bool
	c := &cobra.Command{
		Use:   "lint [--config FILE] [--catalog DIR] [FILE…]",
		Short: "Find what in a policy is probably not meant, and list the columns that are seen as they are", Args: between(0, 1000),
		Long: "Without --catalog only what the files themselves tell is found. --config is the gateway's: its issuers' presets tell " +
			"which conditions let strangers through, and its policies are taken where no file is named. --issuer NAME=PRESET says " +
			"so without it.\n" +
			"Exit code 0: nothing found; 1: findings, or a file does not load; 2: wrong usage.",
		RunE: func(c *cobra.Command, args []string) error {
			issuers, files, err := lintedIssuers(c, &o, config)
			switch {
			case err != nil:
				return err
			case len(args) == 0 && len(files) == 0:
				return usage(c, errors.New("name a policy file, or the gateway's configuration with --config"))
			case len(args) == 0:
				args = files
			}
			set, err := policies.Load(args, o)
			if err != nil {
				return exit{exitFindings, err}
			}
			findings, shown, err := set.Lint(catalog, issuers...)
			if err != nil {
				return exit{exitUsage, err}
			}
			if asJSON || !terminal(c.OutOrStdout()) {
				err = writeJSON(c.OutOrStdout(), map[string]any{"findings": orEmpty(findings), "clear": orEmpty(shown)})
			} else {
				err = writeLint(c.OutOrStdout(), findings, shown)
			}
			if err == nil && len(findings) > 0 {
				return exit{code: exitFindings}
			}
			return err
		},
	}
	c.Flags().StringVar(&catalog, "catalog", "", "folder with the tables' resources")
	c.Flags().StringVar(&config, "config", "", "the gateway's configuration file")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, also on a terminal")
	nameFlags(c, &o)
	return c
}

// lintedIssuers are the issuers whose presets are known, by the configuration and by --issuer
// NAME=PRESET, and the policy files of the configuration.
func lintedIssuers(c *cobra.Command, o *policies.Options, path string) (issuers []identity.Issuer, files []string, err error) {
	if path != "" {
		cfg, err := configured(c, path)
		if err != nil {
			return nil, nil, err
		}
		if err := cfg.Identity.Validate(); err != nil {
			return nil, nil, exit{exitUsage, err}
		}
		issuers, files = cfg.Identity.WithDefaults().Issuers, cfg.Policies
	}
	for i, name := range o.Issuers {
		name, preset, named := strings.Cut(name, "=")
		if named && !slices.Contains(identity.Presets(), preset) {
			return nil, nil, usage(c, fmt.Errorf("--issuer %s=%s: there is no preset %s%s; there are %s", name, preset, preset,
				spelling.DidYouMean(preset, identity.Presets()), strings.Join(identity.Presets(), ", ")))
		}
		if o.Issuers[i] = name; named {
			issuers = append(issuers, identity.Issuer{Name: name, Preset: preset})
		}
	}
	return issuers, files, nil
}

// oneAnalyzer is an analyzer with one worker, for a command that ends soon.
func oneAnalyzer(c *cobra.Command) (*googlesql.Analyzer, func(), error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, fmt.Errorf("find own binary: %w", err)
	}
	pool, err := googlesql.NewPool(c.Context(), googlesql.PoolOptions{Command: []string{self, workerName}, Workers: 1, Spare: -1})
	if err != nil {
		return nil, nil, err
	}
	return googlesql.New(pool, googlesql.Limits{}), func() { pool.Close() }, nil
}

func writeJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false) // types have angle brackets
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// writeLine writes one line of JSON.
func writeLine(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// orEmpty prints as [] where there is nothing.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
