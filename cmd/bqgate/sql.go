package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/googlesql"
	"github.com/bqgate/bqgate/internal/googlesql/engine"
)

// exitNotUnderstood is `sql explain`'s code for a script that was refused as not understood.
const exitNotUnderstood = 3

func errMissing(flag string) error { return fmt.Errorf("%s is missing", flag) }

func sqlCommand() *cobra.Command {
	c := &cobra.Command{Use: "sql", Short: "Understand SQL as the gateway does", RunE: group}
	c.AddCommand(explainCommand())
	return c
}

func explainCommand() *cobra.Command {
	var catalog, dataset string
	var asJSON bool
	c := &cobra.Command{
		Use:   "explain --catalog DIR [--default-dataset P.D] [--json] [FILE|-]",
		Short: "Say what a script reads, where each output column comes from and what decides about the result",
		Long: "Exit code 0: understood; 3: refused as not understood (JSON is still printed, with `error`); 2: wrong usage.\n" +
			"DIR holds project.dataset.table.json files, each a Table resource as `bq show --format=json` prints it.\n" +
			"Parameters need not be declared. What a policy would do with each column, `bqgate policy explain` tells.",
		Args: between(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if catalog == "" {
				return usage(c, errMissing("--catalog"))
			}
			if info, err := os.Stat(catalog); err != nil || !info.IsDir() {
				return usage(c, fmt.Errorf("--catalog %s is not a folder", catalog))
			}
			query := googlesql.Query{Catalog: googlesql.Files{Folder: catalog}, Caller: "explain", Undeclared: true}
			if dataset != "" {
				project, name, ok := strings.Cut(dataset, ".")
				if !ok || project == "" || name == "" || strings.Contains(name, ".") {
					return usage(c, fmt.Errorf("--default-dataset %q: want PROJECT.DATASET", dataset))
				}
				query.Project, query.DefaultDataset = project, &bigquery.DatasetReference{ProjectID: project, DatasetID: name}
			}
			text, err := readScript(c.InOrStdin(), args)
			if err != nil {
				return usage(c, err)
			}
			query.SQL = text
			return explain(c, query, asJSON || !terminal(c.OutOrStdout()))
		},
	}
	c.Flags().StringVar(&catalog, "catalog", "", "folder with the tables' resources")
	c.Flags().StringVar(&dataset, "default-dataset", "", "PROJECT.DATASET for names of one part; its project completes names of two")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, also on a terminal")
	return c
}

func explain(c *cobra.Command, query googlesql.Query, asJSON bool) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own binary: %w", err)
	}
	pool, err := googlesql.NewPool(c.Context(), googlesql.PoolOptions{Command: []string{self, workerName}, Workers: 1, Spare: -1})
	if err != nil {
		return err
	}
	defer pool.Close()
	analysis, err := googlesql.New(pool, googlesql.Limits{Cache: -1}).Analyze(c.Context(), query)
	if err != nil {
		return err
	}
	if err := googlesql.Explain(c.Context(), c.OutOrStdout(), analysis, asJSON); err != nil {
		return err
	}
	if analysis.Error != nil {
		return exit{code: exitNotUnderstood}
	}
	return nil
}

// readScript reads the file named, or standard input.
func readScript(stdin io.Reader, args []string) (string, error) {
	if len(args) == 0 || args[0] == "-" {
		text, err := io.ReadAll(stdin)
		return string(text), err
	}
	text, err := os.ReadFile(args[0])
	return string(text), err
}

// workerName is the hidden command that a Pool runs this binary with.
const workerName = "sql-worker"

func workerCommand() *cobra.Command {
	return &cobra.Command{
		Use: workerName, Hidden: true, Args: exactly(0), Short: "Analyse SQL for the parent process (frames on standard input and output)",
		RunE: func(*cobra.Command, []string) error { return engine.Main(os.Stdin, os.Stdout) },
	}
}
