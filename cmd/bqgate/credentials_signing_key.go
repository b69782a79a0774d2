package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bqgate/bqgate/internal/subjecttoken"
	"github.com/bqgate/bqgate/internal/wrapping"
)

func credentialsSigningKeyCommand() *cobra.Command {
	var out, algorithm string
	var wrap wrapping.Config
	c := &cobra.Command{
		Use: "signing-key --wrap URI --out FILE", Short: "Make a key of the gateway's own issuer, by which Google knows who asks",
		Args: exactly(0),
		Long: "The private half is wrapped and never printed. FILE is new; it goes under credentials.issuer.keys, on all replicas,\n" +
			"and what it is wrapped with under credentials.issuer.wrap.",
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case out == "":
				return usage(c, errMissing("--out"))
			case wrap.URI == "":
				return usage(c, errMissing("--wrap"))
			}
			wrapper, err := wrapping.Open(c.Context(), wrap)
			if err != nil {
				return fmt.Errorf("--wrap: %w", err)
			}
			if err := subjecttoken.NewKey(c.Context(), out, algorithm, wrapper); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s is a new %s key, wrapped by %s\n", out, algorithm, wrapper.Name())
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&out, "out", "", "the new file")
	f.StringVar(&wrap.URI, "wrap", "", "age:FILE (bqgate credentials keygen), or gcp-kms://projects/…")
	f.StringVar(&algorithm, "algorithm", subjecttoken.Algorithms[0], strings.Join(subjecttoken.Algorithms, " or "))
	return c
}
