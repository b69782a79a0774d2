// bqgate lets AI agents query BigQuery with a permission that exists only while a query needs it.
// `bqgate help` lists its commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/bqgate/bqgate/internal/config"
	"github.com/spf13/cobra"
)

// Exit codes of every command, but of `sql explain`.
const (
	exitFine     = 0
	exitFindings = 1
	exitUsage    = 2
	// exitJournal is of `serve` alone: a write of the audit journal has failed (EX_IOERR of
	// sysexits.h). It must be started again.
	exitJournal = 74
)

// exit is an error with an exit code of its own. Without a message nothing more is printed.
type exit struct {
	code int
	err  error
}

func (e exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e exit) Unwrap() error { return e.err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the program without the process around it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use: "bqgate", Short: "Just-in-time access to BigQuery for AI agents, on Envoy",
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		RunE:              group,
	}
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usage(c, err) })
	root.AddCommand(serveCommand(), consoleCommand(), statusCommand(), envoyCommand(), policyCommand(), sqlCommand(), auditCommand(),
		approvalsCommand(), sessionsCommand(), budgetsCommand(), credentialsCommand(), keysCommand(),
		workerCommand(), signerCommand())
	root.AddCommand(demoCommands()...)
	err := root.ExecuteContext(ctx)
	var e exit
	switch {
	case err == nil:
		return exitFine
	case errors.As(err, &e):
		if e.err != nil {
			fmt.Fprintln(stderr, "bqgate:", e.err)
		}
		return e.code
	default:
		fmt.Fprintln(stderr, "bqgate:", err)
		return exitFindings
	}
}

// usage is a mistake in the command line: exit code 2, and where to find help.
func usage(c *cobra.Command, err error) error {
	return exit{exitUsage, fmt.Errorf("%w\nrun `%s --help` for how to use it", err, c.CommandPath())}
}

// configured reads the configuration that --config names.
func configured(c *cobra.Command, path string) (*config.Config, error) {
	if path == "" {
		return nil, usage(c, errMissing("--config"))
	}
	cfg, err := config.Load(path)
	if err != nil {
		return nil, exit{exitUsage, err}
	}
	return cfg, nil
}

// group is a command that only has commands below it.
func group(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(c, fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath()))
	}
	return c.Help()
}

// exactly is cobra.ExactArgs with exit code 2, between is cobra.RangeArgs.
func exactly(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := cobra.ExactArgs(n)(c, args); err != nil {
			return usage(c, err)
		}
		return nil
	}
}

func between(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := cobra.RangeArgs(least, most)(c, args); err != nil {
			return usage(c, err)
		}
		return nil
	}
}

// terminal says whether w is a terminal: people get tables, machines get JSON.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
