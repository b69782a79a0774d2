package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/console/client"
)

// reviewer is what every command of the group takes.
type reviewer struct {
	console, tokenFile string
	asJSON             bool
}

func (r *reviewer) flags(c *cobra.Command) {
	c.Flags().StringVar(&r.console, "console", "", "URL of the console")
	c.Flags().StringVar(&r.tokenFile, "token-file", "", "file with your OIDC token for the console's audience")
	c.Flags().BoolVar(&r.asJSON, "json", false, "print JSON, also on a terminal")
}

func (r *reviewer) client(c *cobra.Command) (*client.Client, error) {
	for flag, value := range map[string]string{"--console": r.console, "--token-file": r.tokenFile} {
		if value == "" {
			return nil, usage(c, errMissing(flag))
		}
	}
	asker, err := client.New(r.console, r.tokenFile)
	if err != nil {
		return nil, usage(c, err)
	}
	return asker, nil
}

func (r *reviewer) json(c *cobra.Command) bool { return r.asJSON || !terminal(c.OutOrStdout()) }

// asking is what a command does that asks the console one thing: it prints the answer, as JSON or
// as text makes it.
func asking[T any](
	r *reviewer, ask func(ctx context.Context, asker *client.Client, args []string) (T, error), text func(T) string,
) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		asker, err := r.client(c)
		if err != nil {
			return err
		}
		answer, err := ask(c.Context(), asker, args)
		if err != nil {
			return err
		}
		if r.json(c) {
			return writeJSON(c.OutOrStdout(), answer)
		}
		_, err = io.WriteString(c.OutOrStdout(), text(answer))
		return err
	}
}

// listing is a command that lists what is in one state.
type listing[T any] struct {
	use, short, states string
	state              string // unless --state says another
	name               string // of the list in JSON
	ask                func(asker *client.Client, ctx context.Context, state string) (list []T, more bool, err error)
	none, header       string
	row                func(T) []string
}

func (l listing[T]) command() *cobra.Command {
	var r reviewer
	state := l.state
	c := &cobra.Command{Use: l.use + " --console URL --token-file FILE", Short: l.short, Args: exactly(0)}
	c.RunE = func(c *cobra.Command, _ []string) error {
		asker, err := r.client(c)
		if err != nil {
			return err
		}
		if state == "all" {
			state = ""
		}
		list, more, err := l.ask(asker, c.Context(), state)
		if err != nil {
			return err
		}
		if r.json(c) {
			answer := map[string]any{l.name: orEmpty(list)}
			if more {
				answer["more"] = true
			}
			return writeJSON(c.OutOrStdout(), answer)
		}
		return l.table(c.OutOrStdout(), list, more)
	}
	r.flags(c)
	c.Flags().StringVar(&state, "state", state, l.states)
	return c
}

func (l listing[T]) table(out io.Writer, list []T, more bool) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, l.none)
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, l.header)
	for _, one := range list {
		fmt.Fprintln(w, strings.Join(l.row(one), "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if more {
		fmt.Fprintln(out, "there are older ones")
	}
	return nil
}
