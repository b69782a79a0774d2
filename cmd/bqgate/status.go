package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/gateway"
	"github.com/bqgate/bqgate/internal/operations"
)

func statusCommand() *cobra.Command {
	var path string
	var asJSON bool
	c := &cobra.Command{
		Use: "status --config FILE", Short: "Show what a running gateway says of its own state",
		Long: "Show what a running gateway says of its own state: whether it is ready, and each part with since when and why.\n\n" +
			"It asks through the socket folder of the configuration, or at operations.address where this user may not " +
			"enter the folder.\n\n" +
			"Exit code 0 ready, 1 not ready or no answer, 2 usage.",
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := configured(c, path)
			if err != nil {
				return err
			}
			s, err := gateway.AskStatus(c.Context(), cfg)
			if err != nil {
				return err
			}
			if asJSON || !terminal(c.OutOrStdout()) {
				if err := json.NewEncoder(c.OutOrStdout()).Encode(s); err != nil {
					return err
				}
			} else if err := showStatus(c.OutOrStdout(), s, time.Now()); err != nil {
				return err
			}
			if !s.Ready {
				return exit{code: exitFindings}
			}
			return nil
		},
	}
	c.Flags().StringVar(&path, "config", "", "the configuration file")
	c.Flags().BoolVar(&asJSON, "json", false, "JSON, also on a terminal")
	return c
}

// showStatus writes a Status for people: the verdict first, then what is wrong, then the rest.
func showStatus(w io.Writer, s operations.Status, now time.Time) error {
	word := "ready"
	if !s.Ready {
		word = "NOT READY"
	}
	fmt.Fprintf(
		w,
		"%s   process %d, for %s   policy %.12s, for %s\n\n",
		word,
		s.Process,
		since(s.Started, now),
		s.Policy,
		since(s.Loaded, now),
	)
	if s.Refused != nil {
		fmt.Fprintf(w, "the last reload was refused %s ago; the log says why\n\n", since(*s.Refused, now))
	}
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "part\tstate\tconcerns\tfor\twhy")
	for _, well := range []bool{false, true} {
		for _, p := range s.Parts {
			if p.Well != well {
				continue
			}
			state := "well"
			if !p.Well {
				state = "FAULTY"
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", p.Name, state, p.Concerns, since(p.Since, now), p.Reason)
		}
	}
	return t.Flush()
}

func since(t, now time.Time) string { return max(0, now.Sub(t)).Truncate(time.Second).String() }
